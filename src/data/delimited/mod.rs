//! Delimited text: CSV, TSV and the like, parsed on all processors.

mod blocks;
mod cells;
mod dialect;
mod kept;
mod recent;
#[cfg(test)]
mod tests;
pub(super) use cells::{Cells, Fault, Wrong};

use super::frame::{Frame, Header, Values};
use super::read::{Known, Rows, Selection, Want};
use super::stream::Source;
use crate::error::{Error, Result};
use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use blocks::{Block, Blocks};
use cells::Parsed;
use dialect::{Dialect, Look, look};
use kept::Readable;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// The bytes of a block: enough for threads to be worth it, little enough to stay in a cache.
const BLOCK: usize = 1 << 20;
/// How many rows are looked at to find out how a text is to be read.
const SAMPLE: usize = 200;
/// Texts in a column of numbers are a mistake where they are at most this share of its values.
const STRAY: f64 = 0.05;

/// A delimited text that can be read more than once.
pub(super) struct Delimited {
    source: Source,
    dialect: Dialect,
    header: Arc<Header>,
    /// What the first rows say of each column.
    guess: Vec<Cells>,
    header_line: Option<u64>,
}

impl Delimited {
    /// Finds out from its beginning how a text is to be read.
    ///
    /// # Errors
    /// When it can't be read, is empty, has a header only, or two columns of one name.
    pub(super) fn open(source: Source, known: Known) -> Result<Arc<Self>> {
        let place = source.path().display().to_string();
        let stream = source.open()?;
        let dialect = Dialect::of(stream.head()).map_err(|e| e.at(&place))?;
        let mut blocks = Blocks::new(stream, dialect, 1 << 16);
        let mut rows = Vec::new();
        while rows.len() < SAMPLE
            && let Some(block) = blocks.read()?
        {
            sample(&block, dialect, &mut rows);
        }
        let Some((line, first)) = rows.first() else {
            let error = Error::data("the file is empty").at(place);
            return Err(error.help("give a file with at least one row"));
        };
        let cells: Vec<Vec<Vec<u8>>> = rows.iter().map(|(_, cells)| cells.clone()).collect();
        let has = |name: &String| first.iter().any(|cell| cell.trim_ascii() == name.as_bytes());
        let named = known.names.iter().any(|n| n.parse::<usize>().is_err() && has(n));
        let is_header = named || !known.unnamed && dialect::is_header(&cells);
        let header = match is_header {
            true => dialect::header(first).map_err(|e| e.at(format!("{place}, line {line}")))?,
            false => Header::numbered(first.len()),
        };
        if is_header && rows.len() == 1 {
            let error = Error::data("the file has a header, but no rows").at(place);
            return Err(error.help("give a file with at least one row"));
        }
        let body = &cells[usize::from(is_header)..];
        let guess = |place: usize| {
            let below = body.iter().filter_map(|row| row.get(place));
            let texts = below.filter(|cell| look(cell) == Look::Text).count();
            // A stray text is better found as such than as the only one in a column of words.
            match texts as f64 > STRAY * body.len() as f64 {
                true => Cells::Text,
                false => Cells::Number,
            }
        };
        Ok(Arc::new(Delimited {
            guess: (0..header.names.len()).map(guess).collect(),
            header: Arc::new(header),
            header_line: is_header.then_some(*line),
            source,
            dialect,
        }))
    }

    /// The names of the columns.
    pub(super) fn header(&self) -> &Arc<Header> {
        &self.header
    }

    /// The rows from the first one on, in chunks, each column read as `cells` says, and those at
    /// the places `kept` carried along.
    ///
    /// # Errors
    /// When the source can't be opened again.
    fn chunks(self: &Arc<Self>, cells: &[Cells], kept: &[Kept]) -> Result<Chunks> {
        let blocks = Blocks::new(self.source.open()?, self.dialect, BLOCK);
        Ok(Chunks {
            delimited: self.clone(),
            blocks,
            cells: cells.into(),
            kept: kept.into(),
            parsing: VecDeque::new(),
            failed: None,
            is_first: true,
            is_over: false,
        })
    }

    /// What the columns are read as, as far as the first rows tell where nothing else does.
    pub(super) fn cells(&self, wanted: &[Want]) -> Vec<Cells> {
        let cells = |(want, guess): (&Want, &Cells)| match want {
            Want::Guess | Want::Target => *guess,
            Want::Number => Cells::Number,
            Want::Text | Want::Moment => Cells::Text,
            Want::Nothing => Cells::Skip,
        };
        wanted.iter().zip(&self.guess).map(cells).collect()
    }

    /// Takes all rows chunk by chunk: what the columns were read as. A column that was only guessed
    /// to hold numbers, but holds more than a few texts, is read again as text, and everything
    /// begins again with the first row.
    ///
    /// # Errors
    /// With file, line and column, for columns that can't be understood, and a quote that is never
    /// closed; and what `take` returns.
    pub(super) fn pass(
        self: &Arc<Self>,
        Selection { wanted, kept, typed }: &Selection,
        mut take: impl FnMut(Rows) -> Result<()>,
    ) -> Result<Vec<Cells>> {
        let mut cells = self.cells(wanted);
        let kept = match typed {
            true => self.types(kept)?,
            false => kept.iter().map(|&place| Kept { place, readable: None }).collect(),
        };
        let guessed = |place: usize| matches!(wanted[place], Want::Guess | Want::Target);
        loop {
            let (mut first, mut present) = (0, vec![0; cells.len()]);
            let mut texts: Vec<(usize, Option<Fault>)> = vec![(0, None); cells.len()];
            let mut chunks = self.chunks(&cells, &kept)?;
            while let Some(Chunk { frame, kept, faults, texts: more }) = chunks.read()? {
                let is_guess =
                    |f: &Fault| matches!(f.wrong, Wrong::NoNumber(_)) && guessed(f.column);
                let (guesses, faults): (Vec<Fault>, Vec<Fault>) =
                    faults.into_iter().partition(is_guess);
                for ((all, first), (count, fault)) in texts.iter_mut().zip(more) {
                    *all += count;
                    if first.is_none() {
                        *first = fault;
                    }
                }
                // What isn't finite is counted as no text, and is an error as it is.
                if let Some(fault) = guesses.iter().find(|f| texts[f.column].0 == 0) {
                    return Err(self.error(fault));
                }
                for (present, values) in present.iter_mut().zip(&frame.columns) {
                    *present += values.as_ref().map_or(0, Values::present);
                }
                let faults = faults.iter().map(|fault| (fault.row, self.error(fault))).collect();
                let rows = Rows { first, frame, kept, faults };
                first += rows.frame.rows;
                take(rows)?;
            }
            let mut again = false;
            for (place, (count, first)) in texts.into_iter().enumerate() {
                let Some(fault) = first.filter(|_| guessed(place)) else { continue };
                if (count as f64) <= STRAY * (present[place] + count) as f64 {
                    return Err(self.stray(&fault, wanted[place]));
                }
                cells[place] = Cells::Text;
                again = true;
            }
            if !again {
                return Ok(cells);
            }
        }
    }

    /// Goes through the columns at these places, to find out of which type each is.
    fn types(self: &Arc<Self>, places: &[usize]) -> Result<Vec<Kept>> {
        let mut kept: Vec<Kept> =
            places.iter().map(|&place| Kept { place, readable: None }).collect();
        if kept.is_empty() {
            return Ok(kept);
        }
        let mut found = vec![Readable::ANYTHING; kept.len()];
        let mut chunks = self.chunks(&vec![Cells::Skip; self.header.names.len()], &kept)?;
        while let Some(chunk) = chunks.read()? {
            let columns = chunk.kept.iter().map(|array| array.as_string::<i32>());
            found.iter_mut().zip(columns).for_each(|(readable, cells)| readable.take(cells));
        }
        kept.iter_mut().zip(found).for_each(|(kept, readable)| kept.readable = Some(readable));
        Ok(kept)
    }

    /// The error for a row that can't be read.
    pub(super) fn error(&self, fault: &Fault) -> Error {
        let Fault { line, column, wrong, .. } = fault;
        let row = format!("{}, line {line}", self.source.path().display());
        let cell = format!("{row}, {}", self.header.describe(*column));
        let cols = self.header.names.len();
        match wrong {
            Wrong::Ragged(found) => {
                let cells = if *found == 1 { "cell" } else { "cells" };
                Error::data(format!("a row of {found} {cells}, where the first row has {cols}"))
                    .at(row)
                    .help(
                        "give every row as many cells, and quote a cell that has a separator in it",
                    )
            }
            Wrong::Utf8 => Error::data("invalid UTF-8")
                .at(cell)
                .help("save the file as UTF-8 (`iconv -t UTF-8`)"),
            Wrong::NoNumber(text) => not_a_number(text).at(cell),
        }
    }

    /// The error for a text among the numbers of a column that nobody said anything about.
    fn stray(&self, fault: &Fault, want: Want) -> Error {
        let name = &self.header.names[fault.column];
        let error = self.error(fault);
        match &fault.wrong {
            Wrong::NoNumber(text) if text.replace(',', ".").parse::<f64>().is_err() => {
                error.help(match want {
                    Want::Target => "the others are numbers: correct it, leave the row out, or say --task classification, if it is a class".into(),
                    _ => format!("the others are numbers: correct it, leave it empty if it is missing, or say --categorical {name}, or --ignore {name}"),
                })
            }
            _ => error,
        }
    }
}

fn not_a_number(text: &str) -> Error {
    if text.parse::<f64>().is_ok() {
        return Error::data(format!("{text} is not a finite number"))
            .help("replace it, or leave the cell empty");
    }
    let help = if text.contains('\n') {
        "a quote opened here is closed only on a later line"
    } else if text.replace(',', ".").parse::<f64>().is_ok() {
        "write decimals with a point"
    } else {
        "correct it, or leave the cell empty if the value is missing"
    };
    Error::data(format!("{text:?} is not a number")).help(help)
}

/// The rows of a block as cells without white space around them, with their lines.
fn sample(block: &Block, dialect: Dialect, rows: &mut Vec<(u64, Vec<Vec<u8>>)>) {
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(dialect.delimiter)
        .terminator(::csv::Terminator::Any(dialect.terminator))
        .from_reader(&block.bytes[..]);
    let mut record = ::csv::ByteRecord::new();
    let (mut begin, mut line) = (0, block.first_line);
    while rows.len() < SAMPLE
        && let Ok(true) = reader.read_byte_record(&mut record)
    {
        let end = reader.position().byte() as usize;
        let own = &block.bytes[begin..end];
        let blank = own.iter().take_while(|&&b| b == dialect.terminator).count() as u64;
        if record.len() > 1 || !record[0].trim_ascii().is_empty() {
            let cells = record.iter().map(|cell| cell.trim_ascii().to_vec()).collect();
            rows.push((line + blank, cells));
        }
        line += memchr::memchr_iter(dialect.terminator, own).count() as u64;
        begin = end;
    }
}

/// A column that is carried along.
#[derive(Debug, Clone, Copy)]
struct Kept {
    place: usize,
    /// What its cells are read as; as they stand where there is none.
    readable: Option<Readable>,
}

/// Some rows, and what is wrong with some of them: a faulty cell is missing in its column.
pub(super) struct Chunk {
    pub(super) frame: Frame,
    /// The columns that are carried along.
    pub(super) kept: Vec<ArrayRef>,
    pub(super) faults: Vec<Fault>,
    texts: Vec<(usize, Option<Fault>)>,
}

/// The rows of a delimited text in order. Blocks are parsed ahead on other threads, while the one that
/// asks for rows reads the text and takes what is done.
pub(super) struct Chunks {
    delimited: Arc<Delimited>,
    blocks: Blocks,
    cells: Arc<[Cells]>,
    kept: Arc<[Kept]>,
    /// The blocks that are being parsed, in order.
    parsing: VecDeque<Receiver<(Parsed, Vec<ArrayRef>)>>,
    /// What is wrong behind them.
    failed: Option<Error>,
    is_first: bool,
    is_over: bool,
}

impl Chunks {
    /// The next rows; none at the end.
    ///
    /// # Errors
    /// When the stream can't be read, or a quote is never closed.
    pub(super) fn read(&mut self) -> Result<Option<Chunk>> {
        while !self.is_over && self.parsing.len() < rayon::current_num_threads() * 2 {
            match self.begin() {
                Ok(more) => self.is_over = !more,
                Err(error) => (self.failed, self.is_over) = (Some(error), true),
            }
        }
        let Some(next) = self.parsing.pop_front() else {
            return self.failed.take().map_or(Ok(None), Err);
        };
        let (parsed, kept) = next.recv().map_err(|_| Error::failed("parsing a text failed"))?;
        let Parsed { columns, raw: _, rows, lines, faults, texts } = parsed;
        let header = self.delimited.header.clone();
        Ok(Some(Chunk {
            frame: Frame { header, columns, rows, lines, ..Frame::default() },
            kept,
            faults,
            texts,
        }))
    }

    /// Reads a block and begins to parse it; false at the end.
    fn begin(&mut self) -> Result<bool> {
        let Some(mut block) = self.blocks.read()? else { return Ok(false) };
        if let (true, Some(line)) = (self.is_first, self.delimited.header_line) {
            self.is_first = !behind_header(&mut block, self.delimited.dialect, line);
        }
        if block.bytes.is_empty() {
            return Ok(true);
        }
        let (dialect, cells, kept) =
            (self.delimited.dialect, self.cells.clone(), self.kept.clone());
        let (done, parsed) = channel();
        let work = move || {
            // Where nobody waits any more, the rows are not needed.
            let _ = done.send(parse(&block, dialect, &cells, &kept));
        };
        match rayon::current_thread_index() {
            // A thread of the pool must not wait for another: there may be none.
            Some(_) => work(),
            None => rayon::spawn(work),
        }
        self.parsing.push_back(parsed);
        Ok(true)
    }
}

/// Parses a block, and once more for the columns that are carried along: a column may be both a
/// number to learn from and carried along.
fn parse(
    block: &Block,
    dialect: Dialect,
    cells: &[Cells],
    kept: &[Kept],
) -> (Parsed, Vec<ArrayRef>) {
    let mut parsed = cells::parse(block, dialect, cells);
    if kept.is_empty() {
        return (parsed, Vec::new());
    }
    let mut raw = vec![Cells::Skip; cells.len()];
    kept.iter().for_each(|kept| raw[kept.place] = Cells::Raw);
    let Parsed { raw, faults, .. } = cells::parse(block, dialect, &raw);
    parsed.faults.extend(faults);
    parsed.faults.sort_by_key(|fault| fault.row);
    parsed.faults.dedup_by_key(|fault| fault.row);
    let column = |kept: &Kept| -> Option<ArrayRef> {
        let (_, cells) = raw.iter().find(|(place, _)| *place == kept.place)?;
        Some(match kept.readable {
            Some(readable) => readable.values(cells.clone()),
            None => Arc::new(cells.clone()),
        })
    };
    (parsed, kept.iter().filter_map(column).collect())
}

/// Cuts off the header, which begins on `line`, and what stands before it; false where it isn't in
/// this block.
fn behind_header(block: &mut Block, dialect: Dialect, line: u64) -> bool {
    let mut rows = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(dialect.delimiter)
        .terminator(::csv::Terminator::Any(dialect.terminator))
        .from_reader(&block.bytes[..]);
    let mut record = ::csv::ByteRecord::new();
    while let Ok(true) = rows.read_byte_record(&mut record) {
        let end = rows.position().byte() as usize;
        let next = block.first_line
            + memchr::memchr_iter(dialect.terminator, &block.bytes[..end]).count() as u64;
        if next > line {
            block.bytes.drain(..end);
            block.first_line = next;
            return true;
        }
    }
    block.bytes.clear();
    false
}

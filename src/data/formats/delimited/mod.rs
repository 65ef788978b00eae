//! Delimited text: CSV, TSV and the like, parsed on all processors.

mod blocks;
mod cells;
mod chunks;
mod dialect;
mod forms;
mod header;
mod kept;
mod recent;
#[cfg(test)]
mod tests;
pub(super) use cells::{Cells, Fault, Wrong};
pub(in crate::data) use forms::is_number;

use super::want::{Known, OnError, Rows, Selection, Want};
use crate::base::error::{Error, Result};
use crate::base::words::{count, part, verb};
use crate::data::columns::form_evidence::{Decided, FormEvidence, FormHints, decide};
use crate::data::columns::frame::{Header, Values};
use crate::data::columns::missing::Marks;
use crate::data::columns::number_form::NumberForm;
use crate::data::streams::recognize::recode;
use crate::data::streams::stream::Source;
use arrow_array::cast::AsArray;
use blocks::{Block, Blocks};
use chunks::{Chunk, Kept};
use dialect::{Dialect, Look, look};
use forms::{evidence_of, reads};
use header::FirstRow;
use kept::Readable;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The number of rows that are examined to find out how to read a text.
const SAMPLE: usize = 200;
/// Texts in a column of numbers count as mistakes if they are at most this fraction of its values.
const STRAY: f64 = 0.05;

/// A delimited text that can be read more than once.
pub(in crate::data) struct Delimited {
    source: Source,
    dialect: Dialect,
    header: Arc<Header>,
    /// The types of the columns in the first rows.
    guess: Vec<Cells>,
    /// The last line before the rows: the header, or one that declares the separator.
    last_line: Option<u64>,
    marks: Marks,
    /// Whether numbers have, or may have, a form other than plain.
    is_formed: bool,
    /// The user's options for that form.
    hints: FormHints<'static>,
    /// The number forms of the trained model for which the text is read, if any.
    known_forms: Option<BTreeMap<String, NumberForm>>,
    /// Whether rows with a few texts among the numbers of a column are faulty, instead of ending the reading.
    skips: bool,
    warnings: Vec<String>,
}

impl Delimited {
    /// Finds out from its beginning how to read a text.
    ///
    /// # Errors
    /// When it can't be read, is empty, has only a header, or two columns with the same name.
    pub(in crate::data) fn open(source: Source, known: Known) -> Result<Arc<Self>> {
        let (place, text) = (source.path().display().to_string(), known.text);
        let stream = source.open()?;
        if let (Some(decimal), Some(grouping)) = (text.decimal, text.thousands)
            && decimal.to_string() == grouping.to_string()
        {
            return Err(Error::usage(format!(
                "--decimal {decimal} cannot be used with --thousands {grouping}"
            ))
            .help("one character can't be both: omit one of the two"));
        }
        let dialect = Dialect::of(stream.head(), text.separator).map_err(|e| e.at(&place))?;
        let marks = Marks::new(&text.missing);
        let mut blocks = Blocks::new(stream, dialect, 1 << 16);
        let mut rows = Vec::new();
        while rows.len() <= SAMPLE
            && let Some(block) = blocks.read()?
        {
            sample(&block, dialect, &mut rows);
        }
        let told_line = dialect.told.then(|| rows.remove(0).0);
        let Some((line, first)) = rows.first() else {
            let error = Error::data("the file is empty").at(place);
            return Err(error.help("give a file with at least one row"));
        };
        let cells: Vec<Vec<Vec<u8>>> = rows.iter().map(|(_, cells)| cells.clone()).collect();
        let has = |name: &String| first.iter().any(|cell| cell.trim_ascii() == name.as_bytes());
        let is_name = |name: &String| name.parse().is_ok_and(|n: usize| n <= first.len());
        let named = known.names.iter().any(|name| !is_name(name) && has(name));
        let found = match text.header {
            Some(true) => FirstRow::Names,
            Some(false) => FirstRow::Values,
            None if named => FirstRow::Names,
            None if known.unnamed => header::first_row_of_unnamed(&cells, &marks),
            None => header::first_row(&cells, &marks),
        };
        let mut warnings = Vec::new();
        if found == FirstRow::NamesOfNumbers {
            warnings.push(format!(
                "the first row, {}, is used as the column names: use --header no if it is a row \
                 like the others",
                shown(first)
            ));
        }
        if found == FirstRow::ValuesInDoubt {
            warnings.push(format!(
                "the first row, {}, is used as values: use --header yes if it contains the column names",
                shown(first)
            ));
        }
        let is_header = matches!(found, FirstRow::Names | FirstRow::NamesOfNumbers);
        let mut header = match is_header {
            true => header::header(first, source.path())
                .map_err(|e| e.at(format!("{place}, line {line}")))?,
            false => Header::numbered(first.len()),
        };
        header.missing = text.missing.clone();
        if is_header && rows.len() == 1 {
            let error = Error::data("the file has a header, but no rows").at(place);
            return Err(error.help("give a file with at least one row"));
        }
        let body = &cells[usize::from(is_header)..];
        let hints = FormHints {
            decimal: text.decimal,
            thousands: text.thousands.map(|grouping| grouping.0),
            known: None,
            semicolons: dialect.delimiter == b';',
        };
        let evidence: Vec<FormEvidence> =
            (0..header.names.len()).map(|place| evidence_of(body, place, &marks)).collect();
        let named: Vec<(&str, &FormEvidence)> =
            header.names.iter().map(String::as_str).zip(&evidence).collect();
        let forms = decide(&named, &FormHints { known: known.forms, ..hints });
        let is_plain = |decided: &Option<Decided>| {
            decided.is_none_or(|d| d.form == NumberForm::PLAIN && !d.is_ambiguous)
        };
        let guess = |place: usize| {
            let below = body.iter().filter_map(|row| row.get(place));
            let is_text = |cell: &&Vec<u8>| match (look(cell, &marks), &forms[place]) {
                (Look::Missing, _) => false,
                (_, Some(Decided { form, .. })) => {
                    std::str::from_utf8(cell).map_or(true, |cell| !reads(*form, cell))
                }
                (look, None) => look == Look::Text,
            };
            let texts = below.filter(is_text).count();
            // A stray text is reported better as such than as the only one in a column of words.
            match texts as f64 > STRAY * body.len() as f64 {
                true => Cells::Text,
                false => Cells::Number(NumberForm::PLAIN),
            }
        };
        let is_known = known.forms.is_some_and(|forms| !forms.is_empty());
        let is_asked = text.decimal.is_some() || text.thousands.is_some() || is_known;
        Ok(Arc::new(Delimited {
            guess: (0..header.names.len()).map(guess).collect(),
            is_formed: is_asked || !forms.iter().all(is_plain),
            header: Arc::new(header),
            last_line: is_header.then_some(*line).or(told_line),
            source,
            dialect,
            marks,
            hints,
            known_forms: known.forms.cloned(),
            skips: known.on_error == OnError::Skip,
            warnings,
        }))
    }

    /// The names of the columns.
    pub(in crate::data) fn header(&self) -> &Arc<Header> {
        &self.header
    }

    /// How the columns are read, found from the first rows if nothing else decides.
    pub(in crate::data) fn cells(&self, wanted: &[Want]) -> Vec<Cells> {
        let cells = |(want, guess): (&Want, &Cells)| match want {
            Want::Target if *guess == Cells::Text => Cells::Class,
            Want::Guess | Want::Target => *guess,
            Want::Number => Cells::Number(NumberForm::PLAIN),
            Want::Class => Cells::Class,
            Want::Text | Want::Moment => Cells::Text,
            Want::Nothing => Cells::Skip,
        };
        wanted.iter().zip(&self.guess).map(cells).collect()
    }

    /// Passes all rows to `take` chunk by chunk, and returns how the columns were read. A column that was only
    /// guessed to hold numbers, but holds more than a few texts, or whole numbers that f64 would round, is read
    /// again as text, or if its texts are numbers in another form, in that form, and everything starts over
    /// with the first row.
    ///
    /// # Errors
    /// With file, line and column, for columns that can't be read, and a quote that is never
    /// closed; and what `take` returns.
    pub(in crate::data) fn pass(
        self: &Arc<Self>,
        Selection { wanted, kept, typed }: &Selection,
        mut take: impl FnMut(Rows) -> Result<()>,
    ) -> Result<Vec<Cells>> {
        let mut reading = self.reading(wanted, self.is_formed)?;
        let kept = match typed {
            true => self.types(kept)?,
            false => kept.iter().map(|&place| Kept { place, readable: None }).collect(),
        };
        // The columns that hold numbers even if some of their cells are faulty.
        let mut settled = vec![false; wanted.len()];
        'again: loop {
            let is_settled = settled.clone();
            let guessed = |place: usize| {
                matches!(wanted[place], Want::Guess | Want::Target) && !is_settled[place]
            };
            let (mut first, mut present) = (0, vec![0; wanted.len()]);
            let mut texts: Vec<(usize, Option<Fault>)> = vec![(0, None); wanted.len()];
            let mut wide = vec![false; wanted.len()];
            let mut chunks = self.chunks(&reading.cells, &reading.header, &kept)?;
            while let Some(chunk) = chunks.read()? {
                let Chunk { mut frame, kept, faults, texts: more, wide: wider, .. } = chunk;
                let is_guess =
                    |f: &Fault| matches!(f.wrong, Wrong::NoNumber(_)) && guessed(f.column);
                let (guesses, faults): (Vec<Fault>, Vec<Fault>) =
                    faults.into_iter().partition(is_guess);
                // Predictions of previous rows are already written: then such a row is an error.
                let is_formed =
                    |f: &Fault| matches!(&f.wrong, Wrong::NoNumber(text) if is_number(text));
                if self.known_forms.is_none() && !reading.is_formed && faults.iter().any(is_formed)
                {
                    reading = self.reading(wanted, true)?;
                    continue 'again;
                }
                for ((all, first), (count, fault)) in texts.iter_mut().zip(more) {
                    *all += count;
                    if first.is_none() {
                        *first = fault;
                    }
                }
                wider.into_iter().for_each(|place| wide[place] = true);
                // Numbers that aren't finite don't count as texts, and are errors in any case.
                if let Some(fault) = guesses.iter().find(|f| texts[f.column].0 == 0) {
                    if !self.skips {
                        return Err(self.error(fault));
                    }
                    settled[fault.column] = true;
                    continue 'again;
                }
                for (present, values) in present.iter_mut().zip(&frame.columns) {
                    *present += values.as_ref().map_or(0, Values::present);
                }
                if first == 0 {
                    frame.warnings.clone_from(&reading.warnings);
                }
                let faults = faults.iter().map(|fault| (fault.row, self.error(fault))).collect();
                let rows = Rows { first, frame, kept, faults };
                first += rows.frame.rows;
                take(rows)?;
            }
            let mut again = false;
            for (place, (count, first)) in texts.into_iter().enumerate() {
                if !guessed(place) {
                    continue;
                }
                let as_text =
                    if wanted[place] == Want::Target { Cells::Class } else { Cells::Text };
                if wide[place] {
                    (reading.cells[place], again) = (as_text, true);
                    continue;
                }
                let Some(fault) = first else { continue };
                if !reading.is_formed
                    && let Wrong::NoNumber(text) = &fault.wrong
                    && is_number(text)
                {
                    (reading, again) = (self.reading(wanted, true)?, true);
                    break;
                }
                if (count as f64) <= STRAY * (present[place] + count) as f64 {
                    if self.skips {
                        (settled[place], again) = (true, true);
                        continue;
                    }
                    let rows = present[place] + count;
                    return Err(self.stray(&fault, wanted[place], [count, rows]));
                }
                (reading.cells[place], again) = (as_text, true);
            }
            if !again {
                return Ok(reading.cells);
            }
        }
    }

    /// Reads the columns at these indices to find the type of each.
    fn types(self: &Arc<Self>, places: &[usize]) -> Result<Vec<Kept>> {
        let mut kept: Vec<Kept> =
            places.iter().map(|&place| Kept { place, readable: None }).collect();
        if kept.is_empty() {
            return Ok(kept);
        }
        let mut found = vec![Readable::ANYTHING; kept.len()];
        let mut chunks =
            self.chunks(&vec![Cells::Skip; self.header.names.len()], &self.header, &kept)?;
        while let Some(chunk) = chunks.read()? {
            let columns = chunk.kept.iter().map(|array| array.as_string::<i32>());
            found.iter_mut().zip(columns).for_each(|(readable, cells)| readable.take(cells));
        }
        kept.iter_mut().zip(found).for_each(|(kept, readable)| kept.readable = Some(readable));
        Ok(kept)
    }

    /// The error for a row that can't be read.
    pub(in crate::data) fn error(&self, fault: &Fault) -> Error {
        let Fault { line, column, wrong, .. } = fault;
        let row = format!("{}, line {line}", self.source.path().display());
        let cell = format!("{row}, {}", self.header.describe(*column));
        let cols = self.header.names.len();
        match wrong {
            Wrong::Ragged(found) => {
                let cells = count(*found, "cell");
                Error::data(format!("the row has {cells}, but the first row has {cols}"))
                    .at(row)
                    .help(
                        "give every row the same number of cells, and quote cells that contain a separator",
                    )
            }
            Wrong::Utf8 => Error::data("invalid UTF-8")
                .at(cell)
                .help(recode(self.source.path(), "WINDOWS-1252")),
            Wrong::NoNumber(text) => not_a_number(text).at(cell),
        }
    }

    /// The error for the first of `count` texts among the numbers of a column without options, which has `rows` values.
    fn stray(&self, fault: &Fault, want: Want, [number, rows]: [usize; 2]) -> Error {
        let name = &self.header.names[fault.column];
        let error = self.error(fault);
        match &fault.wrong {
            Wrong::NoNumber(text) if !is_number(text) && !text.contains('\n') => {
                error.help(match want {
                    Want::Target => "the others are numbers: correct it, use --missing with this text if it means a missing value, or --task classification if it is a class".into(),
                    _ => format!("the others are numbers: correct it, use --missing {text:?} if it means a missing value, --categorical {name}, --ignore {name}, or --on-error skip to leave out such rows"),
                })
            }
            Wrong::NoNumber(text) if is_number(text) => error.help(format!(
                "{} of the column {} written like the others: write all alike, as 1234.5 or as 1234,5",
                part(number, rows, "value"),
                verb(number, ["isn't", "aren't"])
            )),
            _ => error,
        }
    }
}

fn not_a_number(text: &str) -> Error {
    if text.parse::<f64>().is_ok_and(|x| !x.is_finite()) {
        return Error::data(format!("{text} is not a finite number"))
            .help("replace it, or leave the cell empty; rows with an empty target are dropped with --missing-target drop");
    }
    let help = if text.contains('\n') {
        "a quote opened here is closed only on a later line"
    } else if is_number(text) {
        "use the same decimal mark in all rows of a column: a point or a comma"
    } else {
        "correct it, or leave the cell empty if the value is missing"
    };
    Error::data(format!("{text:?} is not a number")).help(help)
}

/// The rows of a block as cells without white space around them, with their lines.
fn sample(block: &Block, dialect: Dialect, rows: &mut Vec<(u64, Vec<Vec<u8>>)>) {
    let mut reader = dialect.reader(&block.bytes);
    let mut record = ::csv::ByteRecord::new();
    let (mut begin, mut line) = (0, block.first_line);
    // One more row, which may be the header.
    while rows.len() <= SAMPLE
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

/// Some cells for a message.
fn shown(cells: &[Vec<u8>]) -> String {
    let texts = cells.iter().take(4).map(|cell| String::from_utf8_lossy(cell).into_owned());
    let more = if cells.len() > 4 { ", …" } else { "" };
    format!("{}{more}", texts.collect::<Vec<_>>().join(", "))
}

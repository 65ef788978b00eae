//! The cells of a block, parsed directly from its bytes into typed columns.

use super::blocks::Block;
use super::dialect::Dialect;
use super::recent::{Recent, Short};
use crate::data::columns::form_evidence::FormEvidence;
use crate::data::columns::frame::{MarkCounts, Values};
use crate::data::columns::lines::Lines;
use crate::data::columns::missing::{Marks, is_mark, is_missing, is_noted};
use crate::data::columns::number_form::NumberForm;
use crate::data::columns::texts::{MISSING, Texts};
use ::csv::ByteRecord;
use arrow_array::StringArray;
use arrow_array::builder::StringBuilder;

/// How the cells of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cells {
    /// Numbers of that form; a missing one is NaN.
    Number(NumberForm),
    /// Texts.
    Text,
    /// Texts that name classes: `None` and `-` may be such names.
    Class,
    /// Evidence for their number form.
    Evidence,
    /// The unchanged text.
    Raw,
    /// Nothing.
    Skip,
}

/// The kinds of faults in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It has this number of cells instead.
    Ragged(usize),
    /// A cell that should be a number holds this.
    NoNumber(String),
    /// A cell isn't UTF-8.
    Utf8,
}

/// A fault in a row, and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) row: usize,
    pub(crate) line: u64,
    /// The column, unless it is the whole row.
    pub(crate) column: usize,
    pub(crate) wrong: Wrong,
}

/// The rows of a block.
pub(super) struct Parsed {
    pub(super) columns: Vec<Option<Values>>,
    /// The raw columns, by their indices.
    pub(super) raw: Vec<(usize, StringArray)>,
    pub(super) rows: usize,
    pub(super) lines: Lines,
    /// The first fault of each row with faults, in the order of the rows.
    pub(super) faults: Vec<Fault>,
    /// The texts in each column of numbers: their number, and the first.
    pub(super) texts: Vec<(usize, Option<Fault>)>,
    /// The columns of numbers with a whole number that f64 would round.
    pub(super) wide: Vec<usize>,
    /// The evidence for the number forms of columns, by their indices.
    pub(super) evidence: Vec<(usize, FormEvidence)>,
    /// The cells that were read as missing and may be something else.
    pub(super) marks: MarkCounts,
}

/// Parses a block.
pub(super) fn parse(block: &Block, dialect: Dialect, cells: &[Cells], marks: &Marks) -> Parsed {
    let room = block.bytes.len() / (cells.len() * 4).max(8);
    let mut rows = Rows::new(cells, room, marks);
    match block.quoted {
        false => rows.plain(block, dialect),
        true => rows.quoted(block, dialect),
    }
    rows.finish()
}

/// One column while it is read.
enum Column {
    Bytes(Vec<u8>),
    Numbers(Vec<f64>),
    /// Numbers in another form than the plain one.
    Formed(NumberForm, Vec<f64>),
    /// Whether they name classes.
    Texts(Texts, Recent, bool),
    Evidence(FormEvidence),
    Raw(StringBuilder),
    Skip,
}

/// From this magnitude on, f64 doesn't hold every whole number.
const WIDE: f64 = 9_007_199_254_740_992.0;

struct Rows<'a> {
    columns: Vec<Column>,
    marks: &'a Marks,
    wide: Vec<bool>,
    /// Whole rows.
    done: usize,
    lines: Lines,
    faults: Vec<Fault>,
    texts: Vec<(usize, Option<Fault>)>,
    noted: MarkCounts,
}

impl<'a> Rows<'a> {
    fn new(cells: &[Cells], room: usize, marks: &'a Marks) -> Self {
        let column = |cells: &Cells| match cells {
            Cells::Number(NumberForm::PLAIN) => Column::Bytes(Vec::with_capacity(room)),
            Cells::Number(form) => Column::Formed(*form, Vec::with_capacity(room)),
            Cells::Text => Column::Texts(Texts::default(), Recent::new(), false),
            Cells::Class => Column::Texts(Texts::default(), Recent::new(), true),
            Cells::Evidence => Column::Evidence(FormEvidence::default()),
            Cells::Raw => Column::Raw(StringBuilder::new()),
            Cells::Skip => Column::Skip,
        };
        Rows {
            columns: cells.iter().map(column).collect(),
            marks,
            wide: vec![false; cells.len()],
            done: 0,
            lines: Lines::default(),
            faults: Vec::new(),
            texts: vec![(0, None); cells.len()],
            noted: MarkCounts::new(),
        }
    }

    /// Parses a block without quotes: every delimiter and terminator counts.
    fn plain(&mut self, block: &Block, dialect: Dialect) {
        let Dialect { delimiter, terminator, .. } = dialect;
        let (bytes, last) = (&block.bytes[..], self.columns.len() - 1);
        let (mut at, mut line) = (0, block.first_line);
        while at < bytes.len() {
            if is_blank(bytes, at, terminator) {
                at = end_of_line(bytes, at, terminator) + 1;
                line += 1;
                continue;
            }
            let faults = self.faults.len();
            let mut ragged = None;
            for place in 0..=last {
                // A plain number is parsed while searching for its end, a short text looked up.
                let is_end = |end: usize| match place < last {
                    true => bytes[end] == delimiter,
                    false => ends_record(bytes, end, terminator),
                };
                if let Some(end) = self.fast(place, bytes, at, dialect, is_end) {
                    at = end + 1 + usize::from(bytes[end] == b'\r' && terminator != b'\r');
                    continue;
                }
                let end = at
                    + memchr::memchr2(delimiter, terminator, &bytes[at..])
                        .unwrap_or(bytes.len() - at);
                self.cell(place, &bytes[at..end], line);
                at = end + 1;
                let ended = bytes.get(end) != Some(&delimiter);
                if ended != (place == last) {
                    ragged = Some(place);
                    break;
                }
            }
            if let Some(place) = ragged {
                let found = if place < last {
                    (place + 1..=last).for_each(|place| self.missing(place));
                    place + 1
                } else {
                    let end = end_of_line(bytes, at, terminator);
                    let more = memchr::memchr_iter(delimiter, &bytes[at..end]).count();
                    at = end + 1;
                    last + 2 + more
                };
                self.faults.truncate(faults);
                self.fault(line, 0, Wrong::Ragged(found));
            }
            self.lines.push(self.done, line);
            self.done += 1;
            line += 1;
        }
    }

    /// Reads a plain number or a recent text that begins at `at` and fills the cell, and returns its
    /// end. If there is none, nothing is read, and the slow path handles the cell.
    #[inline(always)]
    fn fast(
        &mut self,
        place: usize,
        bytes: &[u8],
        at: usize,
        dialect: Dialect,
        is_end: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let numbers = match &mut self.columns[place] {
            Column::Bytes(column) => {
                let (mut value, mut end) = (0u32, at);
                while end < at + 3 && bytes[end].is_ascii_digit() {
                    value = value * 10 + u32::from(bytes[end] - b'0');
                    end += 1;
                }
                let is_byte = end > at && value < 256 && is_end(end);
                return is_byte.then(|| {
                    column.push(value as u8);
                    end
                });
            }
            Column::Numbers(numbers) => numbers,
            Column::Texts(texts, recent, _) => {
                let window = *bytes[at..].first_chunk()?;
                let text = Short::first(window, dialect.delimiter, dialect.terminator)?;
                let end = at + text.len();
                let code = recent.find(text).filter(|_| is_end(end))?;
                texts.codes.push(code);
                return Some(end);
            }
            _ => return None,
        };
        let (value, used) = fast_float2::parse_partial::<f64, _>(&bytes[at..]).ok()?;
        let end = at + used;
        // The comparison is false for NaN.
        let is_narrow = value.abs() < WIDE;
        if used == 0 || !is_narrow || end >= bytes.len() || !is_end(end) {
            return None;
        }
        numbers.push(value);
        Some(end)
    }

    /// Parses a block with quotes: the `csv` crate finds the cells.
    fn quoted(&mut self, block: &Block, dialect: Dialect) {
        let mut reader = dialect.reader(&block.bytes);
        let mut record = ByteRecord::new();
        let (mut begin, mut line) = (0, block.first_line);
        // Reading from memory can't fail, and rows of any length are accepted.
        while let Ok(true) = reader.read_byte_record(&mut record) {
            let end = reader.position().byte() as usize;
            // The reader skips blank lines before the record.
            let blank =
                block.bytes[begin..end].iter().take_while(|&&b| b == dialect.terminator).count()
                    as u64;
            let at = line + blank;
            line +=
                memchr::memchr_iter(dialect.terminator, &block.bytes[begin..end]).count() as u64;
            begin = end;
            if record.len() == 1 && record[0].trim_ascii().is_empty() {
                continue;
            }
            let faults = self.faults.len();
            for place in 0..self.columns.len() {
                match record.get(place) {
                    Some(cell) => self.cell(place, cell, at),
                    None => self.missing(place),
                }
            }
            if record.len() != self.columns.len() {
                self.faults.truncate(faults);
                self.fault(at, 0, Wrong::Ragged(record.len()));
            }
            self.lines.push(self.done, at);
            self.done += 1;
        }
    }

    /// Reads any cell.
    fn cell(&mut self, place: usize, cell: &[u8], line: u64) {
        if matches!(self.columns[place], Column::Skip) {
            return;
        }
        let cell = cell.trim_ascii();
        if let Column::Raw(raw) = &mut self.columns[place] {
            match std::str::from_utf8(cell) {
                Ok(text) => raw.append_value(text),
                Err(_) => {
                    raw.append_value("");
                    self.fault(line, place, Wrong::Utf8);
                }
            }
            return;
        }
        let is_name = matches!(self.columns[place], Column::Texts(_, _, true));
        let is_given = self.marks.has(cell);
        if is_given || is_mark(cell) || !is_name && is_missing(cell) {
            if is_noted(cell) && !is_given {
                let text = String::from_utf8_lossy(cell).into_owned();
                *self.noted.entry((place, text)).or_default() += 1;
            }
            return self.missing(place);
        }
        if let Column::Evidence(evidence) = &mut self.columns[place] {
            evidence.take(&String::from_utf8_lossy(cell));
            return;
        }
        if let Column::Texts(texts, recent, _) = &mut self.columns[place] {
            // The previous content is valid.
            let found = texts.words.find(cell);
            let new = || std::str::from_utf8(cell).ok().map(|text| texts.words.code(text));
            match found.or_else(new) {
                Some(code) => {
                    texts.codes.push(code);
                    if let Some(short) = Short::of(cell) {
                        recent.keep(short, code, texts.words.len());
                    }
                }
                None => {
                    texts.codes.push(MISSING);
                    self.fault(line, place, Wrong::Utf8);
                }
            }
            return;
        }
        if let Column::Formed(form, numbers) = &mut self.columns[place]
            && let Some(x) = std::str::from_utf8(cell).ok().and_then(|cell| form.parse(cell))
        {
            numbers.push(x);
            return;
        }
        let signed = || std::str::from_utf8(cell).ok().and_then(|c| NumberForm::PLAIN.parse(c));
        let is_formed = matches!(self.columns[place], Column::Formed(..));
        match fast_float2::parse::<f64, _>(cell) {
            Ok(x) if x.is_finite() && !is_formed => {
                let is_whole = |b: &u8| b.is_ascii_digit() || b"+-".contains(b);
                self.wide[place] |= x.abs() >= WIDE && cell.iter().all(is_whole);
                self.number(place, x);
            }
            // A sign after the number, or parentheses.
            Err(_) if !is_formed && signed().is_some() => {
                self.number(place, signed().unwrap_or(f64::NAN));
            }
            parsed => {
                self.missing(place);
                let wrong = match std::str::from_utf8(cell) {
                    Ok(text) => Wrong::NoNumber(text.chars().take(80).collect()),
                    Err(_) => Wrong::Utf8,
                };
                if (is_formed || parsed.is_err()) && wrong != Wrong::Utf8 {
                    let (count, first) = &mut self.texts[place];
                    let fault =
                        || Fault { row: self.done, line, column: place, wrong: wrong.clone() };
                    first.get_or_insert_with(fault);
                    *count += 1;
                }
                self.fault(line, place, wrong);
            }
        }
    }

    fn number(&mut self, place: usize, x: f64) {
        match &mut self.columns[place] {
            Column::Bytes(bytes) => {
                // The comparison of bits distinguishes −0 from 0.
                if f64::from(x as u8).to_bits() == x.to_bits() {
                    bytes.push(x as u8);
                } else {
                    let mut numbers: Vec<f64> = Vec::with_capacity(bytes.capacity());
                    numbers.extend(bytes.iter().map(|&b| f64::from(b)));
                    numbers.push(x);
                    self.columns[place] = Column::Numbers(numbers);
                }
            }
            Column::Numbers(numbers) | Column::Formed(_, numbers) => numbers.push(x),
            Column::Texts(..) | Column::Evidence(_) | Column::Raw(_) | Column::Skip => {}
        }
    }

    fn missing(&mut self, place: usize) {
        match &mut self.columns[place] {
            Column::Texts(texts, ..) => texts.codes.push(MISSING),
            Column::Raw(raw) => raw.append_value(""),
            _ => self.number(place, f64::NAN),
        }
    }

    /// Records a fault of the current row, unless it has one already.
    fn fault(&mut self, line: u64, column: usize, wrong: Wrong) {
        if self.faults.last().is_none_or(|f| f.row != self.done) {
            self.faults.push(Fault { row: self.done, line, column, wrong });
        }
    }

    fn finish(self) -> Parsed {
        let (mut raw, mut evidence) = (Vec::new(), Vec::new());
        let values = |(place, column)| match column {
            Column::Bytes(v) => Some(self.marks.clear(Values::Bytes(v), false)),
            Column::Numbers(v) | Column::Formed(_, v) => {
                Some(self.marks.clear(Values::Numbers(v), false))
            }
            Column::Texts(t, ..) => Some(Values::Texts(t)),
            Column::Raw(mut builder) => {
                raw.push((place, builder.finish()));
                None
            }
            Column::Evidence(found) => {
                evidence.push((place, found));
                None
            }
            Column::Skip => None,
        };
        Parsed {
            columns: self.columns.into_iter().enumerate().map(values).collect(),
            raw,
            rows: self.done,
            lines: self.lines,
            faults: self.faults,
            texts: self.texts,
            wide: (0..self.wide.len()).filter(|&place| self.wide[place]).collect(),
            evidence,
            marks: self.noted,
        }
    }
}

/// Whether a record ends at `at`, before its terminator.
fn ends_record(bytes: &[u8], at: usize, terminator: u8) -> bool {
    bytes[at] == terminator || bytes[at] == b'\r' && bytes.get(at + 1) == Some(&terminator)
}

fn end_of_line(bytes: &[u8], at: usize, terminator: u8) -> usize {
    memchr::memchr(terminator, &bytes[at..]).map_or(bytes.len(), |i| at + i)
}

/// Whether there is only white space between here and the end of the line.
fn is_blank(bytes: &[u8], at: usize, terminator: u8) -> bool {
    match bytes[at] {
        byte if byte == terminator => true,
        b' ' | b'\r' => {
            let line = &bytes[at..end_of_line(bytes, at, terminator)];
            line.iter().all(|b| matches!(b, b' ' | b'\r'))
        }
        _ => false,
    }
}

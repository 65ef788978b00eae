//! Tables in JSON: an object on each line, or an array of objects.
//!
//! The keys are the columns, in order of first appearance. Absent keys,
//! `null` and empty texts are missing values. One pass over the text finds the columns and their
//! types; further passes read their values in chunks.

use super::columnar::narrow;
use super::json_record::{Cell, Record};
use crate::base::error::{Error, Result};
use crate::data::columns::frame::{Frame, Header, Values, number_text};
use crate::data::columns::lines::Lines;
use crate::data::columns::texts::Texts;
use crate::data::streams::recognize::Json;
use crate::data::streams::stream::{Source, read_error};
use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use std::cell::Cell as Shared;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

/// The most bytes of an object in a table.
const LONGEST: u64 = 64 << 20;
/// The most keys that are used as columns.
const MOST_COLUMNS: usize = 1 << 16;
/// The approximate number of values in a chunk.
const CHUNK: usize = 1 << 19;

/// A table in JSON whose columns are known.
#[derive(Debug)]
pub(in crate::data) struct JsonTable {
    source: Source,
    form: Json,
    header: Arc<Header>,
    columns: Vec<Holds>,
    places: HashMap<String, usize>,
    /// Warnings about columns that are left out.
    notes: Vec<String>,
}

/// The types of values in a column.
#[derive(Debug, Clone, Copy, Default)]
struct Holds {
    numbers: bool,
    /// Whole numbers that f64 doesn't distinguish.
    wide: bool,
    texts: bool,
    truths: bool,
    nested: bool,
}

impl Holds {
    fn note(&mut self, cell: &Cell) {
        match cell {
            Cell::Missing => {}
            Cell::Number(_) => self.numbers = true,
            Cell::Whole(x) => {
                self.numbers = true;
                self.wide |= x.unsigned_abs() > 1 << 53;
            }
            Cell::Text(_) => self.texts = true,
            Cell::Truth(_) => self.truths = true,
            Cell::Nested => self.nested = true,
        }
    }

    /// Whether the values are numbers; otherwise they are texts, with whole numbers as their digits.
    fn are_numbers(self) -> bool {
        !self.texts && !self.truths && !self.wide
    }
}

impl JsonTable {
    /// Goes through a text once to find its columns.
    ///
    /// # Errors
    /// When it can't be read, no line or no element is an object with keys, or there are too many keys.
    pub(in crate::data) fn open(source: Source, form: Json) -> Result<Self> {
        let (mut names, mut columns) = (Vec::new(), Vec::<Holds>::new());
        let mut places: HashMap<String, usize> = HashMap::new();
        let (mut rows, mut first_fault) = (0, None);
        each(&source, form, |_, record| {
            rows += 1;
            let Record(cells) = match record {
                Ok(record) => record,
                Err(fault) => {
                    first_fault.get_or_insert(fault);
                    return Ok(());
                }
            };
            for (key, cell) in cells {
                let place = *places.entry(key).or_insert_with_key(|key| {
                    names.push(key.clone());
                    columns.push(Holds::default());
                    columns.len() - 1
                });
                columns[place].note(&cell);
            }
            match columns.len() > MOST_COLUMNS {
                true => Err(Error::data(format!("more than {MOST_COLUMNS} different keys"))
                    .help("every object must have the same keys, which are the columns")),
                false => Ok(()),
            }
        })
        .map_err(|e| e.at(source.path().display()))?;
        if names.is_empty() {
            let error = first_fault.unwrap_or_else(|| {
                Error::data("there is no object with a key").help("give an object on each line")
            });
            return Err(error.at(source.path().display()));
        }
        let nested = (0..names.len()).filter(|&place| columns[place].nested);
        let note = |place: usize| {
            let name = &names[place];
            format!(
                "warning: the column {name} is not used: it holds lists or objects; give each of their \
                 values its own key"
            )
        };
        let notes = nested.map(note).collect();
        let header = Arc::new(Header { named: true, names, ..Header::default() });
        Ok(JsonTable { source, form, header, columns, places, notes })
    }

    /// Notes about how it is read.
    pub(in crate::data) fn notes(&self) -> Vec<String> {
        [self.source.notes(), self.notes.clone()].concat()
    }

    /// Its path.
    pub(in crate::data) fn path(&self) -> &Path {
        self.source.path()
    }

    /// Passes the rows to `take` chunk by chunk, in order: the number of previous rows, the values, and the
    /// rows that can't be read with their errors. Columns of lists or objects aren't read.
    ///
    /// # Errors
    /// When it can't be read, and what `take` returns.
    pub(in crate::data) fn pass(
        &self,
        take: impl FnMut(usize, Frame, Vec<(usize, Error)>) -> Result<()>,
    ) -> Result<()> {
        self.pass_in(CHUNK, take)
    }

    /// As [`JsonTable::pass`], in chunks of a given number of values.
    fn pass_in(
        &self,
        values: usize,
        mut take: impl FnMut(usize, Frame, Vec<(usize, Error)>) -> Result<()>,
    ) -> Result<()> {
        let (mut first, mut chunk) = (0, self.chunk());
        let most = (values / self.columns.len()).max(1);
        each(&self.source, self.form, |line, record| {
            chunk.push(self, line, record);
            if chunk.rows < most {
                return Ok(());
            }
            let full = std::mem::replace(&mut chunk, self.chunk());
            let before = first;
            first += full.rows;
            full.give(self, before, &mut take)
        })?;
        match chunk.rows {
            0 => Ok(()),
            _ => chunk.give(self, first, &mut take),
        }
    }

    fn chunk(&self) -> Chunk {
        let column = |holds: &Holds| match holds {
            Holds { nested: true, .. } => Column::Nothing,
            holds if holds.are_numbers() => Column::Numbers(Vec::new()),
            _ => Column::Texts(Texts::default()),
        };
        let columns = self.columns.iter().map(column).collect();
        Chunk { columns, rows: 0, lines: Lines::default(), faults: Vec::new() }
    }
}

/// Some rows, column by column.
struct Chunk {
    columns: Vec<Column>,
    rows: usize,
    lines: Lines,
    faults: Vec<(usize, Error)>,
}

enum Column {
    Numbers(Vec<f64>),
    Texts(Texts),
    Nothing,
}

impl Column {
    fn push(&mut self, cell: &Cell) {
        match (self, cell) {
            (Column::Nothing, _) => {}
            (Column::Numbers(all), Cell::Number(x)) => all.push(*x),
            (Column::Numbers(all), Cell::Whole(x)) => all.push(*x as f64),
            (Column::Numbers(all), _) => all.push(f64::NAN),
            (Column::Texts(all), Cell::Text(text)) => {
                all.push(Some(text.trim()).filter(|text| !text.is_empty()));
            }
            (Column::Texts(all), Cell::Number(x)) => all.push(Some(&number_text(*x))),
            (Column::Texts(all), Cell::Whole(x)) => all.push(Some(&x.to_string())),
            (Column::Texts(all), Cell::Truth(truth)) => {
                all.push(Some(if *truth { "true" } else { "false" }));
            }
            (Column::Texts(all), Cell::Missing | Cell::Nested) => all.push(None),
        }
    }
}

impl Chunk {
    fn push(&mut self, table: &JsonTable, line: u64, record: Result<Record>) {
        self.lines.push(self.rows, line);
        let mut row = vec![Cell::Missing; table.columns.len()];
        match record {
            Err(fault) => self.faults.push((self.rows, fault)),
            Ok(Record(cells)) => {
                for (key, cell) in cells {
                    if let Some(&place) = table.places.get(&key) {
                        row[place] = cell;
                    }
                }
            }
        }
        self.columns.iter_mut().zip(&row).for_each(|(column, cell)| column.push(cell));
        self.rows += 1;
    }

    fn give(
        self,
        table: &JsonTable,
        first: usize,
        take: &mut impl FnMut(usize, Frame, Vec<(usize, Error)>) -> Result<()>,
    ) -> Result<()> {
        let values = |column| match column {
            Column::Numbers(numbers) => Some(narrow(numbers)),
            Column::Texts(texts) => Some(Values::Texts(texts)),
            Column::Nothing => None,
        };
        let lines = match table.form {
            Json::Lines => self.lines,
            Json::Array => Lines::of_rows(first),
        };
        let columns = self.columns.into_iter().map(values).collect();
        let header = table.header.clone();
        let frame = Frame { header, columns, rows: self.rows, lines, ..Frame::default() };
        take(first, frame, self.faults)
    }
}

/// Visits each object with its line, or with its number in an array. Invalid JSON on a line is an error
/// for that line only; in an array, nothing after it can be read.
fn each(
    source: &Source,
    form: Json,
    take: impl FnMut(u64, Result<Record>) -> Result<()>,
) -> Result<()> {
    let path = source.path().to_path_buf();
    let reader = BufReader::with_capacity(1 << 16, source.open()?.into_reader());
    match form {
        Json::Lines => each_line(reader, &path, take),
        Json::Array => each_element(reader, &path, take),
    }
}

fn each_line(
    mut reader: impl BufRead,
    path: &Path,
    mut take: impl FnMut(u64, Result<Record>) -> Result<()>,
) -> Result<()> {
    let (mut bytes, mut line) = (Vec::new(), 0);
    loop {
        bytes.clear();
        let read = reader.by_ref().take(LONGEST + 1).read_until(b'\n', &mut bytes);
        if read.map_err(|e| read_error(path, &e))? == 0 {
            return Ok(());
        }
        line += 1;
        if bytes.len() as u64 > LONGEST {
            return Err(too_long().at(format!("line {line}")));
        }
        let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes).trim_ascii();
        if text.is_empty() {
            continue;
        }
        let record = serde_json::from_slice(text).map_err(|e| {
            let help = match (line, e.is_eof()) {
                (1, true) => "write an object on each line: `jq -c . FILE > FILE.jsonl`, or for a list within it `jq -c '.NAME[]' FILE > FILE.jsonl`",
                _ => "write an object on each line; correct or remove this one",
            };
            Error::data(format!("not a JSON object: {e}")).at(format!("line {line}")).help(help)
        });
        match record {
            // The first line decides the kind of the file.
            Err(fault) if line == 1 => return Err(fault),
            record => take(line, record)?,
        }
    }
}

fn too_long() -> Error {
    Error::data(format!("an object of more than {} MiB", LONGEST >> 20))
        .help("this is not a table of objects: give one object per row")
}

fn each_element(
    reader: impl Read,
    path: &Path,
    take: impl FnMut(u64, Result<Record>) -> Result<()>,
) -> Result<()> {
    let left = Shared::new(LONGEST);
    let bounded = Bounded { reader, left: &left };
    let mut json = serde_json::Deserializer::from_reader(bounded);
    let mut taken = Ok(());
    let elements = Elements { take, taken: &mut taken, left: &left };
    let read = json.deserialize_seq(elements).and_then(|()| json.end());
    taken?;
    read.map_err(|e| match (left.get(), e.io_error_kind()) {
        (0, Some(_)) => too_long(),
        (_, Some(kind)) => read_error(path, &io::Error::new(kind, e)),
        _ => Error::data(format!("not an array of JSON objects: {e}"))
            .help("write an object on each line: `jq -c '.[]' FILE > FILE.jsonl`"),
    })
}

/// Reads at most the bytes that remain for an object.
struct Bounded<'a, R> {
    reader: R,
    left: &'a Shared<u64>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::other("an object that doesn't end"));
        }
        let most = bytes.len().min(usize::try_from(self.left.get()).unwrap_or(usize::MAX));
        let read = self.reader.read(&mut bytes[..most])?;
        self.left.set(self.left.get() - read as u64);
        Ok(read)
    }
}

/// Visits the elements of an array one by one.
struct Elements<'a, F> {
    take: F,
    taken: &'a mut Result<()>,
    left: &'a Shared<u64>,
}

impl<'de, F: FnMut(u64, Result<Record>) -> Result<()>> Visitor<'de> for Elements<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut all: A) -> std::result::Result<(), A::Error> {
        let mut number = 0;
        while let Some(record) = all.next_element::<Record>()? {
            number += 1;
            self.left.set(LONGEST);
            *self.taken = (self.take)(number, Ok(record));
            if self.taken.is_err() {
                return Err(serde::de::Error::custom("not taken"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

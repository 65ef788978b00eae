//! Records of delimited text (CSV, TSV) with the line that each begins on.

use super::stream::{ByteStream, read_error};
use crate::error::{Error, Result};
use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, Terminator};
use std::cell::Cell;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A record and the line that it begins on.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    /// The cells.
    pub(super) cells: ByteRecord,
    /// The line, counted from 1.
    pub(super) line: u64,
}

/// Reads records one after the other.
pub(super) struct Records {
    path: PathBuf,
    reader: Reader<Box<dyn Read>>,
    terminator: u8,
    /// Whether the reader has met the end of the file.
    ended: Rc<Cell<bool>>,
}

impl Records {
    /// Finds out how the text is delimited.
    ///
    /// # Errors
    /// When the bytes can't be text of one byte or more a character in ASCII's order.
    pub(super) fn new(stream: ByteStream) -> Result<Self> {
        let path = stream.path().to_path_buf();
        let head = stream.head();
        if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
            return Err(Error::data("the text is UTF-16").help("save the file as UTF-8"));
        }
        if head.contains(&0) {
            return Err(Error::data("this is no text: it holds zero bytes")
                .help("give a CSV file of numbers"));
        }
        let has_line_feeds = head.contains(&b'\n') || !head.contains(&b'\r');
        let terminator = if has_line_feeds { b'\n' } else { b'\r' };
        let delimiter = delimiter(head, terminator);
        // With a terminator after the last record too, all of them end alike.
        let ended = Rc::new(Cell::new(false));
        let last = Last { terminator: Some(terminator), ended: ended.clone() };
        let bytes: Box<dyn Read> = Box::new(stream.into_reader().chain(last));
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .terminator(Terminator::Any(terminator))
            .from_reader(bytes);
        Ok(Records { path, reader, terminator, ended })
    }

    /// The path, for errors.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the next record that isn't blank; false at the end.
    ///
    /// # Errors
    /// When the file can't be read or decompressed, or a quote is never closed.
    pub(super) fn read(&mut self, record: &mut Record) -> Result<bool> {
        loop {
            let more = self.reader.read_byte_record(&mut record.cells).map_err(|e| {
                match e.into_kind() {
                    ErrorKind::Io(e) => read_error(&self.path, &e),
                    other => Error::data(format!("{other:?}")).at(self.path.display()),
                }
            })?;
            if !more {
                return Ok(false);
            }
            record.line = self.line_of(&record.cells);
            // Only a quote keeps a record from ending at the terminator.
            if self.ended.get() {
                return Err(Error::data("a quote is opened, but never closed")
                    .at(format!("{}, line {}", self.path.display(), record.line))
                    .help("close it, or write a quote inside of quotes twice"));
            }
            let is_blank =
                record.cells.len() == 1 && record.cells[0].iter().all(u8::is_ascii_whitespace);
            if !is_blank {
                return Ok(true);
            }
        }
    }

    /// The line on which the record just read begins.
    ///
    /// The position that the CSV reader gives with a record lies before any blank lines, so it is
    /// counted back from the end of the record.
    fn line_of(&self, cells: &ByteRecord) -> u64 {
        let inside = cells.as_slice().iter().filter(|&&b| b == self.terminator).count() as u64;
        let lines = if self.terminator == b'\n' { self.reader.position().line() } else { 0 };
        let own = u64::from(!self.ended.get());
        lines.saturating_sub(inside + own).max(1)
    }
}

/// The terminator after the last record; then it notes that the end has been asked for.
struct Last {
    terminator: Option<u8>,
    ended: Rc<Cell<bool>>,
}

impl Read for Last {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        let Some(terminator) = self.terminator.take() else {
            self.ended.set(true);
            return Ok(0);
        };
        *first = terminator;
        Ok(1)
    }
}

/// The separator: a tab or a semicolon if each of the first lines has the same number of them,
/// else a comma. Semicolons come first in turn, as they are used where commas mark decimals.
fn delimiter(head: &[u8], terminator: u8) -> u8 {
    let is_regular = |delimiter: u8| {
        let mut counts = Vec::new();
        let (mut count, mut quoted) = (0, false);
        for &byte in head {
            match byte {
                b'"' => quoted = !quoted,
                b if quoted || b == b'\r' && terminator != b'\r' => {}
                b if b == delimiter => count += 1,
                b if b == terminator => counts.push(std::mem::take(&mut count)),
                _ => {}
            }
        }
        if counts.is_empty() {
            counts.push(count);
        }
        counts[0] > 0 && counts.iter().take(20).filter(|&&n| n > 0).all(|&n| n == counts[0])
    };
    [b'\t', b';'].into_iter().find(|&d| is_regular(d)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::super::stream::tests::of_bytes;
    use super::*;

    fn records(text: &[u8]) -> Vec<(u64, Vec<String>)> {
        let mut records = Records::new(of_bytes("t.csv", text).unwrap()).unwrap();
        let mut record = Record::default();
        let mut all = Vec::new();
        while records.read(&mut record).unwrap() {
            let cells = record.cells.iter().map(|c| String::from_utf8_lossy(c.trim_ascii()).into());
            all.push((record.line, cells.collect()));
        }
        all
    }

    fn lines(text: &str) -> Vec<u64> {
        records(text.as_bytes()).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn every_record_knows_its_line() {
        assert_eq!(lines("a,b\n1,2\n3,4\n"), [1, 2, 3]);
        assert_eq!(lines("a,b\r\n1,2\r\n3,4"), [1, 2, 3]);
        assert_eq!(lines("\n\na,b\n\n \n1,2\r\n\r\n3,4\n\n"), [3, 6, 8]);
        assert_eq!(lines("a,\"b\nc\"\n1,2\n3,4"), [1, 3, 4]);
        assert_eq!(lines("\u{feff}a,b\n1,2"), [1, 2]);
    }

    #[test]
    fn separators_quotes_and_line_ends_are_recognised() {
        let expected: Vec<Vec<String>> =
            [["a", "b"], ["1", "2"]].map(|row| row.map(String::from).to_vec()).to_vec();
        for text in [
            "a,b\n1,2\n",
            "a;b\n1;2",
            "a\tb\r\n1\t2\r\n",
            "a,b\r1,2\r",
            "\u{feff}\"a\",\"b\"\n1,\"2\"",
        ] {
            let cells: Vec<_> = records(text.as_bytes()).into_iter().map(|(_, c)| c).collect();
            assert_eq!(cells, expected, "{text:?}");
        }
        assert_eq!(delimiter(b"1,5;2,5\n3,5;4,5\n", b'\n'), b';');
        assert_eq!(delimiter(b"\"a;b\",c\n1,2\n", b'\n'), b',');
        assert_eq!(delimiter(b"a;b,c\nd,e\nf;;,g\n", b'\n'), b',');
    }

    #[test]
    fn a_quote_that_is_never_closed_is_found_where_it_opens() {
        for (text, line) in [("a,b\n1,\"2\n3,4\n5,6\n", 2), ("a\n\n\"", 3), ("\"a\n\"\n\"b\"\"", 3)]
        {
            let mut records = Records::new(of_bytes("t.csv", text.as_bytes()).unwrap()).unwrap();
            let mut record = Record::default();
            let error = loop {
                match records.read(&mut record) {
                    Ok(more) => assert!(more, "{text:?}"),
                    Err(error) => break error.to_string(),
                }
            };
            assert!(error.contains(&format!("t.csv, line {line}\n")), "{error}");
        }
    }

    #[test]
    fn other_encodings_are_refused() {
        for bytes in [&b"\xFF\xFEa\0,\0b\0"[..], b"1,2\0"] {
            assert!(Records::new(of_bytes("t.csv", bytes).unwrap()).is_err());
        }
    }
}

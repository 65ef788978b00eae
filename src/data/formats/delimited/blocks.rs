//! Delimited text split into blocks at the ends of records, so that blocks can be parsed independently.

use super::dialect::Dialect;
use crate::base::error::{Error, Result};
use crate::data::streams::stream::{ByteStream, read_error};
use std::io::Read;
use std::path::PathBuf;

/// A quoted cell longer than this counts as a quote that was never closed, and a longer line counts as
/// not being part of a table.
const LONGEST_RECORD: usize = 64 << 20;

/// Some whole records, each with its terminator.
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// The line that it begins on, counted from 1.
    pub(super) first_line: u64,
    /// Whether it contains any quote.
    pub(super) quoted: bool,
}

/// Reads a stream block by block.
pub(super) struct Blocks {
    path: PathBuf,
    reader: Box<dyn Read>,
    dialect: Dialect,
    size: usize,
    /// The bytes read but not yet returned: the beginning of a record.
    rest: Vec<u8>,
    line: u64,
    ended: bool,
}

impl Blocks {
    /// Blocks of about `size` bytes.
    pub(super) fn new(stream: ByteStream, dialect: Dialect, size: usize) -> Self {
        let path = stream.path().to_path_buf();
        Blocks {
            path,
            reader: Box::new(stream.into_reader()),
            dialect,
            size,
            rest: Vec::new(),
            line: 1,
            ended: false,
        }
    }

    /// The next block; none at the end.
    ///
    /// # Errors
    /// When the stream can't be read, a quote is never closed, or a line never ends.
    pub(super) fn read(&mut self) -> Result<Option<Block>> {
        let mut bytes = std::mem::take(&mut self.rest);
        let mut wanted = self.size;
        loop {
            self.fill(&mut bytes, wanted)?;
            if self.line == 1 && bytes.starts_with(b"\xEF\xBB\xBF") {
                bytes.drain(..3);
            }
            if self.ended && bytes.is_empty() {
                return Ok(None);
            }
            let terminator = self.dialect.terminator;
            if self.ended && bytes.last() != Some(&terminator) {
                bytes.push(terminator);
            }
            let quoted = memchr::memchr(b'"', &bytes).is_some();
            let end = match quoted {
                false => memchr::memrchr(terminator, &bytes).map(|i| i + 1),
                true => match last_end(&bytes, self.dialect) {
                    (_, Some(open)) if self.ended || bytes.len() - open > LONGEST_RECORD => {
                        return Err(self.never_closed(&bytes[..open]));
                    }
                    (end, _) => end,
                },
            };
            if let Some(end) = end {
                self.rest = bytes.split_off(end);
                let first_line = self.line;
                self.line += memchr::memchr_iter(terminator, &bytes).count() as u64;
                return Ok(Some(Block { bytes, first_line, quoted }));
            }
            if bytes.len() > LONGEST_RECORD {
                return Err(self.never_ends());
            }
            wanted = (bytes.len() * 2).clamp(bytes.len() + 1, LONGEST_RECORD + 1);
        }
    }

    /// Reads until there are `wanted` bytes, or to the end.
    fn fill(&mut self, bytes: &mut Vec<u8>, wanted: usize) -> Result<()> {
        let missing = wanted.saturating_sub(bytes.len()) as u64;
        if missing > 0 && !self.ended {
            bytes.reserve(missing as usize + 1);
            let read = self.reader.by_ref().take(missing).read_to_end(bytes);
            let read = read.map_err(|e| read_error(&self.path, &e))?;
            self.ended = (read as u64) < missing;
        }
        Ok(())
    }

    fn never_ends(&self) -> Error {
        Error::data(format!("a line of more than {} MiB", LONGEST_RECORD >> 20))
            .at(format!("{}, line {}", self.path.display(), self.line))
            .help("this doesn't look like a table in text form: each row must be on its own line")
    }

    fn never_closed(&self, before: &[u8]) -> Error {
        let line = self.line + memchr::memchr_iter(self.dialect.terminator, before).count() as u64;
        Error::data("a quote is never closed")
            .at(format!("{}, line {line}", self.path.display()))
            .help("close it, or double a quote inside of a quoted cell")
    }
}

/// The end of the last whole record, and the position of an open quote.
///
/// As in the `csv` crate, a quote opens only at the beginning of a cell, and text after a closed
/// one is part of the cell, unchanged.
fn last_end(bytes: &[u8], dialect: Dialect) -> (Option<usize>, Option<usize>) {
    let Dialect { delimiter, terminator, .. } = dialect;
    let (mut end, mut at) = (None, 0);
    while at < bytes.len() {
        if bytes[at] == b'"' {
            let open = at;
            at += 1;
            loop {
                let Some(quote) = memchr::memchr(b'"', &bytes[at..]) else {
                    return (end, Some(open));
                };
                at += quote + 1;
                match bytes.get(at) {
                    Some(b'"') => at += 1,
                    _ => break,
                }
            }
        }
        match memchr::memchr2(delimiter, terminator, &bytes[at..]) {
            Some(next) => {
                at += next + 1;
                if bytes[at - 1] == terminator {
                    end = Some(at);
                }
            }
            None => break,
        }
    }
    (end, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::streams::stream::tests::of_bytes;

    const COMMAS: Dialect = Dialect { delimiter: b',', terminator: b'\n', told: false };

    fn blocks(text: &str, size: usize) -> Result<Vec<(String, u64)>> {
        let mut blocks = Blocks::new(of_bytes("t.csv", text.as_bytes())?, COMMAS, size);
        let mut all = Vec::new();
        while let Some(block) = blocks.read()? {
            all.push((String::from_utf8(block.bytes).unwrap(), block.first_line));
        }
        Ok(all)
    }

    #[test]
    fn records_are_never_cut_and_every_block_knows_its_line() {
        let text = "a,b\n1,\"2\n3\"\n4,5\n6,7";
        for size in 1..30 {
            let found = blocks(text, size).unwrap();
            assert_eq!(
                found.iter().map(|(t, _)| t.as_str()).collect::<String>(),
                format!("{text}\n")
            );
            for (block, line) in &found {
                assert!(!block.starts_with('3'), "the quoted cell is whole, size {size}");
                let before = text.find(block.trim_end()).unwrap();
                assert_eq!(*line, 1 + text[..before].matches('\n').count() as u64);
            }
        }
    }

    #[test]
    fn a_line_that_never_ends_is_refused_before_it_fills_the_memory() {
        for text in [&b"1,"[..], b"a\"b"] {
            let endless = std::io::repeat(b'x').take(u64::MAX);
            let bytes = [b"a,b\n", text].concat();
            let stream = crate::data::streams::stream::tests::of_reader(
                std::io::Cursor::new(bytes).chain(endless),
            );
            let mut blocks = Blocks::new(stream, COMMAS, 1 << 20);
            assert_eq!(blocks.read().unwrap().unwrap().bytes, b"a,b\n");
            let error = blocks.read().err().unwrap().to_string();
            assert!(error.contains("more than 64 MiB") && error.contains("line 2"), "{error}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_is_found_where_it_opens() {
        for (text, line) in [("a,b\n1,\"2\n3,4\n5,6\n", 2), ("a\n\n\"", 3), ("\"a\n\"\n\"b\"\"", 3)]
        {
            for size in [1, 5, 100] {
                let error = blocks(text, size).unwrap_err().to_string();
                assert!(error.contains(&format!("t.csv, line {line}\n")), "{error}");
            }
        }
        assert!(blocks("a,5\"\n1,2\n", 100).is_ok(), "a quote inside a cell is a sign like others");
    }
}

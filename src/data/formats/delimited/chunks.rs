//! The rows of a text in chunks, parsed ahead on other threads.

use super::Delimited;
use super::blocks::{Block, Blocks};
use super::cells::{self, Cells, Fault, Parsed};
use super::dialect::Dialect;
use super::kept::Readable;
use crate::base::error::{Error, Result};
use crate::data::columns::form_evidence::FormEvidence;
use crate::data::columns::frame::{Frame, Header};
use arrow_array::ArrayRef;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// The number of bytes in a block: enough to pay for threads, few enough to stay in a cache.
const BLOCK: usize = 1 << 20;

/// A column that is copied to the output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) place: usize,
    /// How its cells are read; unchanged if none.
    pub(super) readable: Option<Readable>,
}

/// Some rows and their faults: a faulty cell is missing in its column.
pub(super) struct Chunk {
    pub(super) frame: Frame,
    /// The columns that are copied to the output.
    pub(super) kept: Vec<ArrayRef>,
    pub(super) faults: Vec<Fault>,
    /// The texts in each column of numbers: their number, and the first.
    pub(super) texts: Vec<(usize, Option<Fault>)>,
    /// The columns of numbers with a whole number that f64 would round.
    pub(super) wide: Vec<usize>,
    /// The evidence for the number forms of columns, by their indices.
    pub(super) evidence: Vec<(usize, FormEvidence)>,
}

/// The rows of a delimited text in order. Blocks are parsed ahead on other threads, while the
/// calling thread reads the text and takes finished blocks.
pub(super) struct Chunks {
    delimited: Arc<Delimited>,
    header: Arc<Header>,
    blocks: Blocks,
    cells: Arc<[Cells]>,
    kept: Arc<[Kept]>,
    /// The blocks that are being parsed, in order.
    parsing: VecDeque<Receiver<(Parsed, Vec<ArrayRef>)>>,
    /// The error after these blocks.
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
        let Parsed { columns, raw: _, rows, lines, faults, texts, wide, evidence, marks } = parsed;
        let header = self.header.clone();
        let frame = Frame { header, columns, rows, lines, warnings: Vec::new(), marks };
        Ok(Some(Chunk { frame, kept, faults, texts, wide, evidence }))
    }

    /// Reads a block and starts parsing it; false at the end.
    fn begin(&mut self) -> Result<bool> {
        let Some(mut block) = self.blocks.read()? else { return Ok(false) };
        if let (true, Some(line)) = (self.is_first, self.delimited.last_line) {
            self.is_first = !behind_header(&mut block, self.delimited.dialect, line);
        }
        if block.bytes.is_empty() {
            return Ok(true);
        }
        let (delimited, cells, kept) =
            (self.delimited.clone(), self.cells.clone(), self.kept.clone());
        let (done, parsed) = channel();
        let work = move || {
            // If nobody waits any more, the rows are not needed.
            let _ = done.send(delimited.parse(&block, &cells, &kept));
        };
        match rayon::current_thread_index() {
            // A thread of the pool must not wait for another: there may be no other.
            Some(_) => work(),
            None => rayon::spawn(work),
        }
        self.parsing.push_back(parsed);
        Ok(true)
    }
}

impl Delimited {
    /// The rows from the first one on, in chunks, each column read as `cells` says, and those at
    /// the indices `kept` copied to the output.
    ///
    /// # Errors
    /// When the source can't be opened again.
    pub(super) fn chunks(
        self: &Arc<Self>,
        cells: &[Cells],
        header: &Arc<Header>,
        kept: &[Kept],
    ) -> Result<Chunks> {
        let blocks = Blocks::new(self.source.open()?, self.dialect, BLOCK);
        Ok(Chunks {
            delimited: self.clone(),
            header: header.clone(),
            blocks,
            cells: cells.into(),
            kept: kept.into(),
            parsing: VecDeque::new(),
            failed: None,
            is_first: true,
            is_over: false,
        })
    }

    /// Parses a block, and a second time for the columns that are copied to the output: a column may be both a
    /// numeric feature and copied.
    fn parse(&self, block: &Block, cells: &[Cells], kept: &[Kept]) -> (Parsed, Vec<ArrayRef>) {
        let mut parsed = cells::parse(block, self.dialect, cells, &self.marks);
        if kept.is_empty() {
            return (parsed, Vec::new());
        }
        let mut raw = vec![Cells::Skip; cells.len()];
        kept.iter().for_each(|kept| raw[kept.place] = Cells::Raw);
        let Parsed { raw, faults, .. } = cells::parse(block, self.dialect, &raw, &self.marks);
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
}

/// Removes the header, which begins on `line`, and the lines before it; false if it isn't in
/// this block.
fn behind_header(block: &mut Block, dialect: Dialect, line: u64) -> bool {
    let mut rows = dialect.reader(&block.bytes);
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

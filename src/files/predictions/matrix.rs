//! Predictions as an NPY file; the number of rows is written into its header at the end.

use super::{Columns, Rows};
use std::io::{self, Seek, SeekFrom, Write};

/// The size of magic, version, length and header together: a multiple of 64, as in NumPy.
const HEADER: usize = 128;

/// Writes an array of f32 or f64: (rows, outputs).
pub(super) struct NpyWriter<W> {
    to: W,
    begin: u64,
    rows: usize,
    outputs: usize,
    is_double: bool,
}

impl<W: Write + Seek> NpyWriter<W> {
    /// Starts with a header for no rows.
    pub(super) fn new(mut to: W, columns: &Columns) -> io::Result<Self> {
        let begin = to.stream_position()?;
        let outputs = columns.outputs.len();
        let is_double = columns.is_double;
        to.write_all(&header(0, outputs, is_double))?;
        Ok(NpyWriter { to, begin, rows: 0, outputs, is_double })
    }

    pub(super) fn write(&mut self, rows: &Rows) -> io::Result<()> {
        let (count, cols) = (rows.values.rows(), rows.values.cols());
        let values = (0..count).flat_map(|r| (0..cols).map(move |c| rows.values.value(r, c)));
        let bytes: Vec<u8> = match self.is_double {
            true => values.flat_map(f64::to_le_bytes).collect(),
            false => values.flat_map(|value| (value as f32).to_le_bytes()).collect(),
        };
        self.rows += rows.values.rows();
        self.to.write_all(&bytes)
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.to.seek(SeekFrom::Start(self.begin))?;
        self.to.write_all(&header(self.rows, self.outputs, self.is_double))?;
        self.to.seek(SeekFrom::End(0))?;
        self.to.flush()?;
        Ok(self.to)
    }
}

fn header(rows: usize, outputs: usize, is_double: bool) -> Vec<u8> {
    let number = if is_double { "<f8" } else { "<f4" };
    let text =
        format!("{{'descr': '{number}', 'fortran_order': False, 'shape': ({rows}, {outputs}), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(((HEADER - 10) as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.resize(HEADER - 1, b' ');
    bytes.push(b'\n');
    bytes
}

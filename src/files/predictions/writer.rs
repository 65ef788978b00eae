//! Writes predictions in any of the formats.

use crate::files::predictions::{Columns, Format, Rows, Sink, columnar, matrix, text};
use arrow_array::ArrayRef;
use std::io;

/// Writes predictions in one of the formats.
pub struct Writer<W: Sink>(Kind<W>);

enum Kind<W: Sink> {
    Text(text::TextWriter<W>),
    Parquet(Box<columnar::ParquetWriter<W>>),
    Npy(matrix::NpyWriter<W>),
}

impl<W: Sink> Writer<W> {
    /// Starts a file whose first rows have the copied columns `kept`: all rows have the same types.
    ///
    /// # Errors
    /// When a copied column can't be written in that format, or writing fails.
    pub fn new(to: W, format: Format, columns: Columns, kept: &[ArrayRef]) -> io::Result<Self> {
        Ok(Writer(match format {
            Format::Csv => Kind::Text(text::TextWriter::delimited(to, columns, b',')?),
            Format::Tsv => Kind::Text(text::TextWriter::delimited(to, columns, b'\t')?),
            Format::Jsonl => Kind::Text(text::TextWriter::json(to, columns)),
            Format::Parquet => {
                Kind::Parquet(Box::new(columnar::ParquetWriter::new(to, columns, kept)?))
            }
            Format::Npy => Kind::Npy(matrix::NpyWriter::new(to, &columns)?),
        }))
    }

    /// Writes rows.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write(&mut self, rows: &Rows) -> io::Result<()> {
        match &mut self.0 {
            Kind::Text(writer) => writer.write(rows),
            Kind::Parquet(writer) => writer.write(rows),
            Kind::Npy(writer) => writer.write(rows),
        }
    }

    /// Finishes the file, and returns its destination.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Kind::Text(writer) => writer.finish(),
            Kind::Parquet(writer) => writer.finish(),
            Kind::Npy(writer) => writer.finish(),
        }
    }
}

//! Predictions as Parquet, in row groups of bounded size.

use super::{Columns, Rows};
use crate::data::Predictions;
use arrow_array::{
    Array, ArrayRef, Float32Array, Float64Array, RecordBatch, builder::StringBuilder,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::io::{self, Write};
use std::sync::Arc;

/// The size at which a row group ends, in bytes.
const GROUP: usize = 16 << 20;

/// Writes Parquet.
pub(super) struct ParquetWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    columns: Columns,
}

impl<W: Write + Send> ParquetWriter<W> {
    pub(super) fn new(to: W, columns: Columns, kept: &[ArrayRef]) -> io::Result<Self> {
        let mut types: Vec<DataType> = kept.iter().map(|a| a.data_type().clone()).collect();
        types.extend(columns.verdict.as_ref().map(|_| DataType::Utf8));
        let number = if columns.is_double { DataType::Float64 } else { DataType::Float32 };
        let typed = types.into_iter().chain(std::iter::repeat(number));
        let fields = columns.names().into_iter().zip(typed);
        let fields: Vec<Field> = fields.map(|(name, of)| Field::new(name, of, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = ArrowWriter::try_new(to, schema.clone(), Some(properties)).map_err(failed)?;
        Ok(ParquetWriter { writer, schema, columns })
    }

    pub(super) fn write(&mut self, rows: &Rows) -> io::Result<()> {
        let mut arrays: Vec<ArrayRef> = rows.kept.to_vec();
        if let (Some(verdict), Predictions::F32(m)) = (&self.columns.verdict, rows.values) {
            let (mut said, mut text) = (StringBuilder::new(), String::new());
            for row in m.iter_rows() {
                text.clear();
                verdict.say(row, &mut text);
                said.append_value(&text);
            }
            arrays.push(Arc::new(said.finish()));
        }
        for column in 0..rows.values.cols() {
            let values = (0..rows.values.rows()).map(|row| rows.values.value(row, column));
            arrays.push(match self.columns.is_double {
                true => Arc::new(Float64Array::from_iter_values(values)),
                false => Arc::new(Float32Array::from_iter_values(values.map(|x| x as f32))),
            });
        }
        let batch = RecordBatch::try_new(self.schema.clone(), arrays).map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(failed)?;
        if self.writer.in_progress_size() > GROUP {
            self.writer.flush().map_err(failed)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<W> {
        self.writer.into_inner().map_err(failed)
    }
}

/// The error of the output itself, whose kind distinguishes a closed pipe from a full disk.
fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

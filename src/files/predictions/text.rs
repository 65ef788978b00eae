//! Predictions as text: blocks of rows are formatted in parallel and concatenated.

use super::cells::{Cell, Cells, cells, number};
use super::{Columns, Rows};
use crate::data::Predictions;
use rayon::prelude::*;
use std::io::{self, Write};

/// The number of rows that a thread formats at a time.
const ROWS: usize = 2048;

/// Writes CSV, TSV or JSON lines.
pub(super) struct TextWriter<W> {
    to: W,
    page: Page,
}

/// The format of rows.
struct Page {
    columns: Columns,
    form: Form,
}

enum Form {
    Delimited(u8),
    /// The quoted names of the columns, as written before their values.
    Json(Vec<String>),
}

impl<W: Write> TextWriter<W> {
    /// Starts with the header.
    pub(super) fn delimited(mut to: W, columns: Columns, delimiter: u8) -> io::Result<Self> {
        let mut csv = csv(delimiter);
        csv.write_record(columns.names())?;
        to.write_all(&csv.into_inner().map_err(|e| e.into_error())?)?;
        Ok(TextWriter { to, page: Page { columns, form: Form::Delimited(delimiter) } })
    }

    pub(super) fn json(to: W, columns: Columns) -> Self {
        let keys = columns.names().iter().map(|name| format!("{}:", quoted(name))).collect();
        TextWriter { to, page: Page { columns, form: Form::Json(keys) } }
    }

    pub(super) fn write(&mut self, rows: &Rows) -> io::Result<()> {
        let kept: Vec<Cells> = rows.kept.iter().map(cells).collect::<io::Result<_>>()?;
        let starts: Vec<usize> = (0..rows.values.rows()).step_by(ROWS).collect();
        let page = &self.page;
        let block = |&start: &usize| {
            let block = start..rows.values.rows().min(start + ROWS);
            match &page.form {
                Form::Delimited(delimiter) => page.delimited(rows, &kept, block, *delimiter),
                Form::Json(keys) => Ok(page.json(rows, &kept, block, keys)),
            }
        };
        let blocks: Vec<Vec<u8>> = starts.par_iter().map(block).collect::<io::Result<_>>()?;
        blocks.iter().try_for_each(|block| self.to.write_all(block))
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }
}

impl Page {
    fn delimited(
        &self,
        rows: &Rows,
        kept: &[Cells],
        block: std::ops::Range<usize>,
        delimiter: u8,
    ) -> io::Result<Vec<u8>> {
        let mut csv = csv(delimiter);
        let mut cell = String::new();
        for row in block {
            for write in kept {
                cell.clear();
                write(row, &mut cell);
                csv.write_field(&cell)?;
            }
            if let (Some(verdict), Predictions::F32(m)) = (&self.columns.verdict, rows.values) {
                cell.clear();
                verdict.say(m.row(row), &mut cell);
                csv.write_field(&cell)?;
            }
            for column in 0..rows.values.cols() {
                cell.clear();
                number(rows.values, row, column, &mut cell);
                csv.write_field(&cell)?;
            }
            csv.write_record(None::<&[u8]>)?;
        }
        csv.into_inner().map_err(|e| e.into_error())
    }

    fn json(
        &self,
        rows: &Rows,
        kept: &[Cells],
        block: std::ops::Range<usize>,
        keys: &[String],
    ) -> Vec<u8> {
        let (mut text, mut cell) = (String::new(), String::new());
        for row in block {
            let mut keys = keys.iter();
            let mut separator = '{';
            let mut begin = |text: &mut String| {
                text.push(separator);
                separator = ',';
                text.push_str(keys.next().map_or("", String::as_str));
            };
            for write in kept {
                begin(&mut text);
                cell.clear();
                match write(row, &mut cell) {
                    Cell::Missing => text.push_str("null"),
                    // JSON knows neither infinity nor NaN.
                    Cell::Bare if matches!(cell.as_str(), "inf" | "-inf" | "NaN") => {
                        text.push_str("null");
                    }
                    Cell::Bare => text.push_str(&cell),
                    Cell::Text => text.push_str(&quoted(&cell)),
                }
            }
            if let (Some(verdict), Predictions::F32(m)) = (&self.columns.verdict, rows.values) {
                begin(&mut text);
                cell.clear();
                verdict.say(m.row(row), &mut cell);
                text.push_str(&quoted(&cell));
            }
            for column in 0..rows.values.cols() {
                begin(&mut text);
                match rows.values.value(row, column).is_finite() {
                    true => number(rows.values, row, column, &mut text),
                    false => text.push_str("null"),
                }
            }
            text.push_str("}\n");
        }
        text.into_bytes()
    }
}

fn csv(delimiter: u8) -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new())
}

/// A text quoted as in JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

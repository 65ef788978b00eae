//! Tables from Parquet and Arrow IPC: record batches as typed columns.

mod fault;
mod format;
mod ipc;
mod parquet;
#[cfg(test)]
mod tests;
mod values;
pub(super) use format::Format;
pub(super) use values::narrow;

use self::parquet::{Chunks, check_pages};
use super::want::{Rows, Selection, Want};
use crate::base::error::{Error, Result};
use crate::data::columns::frame::{Frame, Header, Values};
use crate::data::columns::lines::Lines;
use crate::data::streams::stream::Source;
use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use fault::{decoded, fault, of_parquet};
use std::sync::Arc;
use values::{Whole, is_beyond_f64, is_whole, nested, values};

/// The batch size of Parquet: the number of rows that are decoded at a time.
const BATCH: usize = 1 << 16;

/// Batches of the wanted columns.
type Batches = Box<dyn Iterator<Item = std::result::Result<RecordBatch, ArrowError>>>;

/// Passes the rows of a columnar file to `take` batch by batch: `select` chooses from its header which columns
/// are read, and which are copied to the output. It may start over with the first row, if a column without
/// options turned out to hold whole numbers that f64 can't distinguish: it is then read as
/// texts of their digits.
///
/// # Errors
/// When the file is truncated or damaged, uses unsupported features, or two columns have the same name; when a
/// target, or a column with options, holds lists, structs or the like; and what `take`
/// returns.
pub(in crate::data) fn pass(
    source: &Source,
    format: Format,
    select: impl FnOnce(&Header) -> Result<Selection>,
    mut take: impl FnMut(Rows) -> Result<()>,
) -> Result<()> {
    let file = File::open(source, format)?;
    let header = Arc::new(header(&file.schema)?);
    let mut selection = select(&header)?;
    let warnings = leave_out(&header, &file.schema, &mut selection.wanted)?;
    let mut pass = Pass {
        whole: vec![Whole::Numbers; header.names.len()],
        places: places(&selection),
        file,
        header,
        selection,
        warnings,
    };
    pass.file.check(&pass.places)?;
    while !pass.take(&mut take)? {}
    Ok(())
}

/// The columns of a record batch, read like those of a file: their names and their values.
///
/// # Errors
/// For a column of lists, structs or the like, and two columns with the same name.
#[cfg(feature = "arrow")]
pub(crate) fn columns_of(batch: &RecordBatch) -> Result<(Vec<String>, Vec<Values>)> {
    let schema = batch.schema();
    let names = header(&schema)?.names.clone();
    let column = |(array, name): (&arrow_array::ArrayRef, &String)| {
        if let Some(what) = nested(array.data_type()) {
            return Err(Error::data(format!("a column of {what}"))
                .at(format!("the column {name}"))
                .help("remove the column, or give each of its values its own column"));
        }
        let read = |whole| {
            values(array, whole).map_err(|e| {
                Error::data(format!("the column {name} can't be read: {e}"))
                    .help("remove the column, or convert it to numbers or texts")
            })
        };
        let found = read(Whole::Numbers)?;
        match is_whole(array.data_type()) && is_beyond_f64(&found) {
            true => read(Whole::Digits),
            false => Ok(found),
        }
    };
    let columns = batch.columns().iter().zip(&names).map(column).collect::<Result<_>>()?;
    Ok((names, columns))
}

/// A pass over a file.
struct Pass<'a> {
    file: File<'a>,
    header: Arc<Header>,
    selection: Selection,
    /// The indices of the columns that are read, in order.
    places: Vec<usize>,
    /// How whole numbers are read, column by column.
    whole: Vec<Whole>,
    /// Warnings about columns that are left out.
    warnings: Vec<String>,
}

impl Pass<'_> {
    /// Reads all batches; false if a column must be read again in another way.
    fn take(&mut self, mut take: impl FnMut(Rows) -> Result<()>) -> Result<bool> {
        let format = self.file.format;
        let mut first = 0;
        for batch in self.file.batches(&self.places)? {
            let batch = batch.map_err(|e| fault(format, &e))?;
            let rows = batch.num_rows();
            let Some((columns, faults)) = self.columns(&batch, first)? else { return Ok(false) };
            let array =
                |place: &usize| Some(batch.column(self.places.binary_search(place).ok()?).clone());
            let kept = self.selection.kept.iter().filter_map(array).collect();
            if rows > 0 {
                let (header, lines) = (self.header.clone(), Lines::of_rows(first));
                let warnings = self.warnings.clone();
                let frame = Frame { header, columns, rows, lines, warnings, ..Frame::default() };
                take(Rows { first, frame, kept, faults })?;
            }
            first += rows;
        }
        match first {
            0 => {
                Err(Error::data("the table has no rows").help("give a table with at least one row"))
            }
            _ => Ok(true),
        }
    }

    /// The values of a batch, whose first row is `first`, and their errors; none if a column
    /// must be read again from the beginning as digits.
    #[expect(clippy::type_complexity, reason = "the parts of what becomes Rows")]
    fn columns(
        &mut self,
        batch: &RecordBatch,
        first: usize,
    ) -> Result<Option<(Vec<Option<Values>>, Vec<(usize, Error)>)>> {
        let mut columns = vec![None; self.header.names.len()];
        let mut faults = Vec::new();
        for (&place, array) in self.places.iter().zip(batch.columns()) {
            let want = self.selection.wanted[place];
            if want == Want::Nothing {
                continue;
            }
            let at = self.header.describe(place);
            let format = self.file.format;
            let read = |whole| values(array, whole).map_err(|e| fault(format, &e).at(&at));
            let mut found = read(self.whole[place])?;
            let is_text = matches!(want, Want::Text | Want::Class);
            let keeps_identity = is_text || matches!(want, Want::Guess | Want::Target);
            if keeps_identity && is_whole(array.data_type()) && is_beyond_f64(&found) {
                found = read(Whole::Digits)?;
                if !is_text {
                    // Texts of previous batches are the same either way; numbers are not.
                    self.whole[place] = Whole::Digits;
                    if first > 0 {
                        return Ok(None);
                    }
                }
            }
            faults.extend(infinite(&found, first).map(|(row, e)| (row, e.at(&at))));
            columns[place] = Some(found);
        }
        Ok(Some((columns, faults)))
    }
}

/// A file whose schema is known.
struct File<'a> {
    format: Format,
    source: &'a Source,
    schema: SchemaRef,
    /// For Parquet.
    parquet: Option<(Chunks, ArrowReaderMetadata)>,
}

/// The source of a columnar file that doesn't need decompression in each pass.
///
/// # Errors
/// As [`Source::unpacked`].
pub(in crate::data) fn at_hand(source: Source) -> Result<Source> {
    match Format::of(source.open()?.head()) {
        Some(Format::Parquet) => source.unpacked(),
        _ => Ok(source),
    }
}

impl<'a> File<'a> {
    fn open(source: &'a Source, format: Format) -> Result<Self> {
        if format != Format::Parquet {
            let schema = Self::arrow(source, format)?.schema;
            return Ok(File { format, source, schema, parquet: None });
        }
        let chunks = Chunks::new(source.unpacked()?.seekable()?);
        let options = ArrowReaderOptions::new();
        let load = || {
            let metadata = ArrowReaderMetadata::load(&chunks, options)?;
            match values::without_dictionaries(metadata.schema()) {
                // The decoder supports dictionaries of only few types.
                Some(schema) => {
                    let options = ArrowReaderOptions::new().with_schema(schema);
                    ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)
                }
                None => Ok(metadata),
            }
        };
        let metadata = decoded(|| load().map_err(of_parquet)).map_err(|e| fault(format, &e))?;
        let schema = metadata.schema().clone();
        Ok(File { format, source, schema, parquet: Some((chunks, metadata)) })
    }

    fn arrow(source: &Source, format: Format) -> Result<ipc::Opened> {
        let reader = Box::new(source.open()?.into_reader());
        let opened = ipc::Opened::new(reader, format == Format::ArrowFile);
        opened.map_err(|e| fault(format, &e))
    }

    /// Refuses impossible headers of the columns at these indices.
    fn check(&self, places: &[usize]) -> Result<()> {
        let Some((chunks, metadata)) = &self.parquet else { return Ok(()) };
        let roots = places.iter().copied().collect();
        let checked = check_pages(chunks, metadata.metadata(), &roots);
        checked.map_err(|e| fault(self.format, &of_parquet(e)))
    }

    /// The batches of the columns at these indices, from the first one on.
    fn batches(&self, places: &[usize]) -> Result<Batches> {
        let places = places.to_vec();
        let Some((chunks, metadata)) = &self.parquet else {
            let opened = Self::arrow(self.source, self.format)?;
            return Ok(Box::new(opened.batches(places)));
        };
        let build = || {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
                chunks.clone(),
                metadata.clone(),
            );
            let mask = ProjectionMask::roots(builder.parquet_schema(), places);
            builder.with_projection(mask).with_batch_size(BATCH).build().map_err(of_parquet)
        };
        let mut reader = decoded(build).map_err(|e| fault(self.format, &e))?;
        let next = move || decoded(|| reader.next().transpose()).transpose();
        Ok(Box::new(std::iter::from_fn(next)))
    }
}

/// The indices of the columns that are read, in order.
fn places(selection: &Selection) -> Vec<usize> {
    let is_read = |&place: &usize| {
        selection.wanted[place] != Want::Nothing || selection.kept.contains(&place)
    };
    (0..selection.wanted.len()).filter(is_read).collect()
}

/// Leaves out columns of lists, structs and the like without options, with a warning for
/// each.
///
/// # Errors
/// When one is the target, or has options.
fn leave_out(header: &Header, schema: &SchemaRef, wanted: &mut [Want]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for (place, want) in wanted.iter_mut().enumerate() {
        let Some(what) = nested(schema.field(place).data_type()) else { continue };
        let name = &header.names[place];
        match want {
            Want::Nothing => {}
            Want::Guess => {
                *want = Want::Nothing;
                warnings.push(format!(
                    "the column {name} holds {what}: it is not used; write its parts as \
                     columns of numbers or texts, or name it in --ignore"
                ));
            }
            _ => {
                return Err(Error::data(format!(
                    "the column holds {what}, which are not numbers, texts or times"
                ))
                .at(header.describe(place))
                .help(format!(
                    "name another column with --target if this is the target; omit it with --ignore \
                     {name}, or write its parts as separate columns"
                )));
            }
        }
    }
    Ok(warnings)
}

fn header(schema: &SchemaRef) -> Result<Header> {
    let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    if names.is_empty() {
        return Err(Error::data("the table has no columns"));
    }
    Ok(Header::of_names(names))
}

/// The rows with an infinite number; messages count rows from `first`.
fn infinite(values: &Values, first: usize) -> impl Iterator<Item = (usize, Error)> {
    let numbers = if let Values::Numbers(numbers) = values { &numbers[..] } else { &[] };
    let rows = numbers.iter().enumerate().filter(|(_, x)| x.is_infinite());
    rows.map(move |(row, x)| {
        let error = Error::data(format!("{x} is not a finite number"))
            .at(format!("row {}", first + row + 1))
            .help("replace it, or make it a missing value");
        (row, error)
    })
}

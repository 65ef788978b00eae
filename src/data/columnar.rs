//! Tables from Parquet and Arrow IPC: record batches as typed columns.

use super::frame::{Frame, Header, MISSING, Texts, Values};
use super::lines::Lines;
use super::read::{Rows, Selection, Want};
use super::stream::{Seekable, Source};
use crate::error::{Error, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, RecordBatch};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, DataType, Schema, TimeUnit};
use bytes::Bytes;
use num_traits::AsPrimitive;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::cell::Cell;
use std::io::{BufReader, Cursor, Read, Seek};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Once};

/// Rows of a batch of Parquet.
const BATCH: usize = 1 << 16;

/// A columnar file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    /// Arrow IPC with its schema and record batches found from the end: Feather version 2.
    ArrowFile,
    /// Arrow IPC one message behind the other.
    ArrowStream,
}

impl Format {
    /// The format of a file that begins with `head`.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [b'P', b'A', b'R', b'1', ..] => Some(Format::Parquet),
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] => Some(Format::ArrowFile),
            [0xFF, 0xFF, 0xFF, 0xFF, _, _, 0, 0, ..] => Some(Format::ArrowStream),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Format::Parquet => "Parquet",
            Format::ArrowFile | Format::ArrowStream => "Arrow",
        }
    }
}

trait Bytewise: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytewise for T {}

/// Batches of the wanted columns.
type Batches = Box<dyn Iterator<Item = std::result::Result<RecordBatch, ArrowError>>>;

/// Takes the rows of a columnar file batch by batch: `select` says of its header which columns
/// are read, and which are carried along.
///
/// # Errors
/// When the file is cut short or damaged, two columns have one name, or a wanted column holds what
/// is neither a number nor a text nor a moment; and what `take` returns.
pub(super) fn pass(
    source: &Source,
    format: Format,
    select: impl FnOnce(&Header) -> Result<Selection>,
    mut take: impl FnMut(Rows) -> Result<()>,
) -> Result<()> {
    let (header, selection, mut batches) = guarded(format, || open(source, format, select))?;
    let header = Arc::new(header);
    let is_value = |place: usize| selection.wanted[place] != Want::Nothing;
    let mut first = 0;
    while let Some(batch) = guarded(format, || Ok(batches.next()))? {
        let batch = batch.map_err(|e| damaged(format, &e))?;
        let mut columns = vec![None; header.names.len()];
        let places = places(&selection);
        let mut faults = Vec::new();
        for (&place, array) in places.iter().zip(batch.columns()).filter(|(p, _)| is_value(**p)) {
            let at = header.describe(place);
            let values = guarded(format, || values(array)).map_err(|e| e.at(&at))?;
            faults.extend(infinite(&values, first).map(|(row, e)| (row, e.at(&at))));
            columns[place] = Some(values);
        }
        let array = |place: &usize| Some(batch.column(places.binary_search(place).ok()?).clone());
        let kept = selection.kept.iter().filter_map(array).collect();
        let rows = batch.num_rows();
        if rows > 0 {
            let lines = Lines::of_rows(first);
            let frame =
                Frame { header: header.clone(), columns, rows, lines, warnings: Vec::new() };
            take(Rows { first, frame, kept, faults })?;
        }
        first += rows;
    }
    match first {
        0 => Err(Error::data("the table has no rows").help("give a table with at least one row")),
        _ => Ok(()),
    }
}

/// What the libraries make of a file. They believe some of its offsets, and panic where one leads
/// nowhere: that is an error of the file like others, and nothing is printed.
fn guarded<T>(format: Format, read: impl FnOnce() -> Result<T>) -> Result<T> {
    thread_local!(static IS_GUARDED: Cell<bool> = const { Cell::new(false) });
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_GUARDED.get() {
                usual(info);
            }
        }));
    });
    IS_GUARDED.set(true);
    let caught = panic::catch_unwind(AssertUnwindSafe(read));
    IS_GUARDED.set(false);
    caught.unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
        Err(damaged(format, &text.unwrap_or("it contradicts itself")))
    })
}

/// The places of the columns that are read, in order.
fn places(selection: &Selection) -> Vec<usize> {
    let is_read = |&place: &usize| {
        selection.wanted[place] != Want::Nothing || selection.kept.contains(&place)
    };
    (0..selection.wanted.len()).filter(is_read).collect()
}

fn open(
    source: &Source,
    format: Format,
    select: impl FnOnce(&Header) -> Result<Selection>,
) -> Result<(Header, Selection, Batches)> {
    let fail = |e: &dyn std::fmt::Display| damaged(format, e);
    let plan = |schema: &Schema| -> Result<(Header, Selection, Vec<usize>)> {
        let header = header(schema)?;
        let selection = select(&header)?;
        let places = places(&selection);
        Ok((header, selection, places))
    };
    let bytes = || -> Result<Box<dyn Bytewise>> {
        Ok(match source.seekable()? {
            Seekable::File(file) => Box::new(BufReader::new(file)),
            Seekable::Memory(bytes) => Box::new(Cursor::new(bytes)),
        })
    };
    match format {
        Format::Parquet => match source.seekable()? {
            Seekable::File(file) => parquet(ParquetRecordBatchReaderBuilder::try_new(file), plan),
            Seekable::Memory(bytes) => {
                let bytes = Bytes::from_owner(bytes);
                parquet(ParquetRecordBatchReaderBuilder::try_new(bytes), plan)
            }
        },
        Format::ArrowFile => {
            let schema = FileReader::try_new(bytes()?, None).map_err(|e| fail(&e))?.schema();
            let (header, selection, places) = plan(&schema)?;
            let reader = FileReader::try_new(bytes()?, Some(places)).map_err(|e| fail(&e))?;
            Ok((header, selection, Box::new(reader)))
        }
        Format::ArrowStream => {
            let schema = StreamReader::try_new(bytes()?, None).map_err(|e| fail(&e))?.schema();
            let (header, selection, places) = plan(&schema)?;
            let reader = StreamReader::try_new(bytes()?, Some(places)).map_err(|e| fail(&e))?;
            Ok((header, selection, Box::new(reader)))
        }
    }
}

fn parquet<R: parquet::file::reader::ChunkReader + 'static>(
    builder: parquet::errors::Result<ParquetRecordBatchReaderBuilder<R>>,
    plan: impl FnOnce(&Schema) -> Result<(Header, Selection, Vec<usize>)>,
) -> Result<(Header, Selection, Batches)> {
    let builder = builder.map_err(|e| damaged(Format::Parquet, &e))?;
    let (header, selection, places) = plan(builder.schema())?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), places);
    let reader = builder.with_projection(mask).with_batch_size(BATCH).build();
    Ok((header, selection, Box::new(reader.map_err(|e| damaged(Format::Parquet, &e))?)))
}

fn damaged(format: Format, error: &dyn std::fmt::Display) -> Error {
    Error::data(format!("the {} file is cut short or damaged: {error}", format.name()))
        .help("copy or download it again")
}

fn header(schema: &Schema) -> Result<Header> {
    let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    for (i, name) in names.iter().enumerate() {
        if let Some(before) = names[..i].iter().position(|n| n == name) {
            return Err(Error::data(format!("two columns are called {name:?}"))
                .at(format!("columns {} and {}", before + 1, i + 1))
                .help("give each column a name of its own"));
        }
    }
    if names.is_empty() {
        return Err(Error::data("the table has no columns"));
    }
    Ok(Header { named: true, names, ..Header::default() })
}

/// The rows with an infinite number; messages count rows from `first`.
fn infinite(values: &Values, first: usize) -> impl Iterator<Item = (usize, Error)> {
    let numbers = if let Values::Numbers(numbers) = values { &numbers[..] } else { &[] };
    let rows = numbers.iter().enumerate().filter(|(_, x)| x.is_infinite());
    rows.map(move |(row, x)| {
        let error = Error::data(format!("{x} is not a finite number"))
            .at(format!("row {}", first + row + 1))
            .help("replace it, or leave it out as missing");
        (row, error)
    })
}

fn values(array: &ArrayRef) -> Result<Values> {
    const DAY: f64 = 86_400.0;
    Ok(match array.data_type() {
        DataType::Null => Values::Numbers(vec![f64::NAN; array.len()]),
        DataType::Boolean => {
            let bits = array.as_boolean();
            let texts = bits.iter().map(|b| b.map(|b| if b { "true" } else { "false" }));
            Values::Texts(texts.collect())
        }
        DataType::Int8 => numbers::<Int8Type>(array),
        DataType::Int16 => numbers::<Int16Type>(array),
        DataType::Int32 => numbers::<Int32Type>(array),
        DataType::Int64 => numbers::<Int64Type>(array),
        DataType::UInt8 => numbers::<UInt8Type>(array),
        DataType::UInt16 => numbers::<UInt16Type>(array),
        DataType::UInt32 => numbers::<UInt32Type>(array),
        DataType::UInt64 => numbers::<UInt64Type>(array),
        DataType::Float16 => {
            let halves = array.as_primitive::<Float16Type>();
            narrow(halves.iter().map(|x| x.map_or(f64::NAN, f64::from)).collect())
        }
        DataType::Float32 => numbers::<Float32Type>(array),
        DataType::Float64 => numbers::<Float64Type>(array),
        DataType::Utf8 => texts(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => texts(array.as_string::<i64>().iter()),
        DataType::Utf8View => texts(array.as_string_view().iter()),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let words = values(dictionary.values())?;
            let keys = dictionary.keys();
            let normal = match words.is_empty() {
                true => vec![0; keys.len()],
                false => dictionary.normalized_keys(),
            };
            let place = |row: usize| keys.is_valid(row).then(|| normal[row]);
            match words {
                Values::Texts(t) => {
                    let code = |row| place(row).map_or(MISSING, |p| t.codes[p]);
                    let codes = (0..keys.len()).map(code).collect();
                    Values::Texts(Texts { codes, words: t.words })
                }
                words => {
                    let number = |row| place(row).map_or(f64::NAN, |p| words.number(p));
                    narrow((0..keys.len()).map(number).collect())
                }
            }
        }
        DataType::Date32 => times::<Date32Type>(array, DAY),
        DataType::Date64 => times::<Date64Type>(array, 1e-3),
        DataType::Timestamp(TimeUnit::Second, _) => times::<TimestampSecondType>(array, 1.0),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            times::<TimestampMillisecondType>(array, 1e-3)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            times::<TimestampMicrosecondType>(array, 1e-6)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            times::<TimestampNanosecondType>(array, 1e-9)
        }
        DataType::Time32(TimeUnit::Second) => times::<Time32SecondType>(array, 1.0),
        DataType::Time32(_) => times::<Time32MillisecondType>(array, 1e-3),
        DataType::Time64(TimeUnit::Microsecond) => times::<Time64MicrosecondType>(array, 1e-6),
        DataType::Time64(_) => times::<Time64NanosecondType>(array, 1e-9),
        other => {
            return Err(Error::data(format!(
                "the column is of the type {other}, which is no number, text or time"
            ))
            .help("leave it out with --ignore, or write it as a type that is"));
        }
    })
}

fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef) -> Values
where
    T::Native: AsPrimitive<f64>,
{
    let array = array.as_primitive::<T>();
    match array.null_count() {
        0 => narrow(array.values().iter().map(|x| x.as_()).collect()),
        _ => Values::Numbers(array.iter().map(|x| x.map_or(f64::NAN, |x| x.as_())).collect()),
    }
}

fn times<T: ArrowPrimitiveType>(array: &ArrayRef, unit: f64) -> Values
where
    T::Native: AsPrimitive<f64>,
{
    let seconds = |x: Option<T::Native>| x.map_or(f64::NAN, |x| x.as_() * unit);
    Values::Times(array.as_primitive::<T>().iter().map(seconds).collect())
}

/// Texts, of which an empty one is missing.
fn texts<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Values {
    Values::Texts(texts.map(|t| t.filter(|t| !t.is_empty())).collect())
}

/// Numbers as bytes where all of them are.
pub(super) fn narrow(numbers: Vec<f64>) -> Values {
    // The comparison of bits tells −0 from 0.
    let is_byte = |x: &f64| f64::from(*x as u8).to_bits() == x.to_bits();
    match numbers.iter().all(is_byte) {
        true => Values::Bytes(numbers.into_iter().map(|x| x as u8).collect()),
        false => Values::Numbers(numbers),
    }
}

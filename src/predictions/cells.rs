//! The values of a typed column as texts.

use crate::data::Predictions;
use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions::{as_date, as_datetime, as_time};
use arrow_array::types::{
    Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow_schema::{DataType, TimeUnit};
use std::fmt::{Display, Write};
use std::io;

/// What a text is written as in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    /// Nothing.
    Missing,
    /// A number, or true or false.
    Bare,
    /// A text.
    Text,
}

/// Appends the value of a row to a text: what it is.
pub(super) type Cells<'a> = Box<dyn Fn(usize, &mut String) -> Cell + Send + Sync + 'a>;

/// What writes the values of a column.
///
/// # Errors
/// For a type that has no text.
pub(super) fn cells(array: &ArrayRef) -> io::Result<Cells<'_>> {
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, _| Cell::Missing),
        DataType::Boolean => {
            let values = array.as_boolean();
            of(array, move |row| values.value(row), Cell::Bare)
        }
        DataType::Int8 => plain::<Int8Type>(array),
        DataType::Int16 => plain::<Int16Type>(array),
        DataType::Int32 => plain::<Int32Type>(array),
        DataType::Int64 => plain::<Int64Type>(array),
        DataType::UInt8 => plain::<UInt8Type>(array),
        DataType::UInt16 => plain::<UInt16Type>(array),
        DataType::UInt32 => plain::<UInt32Type>(array),
        DataType::UInt64 => plain::<UInt64Type>(array),
        DataType::Float16 => plain::<Float16Type>(array),
        DataType::Float32 => plain::<Float32Type>(array),
        DataType::Float64 => plain::<Float64Type>(array),
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            of(array, |row| values.value(row), Cell::Text)
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            of(array, |row| values.value(row), Cell::Text)
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            of(array, |row| values.value(row), Cell::Text)
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let (keys, words) = (dictionary.normalized_keys(), cells(dictionary.values())?);
            Box::new(move |row, text| match array.is_null(row) {
                true => Cell::Missing,
                false => words(keys[row], text),
            })
        }
        DataType::Date32 => moments::<Date32Type, _>(array, as_date::<Date32Type>),
        DataType::Date64 => moments::<Date64Type, _>(array, as_date::<Date64Type>),
        DataType::Timestamp(TimeUnit::Second, _) => {
            moments::<TimestampSecondType, _>(array, as_datetime::<TimestampSecondType>)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            moments::<TimestampMillisecondType, _>(array, as_datetime::<TimestampMillisecondType>)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            moments::<TimestampMicrosecondType, _>(array, as_datetime::<TimestampMicrosecondType>)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            moments::<TimestampNanosecondType, _>(array, as_datetime::<TimestampNanosecondType>)
        }
        DataType::Time32(TimeUnit::Second) => {
            moments::<Time32SecondType, _>(array, as_time::<Time32SecondType>)
        }
        DataType::Time32(_) => {
            moments::<Time32MillisecondType, _>(array, as_time::<Time32MillisecondType>)
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            moments::<Time64MicrosecondType, _>(array, as_time::<Time64MicrosecondType>)
        }
        DataType::Time64(_) => {
            moments::<Time64NanosecondType, _>(array, as_time::<Time64NanosecondType>)
        }
        other => {
            let message = format!("a column of the type {other} has no text: keep it as Parquet");
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
    })
}

/// Appends a prediction as the shortest text that reads back the same, with an exponent where that is
/// shorter.
pub(super) fn number(values: &Predictions, row: usize, column: usize, text: &mut String) {
    // Writing to a string can't fail.
    let _ = match values {
        Predictions::F32(m) => write!(text, "{:?}", m.row(row)[column]),
        Predictions::F64(m) => write!(text, "{:?}", m.row(row)[column]),
    };
}

fn of<'a, T: Display>(
    array: &'a ArrayRef,
    value: impl Fn(usize) -> T + Send + Sync + 'a,
    cell: Cell,
) -> Cells<'a> {
    Box::new(move |row, text| {
        if array.is_null(row) {
            return Cell::Missing;
        }
        let _ = write!(text, "{}", value(row));
        cell
    })
}

fn plain<T: ArrowPrimitiveType>(array: &ArrayRef) -> Cells<'_>
where
    T::Native: Display,
{
    let values = array.as_primitive::<T>();
    of(array, move |row| values.value(row), Cell::Bare)
}

/// Dates and times as ISO 8601 writes them.
fn moments<T: ArrowPrimitiveType, M: std::fmt::Debug + 'static>(
    array: &ArrayRef,
    moment: fn(i64) -> Option<M>,
) -> Cells<'_>
where
    i64: From<T::Native>,
{
    let values = array.as_primitive::<T>();
    Box::new(move |row, text| match moment(i64::from(values.value(row))) {
        Some(moment) if !array.is_null(row) => {
            // The debug form of these types has a T between date and time.
            let _ = write!(text, "{moment:?}");
            Cell::Text
        }
        _ => Cell::Missing,
    })
}

//! The values of a typed column as texts.

use crate::data::Predictions;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow_cast::cast;
use arrow_schema::DataType;
use std::fmt::{Display, Write};
use std::io;

/// How a value is written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    /// A missing value.
    Missing,
    /// A number or boolean.
    Bare,
    /// A text.
    Text,
}

/// Appends the value of a row to a text; returns its kind.
pub(super) type Cells<'a> = Box<dyn Fn(usize, &mut String) -> Cell + Send + Sync + 'a>;

/// The function that writes the values of a column.
///
/// # Errors
/// For a type that can't be written as text.
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
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => cast_text(array, &DataType::Utf8, Cell::Bare)?,
        // Dates alone, without a time of day.
        DataType::Date64 => cast_text(array, &DataType::Date32, Cell::Text)?,
        // The moment in UTC.
        DataType::Timestamp(unit, Some(_)) => {
            cast_text(array, &DataType::Timestamp(*unit, None), Cell::Text)?
        }
        _ => cast_text(array, &DataType::Utf8, Cell::Text)?,
    })
}

/// Appends a prediction as the shortest text that reads back the same, with an exponent if that is
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

/// Values as texts, such as dates and times in ISO 8601, cast through the type `through`.
fn cast_text(array: &ArrayRef, through: &DataType, cell: Cell) -> io::Result<Cells<'static>> {
    let texts = cast(array, through).and_then(|array| cast(&array, &DataType::Utf8)).ok();
    // A value that can't be written as text becomes a missing one.
    let is_whole = |texts: &ArrayRef| texts.null_count() == array.logical_null_count();
    let texts = texts.filter(is_whole).ok_or_else(|| {
        let of = array.data_type();
        let message = format!("a column of the type {of} can't be written as text: write Parquet");
        io::Error::new(io::ErrorKind::Unsupported, message)
    })?;
    Ok(Box::new(move |row, text| {
        let texts = texts.as_string::<i32>();
        if texts.is_null(row) {
            return Cell::Missing;
        }
        text.push_str(texts.value(row));
        cell
    }))
}

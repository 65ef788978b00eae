//! The values of Arrow arrays as columns.

use crate::data::columns::frame::Values;
use crate::data::columns::texts::{MISSING, Texts};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type, UInt8Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, downcast_integer, downcast_temporal};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, FieldRef, Schema, SchemaRef, TimeUnit};
use num_traits::AsPrimitive;
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

/// From this magnitude on, f64 doesn't distinguish neighboring whole numbers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// How the whole numbers of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    /// As numbers in f64.
    Numbers,
    /// As texts of their digits, because f64 can't hold them.
    Digits,
}

/// A description of the values of a type that can't be a column; none for other types.
pub(super) fn nested(data_type: &DataType) -> Option<String> {
    use DataType::{
        Dictionary, FixedSizeList, Interval, LargeList, LargeListView, List, ListView, Map,
        RunEndEncoded, Struct, Union,
    };
    match data_type {
        List(of) | LargeList(of) | FixedSizeList(of, _) | ListView(of) | LargeListView(of) => {
            Some(format!("lists of {}", of.data_type()))
        }
        Struct(fields) => {
            let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
            Some(format!("structs of {}", names.join(", ")))
        }
        Map(..) => Some("maps".into()),
        Union(..) => Some("unions".into()),
        Interval(_) => Some("calendar intervals".into()),
        Dictionary(_, values) => nested(values),
        RunEndEncoded(_, values) => nested(values.data_type()),
        _ => None,
    }
}

/// The schema with plain values instead of dictionaries of types other than texts, if it has any.
pub(super) fn without_dictionaries(schema: &SchemaRef) -> Option<SchemaRef> {
    let mut changed = false;
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Dictionary(_, of) if !of.is_string() && !of.is_binary() => {
            changed = true;
            Arc::new(field.as_ref().clone().with_data_type((**of).clone()))
        }
        _ => field.clone(),
    });
    let fields: Vec<FieldRef> = fields.collect();
    changed.then(|| Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())))
}

/// Whether the values of a type are whole numbers that f64 may be unable to
/// distinguish.
pub(super) fn is_whole(data_type: &DataType) -> bool {
    match data_type {
        DataType::Int64 | DataType::UInt64 => true,
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale <= 0,
        DataType::Dictionary(_, values) => is_whole(values),
        DataType::RunEndEncoded(_, values) => is_whole(values.data_type()),
        _ => false,
    }
}

/// Whether two of these numbers may be equal in f64.
pub(super) fn is_beyond_f64(values: &Values) -> bool {
    let Values::Numbers(numbers) = values else { return false };
    numbers.iter().any(|x| x.abs() >= EXACT)
}

/// [`numbers`], as a macro takes it.
macro_rules! numbers_of {
    ($type:ty, $array:expr) => {
        numbers::<$type>($array)
    };
}

/// The values of an array for which [`nested`] is none.
///
/// # Errors
/// For a type that has no conversion.
pub(super) fn values(array: &ArrayRef, whole: Whole) -> Result<Values, ArrowError> {
    const DAY: f64 = 86_400.0;
    let scale = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 1.0,
        TimeUnit::Millisecond => 1e-3,
        TimeUnit::Microsecond => 1e-6,
        TimeUnit::Nanosecond => 1e-9,
    };
    Ok(match array.data_type() {
        DataType::Boolean => {
            let bits = array.as_boolean();
            let texts = bits.iter().map(|b| b.map(|b| if b { "true" } else { "false" }));
            Values::Texts(texts.collect())
        }
        DataType::Utf8 => texts(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => texts(array.as_string::<i64>().iter()),
        DataType::Utf8View => texts(array.as_string_view().iter()),
        DataType::Binary => bytes(array.as_binary::<i32>().iter()),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().iter()),
        DataType::BinaryView => bytes(array.as_binary_view().iter()),
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().iter()),
        DataType::Dictionary(_, of) if of.is_string() || of.is_binary() => dictionary(array)?,
        DataType::Dictionary(_, of) => values(&cast(array, of)?, whole)?,
        DataType::RunEndEncoded(_, of) => values(&cast(array, of.data_type())?, whole)?,
        DataType::Date32 => Values::Times(seconds(array, DAY)?),
        DataType::Date64 => Values::Times(seconds(array, 1e-3)?),
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
            Values::Times(seconds(array, scale(unit))?)
        }
        DataType::Duration(unit) => narrow(seconds(array, scale(unit))?),
        of if whole == Whole::Digits && is_whole(of) => {
            texts(cast(array, &DataType::Utf8)?.as_string::<i32>().iter())
        }
        DataType::UInt8 if array.null_count() == 0 => {
            Values::Bytes(array.as_primitive::<UInt8Type>().values().to_vec())
        }
        of => narrow(downcast_integer! {
            of => (numbers_of, array),
            DataType::Float16 => numbers::<Float16Type>(array),
            DataType::Float32 => numbers::<Float32Type>(array),
            DataType::Float64 => numbers::<Float64Type>(array),
            _ => numbers::<Float64Type>(&cast(array, &DataType::Float64)?)
        }),
    })
}

/// Numbers, NaN if missing: dates and times as counts of their units.
fn numbers<T: ArrowPrimitiveType<Native: AsPrimitive<f64>>>(array: &ArrayRef) -> Vec<f64> {
    let array = array.as_primitive::<T>();
    match array.null_count() {
        0 => array.values().iter().map(|x| x.as_()).collect(),
        _ => array.iter().map(|x| x.map_or(f64::NAN, AsPrimitive::as_)).collect(),
    }
}

/// Times counted in a unit of `unit` seconds.
fn seconds(array: &ArrayRef, unit: f64) -> Result<Vec<f64>, ArrowError> {
    let mut counts = downcast_temporal! {
        array.data_type() => (numbers_of, array),
        _ => numbers::<Float64Type>(&cast(&cast(array, &DataType::Int64)?, &DataType::Float64)?)
    };
    counts.iter_mut().for_each(|x| *x *= unit);
    Ok(counts)
}

/// Texts; an empty one is missing.
fn texts<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Values {
    Values::Texts(texts.map(|t| t.filter(|t| !t.is_empty())).collect())
}

/// Bytes as texts if they are UTF-8, as many writers intend, otherwise as hexadecimal digits.
fn bytes<'a>(all: impl Iterator<Item = Option<&'a [u8]>>) -> Values {
    let text = |bytes: &'a [u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })),
    };
    let mut texts = Texts::default();
    for bytes in all {
        texts.push(bytes.filter(|b| !b.is_empty()).map(text).as_deref());
    }
    Values::Texts(texts)
}

/// The texts of a dictionary, without unused ones.
fn dictionary(array: &ArrayRef) -> Result<Values, ArrowError> {
    let dictionary = array.as_any_dictionary();
    let Values::Texts(all) = values(dictionary.values(), Whole::Numbers)? else {
        return Err(ArrowError::CastError("a dictionary of texts holds none".into()));
    };
    let keys = dictionary.keys();
    if all.codes.is_empty() {
        let codes = vec![MISSING; keys.len()];
        return Ok(Values::Texts(Texts { codes, ..Texts::default() }));
    }
    let mut texts = Texts::default();
    let mut codes = vec![None; all.words.len()];
    for (row, key) in dictionary.normalized_keys().into_iter().enumerate() {
        let code = if keys.is_valid(row) { all.codes[key] } else { MISSING };
        let own = codes.get_mut(code as usize);
        let own = own.map(|own| *own.get_or_insert_with(|| texts.words.code(all.words.get(code))));
        texts.codes.push(own.unwrap_or(MISSING));
    }
    Ok(Values::Texts(texts))
}

/// Numbers as bytes if all of them fit.
pub(in crate::data) fn narrow(numbers: Vec<f64>) -> Values {
    // The comparison of bits distinguishes −0 from 0.
    let is_byte = |x: &f64| f64::from(*x as u8).to_bits() == x.to_bits();
    match numbers.iter().all(is_byte) {
        true => Values::Bytes(numbers.into_iter().map(|x| x as u8).collect()),
        false => Values::Numbers(numbers),
    }
}

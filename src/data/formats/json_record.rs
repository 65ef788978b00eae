//! One JSON object as the cells of a row.

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// An object with more keys than this isn't a row.
const MOST: usize = 1 << 16;

/// A value of an object.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) enum Cell {
    Missing,
    Number(f64),
    Whole(i128),
    Text(String),
    Truth(bool),
    /// A list or an object.
    Nested,
}

/// The keys and values of an object, in their order.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) struct Record(pub(in crate::data) Vec<(String, Cell)>);

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut cells = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    if cells.len() == MOST {
                        return Err(A::Error::custom(format!(
                            "an object of more than {MOST} keys"
                        )));
                    }
                    cells.push(entry);
                }
                Ok(Record(cells))
            }
        }
        d.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Value;
        impl<'de> Visitor<'de> for Value {
            type Value = Cell;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_bool<E>(self, truth: bool) -> Result<Cell, E> {
                Ok(Cell::Truth(truth))
            }

            fn visit_i64<E>(self, x: i64) -> Result<Cell, E> {
                Ok(Cell::Whole(x.into()))
            }

            fn visit_u64<E>(self, x: u64) -> Result<Cell, E> {
                Ok(Cell::Whole(x.into()))
            }

            fn visit_f64<E>(self, x: f64) -> Result<Cell, E> {
                Ok(Cell::Number(x))
            }

            fn visit_str<E>(self, text: &str) -> Result<Cell, E> {
                Ok(Cell::Text(text.to_string()))
            }

            fn visit_string<E>(self, text: String) -> Result<Cell, E> {
                Ok(Cell::Text(text))
            }

            fn visit_unit<E>(self) -> Result<Cell, E> {
                Ok(Cell::Missing)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Cell, A::Error> {
                while all.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Cell::Nested)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Cell, A::Error> {
                while all.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Cell::Nested)
            }
        }
        d.deserialize_any(Value)
    }
}

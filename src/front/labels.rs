//! Labels: the classes of rows in memory.

use crate::base::error::{Error, Result};
use crate::base::words::count;
use crate::data::Values;

/// A type of labels: integers, `bool`, `String`, and for training `&str`.
pub trait Label: Clone {
    /// Its name in the model.
    fn name(&self) -> String;

    /// Its value, if it is a number that f64 represents exactly.
    #[doc(hidden)]
    fn number(&self) -> Option<f64> {
        None
    }
}

/// A [`Label`] that can be read back from the name of a class.
pub trait FromLabel: Label {
    /// The label with this name; none if the name isn't a value of the type.
    fn from_name(name: &str) -> Option<Self>;

    /// The label for this index into the class names, for integer types.
    #[doc(hidden)]
    fn from_place(_: usize) -> Option<Self> {
        None
    }
}

macro_rules! whole_numbers {
    ($($type:ty),+) => {$(
        impl Label for $type {
            fn name(&self) -> String {
                self.to_string()
            }

            fn number(&self) -> Option<f64> {
                let x = *self as f64;
                (x.abs() < 9e15).then_some(x)
            }
        }
        impl FromLabel for $type {
            fn from_name(name: &str) -> Option<Self> {
                name.parse().ok()
            }

            fn from_place(place: usize) -> Option<Self> {
                place.try_into().ok()
            }
        }
    )+};
}
whole_numbers!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl Label for bool {
    fn name(&self) -> String {
        self.to_string()
    }
}

impl FromLabel for bool {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" => Some(false),
            _ => None,
        }
    }
}

impl Label for String {
    fn name(&self) -> String {
        self.clone()
    }
}

impl FromLabel for String {
    fn from_name(name: &str) -> Option<Self> {
        Some(name.to_string())
    }
}

impl Label for &str {
    fn name(&self) -> String {
        (*self).to_string()
    }
}

/// The class of each row. Converted by `into()` from a reference to a slice, an array or a `Vec` of [`Label`]s, such
/// as `&labels`.
#[derive(Debug, Clone)]
pub struct Labels {
    values: Values,
    /// The first row whose label is an empty text.
    empty: Option<usize>,
}

impl Labels {
    fn of<T: Label>(labels: &[T]) -> Self {
        let numbers: Option<Vec<f64>> = labels.iter().map(Label::number).collect();
        let mut empty = None;
        let values = match numbers {
            Some(numbers) => Values::of_numbers(numbers.iter().copied()),
            None => {
                let mut texts = crate::data::Texts::default();
                for (row, label) in labels.iter().enumerate() {
                    let name = label.name();
                    if name.trim().is_empty() {
                        empty = empty.or(Some(row));
                    }
                    texts.push(Some(&name));
                }
                Values::Texts(texts)
            }
        };
        Labels { values, empty }
    }

    /// The labels as a column, one for each row.
    pub(super) fn column(self, rows: usize) -> Result<Values> {
        if self.values.len() != rows {
            let found = self.values.len();
            return Err(Error::usage(format!(
                "{} for {}",
                count(found, "label"),
                count(rows, "row")
            ))
            .at("y")
            .help("give the label of each row"));
        }
        match self.empty {
            None => Ok(self.values),
            Some(row) => Err(Error::data("a label without a name")
                .at(format!("y, row {}", row + 1))
                .help("give each class a name, or remove the row")),
        }
    }
}

impl<T: Label> From<&[T]> for Labels {
    fn from(labels: &[T]) -> Self {
        Labels::of(labels)
    }
}

impl<T: Label> From<&Vec<T>> for Labels {
    fn from(labels: &Vec<T>) -> Self {
        Labels::of(labels)
    }
}

impl<T: Label, const N: usize> From<&[T; N]> for Labels {
    fn from(labels: &[T; N]) -> Self {
        Labels::of(labels)
    }
}

/// Labels that are indices into `names`, as names; other labels unchanged.
///
/// # Errors
/// For a number that is no such index.
pub(super) fn named(labels: &Values, names: &[String]) -> Result<Values> {
    if matches!(labels, Values::Texts(_)) {
        return Ok(labels.clone());
    }
    let mut texts = crate::data::Texts::default();
    for row in 0..labels.len() {
        let label = labels.number(row);
        let Some(name) = names.get(label as usize).filter(|_| label >= 0.0) else {
            let most = names.len().saturating_sub(1);
            return Err(Error::data(format!("there is no class {label}"))
                .at(format!("y, row {}", row + 1))
                .help(format!("labels are 0 to {most}, the indices of the class names")));
        };
        texts.push(Some(name));
    }
    Ok(Values::Texts(texts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_back_as_they_were_given() {
        assert_eq!(u32::from_name(&7u32.name()), Some(7));
        assert_eq!(i64::from_name(&(-3i64).name()), Some(-3));
        assert_eq!(bool::from_name(&true.name()), Some(true));
        assert_eq!(String::from_name("a b").as_deref(), Some("a b"));
        assert_eq!(u8::from_name("setosa"), None);
    }

    #[test]
    fn there_is_a_label_with_a_name_for_each_row() {
        let error = Labels::from(&[1u8, 2]).column(3).unwrap_err().to_string();
        assert!(error.contains("2 labels for 3 rows"), "{error}");
        let error = Labels::from(&["a", " "]).column(2).unwrap_err().to_string();
        assert!(error.contains("y, row 2"), "{error}");
        assert_eq!(Labels::from(&[0u8, 2]).column(2).unwrap(), Values::Bytes(vec![0, 2]));
    }
}

//! Columns that are copied to the output: unchanged texts, or values if all of a column's
//! texts have the same type.

use crate::data::columns::missing::is_missing;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use std::sync::Arc;

/// The types as which all cells of a column can be read without loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readable {
    boolean: bool,
    whole: bool,
    number: bool,
    /// Whether any cell has a value.
    some: bool,
}

impl Readable {
    /// The types of a column without cells.
    pub(super) const ANYTHING: Readable =
        Readable { boolean: true, whole: true, number: true, some: false };

    /// Adds more cells of the column.
    pub(super) fn take(&mut self, cells: &StringArray) {
        for cell in cells.iter().flatten().filter(|cell| !is_missing(cell.as_bytes())) {
            self.some = true;
            self.boolean = self.boolean && boolean(cell).is_some();
            self.whole = self.whole && whole(cell).is_some();
            self.number = self.number && number(cell).is_some();
            if !(self.boolean || self.whole || self.number) {
                return;
            }
        }
    }

    /// The values of some cells of the column; missing values are null, but unchanged in a column of
    /// texts.
    pub(super) fn values(self, cells: StringArray) -> ArrayRef {
        let Readable { boolean: is_boolean, whole: is_whole, number: is_number, some } = self;
        match () {
            () if some && is_boolean => {
                Arc::new(cells.iter().map(|c| boolean(c?)).collect::<BooleanArray>())
            }
            () if some && is_whole => {
                Arc::new(cells.iter().map(|c| whole(c?)).collect::<Int64Array>())
            }
            () if some && is_number => {
                Arc::new(cells.iter().map(|c| number(c?)).collect::<Float64Array>())
            }
            () => Arc::new(cells),
        }
    }
}

fn boolean(cell: &str) -> Option<bool> {
    match () {
        () if cell.eq_ignore_ascii_case("true") => Some(true),
        () if cell.eq_ignore_ascii_case("false") => Some(false),
        () => None,
    }
}

/// The number that digits represent, if written as usual: not 007, which is a name, and not +7 or
/// −0.
fn whole(cell: &str) -> Option<i64> {
    let digits = cell.strip_prefix('-').unwrap_or(cell).as_bytes();
    match digits {
        [b'0'] if cell.len() == 1 => Some(0),
        [b'1'..=b'9', ..] => cell.parse().ok(),
        _ => None,
    }
}

/// A finite number without a redundant 0 at the beginning, and if it is whole, without more digits than an f64
/// holds.
fn number(cell: &str) -> Option<f64> {
    let digits = cell.strip_prefix(['-', '+']).unwrap_or(cell).as_bytes();
    if let [b'0', b'0'..=b'9', ..] = digits {
        return None;
    }
    if digits.len() > 15 && digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    fast_float2::parse(cell).ok().filter(|x: &f64| x.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_schema::DataType;

    fn typed(cells: &[&str]) -> ArrayRef {
        let cells = StringArray::from(cells.to_vec());
        let mut readable = Readable::ANYTHING;
        // In two chunks, whose column has one type.
        readable.take(&cells.slice(0, 1));
        readable.take(&cells.slice(1, cells.len() - 1));
        readable.values(cells)
    }

    #[test]
    fn a_column_is_of_the_type_that_all_its_cells_have() {
        let whole: ArrayRef = Arc::new(Int64Array::from(vec![Some(-3), None, Some(i64::MAX)]));
        assert_eq!(&typed(&["-3", "NA", "9223372036854775807"]), &whole);
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), Some(-2e3), None]));
        assert_eq!(&typed(&["1.50", "-2e3", ""]), &numbers);
        let booleans: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
        assert_eq!(&typed(&["TRUE", "?", "false"]), &booleans);
    }

    #[test]
    fn what_would_lose_something_as_a_number_stays_text() {
        for cells in [
            &["007", "8"][..],
            &["1", "x"],
            &["1.5", "12345678901234567890"],
            &["1", "inf"],
            &["", "NA"],
            &["yes", "no"],
            &["00.5", "1"],
        ] {
            let found = typed(cells);
            assert_eq!(found.data_type(), &DataType::Utf8, "{cells:?}");
            assert_eq!(&found, &(Arc::new(StringArray::from(cells.to_vec())) as ArrayRef));
        }
    }
}

//! Rows of numbers in memory, for training and predictions.

use crate::base::error::{Error, Result};
use crate::base::words::count;
use crate::data::Values;
use crate::math::matrix::Matrix;

/// Rows of numbers: features, (rows, columns), or the targets of a regression, (rows, targets).
///
/// Converted by `into()` from
///
/// - `(&values, columns)`: a slice, an array or a `Vec` of `f32` or `f64`, in row-major order;
/// - `&rows`: a slice, an array or a `Vec` of rows, each a `Vec<f32>`, a `Vec<f64>` or an array `[f32; N]`;
/// - `&values`: a slice, an array or a `Vec` of `f32` or `f64`, as **one column** (for more, give the number of columns as above);
/// - a [`Matrix<f32>`](Matrix); with the feature `ndarray` two-dimensional arrays and views of `f32`, with the
///   feature `arrow` record batches.
///
/// An `f32` is read as the shortest decimal that represents it, as in a text file: 0.1 is 0.1, not 0.100000001490116.
/// So training on rows in memory gives the same bits as training on a CSV file of them.
#[derive(Debug, Clone)]
pub struct Rows<'a>(Given<'a>);

#[derive(Debug, Clone)]
enum Given<'a> {
    Singles(&'a [f32], usize),
    Doubles(&'a [f64], usize),
    RowsOfSingles(&'a [Vec<f32>]),
    RowsOfDoubles(&'a [Vec<f64>]),
    /// Columns that exist already, with names if they have any; or the error of making them.
    #[cfg(any(feature = "arrow", feature = "ndarray"))]
    Columns(Result<(Option<Vec<String>>, Vec<Values>)>),
}

impl Rows<'_> {
    /// The columns, checked: NaN is a missing value if `has_missing`, else an error; infinity is always an
    /// error. `what` they are, for messages.
    pub(super) fn columns(self, what: &str, has_missing: bool) -> Result<Columns> {
        let (names, (rows, columns)) = match self.0 {
            Given::Singles(values, cols) => (None, of_values(values, cols, what)?),
            Given::Doubles(values, cols) => (None, of_values(values, cols, what)?),
            Given::RowsOfSingles(rows) => (None, of_rows(rows, what)?),
            Given::RowsOfDoubles(rows) => (None, of_rows(rows, what)?),
            #[cfg(any(feature = "arrow", feature = "ndarray"))]
            Given::Columns(given) => {
                let (names, columns) = given?;
                (names, (columns.first().map_or(0, Values::len), columns))
            }
        };
        if rows == 0 || columns.is_empty() {
            return Err(Error::data(format!(
                "{} of {}",
                count(rows, "row"),
                count(columns.len(), "column")
            ))
            .at(what)
            .help("give at least one row and one column"));
        }
        let columns = Columns { names, columns, rows };
        columns.check(what, has_missing)?;
        Ok(columns)
    }
}

/// Columns of numbers, all of the same length.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    /// Their names, if they have any.
    pub names: Option<Vec<String>>,
    pub columns: Vec<Values>,
    pub rows: usize,
}

impl Columns {
    /// Refuses numbers that aren't finite.
    pub(super) fn check(&self, what: &str, has_missing: bool) -> Result<()> {
        for (col, values) in self.columns.iter().enumerate() {
            let Values::Numbers(numbers) = values else { continue };
            let is_wrong = |x: &f64| x.is_infinite() || x.is_nan() && !has_missing;
            let Some(row) = numbers.iter().position(is_wrong) else { continue };
            let help = match numbers[row].is_nan() {
                true => {
                    "remove the row, replace the value, or impute missing features with missing_values(true)"
                }
                false => "remove the row, or replace the value",
            };
            return Err(Error::data(format!("{} is not a finite number", numbers[row]))
                .at(format!("{what}, row {}, column {}", row + 1, col + 1))
                .help(help));
        }
        Ok(())
    }
}

/// The number of rows and the columns of values, row after row.
fn of_values<N: Number>(values: &[N], cols: usize, what: &str) -> Result<(usize, Vec<Values>)> {
    let rows = whole_rows(values.len(), cols, what)?;
    let column = |col| column(values.iter().skip(col).step_by(cols));
    Ok((rows, (0..cols).map(column).collect()))
}

/// The number of rows and the columns of rows.
fn of_rows<N: Number>(rows: &[Vec<N>], what: &str) -> Result<(usize, Vec<Values>)> {
    let cols = equal_rows(rows, what)?;
    let column = |col: usize| column(rows.iter().map(|row| &row[col]));
    Ok((rows.len(), (0..cols).map(column).collect()))
}

/// A column of numbers.
fn column<'a, N: Number + 'a>(numbers: impl Iterator<Item = &'a N>) -> Values {
    let numbers: Vec<f64> = numbers.map(|x| x.double()).collect();
    Values::of_numbers(numbers.iter().copied())
}

/// A number of either precision.
trait Number: Copy {
    /// The number in f64.
    fn double(self) -> f64;
}

impl Number for f32 {
    fn double(self) -> f64 {
        double(self)
    }
}

impl Number for f64 {
    fn double(self) -> f64 {
        self
    }
}

/// The number of rows in `values` values.
fn whole_rows(values: usize, cols: usize, what: &str) -> Result<usize> {
    if cols == 0 || !values.is_multiple_of(cols) {
        return Err(Error::usage(format!(
            "{} in rows of {}",
            count(values, "value"),
            count(cols, "column")
        ))
        .at(what)
        .help("give rows × columns values, row by row, and the number of columns"));
    }
    Ok(values / cols)
}

/// The number of columns of rows of equal length.
fn equal_rows<T>(rows: &[Vec<T>], what: &str) -> Result<usize> {
    let cols = rows.first().map_or(0, Vec::len);
    match rows.iter().position(|row| row.len() != cols) {
        None => Ok(cols),
        Some(row) => {
            let found = count(rows[row].len(), "value");
            Err(Error::usage(format!("{found}, but the first row has {cols}"))
                .at(format!("{what}, row {}", row + 1))
                .help("give as many values in each row"))
        }
    }
}

/// The f64 nearest to the shortest decimal of an `f32`, as read from a text.
fn double(x: f32) -> f64 {
    let exact = f64::from(x);
    if exact.fract() == 0.0 && exact.abs() < 16_777_216.0 || !exact.is_finite() {
        return exact;
    }
    // A quotient of whole numbers below 2⁵³ and a power of ten up to 10²² is rounded once, as a reader of
    // decimals rounds.
    if (1e-3..1e7).contains(&exact.abs()) {
        let mut power = 1.0;
        for _ in 0..12 {
            power *= 10.0;
            let decimal = (exact * power).round() / power;
            if decimal as f32 == x {
                return decimal;
            }
        }
    }
    format!("{x:e}").parse().unwrap_or(exact)
}

macro_rules! values {
    ($($type:ty => $given:ident),+) => {$(
        impl<'a> From<(&'a [$type], usize)> for Rows<'a> {
            fn from((values, columns): (&'a [$type], usize)) -> Self {
                Rows(Given::$given(values, columns))
            }
        }
        impl<'a> From<(&'a Vec<$type>, usize)> for Rows<'a> {
            fn from((values, columns): (&'a Vec<$type>, usize)) -> Self {
                Rows(Given::$given(values, columns))
            }
        }
        impl<'a, const N: usize> From<(&'a [$type; N], usize)> for Rows<'a> {
            fn from((values, columns): (&'a [$type; N], usize)) -> Self {
                Rows(Given::$given(values, columns))
            }
        }
        impl<'a> From<&'a [$type]> for Rows<'a> {
            fn from(values: &'a [$type]) -> Self {
                Rows(Given::$given(values, 1))
            }
        }
        impl<'a> From<&'a Vec<$type>> for Rows<'a> {
            fn from(values: &'a Vec<$type>) -> Self {
                Rows(Given::$given(values, 1))
            }
        }
        impl<'a, const N: usize> From<&'a [$type; N]> for Rows<'a> {
            fn from(values: &'a [$type; N]) -> Self {
                Rows(Given::$given(values, 1))
            }
        }
        impl<'a, const N: usize> From<&'a [[$type; N]]> for Rows<'a> {
            fn from(rows: &'a [[$type; N]]) -> Self {
                Rows(Given::$given(rows.as_flattened(), N))
            }
        }
        impl<'a, const N: usize> From<&'a Vec<[$type; N]>> for Rows<'a> {
            fn from(rows: &'a Vec<[$type; N]>) -> Self {
                Rows(Given::$given(rows.as_flattened(), N))
            }
        }
        impl<'a, const N: usize, const R: usize> From<&'a [[$type; N]; R]> for Rows<'a> {
            fn from(rows: &'a [[$type; N]; R]) -> Self {
                Rows(Given::$given(rows.as_flattened(), N))
            }
        }
    )+};
}
values!(f32 => Singles, f64 => Doubles);

macro_rules! rows_of_vectors {
    ($($type:ty => $given:ident),+) => {$(
        impl<'a> From<&'a [Vec<$type>]> for Rows<'a> {
            fn from(rows: &'a [Vec<$type>]) -> Self {
                Rows(Given::$given(rows))
            }
        }
        impl<'a> From<&'a Vec<Vec<$type>>> for Rows<'a> {
            fn from(rows: &'a Vec<Vec<$type>>) -> Self {
                Rows(Given::$given(rows))
            }
        }
        impl<'a, const N: usize> From<&'a [Vec<$type>; N]> for Rows<'a> {
            fn from(rows: &'a [Vec<$type>; N]) -> Self {
                Rows(Given::$given(rows))
            }
        }
    )+};
}
rows_of_vectors!(f32 => RowsOfSingles, f64 => RowsOfDoubles);

impl<'a> From<&'a Matrix<f32>> for Rows<'a> {
    fn from(matrix: &'a Matrix<f32>) -> Self {
        Rows(Given::Singles(matrix.data(), matrix.cols()))
    }
}

/// Arrays of the crate `ndarray`, of any layout.
#[cfg(feature = "ndarray")]
mod arrays {
    use super::{Given, Rows, column};
    use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

    macro_rules! arrays {
        ($($type:ty),+) => {$(
            impl From<ArrayView2<'_, $type>> for Rows<'_> {
                fn from(array: ArrayView2<'_, $type>) -> Self {
                    let columns = (0..array.ncols()).map(|col| column(array.column(col).iter()));
                    Rows(Given::Columns(Ok((None, columns.collect()))))
                }
            }
            impl From<&Array2<$type>> for Rows<'_> {
                fn from(array: &Array2<$type>) -> Self {
                    array.view().into()
                }
            }
            impl From<ArrayView1<'_, $type>> for Rows<'_> {
                fn from(array: ArrayView1<'_, $type>) -> Self {
                    array.insert_axis(ndarray::Axis(1)).into()
                }
            }
            impl From<&Array1<$type>> for Rows<'_> {
                fn from(array: &Array1<$type>) -> Self {
                    array.view().into()
                }
            }
        )+};
    }
    arrays!(f32, f64);
}

/// Record batches of Arrow.
#[cfg(feature = "arrow")]
mod batches {
    use super::{Given, Rows};
    use arrow_array::RecordBatch;

    impl From<&RecordBatch> for Rows<'_> {
        fn from(batch: &RecordBatch) -> Self {
            let columns = crate::data::columns_of(batch);
            Rows(Given::Columns(columns.map(|(names, columns)| (Some(names), columns))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_is_the_double_that_its_text_is() {
        let mut state = 1u32;
        let mut bits = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        for _ in 0..200_000 {
            let any = f32::from_bits(bits());
            let usual = (bits() % 20_000_001) as f32 / 1e4 - 1e3;
            for x in [any, usual, (bits() % 1000) as f32 / 100.0] {
                if x.is_finite() {
                    let text: f64 = format!("{x}").parse().unwrap();
                    assert_eq!(double(x).to_bits(), text.to_bits(), "{x:e}");
                }
            }
        }
        assert_eq!(double(0.1), 0.1);
        assert_eq!(double(-0.0).to_bits(), (-0.0f64).to_bits());
    }

    #[test]
    fn rows_of_every_kind_are_the_same_columns() {
        let of = |rows: Rows| format!("{:?}", rows.columns("x", false).unwrap().columns);
        let flat = vec![1.0f32, 0.5, 3.0, 0.25];
        let wanted = of((&flat, 2).into());
        assert_eq!(wanted, "[Bytes([1, 3]), Numbers([0.5, 0.25])]");
        assert_eq!(of((&flat[..], 2).into()), wanted);
        assert_eq!(of((&[1.0f64, 0.5, 3.0, 0.25].to_vec(), 2).into()), wanted);
        assert_eq!(of((&[[1.0f32, 0.5], [3.0, 0.25]]).into()), wanted);
        assert_eq!(of((&vec![vec![1.0f32, 0.5], vec![3.0, 0.25]]).into()), wanted);
        assert_eq!(of((&Matrix::new(2, 2, flat).unwrap()).into()), wanted);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let refused = |rows: Rows, missing: bool| {
            rows.columns("x", missing).unwrap_err().to_string().replace('\n', "")
        };
        let nan = vec![1.0f32, f32::NAN, 3.0, 4.0];
        let text = refused((&nan, 2).into(), false);
        assert!(text.contains("NaN is not a finite") && text.contains("row 1, column 2"), "{text}");
        assert!(Rows::from((&nan, 2)).columns("x", true).is_ok());
        let text = refused((&[f32::INFINITY, 1.0].to_vec(), 1).into(), true);
        assert!(text.contains("inf is not a finite"), "{text}");
        let text = refused((&nan, 3).into(), false);
        assert!(text.contains("4 values in rows of 3 columns"), "{text}");
        assert!(refused((&nan, 0).into(), false).contains("rows of 0 columns"));
        assert!(refused((&Vec::<f32>::new(), 2).into(), false).contains("0 rows"));
        let ragged = vec![vec![1.0f32], vec![1.0, 2.0]];
        let text = refused((&ragged).into(), false);
        assert!(text.contains("2 values, but the first row has 1"), "{text}");
    }
}

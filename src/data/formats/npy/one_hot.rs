//! Labels given as one-hot rows.

use super::NpyArray;
use super::elements::Elements;

/// The class of each row, (rows), of an array (rows, classes ≥ 2) whose rows are 0 except for a single 1,
/// of integer or floating-point type; none if any row is different.
pub(super) fn classes(array: &NpyArray) -> Option<Vec<f64>> {
    let width = array.width();
    if array.shape.len() != 2 || width < 2 {
        return None;
    }
    fn of<T: Copy>(all: &[T], width: usize, is: impl Fn(T, u8) -> bool) -> Option<Vec<f64>> {
        let class = |row: &[T]| {
            let place = row.iter().position(|&x| !is(x, 0))?;
            let rest = &row[place + 1..];
            (is(row[place], 1) && rest.iter().all(|&x| is(x, 0))).then_some(place as f64)
        };
        all.chunks_exact(width).map(class).collect()
    }
    match &array.elements {
        Elements::Bytes(all) => of(all, width, |x, expected| x == expected),
        Elements::Numbers(all) => of(all, width, |x, expected| x == f64::from(expected)),
        Elements::Wide(_) | Elements::Texts(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(width: usize, numbers: &[f64]) -> NpyArray {
        let elements = Elements::Numbers(numbers.to_vec());
        NpyArray { shape: vec![numbers.len() / width, width], elements }
    }

    #[test]
    fn only_rows_of_a_single_one_are_classes() {
        let of = |width, numbers: &[f64]| classes(&array(width, numbers));
        assert_eq!(of(3, &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0]), Some(vec![2.0, 0.0]));
        assert_eq!(of(3, &[0.0, 0.0, 1.0, 1.0, 0.0, 1.0]), None, "two of them");
        assert_eq!(of(3, &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]), None, "none");
        assert_eq!(of(2, &[0.25, 0.75, 0.0, 1.0]), None, "shares");
        assert_eq!(of(2, &[0.0, 1.0, f64::NAN, 1.0]), None);
        assert_eq!(of(1, &[1.0, 1.0]), None, "a column is a column");
        let bytes = NpyArray { shape: vec![2, 2], elements: Elements::Bytes(vec![0, 1, 1, 0]) };
        assert_eq!(classes(&bytes), Some(vec![1.0, 0.0]));
    }
}

//! A row-major matrix in host memory whose shape is checked on construction.

use crate::base::error::{Error, Result};

/// A row-major matrix of shape (rows, cols) in host memory.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix<T> {
    rows: usize,
    cols: usize,
    data: Vec<T>,
}

impl<T> Matrix<T> {
    /// A matrix over `data`, which has `rows * cols` elements, row by row.
    ///
    /// # Errors
    /// When the number of elements differs from that.
    pub fn new(rows: usize, cols: usize, data: Vec<T>) -> Result<Self> {
        if rows.checked_mul(cols) != Some(data.len()) {
            return Err(Error::usage(format!(
                "a {rows} × {cols} matrix needs {rows} · {cols} values, {} were given",
                data.len()
            )));
        }
        Ok(Matrix { rows, cols, data })
    }

    /// A matrix whose element at `(row, col)` is `f(row, col)`.
    pub fn from_fn(rows: usize, cols: usize, mut f: impl FnMut(usize, usize) -> T) -> Self {
        let data =
            (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c))).map(|(r, c)| f(r, c)).collect();
        Matrix { rows, cols, data }
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// All elements, row by row.
    #[must_use]
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// All elements, row by row, mutable.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The elements, row by row, without the shape.
    #[must_use]
    pub fn into_data(self) -> Vec<T> {
        self.data
    }

    /// Row `r`, of `cols` elements.
    #[must_use]
    pub fn row(&self, r: usize) -> &[T] {
        &self.data[r * self.cols..(r + 1) * self.cols]
    }

    /// The rows in order.
    pub fn iter_rows(&self) -> impl Iterator<Item = &[T]> {
        (0..self.rows).map(|r| self.row(r))
    }

    /// The same shape with every element mapped.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Matrix<U> {
        Matrix { rows: self.rows, cols: self.cols, data: self.data.iter().map(f).collect() }
    }
}

impl<T: Copy> Matrix<T> {
    /// The rows with these indices, in that order.
    #[must_use]
    pub fn select_rows(&self, indices: &[usize]) -> Self {
        let mut data = Vec::with_capacity(indices.len() * self.cols);
        indices.iter().for_each(|&r| data.extend_from_slice(self.row(r)));
        Matrix { rows: indices.len(), cols: self.cols, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_wrong_number_of_values() {
        assert!(Matrix::new(2, 3, vec![0; 5]).is_err());
        assert!(Matrix::new(usize::MAX, 2, vec![0; 5]).is_err());
    }

    #[test]
    fn selects_rows_in_the_order_given() {
        let m = Matrix::from_fn(3, 2, |r, c| 10 * r + c);
        assert_eq!(m.select_rows(&[2, 0]).data(), [20, 21, 0, 1]);
    }
}

//! The feature columns of a data set.

use crate::math::matrix::Matrix;

/// The feature columns of a data set: (rows, features).
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Bytes, such as pixels.
    U8(Matrix<u8>),
    /// Numbers.
    F32(Matrix<f32>),
}

impl Features {
    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Features::U8(m) => m.rows(),
            Features::F32(m) => m.rows(),
        }
    }

    /// The number of feature columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        match self {
            Features::U8(m) => m.cols(),
            Features::F32(m) => m.cols(),
        }
    }

    /// The value at (row, col).
    #[must_use]
    pub fn value(&self, row: usize, col: usize) -> f32 {
        match self {
            Features::U8(m) => m.row(row)[col].into(),
            Features::F32(m) => m.row(row)[col],
        }
    }

    pub(crate) fn select_rows(&self, rows: &[usize]) -> Self {
        match self {
            Features::U8(m) => Features::U8(m.select_rows(rows)),
            Features::F32(m) => Features::F32(m.select_rows(rows)),
        }
    }

    /// The rows of all `parts`, of equally many columns, one after the other: bytes where all are. None of no parts.
    pub(crate) fn concat<'a>(parts: impl Iterator<Item = &'a Self> + Clone) -> Option<Self> {
        let first = parts.clone().next()?;
        let bytes = parts.clone().map(|part| match part {
            Features::U8(m) => Some(m.data()),
            Features::F32(_) => None,
        });
        let (rows, cols) = (parts.clone().map(Features::rows).sum(), first.cols());
        if let Some(bytes) = bytes.collect::<Option<Vec<&[u8]>>>() {
            return Matrix::new(rows, cols, bytes.concat()).ok().map(Features::U8);
        }
        let mut all = Vec::with_capacity(rows * cols);
        for part in parts {
            match part {
                Features::U8(m) => all.extend(m.data().iter().map(|&x| f32::from(x))),
                Features::F32(m) => all.extend_from_slice(m.data()),
            }
        }
        Matrix::new(rows, cols, all).ok().map(Features::F32)
    }
}

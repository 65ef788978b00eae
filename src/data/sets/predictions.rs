//! What a net predicts for rows.

use crate::base::error::{Error, Result};
use crate::math::matrix::Matrix;

/// Predictions of some rows: probabilities of classes or labels, (rows, classes), or numbers in the
/// units of the targets, (rows, outputs).
#[derive(Debug, Clone, PartialEq)]
pub enum Predictions {
    /// Probabilities; and numbers if f32 is exact enough for the targets.
    F32(Matrix<f32>),
    /// Numbers for which f32 would be too inexact: see [`TargetScaling`](crate::data::TargetScaling).
    F64(Matrix<f64>),
}

impl Predictions {
    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Predictions::F32(m) => m.rows(),
            Predictions::F64(m) => m.rows(),
        }
    }

    /// The number of columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        match self {
            Predictions::F32(m) => m.cols(),
            Predictions::F64(m) => m.cols(),
        }
    }

    /// The value at (row, col).
    #[must_use]
    pub fn value(&self, row: usize, col: usize) -> f64 {
        match self {
            Predictions::F32(m) => m.row(row)[col].into(),
            Predictions::F64(m) => m.row(row)[col],
        }
    }

    /// Predictions in f32, always the case for probabilities.
    ///
    /// # Errors
    /// When they are numbers in f64.
    pub fn as_f32(&self) -> Result<&Matrix<f32>> {
        match self {
            Predictions::F32(m) => Ok(m),
            Predictions::F64(_) => Err(Error::usage("these predictions are f64")),
        }
    }

    /// Appends the rows of `more`, which must have the same number of columns, if there are rows already.
    ///
    /// # Errors
    /// When the numbers of columns differ.
    pub fn append(&mut self, more: Predictions) -> Result<()> {
        if self.rows() == 0 {
            *self = more;
            return Ok(());
        }
        let rows = self.rows() + more.rows();
        let joined = match (std::mem::replace(self, Predictions::none(0)), more) {
            (Predictions::F32(all), Predictions::F32(more)) => {
                let cols = all.cols();
                let mut values = all.into_data();
                values.extend_from_slice(more.data());
                Predictions::F32(Matrix::new(rows, cols, values)?)
            }
            (all, more) => {
                let cols = all.cols();
                let mut values = all.into_f64().into_data();
                values.extend(more.into_f64().into_data());
                Predictions::F64(Matrix::new(rows, cols, values)?)
            }
        };
        *self = joined;
        Ok(())
    }

    /// Predictions without rows, with `cols` columns.
    #[must_use]
    pub fn none(cols: usize) -> Self {
        Predictions::F32(Matrix::from_fn(0, cols, |_, _| 0.0))
    }

    /// These rows, in that order.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        match self {
            Predictions::F32(m) => Predictions::F32(m.select_rows(rows)),
            Predictions::F64(m) => Predictions::F64(m.select_rows(rows)),
        }
    }

    /// Clamps the first columns to their smallest and largest value; NaN stays.
    pub(crate) fn bound(&mut self, bounds: &[[f64; 2]]) {
        fn clamp<T: Copy + PartialOrd>(m: &mut Matrix<T>, bounds: &[[T; 2]]) {
            let cols = m.cols().max(1);
            for row in m.data_mut().chunks_exact_mut(cols) {
                for (x, &[least, most]) in row.iter_mut().zip(bounds) {
                    *x = if *x < least {
                        least
                    } else if *x > most {
                        most
                    } else {
                        *x
                    };
                }
            }
        }
        match self {
            Predictions::F32(m) => {
                let bounds: Vec<_> = bounds.iter().map(|b| b.map(|x| x as f32)).collect();
                clamp(m, &bounds);
            }
            Predictions::F64(m) => clamp(m, bounds),
        }
    }

    fn into_f64(self) -> Matrix<f64> {
        match self {
            Predictions::F32(m) => m.map(|&x| x.into()),
            Predictions::F64(m) => m,
        }
    }
}

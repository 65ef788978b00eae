//! The scaling of columns, and the linear form of a fitted scaling.

use crate::base::error::serde_as_text;
use crate::base::names::names;
use crate::math::matrix::Matrix;
use serde::{Deserialize, Serialize};

/// The scaling of the columns for the net: the same for tables and matrices,
/// fitted only to the training rows. A constant column is only shifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scaling {
    /// To mean 0 and standard deviation 1, column by column.
    Standard,
    /// To the range 0…1, column by column; all pixels of an image equally.
    Minmax,
    /// To median 0 and interquartile range 1, column by column: outliers have little influence. If half of
    /// the values are equal and the range is 0, to standard deviation 1.
    Robust,
    /// The quantile transform to a standard normal distribution, column by column: neither the shape of the
    /// distribution nor outliers have an influence.
    Quantile,
    /// Not at all.
    None,
}

names!(Scaling, "scaling": Standard "standard", Minmax "minmax", Robust "robust", Quantile "quantile", None "none");

/// A fitted scaling, x′ = (x − shift) · scale for each column.
///
/// A difference, then a product: no compiler can contract them to a single rounding, so every device
/// gives the same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// The numbers that are subtracted: (columns).
    pub shift: Vec<f32>,
    /// The factors: (columns).
    pub scale: Vec<f32>,
}

impl Affine {
    /// The scaling that changes nothing.
    #[must_use]
    pub fn identity(cols: usize) -> Self {
        Affine { shift: vec![0.0; cols], scale: vec![1.0; cols] }
    }

    /// The number of columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.shift.len()
    }

    /// Whether the last `count` columns are unchanged.
    #[must_use]
    pub fn keeps_last(&self, count: usize) -> bool {
        let pairs = self.shift.iter().zip(&self.scale).rev().take(count);
        pairs.into_iter().all(|pair| pair == (&0.0, &1.0))
    }

    /// Scales a matrix with these columns.
    #[must_use]
    pub fn apply(&self, m: &Matrix<f32>) -> Matrix<f32> {
        Matrix::from_fn(m.rows(), m.cols(), |r, c| (m.row(r)[c] - self.shift[c]) * self.scale[c])
    }

    /// Undoes [`Affine::apply`] on one row of values, in place.
    pub fn undo(&self, row: &mut [f32]) {
        for ((x, shift), scale) in row.iter_mut().zip(&self.shift).zip(&self.scale) {
            *x = *x / scale + shift;
        }
    }
}

serde_as_text!(Scaling);

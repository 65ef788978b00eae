//! Scaling of columns, fitted on the training rows only.

use super::Features;
use crate::error::{Error, Result, serde_as_text, unknown};
use crate::matrix::Matrix;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How the columns are scaled before they enter the net.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// To mean 0 and standard deviation 1, column by column.
    Standard,
    /// To the range 0…1, column by column; the pixels of an image all alike.
    Minmax,
    /// To median 0 and interquartile range 1, column by column: outliers count for little.
    Robust,
    /// To a normal distribution by rank, column by column: neither the shape nor outliers count.
    Quantile,
    /// Not at all.
    None,
}

impl Scaling {
    /// Every scaling once.
    pub const ALL: [Scaling; 5] =
        [Scaling::Standard, Scaling::Minmax, Scaling::Robust, Scaling::Quantile, Scaling::None];

    /// The name used in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scaling::Standard => "standard",
            Scaling::Minmax => "minmax",
            Scaling::Robust => "robust",
            Scaling::Quantile => "quantile",
            Scaling::None => "none",
        }
    }

    /// Fits the scaling of each column of `features`; `together` scales all columns alike.
    ///
    /// [`Scaling::Quantile`] has no linear form: for it, the columns are fitted as for
    /// [`Scaling::Robust`].
    #[must_use]
    pub fn fit(self, features: &Features, together: bool) -> Affine {
        if matches!(self, Scaling::Robust | Scaling::Quantile) {
            return robust(features);
        }
        let (rows, cols) = (features.rows(), features.cols());
        let groups = if together { 1 } else { cols };
        let mut moments = vec![Moments::default(); groups];
        for row in 0..rows {
            for col in 0..cols {
                moments[col % groups].add(features.value(row, col).into());
            }
        }
        let fitted: Vec<(f64, f64)> = moments.iter().map(|m| self.shift_and_scale(m)).collect();
        let column = |c: usize| fitted[c % groups];
        Affine {
            shift: (0..cols).map(|c| column(c).0 as f32).collect(),
            scale: (0..cols).map(|c| column(c).1 as f32).collect(),
        }
    }

    /// Shift and scale from a column's moments; a constant column is only shifted.
    fn shift_and_scale(self, m: &Moments) -> (f64, f64) {
        let (shift, spread) = match self {
            Scaling::Standard => (m.mean, (m.squares / m.count.max(1.0)).sqrt()),
            Scaling::Minmax => (m.min, m.max - m.min),
            Scaling::Robust | Scaling::Quantile | Scaling::None => (0.0, 1.0),
        };
        (shift, if spread > 0.0 { 1.0 / spread } else { 1.0 })
    }
}

/// The median and the interquartile range of each column.
fn robust(features: &Features) -> Affine {
    let (mut shifts, mut scales) = (Vec::new(), Vec::new());
    for col in 0..features.cols() {
        let mut values: Vec<f32> = (0..features.rows()).map(|r| features.value(r, col)).collect();
        values.sort_unstable_by(f32::total_cmp);
        let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
        let spread = at(0.75) - at(0.25);
        shifts.push(at(0.5));
        scales.push(if spread > 0.0 { 1.0 / spread } else { 1.0 });
    }
    Affine { shift: shifts, scale: scales }
}

/// Count, mean and sum of squared deviations in one pass (Welford 1962), and the range.
#[derive(Debug, Clone)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Moments { count: 0.0, mean: 0.0, squares: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Moments {
    fn add(&mut self, x: f64) {
        self.count += 1.0;
        let deviation = x - self.mean;
        self.mean += deviation / self.count;
        self.squares += deviation * (x - self.mean);
        self.min = self.min.min(x);
        self.max = self.max.max(x);
    }
}

/// A fitted scaling, x′ = (x − shift) · scale for each column.
///
/// A difference, then a product: no compiler can contract it into one rounding, so every device
/// gives the same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// What is subtracted: (columns).
    pub shift: Vec<f32>,
    /// What is multiplied by: (columns).
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

    /// Whether the last `count` columns stay as they are.
    #[must_use]
    pub fn keeps_last(&self, count: usize) -> bool {
        let pairs = self.shift.iter().zip(&self.scale).rev().take(count);
        pairs.into_iter().all(|pair| pair == (&0.0, &1.0))
    }

    /// Scales a matrix whose columns are these.
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

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scaling {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|s| s.name() == name)
            .ok_or_else(|| unknown("scaling", name, &Self::ALL.map(Self::name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_scaling_gives_mean_zero_and_deviation_one_and_can_be_undone() {
        let m = Matrix::new(4, 2, vec![1.0, 5.0, 2.0, 5.0, 3.0, 5.0, 6.0, 5.0]).unwrap();
        let affine = Scaling::Standard.fit(&Features::F32(m.clone()), false);
        let scaled = affine.apply(&m);
        let column: Vec<f32> = scaled.iter_rows().map(|r| r[0]).collect();
        assert!(column.iter().sum::<f32>().abs() < 1e-6);
        assert!((column.iter().map(|x| x * x).sum::<f32>() / 4.0 - 1.0).abs() < 1e-6);
        assert!(scaled.iter_rows().all(|r| r[1] == 0.0), "a constant column is only shifted");
        let mut row = scaled.row(3).to_vec();
        affine.undo(&mut row);
        assert!((row[0] - 6.0).abs() < 1e-6 && row[1] == 5.0);
    }

    #[test]
    fn pixels_are_scaled_together() {
        let m = Matrix::new(2, 2, vec![0u8, 100, 50, 200]).unwrap();
        let affine = Scaling::Minmax.fit(&Features::U8(m), true);
        assert_eq!(affine.shift, [0.0, 0.0]);
        assert_eq!(affine.scale, [1.0 / 200.0; 2]);
    }
}

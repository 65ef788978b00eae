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
        let cols = features.cols();
        // By column: what is subtracted, and what is divided by.
        let fitted: Vec<(f64, f64)> = match self {
            Scaling::None => return Affine::identity(cols),
            Scaling::Robust | Scaling::Quantile => return robust(features),
            Scaling::Minmax => {
                let mut ranges = ranges(features);
                if together {
                    let all = ranges.iter().fold(EMPTY, |a, b| [a[0].min(b[0]), a[1].max(b[1])]);
                    ranges.fill(all);
                }
                let fit =
                    |[least, most]: [f32; 2]| (least.into(), f64::from(most) - f64::from(least));
                ranges.into_iter().map(fit).collect()
            }
            Scaling::Standard => {
                let groups = if together { 1 } else { cols };
                let mut moments = vec![Moments::default(); groups];
                for row in 0..features.rows() {
                    for col in 0..cols {
                        moments[col % groups].add(features.value(row, col).into());
                    }
                }
                (0..cols).map(|col| moments[col % groups].mean_and_deviation()).collect()
            }
        };
        // A constant column is only shifted.
        let scale = |spread: f64| if spread > 0.0 { 1.0 / spread } else { 1.0 };
        Affine {
            shift: fitted.iter().map(|(shift, _)| *shift as f32).collect(),
            scale: fitted.iter().map(|(_, spread)| scale(*spread) as f32).collect(),
        }
    }
}

/// The range of no numbers.
const EMPTY: [f32; 2] = [f32::INFINITY, f32::NEG_INFINITY];

/// The least and the largest value of each column.
fn ranges(features: &Features) -> Vec<[f32; 2]> {
    fn widen<T: Copy + PartialOrd>(rows: &Matrix<T>, least: &mut [T], most: &mut [T]) {
        for row in rows.iter_rows() {
            for ((&x, least), most) in row.iter().zip(&mut *least).zip(&mut *most) {
                *least = if x < *least { x } else { *least };
                *most = if x > *most { x } else { *most };
            }
        }
    }
    let cols = features.cols();
    match features {
        // Of no rows at all bytes have no empty range.
        Features::U8(m) if m.rows() > 0 => {
            let (mut least, mut most) = (vec![u8::MAX; cols], vec![0; cols]);
            widen(m, &mut least, &mut most);
            least.into_iter().zip(most).map(|(a, b)| [a.into(), b.into()]).collect()
        }
        Features::U8(_) => vec![EMPTY; cols],
        Features::F32(m) => {
            let (mut least, mut most) = (vec![EMPTY[0]; cols], vec![EMPTY[1]; cols]);
            widen(m, &mut least, &mut most);
            least.into_iter().zip(most).map(|(a, b)| [a, b]).collect()
        }
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

/// Count, mean and sum of squared deviations in one pass (Welford 1962).
#[derive(Debug, Clone, Default)]
pub(super) struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    pub(super) fn add(&mut self, x: f64) {
        self.count += 1.0;
        let deviation = x - self.mean;
        self.mean += deviation / self.count;
        self.squares += deviation * (x - self.mean);
    }

    pub(super) fn mean_and_deviation(&self) -> (f64, f64) {
        (self.mean, (self.squares / self.count.max(1.0)).sqrt())
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
    fn ranges_are_those_of_bytes_and_floats_alike_by_column_or_together() {
        let bytes = vec![3u8, 200, 7, 90, 5, 255];
        let floats = bytes.iter().map(|&b| f32::from(b)).collect();
        let features = [
            Features::U8(Matrix::new(3, 2, bytes).unwrap()),
            Features::F32(Matrix::new(3, 2, floats).unwrap()),
        ];
        for features in &features {
            let each = Scaling::Minmax.fit(features, false);
            assert_eq!((each.shift, each.scale), (vec![3.0, 90.0], vec![0.25, 1.0 / 165.0]));
            let all = Scaling::Minmax.fit(features, true);
            assert_eq!((all.shift, all.scale), (vec![3.0; 2], vec![1.0 / 252.0; 2]));
        }
    }

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

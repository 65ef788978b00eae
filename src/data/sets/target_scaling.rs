//! The scaling of numeric targets, which are f64 until they are centered and scaled.

use super::matrix_scaling::Moments;
use crate::base::error::{Error, Result};
use crate::data::{Affine, Features, Predictions, Scaling};
use crate::math::matrix::Matrix;
use serde::{Deserialize, Serialize};

/// For targets at most this many standard deviations away from 0, f32 has a resolution of 2⁻¹⁴ standard
/// deviations or better.
const LARGEST_RATIO: f64 = 1024.0;
/// Beyond these magnitudes, scales, errors or their squares are out of the range of f32.
const SINGLE: std::ops::RangeInclusive<f64> = 1e-15..=1e15;
/// Beyond these magnitudes, sums of squared errors are out of the range of f64.
pub(in crate::data) const DOUBLE: std::ops::RangeInclusive<f64> = 1e-150..=1e150;

/// A fitted scaling of numeric targets, x′ = (x − shift) · scale for each column, of which x′ is f32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetScaling {
    /// Computed in f32: the targets are exact enough in it.
    Single(Affine),
    /// Computed in f64: the targets vary little relative to their size, such as times in seconds, or are
    /// beyond the range of f32.
    Double(DoubleAffine),
}

/// A scaling in f64; its field names distinguish it from one in f32 in a model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoubleAffine {
    /// The numbers that are subtracted: (columns).
    pub shift_f64: Vec<f64>,
    /// The factors: (columns).
    pub scale_f64: Vec<f64>,
}

impl TargetScaling {
    /// The scaling that only rounds to f32.
    #[must_use]
    pub fn identity(cols: usize) -> Self {
        TargetScaling::Single(Affine::identity(cols))
    }

    /// Standardizes each column of `targets`, (rows, columns).
    #[must_use]
    pub fn fit(targets: &Matrix<f64>) -> Self {
        if is_exact_enough(targets) {
            let single = targets.map(|&x| x as f32);
            return TargetScaling::Single(Scaling::Standard.fit(&Features::F32(single), false));
        }
        let (shift_f64, scale_f64) = (0..targets.cols())
            .map(|c| {
                let (mean, deviation) = column_moments(targets, c).mean_and_deviation();
                (mean, if deviation > 0.0 { 1.0 / deviation } else { 1.0 })
            })
            .unzip();
        TargetScaling::Double(DoubleAffine { shift_f64, scale_f64 })
    }

    /// The number of columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        match self {
            TargetScaling::Single(affine) => affine.cols(),
            TargetScaling::Double(affine) => affine.shift_f64.len(),
        }
    }

    /// Whether there is a scale for each shift.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        match self {
            TargetScaling::Single(a) => a.shift.len() == a.scale.len(),
            TargetScaling::Double(a) => a.shift_f64.len() == a.scale_f64.len(),
        }
    }

    /// Scales targets, (rows, columns), to values that f32 holds; `first` rows precede them.
    ///
    /// # Errors
    /// For a target that f32 can't hold after scaling, with its row.
    pub fn apply(&self, targets: &Matrix<f64>, first: usize) -> Result<Matrix<f64>> {
        let cols = targets.cols();
        let of = |r: usize, c: usize| {
            let x = targets.row(r)[c];
            match self {
                TargetScaling::Single(a) => (x as f32 - a.shift[c]) * a.scale[c],
                TargetScaling::Double(a) => ((x - a.shift_f64[c]) * a.scale_f64[c]) as f32,
            }
        };
        let scaled = Matrix::from_fn(targets.rows(), cols, |r, c| f64::from(of(r, c)));
        match scaled.data().iter().position(|x| !x.is_finite()) {
            None => Ok(scaled),
            Some(i) => Err(Error::data(format!(
                "the target {:e} overflows f32 after scaling",
                targets.data()[i]
            ))
            .at(format!("row {}, target {}", first + i / cols + 1, i % cols + 1))
            .help("correct it if it is wrong; otherwise scale the targets with --scaling standard, or give them in another unit")),
        }
    }

    /// Undoes [`TargetScaling::apply`] on a net's outputs, (rows, columns), or (rows, 2 · columns) where
    /// means are followed by deviations, which are scaled but not shifted.
    #[must_use]
    pub fn undo(&self, mut outputs: Matrix<f32>) -> Predictions {
        let cols = outputs.cols();
        match self {
            TargetScaling::Single(affine) => {
                for row in outputs.data_mut().chunks_exact_mut(cols) {
                    let (values, deviations) = row.split_at_mut(affine.cols());
                    affine.undo(values);
                    deviations.iter_mut().zip(&affine.scale).for_each(|(d, scale)| *d /= scale);
                }
                Predictions::F32(outputs)
            }
            TargetScaling::Double(DoubleAffine { shift_f64, scale_f64 }) => {
                let targets = shift_f64.len();
                Predictions::F64(Matrix::from_fn(outputs.rows(), cols, |r, c| {
                    let y = outputs.row(r)[c];
                    match c.checked_sub(targets) {
                        None => f64::from(y) / scale_f64[c] + shift_f64[c],
                        // A deviation that underflows f32 is replaced by its smallest number.
                        Some(c) => f64::from(y.max(f32::MIN_POSITIVE)) / scale_f64[c],
                    }
                }))
            }
        }
    }

    /// The factor that converts an error of a scaled target in a column to the target's unit.
    #[must_use]
    pub fn unit(&self, column: usize) -> f64 {
        match self {
            TargetScaling::Single(a) => 1.0 / f64::from(a.scale[column]),
            TargetScaling::Double(a) => 1.0 / a.scale_f64[column],
        }
    }

    /// The factors that convert errors of scaled targets to the units of the targets: one
    /// for each column, which f32 holds, and one for all of them.
    #[must_use]
    pub fn units(&self) -> (Vec<f32>, f64) {
        match self {
            TargetScaling::Single(a) => (a.scale.iter().map(|scale| 1.0 / scale).collect(), 1.0),
            TargetScaling::Double(a) => {
                let largest = a.scale_f64.iter().map(|scale| 1.0 / scale).fold(0.0, f64::max);
                let unit = |scale: &f64| (1.0 / scale / largest) as f32;
                (a.scale_f64.iter().map(unit).collect(), largest)
            }
        }
    }
}

/// The moments of a column.
fn column_moments(targets: &Matrix<f64>, c: usize) -> Moments {
    let mut moments = Moments::default();
    targets.iter_rows().for_each(|row| moments.add(row[c]));
    moments
}

/// Whether f32 is exact enough for the targets and their scaling.
#[must_use]
pub fn is_exact_enough(targets: &Matrix<f64>) -> bool {
    (0..targets.cols()).all(|c| {
        let size = targets.iter_rows().fold(0.0, |size: f64, row| size.max(row[c].abs()));
        let (_, deviation) = column_moments(targets, c).mean_and_deviation();
        match deviation > 0.0 {
            true => {
                SINGLE.contains(&size)
                    && SINGLE.contains(&deviation)
                    && size <= LARGEST_RATIO * deviation
            }
            // A column that doesn't vary is only shifted.
            false => size == 0.0 || SINGLE.contains(&size),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[f64]) -> Matrix<f64> {
        Matrix::new(values.len(), 1, values.to_vec()).unwrap()
    }

    #[test]
    fn targets_that_f32_holds_are_scaled_as_features_are() {
        let targets = column(&[0.1, 2.7, -3.3, 1e3]);
        let single = targets.map(|&x| x as f32);
        let affine = Scaling::Standard.fit(&Features::F32(single.clone()), false);
        let scaling = TargetScaling::fit(&targets);
        assert_eq!(scaling, TargetScaling::Single(affine.clone()));
        let scaled = scaling.apply(&targets, 0).unwrap();
        assert_eq!(scaled, affine.apply(&single).map(|&x| f64::from(x)));
        let text = serde_json::to_string(&scaling).unwrap();
        assert_eq!(text, serde_json::to_string(&affine).unwrap(), "as in files of before");
    }

    #[test]
    fn targets_far_from_zero_and_beyond_f32_come_back() {
        for (offset, unit) in [(1.7e9, 1.0), (1e9, 1.0), (0.0, 1e60), (0.0, 1e-60), (-3e40, 1e35)] {
            let values: Vec<f64> = (0..50).map(|i| offset + unit * f64::from(i % 7)).collect();
            let scaling = TargetScaling::fit(&column(&values));
            assert!(matches!(scaling, TargetScaling::Double(_)), "{offset} {unit}");
            let scaled = scaling.apply(&column(&values), 0).unwrap();
            let n = values.len() as f64;
            let mean = scaled.data().iter().sum::<f64>() / n;
            let squares = scaled.data().iter().map(|x| x * x).sum::<f64>() / n;
            assert!(mean.abs() < 1e-6 && (squares - 1.0).abs() < 1e-6, "{mean} {squares}");
            let Predictions::F64(back) = scaling.undo(scaled.map(|&x| x as f32)) else {
                panic!("f64")
            };
            for (x, y) in values.iter().zip(back.data()) {
                assert!((x - y).abs() <= 1e-6 * unit, "{x} {y}");
            }
            let text = serde_json::to_string(&scaling).unwrap();
            assert_eq!(serde_json::from_str::<TargetScaling>(&text).unwrap(), scaling);
        }
    }

    #[test]
    fn units_of_several_targets_fit_into_f32_beside_their_largest() {
        let targets = Matrix::from_fn(9, 2, |r, c| r as f64 * [1e60, 1e50][c]);
        let (units, largest) = TargetScaling::fit(&targets).units();
        let deviation = 60f64.sqrt() / 3.0;
        assert!((largest / (deviation * 1e60) - 1.0).abs() < 1e-12);
        assert_eq!(units[0], 1.0);
        assert!((units[1] / 1e-10 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_target_that_overflows_when_scaled_is_named_with_its_row() {
        let scaling = TargetScaling::fit(&column(&[1.0, 2.0, 3.0]));
        let error = scaling.apply(&column(&[1.0, 1e60]), 10).unwrap_err().to_string();
        assert!(error.contains("1e60 overflows f32") && error.contains("row 12"), "{error}");
    }
}

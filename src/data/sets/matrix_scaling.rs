//! Scaling of the columns of a matrix, with the same meaning as for the columns of a table:
//! see [`NumberEncoder`].

use crate::base::error::Result;
use crate::base::pages::zeros;
use crate::base::parallel::*;
use crate::data::columns::frame::Values;
use crate::data::encode::{NumberEncoder, Scaler};
use crate::data::{Affine, Features, Scaling};
use crate::math::matrix::Matrix;

/// The smallest chunk of rows that a thread transforms.
const ROWS: usize = 64;

impl Scaling {
    /// Fits the linear part of the scaling of each column of `features`, which is the identity for the
    /// quantile transform: see [`Scaling::quantiles`]. `together` scales all columns equally.
    #[must_use]
    pub(in crate::data) fn fit(self, features: &Features, together: bool) -> Affine {
        let cols = features.cols();
        // For each column: the shift and the divisor.
        let fitted: Vec<(f64, f64)> = match self {
            Scaling::None | Scaling::Quantile => return Affine::identity(cols),
            Scaling::Robust => return robust(features),
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

    /// Fits the quantile transform of each column, if this is that scaling.
    #[must_use]
    pub(in crate::data) fn quantiles(self, features: &Features) -> Option<Vec<Scaler>> {
        (self == Scaling::Quantile).then(|| by_column(self, features))
    }
}

/// Fits a scaling to each column like to one of a table.
fn by_column(scaling: Scaling, features: &Features) -> Vec<Scaler> {
    let rows: Vec<usize> = (0..features.rows()).collect();
    let fit = |col| {
        let values = rows.iter().map(|&row| features.value(row, col).into()).collect();
        NumberEncoder::fit(&Values::Numbers(values), &rows, scaling, false).scaler
    };
    (0..features.cols()).into_par_iter().map(fit).collect()
}

fn robust(features: &Features) -> Affine {
    let linear = by_column(Scaling::Robust, features).into_iter().map(|scaler| match scaler {
        Scaler::Linear { shift, scale } => (shift as f32, scale as f32),
        Scaler::Quantile { .. } => unreachable!("robust scaling is linear"),
    });
    let (shift, scale) = linear.unzip();
    Affine { shift, scale }
}

/// The features with each column transformed to a normal distribution by its quantiles: (rows, columns).
///
/// # Errors
/// When the number of columns differs.
pub(in crate::data) fn transform(features: &Features, quantiles: &[Scaler]) -> Result<Features> {
    let cols = quantiles.len();
    let mut all: Vec<f32> = zeros(features.rows() * cols);
    // Each of the 256 byte values is transformed once.
    let of_bytes: Vec<f32> = match features {
        Features::U8(_) => quantiles
            .par_iter()
            .flat_map_iter(|scaler| (0..=u8::MAX).map(|byte| scaler.apply(byte.into()) as f32))
            .collect(),
        Features::F32(_) => Vec::new(),
    };
    all.par_chunks_mut(cols.max(1)).enumerate().with_min_len(ROWS).for_each(|(row, out)| {
        let pairs = out.iter_mut().enumerate();
        match features {
            Features::U8(m) => {
                let bytes = m.row(row);
                pairs.for_each(|(col, x)| *x = of_bytes[col * 256 + usize::from(bytes[col])]);
            }
            Features::F32(m) => {
                let numbers = m.row(row);
                pairs.for_each(|(col, x)| *x = quantiles[col].apply(numbers[col].into()) as f32);
            }
        }
    });
    Ok(Features::F32(Matrix::new(features.rows(), cols, all)?))
}

/// The range of an empty set of numbers.
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
        // Without rows, bytes would have no empty range.
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

/// Count, mean and sum of squared deviations in one pass (Welford 1962).
#[derive(Debug, Clone, Default)]
pub(in crate::data) struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    pub(in crate::data) fn add(&mut self, x: f64) {
        self.count += 1.0;
        let deviation = x - self.mean;
        self.mean += deviation / self.count;
        self.squares += deviation * (x - self.mean);
    }

    pub(super) fn mean_and_deviation(&self) -> (f64, f64) {
        (self.mean, (self.squares / self.count.max(1.0)).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::columns::frame::Header;
    use crate::data::tables::fitting::Fitting;
    use crate::data::{
        ColumnOptions, Data, DataOptions, Dataset, Frame, Preprocessing, Table, Targets, Task,
    };
    use std::sync::Arc;

    /// Numbers with a long tail, as many digits as f32 holds, of which a column is mostly zeros.
    fn numbers() -> Matrix<f32> {
        Matrix::from_fn(500, 3, |r, c| match c {
            0 => ((r * 7919 % 500) as f32 / 100.0).exp(),
            1 => {
                if r % 5 == 0 {
                    r as f32
                } else {
                    0.0
                }
            }
            _ => 7.0,
        })
    }

    /// What a net is given of the columns of a table, by preprocessing of it.
    fn as_table(m: &Matrix<f32>, scaling: Scaling) -> Matrix<f32> {
        let column =
            |c: usize| Some(Values::Numbers(m.iter_rows().map(|row| row[c].into()).collect()));
        let target = Some(Values::Numbers((0..m.rows()).map(|r| r as f64 / 2.0).collect()));
        let frame = Frame {
            header: Arc::new(Header::numbered(m.cols() + 1)),
            columns: (0..m.cols()).map(column).chain([target]).collect(),
            rows: m.rows(),
            ..Frame::default()
        };
        let numeric = (1..=m.cols()).map(|n| n.to_string()).collect();
        let columns = ColumnOptions { numeric, ..ColumnOptions::default() };
        let options = DataOptions { columns, task: Task::Regression, ..DataOptions::default() };
        let table = Table::new("t".into(), frame, &options).unwrap();
        let (data, rows) = (Data::Table(Box::new(table)), (0..m.rows()).collect::<Vec<_>>());
        let fitted = Preprocessing::fit_rows(&data, &rows, &Fitting::new(scaling)).unwrap();
        match fitted.dataset(&data, &rows).unwrap().features() {
            Features::F32(m) => m.clone(),
            Features::U8(_) => panic!("scaled numbers"),
        }
    }

    /// What a net is given of a matrix.
    fn as_matrix(features: Features, scaling: Scaling) -> Matrix<f32> {
        let targets = Targets::Numbers(Matrix::from_fn(features.rows(), 1, |r, _| r as f64));
        let data = Dataset::new("m", features, targets).unwrap();
        let samples = Preprocessing::fit(&data, scaling).samples(&data).unwrap();
        let (rows, cols) = (samples.rows(), samples.features.cols());
        samples.affine.apply(&Matrix::from_fn(rows, cols, |r, c| samples.features.value(r, c)))
    }

    #[test]
    fn every_scaling_of_a_matrix_is_that_of_a_table_with_the_same_columns() {
        let m = numbers();
        for scaling in Scaling::ALL {
            let (table, matrix) =
                (as_table(&m, scaling), as_matrix(Features::F32(m.clone()), scaling));
            assert_eq!((table.rows(), table.cols()), (matrix.rows(), matrix.cols()));
            for (a, b) in table.data().iter().zip(matrix.data()) {
                assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{scaling}: {a} and {b}");
            }
        }
        let bytes = Matrix::from_fn(300, 2, |r, c| ((r * r + 3 * c) % 256) as u8);
        let same = Matrix::from_fn(300, 2, |r, c| f32::from(bytes.row(r)[c]));
        for scaling in Scaling::ALL {
            let found = as_matrix(Features::U8(bytes.clone()), scaling);
            assert_eq!(found, as_matrix(Features::F32(same.clone()), scaling), "{scaling}");
        }
    }

    /// scikit-learn's `RobustScaler` on these columns: medians 3.5 and 0, interquartile ranges 4 and
    /// 1.5, and a column of which half is equal, which is divided by its standard deviation.
    #[test]
    fn robust_scaling_takes_median_and_interquartile_range() {
        let rows = vec![
            1.0, 0.0, 2.0, 2.0, 0.0, 2.0, 3.0, 0.0, 2.0, 4.0, 0.0, 2.0, 7.0, 2.0, 2.0, 100.0, 4.0,
            8.0,
        ];
        let fitted = Scaling::Robust.fit(&Features::F32(Matrix::new(6, 3, rows).unwrap()), false);
        assert_eq!(fitted.shift, [3.5, 0.0, 2.0]);
        assert_eq!(fitted.scale[..2], [1.0 / 4.0, 1.0 / 1.5]);
        assert!((fitted.scale[2] - 1.0 / 5f32.sqrt()).abs() < 1e-6, "{}", fitted.scale[2]);
    }

    #[test]
    fn the_quantile_transform_of_a_matrix_gives_a_normal_distribution() {
        let m = as_matrix(Features::F32(numbers()), Scaling::Quantile);
        let mut column: Vec<f32> = m.iter_rows().map(|row| row[0]).collect();
        column.sort_unstable_by(f32::total_cmp);
        // Φ⁻¹ of a quarter and of 97.5%, by tables.
        for (share, expected) in [(0.25, -0.674_49), (0.5, 0.0), (0.975, 1.959_96)] {
            let found = column[(share * 499.0) as usize];
            assert!((found - expected).abs() < 0.02, "{share}: {found}");
        }
        assert!(m.iter_rows().all(|row| row[2] == 0.0), "a constant column is only shifted");
    }

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

//! The link: from the outputs of a net to its predictions.

use super::rows::shifted_exp;
use super::sum;
use crate::math::activation::sigmoid;
use crate::math::matrix::Matrix;
use crate::math::vector::Vector;

/// The function that turns outputs into predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The outputs as they are.
    Identity,
    /// Row-wise softmax: logits into probabilities of classes.
    Softmax,
    /// Logits into independent probabilities.
    Sigmoid,
    /// Softmax of several outputs, sigmoid of one. The hinge loss defines no probabilities: these only
    /// rank the classes, and are not calibrated.
    Margin,
    /// Logarithms into rates.
    Exp,
    /// The second half, logarithms of variances, into standard deviations; the first half, the
    /// means, as they are.
    Deviation,
}

impl Link {
    /// Turns one row of outputs into predictions, in place: (n_L).
    pub fn apply<T: Vector>(self, row: &mut [T]) {
        match self {
            Link::Identity => {}
            Link::Margin if row.len() == 1 => row[0] = sigmoid(row[0]),
            Link::Softmax | Link::Margin => softmax(row.len(), row),
            Link::Sigmoid => row.iter_mut().for_each(|y| *y = sigmoid(*y)),
            Link::Exp => row.iter_mut().for_each(|y| *y = y.exp()),
            Link::Deviation => {
                let means = row.len() / 2;
                row[means..].iter_mut().for_each(|s| *s = (T::of(0.5) * *s).exp());
            }
        }
    }

    /// Outputs whose predictions are the mean of the predictions of several nets, row by row: (N, n_L)
    /// each. The link of the result is the mean of their links; for normal distributions it has the
    /// mean and the variance of their mixture.
    ///
    /// Means of probabilities are computed as logarithms of sums of exponentials: no probability is rounded
    /// to 0 or 1.
    #[must_use]
    pub fn combine(self, nets: &[Matrix<f32>]) -> Matrix<f32> {
        let (rows, cols) = nets.first().map_or((0, 0), |net| (net.rows(), net.cols()));
        let mut combined = Vec::with_capacity(rows * cols);
        for r in 0..rows {
            let rows: Vec<Vec<f64>> =
                nets.iter().map(|net| net.row(r).iter().map(|&y| y.into()).collect()).collect();
            combined.extend(self.combine_row(&rows).into_iter().map(|y| y as f32));
        }
        Matrix::from_fn(rows, cols, |r, c| combined[r * cols + c])
    }

    /// [`Link::combine`] of one row: (nets, n_L).
    fn combine_row(self, nets: &[Vec<f64>]) -> Vec<f64> {
        let cols = nets.first().map_or(0, Vec::len);
        let mean = |of: &dyn Fn(&[f64]) -> f64| {
            nets.iter().map(|y| of(y)).sum::<f64>() / nets.len() as f64
        };
        // The logarithm of a mean of exponentials.
        let log_mean = |of: &dyn Fn(&[f64]) -> f64| {
            let all: Vec<f64> = nets.iter().map(|y| of(y)).collect();
            log_sum_exp(&all) - (nets.len() as f64).ln()
        };
        // ln sigmoid(y).
        let log_sigmoid = |y: f64| -(log_sum_exp(&[0.0, -y]));
        match self {
            Link::Identity => (0..cols).map(|c| mean(&|y| y[c])).collect(),
            Link::Softmax | Link::Margin if cols > 1 => {
                (0..cols).map(|c| log_mean(&|y| y[c] - log_sum_exp(y))).collect()
            }
            Link::Softmax | Link::Sigmoid | Link::Margin => (0..cols)
                .map(|c| log_mean(&|y| log_sigmoid(y[c])) - log_mean(&|y| log_sigmoid(-y[c])))
                .collect(),
            Link::Exp => (0..cols).map(|c| log_mean(&|y| y[c])).collect(),
            Link::Deviation => {
                let half = cols / 2;
                let means: Vec<f64> = (0..half).map(|c| mean(&|y| y[c])).collect();
                let variance = |c: usize| mean(&|y| y[half + c].exp() + (y[c] - means[c]).powi(2));
                let variances: Vec<f64> = (0..half).map(|c| variance(c).ln()).collect();
                [means, variances].concat()
            }
        }
    }

    /// The threshold above which a single output is positive: its probability is then above one half.
    #[must_use]
    pub fn threshold(self) -> f32 {
        if matches!(self, Link::Sigmoid | Link::Margin) { 0.0 } else { 0.5 }
    }
}

/// y ← softmax(y) of rows of `cols` outputs, each shifted by its maximum: (rows, cols).
pub fn softmax<T: Vector>(cols: usize, y: &mut [T]) {
    shifted_exp(cols, y);
    for row in y.chunks_exact_mut(cols) {
        let total = sum([&*row], |[e]| e);
        row.iter_mut().for_each(|y| *y = *y / total);
    }
}

/// ln Σ eˣ.
pub(crate) fn log_sum_exp(x: &[f64]) -> f64 {
    let max = x.iter().fold(f64::NEG_INFINITY, |max, &x| if x <= max { max } else { x });
    match max.is_finite() {
        true => max + x.iter().map(|x| (x - max).exp()).sum::<f64>().ln(),
        false => max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outputs of three nets for a row of four.
    const NETS: [[f32; 4]; 3] =
        [[0.5, -1.0, 2.0, 0.25], [1.5, 0.25, -3.0, 1.0], [-0.5, 0.0, 0.75, -2.0]];

    fn combined(link: Link, nets: &[[f32; 4]]) -> Vec<f32> {
        let nets: Vec<_> = nets.iter().map(|y| Matrix::from_fn(1, 4, |_, c| y[c])).collect();
        let mut row = link.combine(&nets).into_data();
        link.apply(&mut row);
        row
    }

    #[test]
    fn combined_outputs_predict_the_mean_of_the_predictions() {
        for link in [Link::Identity, Link::Softmax, Link::Sigmoid, Link::Margin, Link::Exp] {
            let each = NETS.map(|mut y| {
                link.apply(&mut y);
                y
            });
            for (c, found) in combined(link, &NETS).into_iter().enumerate() {
                let mean = each.iter().map(|y| y[c]).sum::<f32>() / 3.0;
                assert!((found - mean).abs() < 1e-6, "{link:?}: {found}, not {mean}");
            }
        }
    }

    #[test]
    fn normal_distributions_are_mixed_with_mean_and_variance() {
        // By hand: means 0.5, 1.5, -0.5 and variances e², e⁻³, e^0.75 of the first target.
        let (mean, squares) = (0.5, (0.25 + 2.25 + 0.25) / 3.0);
        let variance = (2f64.exp() + (-3f64).exp() + 0.75f64.exp()) / 3.0 + squares - mean * mean;
        let found = combined(Link::Deviation, &NETS);
        assert!((f64::from(found[0]) - mean).abs() < 1e-6, "{found:?}");
        assert!((f64::from(found[2]) - variance.sqrt()).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn certain_nets_stay_certain() {
        let sure = [60.0, -60.0, 90.0, -90.0];
        let found = Link::Sigmoid.combine(&[Matrix::from_fn(1, 4, |_, c| sure[c])]);
        assert_eq!(found.data(), sure);
        let nan = Link::Softmax.combine(&[Matrix::from_fn(1, 2, |_, c| [f32::NAN, 1.0][c])]);
        assert!(nan.data().iter().all(|y| y.is_nan()), "{nan:?}");
    }
}

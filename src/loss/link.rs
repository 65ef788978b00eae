//! From the outputs of a net to what it predicts.

use super::rows::shifted_exp;
use super::sum;
use crate::activation::sigmoid;
use crate::vector::Vector;

/// What turns outputs into predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The outputs as they are.
    Identity,
    /// Row-wise softmax: logits into probabilities of classes.
    Softmax,
    /// Logits into independent probabilities.
    Sigmoid,
    /// Softmax of several outputs, sigmoid of one. The hinge loss knows no probabilities: these name
    /// the class with the largest output, and are not calibrated.
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

    /// Above this, a single output says yes: where its probability is one half.
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

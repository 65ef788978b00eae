//! The loss and scores of a batch's rows, in loops that are compiled for the
//! vectors of this processor ([`Vector::score`]).

use super::{Loss, index_of_max, sum};
use crate::math::vector::Vector;

/// The scores of each row: its loss, whether the prediction is right, and in the units of
/// the targets Σ d² and Σ |d|.
pub const SCORES: usize = 4;

/// How a step changes targets before the loss, and scales gradients after it.
#[derive(Debug, Clone, Copy)]
pub struct Scale<T> {
    /// ε of [`Loss::smooth`].
    pub smoothing: T,
    /// The factor on gradients.
    pub gradient: T,
}

/// Computes scores and gradients of rows whose gradients hold the result of [`Loss::prepare`]; y, gradient:
/// (rows, n_L), t: (rows, targets), unit: (targets), scores: (rows, 4).
#[inline(always)]
pub fn score<T: Vector>(
    loss: Loss,
    scale: Scale<T>,
    [y, t, unit]: [&[T]; 3],
    gradient: &mut [T],
    scores: &mut [T],
) {
    let (targets, outputs) = (unit.len(), loss.outputs(unit.len()));
    let rows = y.chunks_exact(outputs).zip(t.chunks_exact(targets));
    let results = gradient.chunks_exact_mut(outputs).zip(scores.chunks_exact_mut(SCORES));
    for ((y, t), (gradient, scores)) in rows.zip(results) {
        scores[0] = if scale.smoothing == T::zero() {
            loss.prepared_row(y, t, scale.gradient, gradient)
        } else {
            let mut smooth = t.to_vec();
            loss.smooth(scale.smoothing, &mut smooth);
            loss.prepared_row(y, &smooth, scale.gradient, gradient)
        };
        let right = if y.len() == 1 {
            (y[0] > T::of(loss.link().threshold().into())) == (t[0] > T::of(0.5))
        } else {
            index_of_max(&y[..t.len()]) == index_of_max(t)
        };
        let predicted = loss.predicted_numbers(y);
        let predicted = predicted.as_deref().unwrap_or(y);
        let rows = [&predicted[..t.len()], t, unit];
        scores[1] = if right { T::one() } else { T::zero() };
        scores[2] = sum(rows, |[y, t, unit]| ((y - t) * unit) * ((y - t) * unit));
        scores[3] = sum(rows, |[y, t, unit]| ((y - t) * unit).abs());
    }
}

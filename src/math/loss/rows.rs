//! Losses that need the whole row. y, gradient: (n_L), t: (n_L), or half as many for means and variances.

use super::{LANES, sum};
use crate::math::real::Real;
use crate::math::vector::Vector;

/// The largest element.
pub(super) fn maximum<T: Real>(row: &[T]) -> T {
    row.iter().fold(T::neg_infinity(), |m, &y| if y <= m { m } else { y })
}

/// The lowest index of the largest element; 0 where the first is NaN.
#[inline(always)]
pub fn index_of_max<T: Real>(row: &[T]) -> usize {
    if row.first().is_none_or(|x| x.is_nan()) {
        return 0;
    }
    // The largest by lanes, so that the compiler can use vectors, and then its index.
    let mut most = [T::neg_infinity(); LANES];
    let larger = |a: T, b: T| if b > a { b } else { a };
    let (whole, rest) = row.as_chunks::<LANES>();
    for part in whole {
        for (most, &x) in most.iter_mut().zip(part) {
            *most = larger(*most, x);
        }
    }
    let most = most.iter().chain(rest).fold(T::neg_infinity(), |most, &x| larger(most, x));
    // No branch here either: it couldn't be predicted.
    let mut lowest = [u32::MAX; LANES];
    for (i, part) in whole.iter().enumerate() {
        for (lane, (lowest, &x)) in lowest.iter_mut().zip(part).enumerate() {
            let index = (i * LANES + lane) as u32;
            *lowest = if x == most { index.min(*lowest) } else { *lowest };
        }
    }
    let in_rest = rest.iter().position(|&x| x == most).map(|i| (row.len() - rest.len() + i) as u32);
    lowest.into_iter().chain(in_rest).fold(u32::MAX, u32::min) as usize
}

/// y ← exp(y − max y) for rows of `cols` outputs.
pub(super) fn shifted_exp<T: Vector>(cols: usize, y: &mut [T]) {
    for row in y.chunks_exact_mut(cols) {
        let max = maximum(row);
        row.iter_mut().for_each(|y| *y = *y - max);
    }
    // All rows at once, since a single row is usually too short for vectors.
    T::exp_each(y);
}

/// −Σ t ln softmax(y) and its gradient, which holds exp(y − max y) at first.
pub(super) fn cross_entropy<T: Real>(y: &[T], t: &[T], scale: T, gradient: &mut [T]) -> T {
    let total = sum([&*gradient], |[e]| e);
    let log_sum = maximum(y) + total.ln();
    let weight = t.iter().copied().sum::<T>() / total;
    let mut value = T::zero();
    for (g, (&y, &t)) in gradient.iter_mut().zip(y.iter().zip(t)) {
        *g = scale * (*g * weight - t);
        if t != T::zero() {
            value += t * (log_sum - y);
        }
    }
    value
}

/// Σ t ln t, with 0 ln 0 = 0.
pub(super) fn negative_entropy<T: Real>(t: &[T]) -> T {
    let term = |t: T| if t == T::zero() { t } else { t * t.ln() };
    t.iter().copied().map(term).sum()
}

/// −Σ t q^γ ln p with p = softmax(y) and q = 1 − p, which −expm1(ln p) gives to full precision.
///
/// With g_j = p_j ∂E/∂p_j = t_j q_j^γ (γ p_j ln p_j / q_j − 1), ∂E/∂y_k = g_k − p_k Σ g. The
/// quotient goes to −1 where q goes to 0.
pub(super) fn focal<T: Real>(gamma: T, y: &[T], t: &[T], scale: T, gradient: &mut [T]) -> T {
    let max = maximum(y);
    let log_sum = max + sum([y], |[y]| (y - max).exp()).ln();
    let (mut value, mut along) = (T::zero(), T::zero());
    for (g, (&y, &t)) in gradient.iter_mut().zip(y.iter().zip(t)) {
        let log_p = y - log_sum;
        let q = -log_p.exp_m1();
        let focus = t * q.powf(gamma);
        let quotient = if q <= T::zero() { -T::one() } else { log_p / q };
        *g = focus * (gamma * log_p.exp() * quotient - T::one());
        along += *g;
        value += -focus * log_p;
    }
    for (g, &y) in gradient.iter_mut().zip(y) {
        *g = scale * (*g - (y - log_sum).exp() * along);
    }
    value
}

/// max(0, 1 + max_{j≠c} y_j − y_c) with c the largest t.
pub(super) fn hinge<T: Real>(y: &[T], t: &[T], scale: T, gradient: &mut [T]) -> T {
    gradient.fill(T::zero());
    let class = index_of_max(t);
    let mut others = y.to_vec();
    others[class] = T::neg_infinity();
    let rival = index_of_max(&others);
    // In rows with NaN the largest is NaN.
    let margin = T::one() + maximum(&others) - y[class];
    if margin <= T::zero() {
        return T::zero();
    }
    gradient[class] = -scale;
    gradient[rival] = scale;
    margin
}

/// 1 − y·t / (|y| |t|).
pub(super) fn cosine<T: Real>(y: &[T], t: &[T], scale: T, gradient: &mut [T]) -> T {
    let dot = sum([y, t], |[y, t]| y * t);
    let squares = sum([y], |[y]| y * y);
    let lengths = squares.sqrt() * sum([t], |[t]| t * t).sqrt();
    if lengths == T::zero() {
        gradient.fill(T::zero());
        return T::one();
    }
    for (g, (&y, &t)) in gradient.iter_mut().zip(y.iter().zip(t)) {
        *g = scale * (dot / squares * y - t) / lengths;
    }
    T::one() - dot / lengths
}

/// Σ ½ (s + (t − μ)² e^{−s}); y: (μ_1 … μ_k, s_1 … s_k), t: (k).
pub(super) fn gaussian_nll<T: Real>(y: &[T], t: &[T], scale: T, gradient: &mut [T]) -> T {
    let half = T::of(0.5);
    let (means, logarithms) = y.split_at(t.len());
    let (by_mean, by_logarithm) = gradient.split_at_mut(t.len());
    let mut value = T::zero();
    for (i, &t) in t.iter().enumerate() {
        let (d, precision) = (means[i] - t, (-logarithms[i]).exp());
        by_mean[i] = scale * d * precision;
        by_logarithm[i] = scale * half * (T::one() - d * d * precision);
        value += half * (logarithms[i] + d * d * precision);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_found_where_it_stands_first() {
        // Shorter than the lanes, as long as them, and with a rest; the largest at each place, and twice.
        for len in [1, 3, 8, 16, 21] {
            for place in 0..len {
                let mut row = vec![-1.5f32; len];
                row[place] = 2.0;
                row[len - 1] = 2.0;
                assert_eq!(index_of_max(&row), place, "{len}");
            }
            assert_eq!(index_of_max(&vec![f32::NEG_INFINITY; len]), 0);
        }
        assert_eq!(index_of_max(&[f32::NAN, 1.0]), 0);
        assert_eq!(index_of_max(&[1.0, f32::NAN, 3.0]), 2);
        assert_eq!(index_of_max::<f32>(&[]), 0);
    }
}

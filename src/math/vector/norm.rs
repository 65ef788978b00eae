//! The loops of normalizations: `kernels::layers::norm` has the equations.

use crate::math::loss::sum;
use crate::math::real::Real;

/// ε of all normalizations.
pub const EPSILON: f32 = 1e-5;

/// 1 / √(v + ε).
#[inline(always)]
pub fn inverse_deviation<T: Real>(variance: T) -> T {
    T::one() / (variance + T::of(EPSILON.into())).sqrt()
}

/// normal ← (z − mean) · inverse, out ← scale · normal + shift for each column.
#[inline(always)]
pub(super) fn columns<T: Real>(
    z: &[T],
    [mean, inverse]: [&[T]; 2],
    [scale, shift]: [&[T]; 2],
    normal: &mut [T],
    out: &mut [T],
) {
    let n = mean.len();
    let (inverse, scale, shift) = (&inverse[..n], &scale[..n], &shift[..n]);
    let rows = z.chunks_exact(n).zip(normal.chunks_exact_mut(n)).zip(out.chunks_exact_mut(n));
    for ((z, normal), out) in rows {
        for c in 0..n {
            normal[c] = (z[c] - mean[c]) * inverse[c];
            out[c] = scale[c] * normal[c] + shift[c];
        }
    }
}

/// delta ← factor · (gradient − (shift + normal · scale) / count) for each column.
#[inline(always)]
pub(super) fn columns_gradient<T: Real>(
    count: T,
    [gradient, normal]: [&[T]; 2],
    factors: &[T],
    [scale_sums, shift_sums]: [&[T]; 2],
    delta: &mut [T],
) {
    let n = factors.len();
    let (scale_sums, shift_sums) = (&scale_sums[..n], &shift_sums[..n]);
    let rows = gradient.chunks_exact(n).zip(normal.chunks_exact(n)).zip(delta.chunks_exact_mut(n));
    for ((gradient, normal), delta) in rows {
        for c in 0..n {
            let rest = gradient[c] - (shift_sums[c] + normal[c] * scale_sums[c]) / count;
            delta[c] = factors[c] * rest;
        }
    }
}

/// μ and 1 / √(v + ε) of a row.
#[inline(always)]
fn row_statistics<T: Real>(z: &[T]) -> (T, T) {
    let count = T::of(z.len() as f64);
    let mean = sum([z], |[z]| z) / count;
    let variance = sum([z], |[z]| (z - mean) * (z - mean)) / count;
    (mean, inverse_deviation(variance))
}

/// Layer normalization of some rows: z, normal, out: (rows, n), the rest: (n).
#[inline(always)]
pub(super) fn layer<T: Real>(z: &[T], [scale, shift]: [&[T]; 2], normal: &mut [T], out: &mut [T]) {
    let n = scale.len();
    let shift = &shift[..n];
    let rows = z.chunks_exact(n).zip(normal.chunks_exact_mut(n)).zip(out.chunks_exact_mut(n));
    for ((z, normal), out) in rows {
        let (mean, inverse) = row_statistics(z);
        for c in 0..n {
            normal[c] = (z[c] - mean) * inverse;
            out[c] = scale[c] * normal[c] + shift[c];
        }
    }
}

/// The gradient of [`layer`]: z, gradient, normal, delta: (rows, n), scale: (n).
#[inline(always)]
pub(super) fn layer_gradient<T: Real>(
    [z, gradient, normal]: [&[T]; 3],
    scale: &[T],
    delta: &mut [T],
) {
    let n = scale.len();
    let count = T::of(n as f64);
    let rows = z.chunks_exact(n).zip(gradient.chunks_exact(n)).zip(normal.chunks_exact(n));
    for (((z, g), normal), delta) in rows.zip(delta.chunks_exact_mut(n)) {
        let (_, inverse) = row_statistics(z);
        let mean = sum([scale, g], |[scale, g]| scale * g) / count;
        let along = sum([scale, g, normal], |[scale, g, normal]| scale * g * normal) / count;
        for c in 0..n {
            delta[c] = inverse * (scale[c] * g[c] - mean - normal[c] * along);
        }
    }
}

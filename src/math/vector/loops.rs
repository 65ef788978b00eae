//! The loops of [`Vector`] in both precisions.

use super::{Vector, norm};
use crate::math::activation::{Activation, each};
use crate::math::loss::{self, Loss, Scale};
use crate::math::multiversion::multiversioned;
use crate::math::optim::Optimizer;
use crate::math::optim::rules::{self, Scalars};
use crate::math::random::threefry_lanes;
use crate::math::real::Real;

/// sums ← sums + Σ_rows of the columns from `first` on of (rows, cols).
#[inline(always)]
fn add_rows<T: Real>(rows: &[T], cols: usize, first: usize, sums: &mut [T]) {
    for row in rows.chunks_exact(cols) {
        let row = &row[first..first + sums.len()];
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
    }
}

/// sums ← sums + Σ_rows a ⊙ b of the columns from `first` on of (rows, cols).
#[inline(always)]
fn add_row_products<T: Real>(a: &[T], b: &[T], cols: usize, first: usize, sums: &mut [T]) {
    for (a, b) in a.chunks_exact(cols).zip(b.chunks_exact(cols)) {
        let columns = first..first + sums.len();
        let products = a[columns.clone()].iter().zip(&b[columns]);
        sums.iter_mut().zip(products).for_each(|(sum, (&a, &b))| *sum += a * b);
    }
}

/// The loops of one precision.
macro_rules! vector {
    ($type:ty) => {
        impl Vector for $type {
            multiversioned! {
                fn sum_columns(
                    cols: usize,
                    first: usize,
                    sign: $type,
                    delta: &[$type],
                    sums: &mut [$type],
                ) {
                    const CHUNK: usize = 64;
                    const BLOCK: usize = 64;
                    sums.fill(0.0);
                    for chunk in delta.chunks(CHUNK * cols) {
                        for (first, sums) in (first..).step_by(BLOCK).zip(sums.chunks_mut(BLOCK)) {
                            let mut block = [0.0; BLOCK];
                            // A whole block stays in registers.
                            match sums.len() {
                                BLOCK => add_rows(chunk, cols, first, &mut block),
                                len => add_rows(chunk, cols, first, &mut block[..len]),
                            }
                            sums.iter_mut().zip(block).for_each(|(s, x)| *s += sign * x);
                        }
                    }
                }

                fn add_scaled(sign: $type, y: &[$type], x: &mut [$type]) {
                    x.iter_mut().zip(y).for_each(|(x, &y)| *x += sign * y);
                }

                fn sum_column_products(
                    cols: usize,
                    first: usize,
                    a: &[$type],
                    b: &[$type],
                    sums: &mut [$type],
                ) {
                    const CHUNK: usize = 64;
                    const BLOCK: usize = 64;
                    sums.fill(0.0);
                    for (a, b) in a.chunks(CHUNK * cols).zip(b.chunks(CHUNK * cols)) {
                        for (first, sums) in (first..).step_by(BLOCK).zip(sums.chunks_mut(BLOCK)) {
                            let mut block = [0.0; BLOCK];
                            match sums.len() {
                                BLOCK => add_row_products(a, b, cols, first, &mut block),
                                len => add_row_products(a, b, cols, first, &mut block[..len]),
                            }
                            sums.iter_mut().zip(block).for_each(|(s, x)| *s += x);
                        }
                    }
                }

                fn combine(alpha: $type, beta: $type, y: &[$type], x: &mut [$type]) {
                    x.iter_mut().zip(y).for_each(|(x, &y)| *x = alpha * *x + beta * y);
                }

                fn follow(share: $type, w: &[$type], average: &mut [$type]) {
                    average.iter_mut().zip(w).for_each(|(a, &w)| *a += share * (w - *a));
                }

                fn mix(mixing: $type, a: &mut [$type], b: &mut [$type]) {
                    let rest = 1.0 - mixing;
                    for (a, b) in a.iter_mut().zip(b) {
                        (*a, *b) = (rest * *a + mixing * *b, rest * *b + mixing * *a);
                    }
                }

                fn scale(factor: $type, x: &mut [$type]) {
                    x.iter_mut().for_each(|x| *x *= factor);
                }

                fn add_signs(strength: $type, w: &[$type], g: &mut [$type]) {
                    g.iter_mut().zip(w).for_each(|(g, &w)| *g += strength * rules::sign(w));
                }

                fn clip(limit: $type, g: &mut [$type]) {
                    for g in g {
                        // By comparisons, so that NaN stays NaN.
                        let x = if *g > limit { limit } else { *g };
                        *g = if x < -limit { -limit } else { x };
                    }
                }

                fn square_sum(x: &[$type]) -> $type {
                    let mut sums = [0.0; 64];
                    let (whole, rest) = x.as_chunks::<64>();
                    for part in whole {
                        sums.iter_mut().zip(part).for_each(|(sum, &x)| *sum += x * x);
                    }
                    sums.iter_mut().zip(rest).for_each(|(sum, &x)| *sum += x * x);
                    sums.into_iter().sum()
                }

                fn lamb_direction(
                    s: &Scalars<$type>,
                    w: &[$type],
                    g: &[$type],
                    state: [&mut [$type]; 2],
                    u: &mut [$type],
                ) {
                    rules::lamb_direction(s, w, g, state, u);
                }

                fn normalize_columns(
                    z: &[$type],
                    statistics: [&[$type]; 2],
                    affine: [&[$type]; 2],
                    normal: &mut [$type],
                    out: &mut [$type],
                ) {
                    norm::columns(z, statistics, affine, normal, out);
                }

                fn normalize_columns_gradient(
                    count: $type,
                    data: [&[$type]; 2],
                    factors: &[$type],
                    sums: [&[$type]; 2],
                    delta: &mut [$type],
                ) {
                    norm::columns_gradient(count, data, factors, sums, delta);
                }

                fn layer_norm(
                    z: &[$type],
                    affine: [&[$type]; 2],
                    normal: &mut [$type],
                    out: &mut [$type],
                ) {
                    norm::layer(z, affine, normal, out);
                }

                fn layer_norm_gradient(
                    data: [&[$type]; 3],
                    scale: &[$type],
                    delta: &mut [$type],
                ) {
                    norm::layer_gradient(data, scale, delta);
                }

                fn activate(f: Activation, a: &mut [$type]) {
                    each::values(f, a);
                }

                fn activate_gradient(f: Activation, z: &[$type], delta: &mut [$type]) {
                    each::gradients(f, z, delta);
                }

                fn exp_each(x: &mut [$type]) {
                    for x in x {
                        *x = Real::exp(*x);
                    }
                }

                fn scale_bytes(raw: &[u8], shift: &[f32], scale: &[f32], x: &mut [$type]) {
                    let columns = shift.iter().zip(scale);
                    for ((x, &raw), (shift, scale)) in x.iter_mut().zip(raw).zip(columns) {
                        *x = <$type>::from((f32::from(raw) - shift) * scale);
                    }
                }

                fn scale_floats(raw: &[f32], shift: &[f32], scale: &[f32], x: &mut [$type]) {
                    let columns = shift.iter().zip(scale);
                    for ((x, &raw), (shift, scale)) in x.iter_mut().zip(raw).zip(columns) {
                        *x = <$type>::from((raw - shift) * scale);
                    }
                }

                fn scale_values(
                    values: &[i32],
                    shift: &[f32],
                    scale: &[f32],
                    x: &mut [$type],
                ) {
                    let columns = shift.iter().zip(scale);
                    for ((x, &value), (shift, scale)) in x.iter_mut().zip(values).zip(columns) {
                        // Exact: at most 20 bits, and a power of two.
                        *x = <$type>::from((value as f32 * (1.0 / 4096.0) - shift) * scale);
                    }
                }

                fn score(
                    loss: Loss,
                    scale: Scale<$type>,
                    data: [&[$type]; 3],
                    gradient: &mut [$type],
                    scores: &mut [$type],
                ) {
                    loss::score(loss, scale, data, gradient, scores);
                }

                fn limit_norm(limit: $type, x: &mut [$type]) -> bool {
                    let norm = loss::sum([&*x], |[x]| x * x).sqrt();
                    let exceeds = norm > limit;
                    if exceeds {
                        let factor = limit / norm;
                        x.iter_mut().for_each(|x| *x *= factor);
                    }
                    exceeds
                }

                fn drop_out(
                    key: [u32; 2],
                    position: u32,
                    first: usize,
                    threshold: u32,
                    scale: $type,
                    x: &mut [$type],
                ) {
                    // Columns c and c + 16 of each 32 share a draw.
                    for (group, x) in x.chunks_mut(32).enumerate() {
                        let counter = (first / 2 + 16 * group) as u32;
                        let at = |i| [position, counter.wrapping_add(i)];
                        let draws = threefry_lanes::<16>(key, at);
                        for (x, &drawn) in x.iter_mut().zip(draws.as_flattened()) {
                            *x = if drawn < threshold { 0.0 } else { *x * scale };
                        }
                    }
                }

                fn add_normals(
                    deviation: $type,
                    key: [u32; 2],
                    counter: [u32; 2],
                    x: &mut [$type],
                ) {
                    const LANES: usize = 16;
                    const UNIT: $type = 1.0 / (1 << 24) as $type;
                    let [first, second] = counter;
                    for (group, x) in x.chunks_mut(LANES).enumerate() {
                        let start = first.wrapping_add((group * LANES) as u32);
                        let at = |i| [start.wrapping_add(i), second];
                        let [a, b] = threefry_lanes::<LANES>(key, at);
                        let mut normal = [0.0; LANES];
                        for (normal, (a, b)) in normal.iter_mut().zip(a.into_iter().zip(b)) {
                            // 24 bits are exact; conversion from signed integers is vectorized everywhere.
                            let above_zero = ((a >> 8) + 1) as i32 as $type * UNIT;
                            let turns = (b >> 8) as i32 as $type * UNIT;
                            let radius = Real::sqrt(-2.0 * Real::ln(above_zero));
                            *normal = radius * Real::cos_turns(turns);
                        }
                        x.iter_mut().zip(normal).for_each(|(x, normal)| *x += deviation * normal);
                    }
                }

                fn update(
                    optimizer: Optimizer,
                    s: &Scalars<$type>,
                    w: &mut [$type],
                    g: &[$type],
                    state: [&mut [$type]; 3],
                ) {
                    rules::step(optimizer, s, w, g, state);
                }
            }
        }
    };
}

vector!(f32);
vector!(f64);

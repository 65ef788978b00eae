//! Mixup (Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: beyond empirical risk minimization", 2018): a
//! net is trained on convex combinations of pairs of rows, with m ~ Beta(α, α) drawn for each step:
//!
//! - x ← (1 − m) x + m x′, t ← (1 − m) t + m t′
//!
//! x′ is the other row of a pair: rows 0 and 1 of a batch, 2 and 3, …, whose order is random
//! already; the last row of an odd number is unchanged. Micro-batches with an even number of rows
//! have the pairs of the whole batch. For a loss that is linear in t, such as the cross-entropies, this
//! is (1 − m) E(y, t) + m E(y, t′), the form of the paper's code; for other losses the targets are mixed, as in
//! its equation 1. The net's inputs are mixed after scaling, augmentation and embeddings, before
//! dropout. The mixing matrix is symmetric: the same op applies to gradients.
//!
//! The training loss is that of mixed rows. Training accuracy, which isn't reported, counts a row as correct if
//! the larger part of its target is predicted. Held-out rows are never mixed.

use crate::kernels::common::declaration::{COMMON, Kernel, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::random::{Random, Stream};
use crate::math::vector::Vector;
use crate::net::spec::Spec;

uniform! {
    /// The shape: `rows` 0 means the current batch.
    Uniform { rows: u32, cols: u32 }
}

/// x: (B, n), in place.
pub static MIXUP: Kernel = Kernel {
    entry: "mixup",
    source: &[COMMON, include_str!("../../../shaders/inputs/mixup.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read_write("x")],
    workgroup_size: 64,
};

/// Launches [`MIXUP`] on x: (B, cols).
#[must_use]
pub fn launch(x: TensorId, cols: usize) -> Launch {
    Launch {
        kernel: &MIXUP,
        overrides: vec![],
        uniform: Uniform { rows: 0, cols: cols as u32 }.bytes(),
        args: vec![Arg::Tensor(x)],
        // An invocation for each column of a pair.
        grid: Grid::Elements(Extent::Batch, cols.div_ceil(2)),
    }
}

/// The CPU reference of [`MIXUP`]: x: (rows, cols), from the first row of a pair on; m = `mixing`.
pub fn reference<T: Vector>(mixing: f32, cols: usize, x: &mut [T]) {
    let mixing = T::of(mixing.into());
    for pair in x.chunks_exact_mut(2 * cols) {
        let (upper, lower) = pair.split_at_mut(cols);
        T::mix(mixing, upper, lower);
    }
}

/// m of the step after `done` steps, drawn with the run's seed; 0 without mixup.
#[must_use]
pub fn mixing(spec: &Spec, done: u64) -> f32 {
    let Some(alpha) = spec.mixup else { return 0.0 };
    let mut random = Random::new(spec.seed, Stream::Mixup, done);
    let mut log_gamma = || log_gamma(alpha.into(), &mut random);
    // G / (G + G′) with both from Gamma(α, 1), by their logarithms, as they may be too small.
    let difference = log_gamma() - log_gamma();
    (1.0 / (1.0 + difference.exp())) as f32
}

/// The logarithm of a number from Gamma(α, 1): that of Gamma(α + 1, 1) (Marsaglia, Tsang, "A simple
/// method for generating gamma variables", 2000), and the step from there to α.
fn log_gamma(alpha: f64, random: &mut Random) -> f64 {
    let d = alpha + 1.0 - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let normal = random.normal();
        let root = 1.0 + c * normal;
        if root <= 0.0 {
            continue;
        }
        let log_cube = 3.0 * root.ln();
        if random.uniform().ln() < 0.5 * normal * normal + d - d * log_cube.exp() + d * log_cube {
            return d.ln() + log_cube + random.uniform().ln() / alpha;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::activation::Activation;
    use crate::math::loss::Loss;
    use crate::net::spec::Net;

    /// Mean 1/2 and variance 1 / (4 (2α + 1)), and of α = 1 the uniform distribution.
    #[test]
    fn what_is_drawn_has_the_beta_distribution() {
        const DRAWS: u64 = 20_000;
        for alpha in [0.01f32, 0.2, 1.0, 4.0] {
            let net = Net::new(2).layer(2, Activation::Identity);
            let spec = Spec { mixup: Some(alpha), ..Spec::new(net, Loss::CrossEntropy) };
            let draws: Vec<f64> = (0..DRAWS).map(|done| mixing(&spec, done).into()).collect();
            assert!(draws.iter().all(|m| (0.0..=1.0).contains(m)), "α = {alpha}");
            let mean = draws.iter().sum::<f64>() / DRAWS as f64;
            let variance = draws.iter().map(|m| (m - 0.5).powi(2)).sum::<f64>() / DRAWS as f64;
            let expected = 0.25 / (2.0 * f64::from(alpha) + 1.0);
            assert!((mean - 0.5).abs() < 0.015, "α = {alpha}: mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.04, "α = {alpha}: variance {variance}");
            if alpha == 1.0 {
                let below = |x: f64| draws.iter().filter(|&&m| m < x).count() as f64;
                for x in [0.1, 0.25, 0.5, 0.9] {
                    assert!((below(x) / DRAWS as f64 - x).abs() < 0.015, "below {x}");
                }
            }
        }
    }

    #[test]
    fn pairs_are_mixed_and_a_row_without_another_stays() {
        let mut x = [0.0f64, 8.0, 4.0, 0.0, 5.0, 6.0];
        reference(0.25, 2, &mut x);
        assert_eq!(x, [1.0, 6.0, 3.0, 2.0, 5.0, 6.0]);
    }
}

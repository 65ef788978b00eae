//! Normalization of a layer's Z before its activation: x̂ = (z − μ) / √(v + ε), u = γ x̂ + β.
//!
//! Batch normalization (Ioffe, Szegedy 2015): μ and v of each unit over the batch in training, and
//! their running averages in predictions. Layer normalization (Ba, Kiros, Hinton 2016): μ and v of
//! each row over the units. v is the biased variance; running variances are unbiased, as in PyTorch. With g =
//! ∂E/∂u, the sums over the batch or over the units, m of them:
//!
//! - ∂E/∂β = Σ_rows g, ∂E/∂γ = Σ_rows g x̂
//! - ∂E/∂z = (h − Σ h / m − x̂ Σ h x̂ / m) / √(v + ε), h = γ g

use crate::kernels::common::declaration::{COMMON, Kernel, REDUCE, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::vector::Vector;
pub use crate::math::vector::norm::EPSILON;
use crate::math::vector::norm::inverse_deviation;
use std::ops::Range;

/// The weight of a batch in the running averages.
pub const MOMENTUM: f32 = 0.1;

uniform! {
    /// The shape, `rows` 0 means the current batch, ε and the weight of a batch.
    Uniform { rows: u32, cols: u32, epsilon: f32, momentum: f32 }
}

/// The tensors of a normalization.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalized {
    /// Z: (B, n).
    pub z: TensorId,
    /// μ and v of each unit: (2, n); none for layer normalization.
    pub statistics: Option<TensorId>,
    /// γ: (1, n).
    pub scale: TensorId,
    /// β: (1, n).
    pub shift: TensorId,
    /// x̂: (B, n).
    pub normal: TensorId,
    /// u: (B, n).
    pub out: TensorId,
}

/// The tensors of the backward pass through a normalization.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormalizedGradient {
    /// Those of the forward pass.
    pub of: Normalized,
    /// ∂E/∂u: (B, n).
    pub gradient: TensorId,
    /// ∂E/∂γ: (1, n).
    pub scale: TensorId,
    /// ∂E/∂β: (1, n).
    pub shift: TensorId,
    /// ∂E/∂z: (B, n).
    pub delta: TensorId,
}

/// The tensors of a layer's normalization.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormTensors {
    /// The forward pass in training; its `statistics` are those of the batch.
    pub forward: Normalized,
    /// Running mean and variance: (2, n_l), of batch normalization.
    pub running: Option<TensorId>,
    /// The backward pass, in training.
    pub backward: Option<NormalizedGradient>,
}

impl NormTensors {
    /// Renumbers the tensors, some of which may have been removed, such as u, which is then replaced
    /// by `a`.
    pub(crate) fn renumber(&mut self, place: &impl Fn(TensorId) -> Option<TensorId>, a: TensorId) {
        let of = |n: Normalized| Normalized {
            z: place(n.z).unwrap_or(n.z),
            statistics: n.statistics.and_then(place),
            scale: place(n.scale).unwrap_or(n.scale),
            shift: place(n.shift).unwrap_or(n.shift),
            normal: place(n.normal).unwrap_or(n.normal),
            out: place(n.out).unwrap_or(a),
        };
        self.forward = of(self.forward);
        self.running = self.running.and_then(place);
        self.backward = self.backward.and_then(|n| {
            Some(NormalizedGradient {
                of: of(n.of),
                gradient: place(n.gradient)?,
                scale: place(n.scale)?,
                shift: place(n.shift)?,
                delta: place(n.delta)?,
            })
        });
    }
}

/// The WGSL of a row's mean and deviation.
const ROW_STATISTICS: &str = include_str!("../../../shaders/layers/layer_statistics.wgsl");

/// μ and v of each unit over the batch: (2, n), and their running averages: (2, n), which a batch of
/// one row leaves unchanged.
pub static BATCH_STATISTICS: Kernel = Kernel {
    entry: "batch_statistics",
    source: &[COMMON, REDUCE, include_str!("../../../shaders/layers/batch_statistics.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("z"), read_write("statistics"), read_write("running")],
    workgroup_size: 64,
};

/// x̂ and u from μ and v of each unit.
pub static BATCH_NORM: Kernel = Kernel {
    entry: "batch_norm",
    source: &[COMMON, include_str!("../../../shaders/layers/batch_norm.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[
        read("z"),
        read("statistics"),
        read("scale"),
        read("shift"),
        read_write("normal"),
        read_write("out"),
    ],
    workgroup_size: 64,
};

/// ∂E/∂γ and ∂E/∂β: (1, n) each.
pub static NORM_SUMS: Kernel = Kernel {
    entry: "norm_sums",
    source: &[COMMON, REDUCE, include_str!("../../../shaders/layers/norm_sums.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("gradient"), read("normal"), read_write("scale"), read_write("shift")],
    workgroup_size: 64,
};

/// ∂E/∂z of batch normalization.
pub static BATCH_NORM_GRADIENT: Kernel = Kernel {
    entry: "batch_norm_gradient",
    source: &[COMMON, include_str!("../../../shaders/layers/batch_norm_gradient.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[
        read("gradient"),
        read("normal"),
        read("statistics"),
        read("scale"),
        read("scale_sums"),
        read("shift_sums"),
        read_write("delta"),
    ],
    workgroup_size: 64,
};

/// x̂ and u of layer normalization.
pub static LAYER_NORM: Kernel = Kernel {
    entry: "layer_norm",
    source: &[
        COMMON,
        REDUCE,
        ROW_STATISTICS,
        include_str!("../../../shaders/layers/layer_norm.wgsl"),
    ],
    uniform: Uniform::FIELDS,
    bindings: &[read("z"), read("scale"), read("shift"), read_write("normal"), read_write("out")],
    workgroup_size: 64,
};

/// ∂E/∂z of layer normalization.
pub static LAYER_NORM_GRADIENT: Kernel = Kernel {
    entry: "layer_norm_gradient",
    source: &[
        COMMON,
        REDUCE,
        ROW_STATISTICS,
        include_str!("../../../shaders/layers/layer_norm_gradient.wgsl"),
    ],
    uniform: Uniform::FIELDS,
    bindings: &[read("z"), read("gradient"), read("normal"), read("scale"), read_write("delta")],
    workgroup_size: 64,
};

fn launch(kernel: &'static Kernel, cols: usize, args: Vec<TensorId>, grid: Grid) -> Launch {
    Launch {
        kernel,
        overrides: vec![],
        uniform: Uniform { rows: 0, cols: cols as u32, epsilon: EPSILON, momentum: MOMENTUM }
            .bytes(),
        args: args.into_iter().map(Arg::Tensor).collect(),
        grid,
    }
}

/// Launches [`BATCH_STATISTICS`] on z: (B, cols).
#[must_use]
pub fn launch_statistics([z, statistics, running]: [TensorId; 3], cols: usize) -> Launch {
    let grid = Grid::Groups(cols);
    launch(&BATCH_STATISTICS, cols, vec![z, statistics, running], grid)
}

/// Launches [`BATCH_NORM`] or [`LAYER_NORM`] on `cols` units.
#[must_use]
pub fn launch_forward(n: &Normalized, cols: usize) -> Launch {
    let behind = [n.scale, n.shift, n.normal, n.out];
    match n.statistics {
        Some(statistics) => {
            let args = [n.z, statistics].into_iter().chain(behind).collect();
            launch(&BATCH_NORM, cols, args, Grid::Elements(Extent::Batch, cols))
        }
        None => {
            let args = [n.z].into_iter().chain(behind).collect();
            launch(&LAYER_NORM, cols, args, Grid::Rows(Extent::Batch))
        }
    }
}

/// Launches [`NORM_SUMS`] on `cols` units.
#[must_use]
pub fn launch_sums(g: &NormalizedGradient, cols: usize) -> Launch {
    let args = vec![g.gradient, g.of.normal, g.scale, g.shift];
    launch(&NORM_SUMS, cols, args, Grid::Groups(cols))
}

/// Launches [`BATCH_NORM_GRADIENT`] or [`LAYER_NORM_GRADIENT`] on `cols` units.
#[must_use]
pub fn launch_gradient(g: &NormalizedGradient, cols: usize) -> Launch {
    let n = &g.of;
    match n.statistics {
        Some(statistics) => {
            let args = vec![g.gradient, n.normal, statistics, n.scale, g.scale, g.shift, g.delta];
            launch(&BATCH_NORM_GRADIENT, cols, args, Grid::Elements(Extent::Batch, cols))
        }
        None => {
            let args = vec![n.z, g.gradient, n.normal, n.scale, g.delta];
            launch(&LAYER_NORM_GRADIENT, cols, args, Grid::Rows(Extent::Batch))
        }
    }
}

/// The CPU reference of [`BATCH_STATISTICS`] for some units: z: (rows, n), the rest: (units).
pub fn statistics<T: Vector>(
    n: usize,
    units: Range<usize>,
    z: &[T],
    [mean, variance]: [&mut [T]; 2],
    [running_mean, running_variance]: [&mut [T]; 2],
) {
    let rows = z.len() / n;
    let count = T::of(rows as f64);
    T::sum_columns(n, units.start, T::one(), z, mean);
    mean.iter_mut().for_each(|mean| *mean = *mean / count);
    let mut centred = Vec::with_capacity(rows * units.len());
    for row in z.chunks_exact(n) {
        centred.extend(row[units.clone()].iter().zip(&*mean).map(|(&z, &mean)| z - mean));
    }
    T::sum_column_products(units.len(), 0, &centred, &centred, variance);
    variance.iter_mut().for_each(|v| *v = *v / count);
    if rows < 2 {
        // A last batch of one row has no variance to learn from.
        return;
    }
    let share = T::of(MOMENTUM.into());
    let unbiased = count / T::of((rows - 1) as f64);
    let follow = |running: &mut T, now: T| *running = *running + share * (now - *running);
    running_mean.iter_mut().zip(mean.iter()).for_each(|(r, &m)| follow(r, m));
    running_variance.iter_mut().zip(variance.iter()).for_each(|(r, &v)| follow(r, unbiased * v));
}

/// The CPU reference of [`BATCH_NORM`]: z, normal, out: (rows, n), the rest: (n).
pub fn batch<T: Vector>(
    z: &[T],
    [mean, variance]: [&[T]; 2],
    affine: [&[T]; 2],
    normal: &mut [T],
    out: &mut [T],
) {
    let inverse: Vec<T> = variance.iter().map(|&v| inverse_deviation(v)).collect();
    T::normalize_columns(z, [mean, &inverse], affine, normal, out);
}

/// The CPU reference of [`NORM_SUMS`] for some units: gradient, normal: (rows, n), the rest: (units).
pub fn sums<T: Vector>(
    n: usize,
    units: Range<usize>,
    gradient: &[T],
    normal: &[T],
    scale: &mut [T],
    shift: &mut [T],
) {
    T::sum_column_products(n, units.start, gradient, normal, scale);
    T::sum_columns(n, units.start, T::one(), gradient, shift);
}

/// The CPU reference of [`BATCH_NORM_GRADIENT`] in a batch of `rows`: gradient, normal, delta: some
/// rows of n, the rest: (n).
pub fn batch_gradient<T: Vector>(
    rows: usize,
    data: [&[T]; 2],
    variance: &[T],
    scale: &[T],
    sums: [&[T]; 2],
    delta: &mut [T],
) {
    let columns = scale.iter().zip(variance);
    let factors: Vec<T> = columns.map(|(&scale, &v)| scale * inverse_deviation(v)).collect();
    T::normalize_columns_gradient(T::of(rows as f64), data, &factors, sums, delta);
}

/// The CPU reference of [`LAYER_NORM`]: z, normal, out: (rows, n), the rest: (n).
pub fn layer<T: Vector>(z: &[T], affine: [&[T]; 2], normal: &mut [T], out: &mut [T]) {
    T::layer_norm(z, affine, normal, out);
}

/// The CPU reference of [`LAYER_NORM_GRADIENT`]: z, gradient, normal, delta: (rows, n), scale: (n).
pub fn layer_gradient<T: Vector>(
    z: &[T],
    gradient: &[T],
    normal: &[T],
    scale: &[T],
    delta: &mut [T],
) {
    T::layer_norm_gradient([z, gradient, normal], scale, delta);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_one_row_leaves_the_running_averages() {
        let after = |z: &[f64]| {
            let ([mean, variance], [mut r, mut s]) =
                (&mut [[0.0; 2], [0.0; 2]], [[0.5; 2], [2.0; 2]]);
            statistics(2, 0..2, z, [mean, variance], [&mut r, &mut s]);
            assert!(mean.iter().chain(variance.iter()).all(|x| x.is_finite()));
            [r, s]
        };
        assert_eq!(after(&[3.0, 4.0]), [[0.5; 2], [2.0; 2]]);
        let [mean, variance] = after(&[3.0, 4.0, 5.0, 4.0]);
        assert!((mean[0] - 0.85).abs() < 1e-6 && (variance[0] - 2.0).abs() < 1e-6);
        assert!((variance[1] - 1.8).abs() < 1e-6, "no variance in column 2: {variance:?}");
    }
}

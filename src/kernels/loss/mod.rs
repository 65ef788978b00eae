//! The loss of each row with its gradient, the scores, and the running sums.
//! The equations of the losses are in [`crate::math::loss`].

pub mod output;

use super::common::declaration::{
    COMMON, FUNCTIONS, Kernel, RANDOM_FUNCTIONS, REDUCE, read, read_write, uniform,
};
use super::common::launch::{Arg, Grid, Launch, Step};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::loss::{Loss, Scale};
use crate::math::real::Real;
use crate::math::vector::Vector;

pub use crate::math::loss::SCORES;

uniform! {
    /// The shape, `rows` 0 means the current batch, the loss's parameter, and the value
    /// above which a single output is positive.
    Uniform { rows: u32, cols: u32, parameter: f32, threshold: f32 }
}

uniform! {
    /// The rows to add up, 0 means the current batch, and those of this part.
    AccumulateUniform { rows: u32, first: u32, count: u32 }
}

/// The WGSL of the losses.
pub const LOSS_FUNCTIONS: &str = include_str!("../../../shaders/loss/loss_functions.wgsl");

/// The WGSL of the sum of scores over rows.
pub const SCORES_SUM: &str = include_str!("../../../shaders/loss/scores_sum.wgsl");

/// A row for each workgroup of 64.
pub const LOSS_LANES: &str = include_str!("../../../shaders/loss/loss_lanes.wgsl");

/// The WGSL of the loss of a row.
pub const LOSS_ROW: &str = include_str!("../../../shaders/loss/loss_row.wgsl");

/// ∂E/∂Y: (B, n_L), and for each row its loss, whether it is correct, Σ d² and Σ |d|: (B, 4); all times
/// the row's weight, if rows have weights.
pub static LOSS: Kernel = Kernel {
    entry: "loss",
    source: &[
        COMMON,
        FUNCTIONS,
        RANDOM_FUNCTIONS,
        LOSS_FUNCTIONS,
        REDUCE,
        LOSS_LANES,
        LOSS_ROW,
        include_str!("../../../shaders/loss/loss.wgsl"),
    ],
    uniform: Uniform::FIELDS,
    bindings: &[
        read("y"),
        read("t"),
        read("unit"),
        read("weights"),
        read_write("gradient"),
        read_write("scores"),
    ],
    workgroup_size: 64,
};

/// sums += Σ_rows scores: (4).
pub static ACCUMULATE: Kernel = Kernel {
    entry: "accumulate",
    source: &[COMMON, REDUCE, SCORES_SUM, include_str!("../../../shaders/loss/accumulate.wgsl")],
    uniform: AccumulateUniform::FIELDS,
    bindings: &[read("scores"), read_write("sums")],
    workgroup_size: 64,
};

/// Launches [`LOSS`]: y, gradient: (B, cols), t: (B, targets), unit: (targets), scores: (B, 4).
#[must_use]
pub fn launch(
    loss: Loss,
    [y, t, unit, gradient, scores]: [TensorId; 5],
    cols: usize,
    weighted: bool,
) -> Launch {
    Launch {
        kernel: &LOSS,
        overrides: vec![
            ("LOSS", f64::from(loss.code())),
            ("WEIGHTED", f64::from(u8::from(weighted))),
        ],
        uniform: Uniform {
            rows: 0,
            cols: cols as u32,
            parameter: loss.parameter(),
            threshold: loss.link().threshold(),
        }
        .bytes(),
        args: vec![
            Arg::Tensor(y),
            Arg::Tensor(t),
            Arg::Tensor(unit),
            weights(weighted),
            Arg::Tensor(gradient),
            Arg::Tensor(scores),
        ],
        grid: Grid::Rows(Extent::Batch),
    }
}

/// The argument for the sample weights.
pub(super) fn weights(weighted: bool) -> Arg {
    if weighted { Arg::Weights } else { Arg::Unused }
}

/// Launches [`ACCUMULATE`]: scores: (B, 4), sums: (4), in parts for a batch of `batch` rows.
#[must_use]
pub fn launches_accumulate(scores: TensorId, sums: TensorId, batch: usize) -> Vec<Launch> {
    // 64 rows in an iteration of its loop: some drivers silently end a loop after 65,535 iterations.
    const ROWS: usize = 1 << 21;
    let part = |first: usize| Launch {
        kernel: &ACCUMULATE,
        overrides: vec![],
        uniform: AccumulateUniform { rows: 0, first: first as u32, count: ROWS as u32 }.bytes(),
        args: vec![Arg::Tensor(scores), Arg::Tensor(sums)],
        grid: Grid::Groups(1),
    };
    (0..batch).step_by(ROWS).map(part).collect()
}

/// The CPU reference of [`LOSS`]: y, gradient: (rows, n_L), t: (rows, targets), unit: (targets),
/// scores: (rows, 4).
pub fn rows<T: Vector>(
    loss: Loss,
    step: &Step,
    y: &[T],
    t: &[T],
    unit: &[T],
    gradient: &mut [T],
    scores: &mut [T],
) {
    let [smoothing, scale] = [step.smoothing, step.reduction_factor].map(|x| T::of(x.into()));
    loss.prepare(loss.outputs(unit.len()), y, gradient);
    T::score(loss, Scale { smoothing, gradient: scale }, [y, t, unit], gradient, scores);
}

/// Multiplies the gradients and scores of rows by their weights. found: the rows of the data set,
/// weights: (N), gradient: (rows, cols), scores: (rows, 4).
pub fn weigh<T: Real>(weights: &[f32], found: &[u32], gradient: &mut [T], scores: &mut [T]) {
    let cols = gradient.len() / found.len().max(1);
    let rows = gradient.chunks_exact_mut(cols).zip(scores.chunks_exact_mut(SCORES));
    for (&row, (gradient, scores)) in found.iter().zip(rows) {
        let weight = T::of(weights[row as usize].into());
        gradient.iter_mut().for_each(|g| *g *= weight);
        scores.iter_mut().for_each(|score| *score *= weight);
    }
}

/// The CPU reference of [`ACCUMULATE`]: scores: (rows, 4), sums: (4). In chunks, as on the
/// device.
pub fn accumulate<T: Real>(scores: &[T], sums: &mut [T]) {
    for chunk in scores.chunks(64 * SCORES) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += chunk.iter().skip(i).step_by(SCORES).copied().sum();
        }
    }
}

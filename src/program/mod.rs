//! A training step as a list of ops over tensors. Backends run it, `inspect` prints it, parity
//! replays it op by op.

mod text;

use crate::augment::Augmentation;
use crate::data::Storage;
use crate::error::{Error, Result};
use crate::kernels::activation::{self, ACTIVATION, ACTIVATION_GRADIENT, UnitFunctions};
use crate::kernels::augment;
use crate::kernels::average::{self, Share};
use crate::kernels::backward::{self, Backward};
use crate::kernels::collect;
use crate::kernels::combine::{self, Factors};
use crate::kernels::dense::{self, Dense};
use crate::kernels::dropout::{self, Dropout};
use crate::kernels::edits::{self, Edit};
use crate::kernels::embed::{self, Place};
use crate::kernels::fused::{self, GradientUpdate, Reach, Rows};
use crate::kernels::gradient::{self, GradientParts, SumUpdate};
use crate::kernels::matmul::{self, Form};
use crate::kernels::norm::{self, Normalized, NormalizedGradient};
use crate::kernels::output::{self, Output};
use crate::kernels::random::{PERMUTATION, UNIFORM};
use crate::kernels::softmax::{SOFTMAX, SOFTMAX_GRADIENT};
use crate::kernels::tile::{Products, Tiling, Tuning};
use crate::kernels::{
    Access, Arg, Launch, add, direction, gather, loss, max_norm, mixup, nonfinite, optimizer,
    random, softmax, sums, vector_norm,
};
use crate::loss::Loss;
use crate::optim::Rule;
use crate::tensor::{ALIGNMENT, Extent, Role, Tensor, TensorId};
use std::ops::Range;
use text::OpText;

/// One operation of a program.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields are named as in the equation above each op")]
pub enum Op {
    /// x = the features of the batch's rows, scaled: (B, n_0).
    Gather { x: TensorId },
    /// x = each row's index replaced by its row of a table, and the columns before it: (B, n_0).
    Embed { place: Place, features: TensorId, table: TensorId, x: TensorId },
    /// out = ∂E/∂table from gradient = ∂E/∂x: (values, dims).
    EmbedGradient { place: Place, features: TensorId, gradient: TensorId, out: TensorId },
    /// x = the same of images, each augmented.
    Augment { augmentation: Augmentation, x: TensorId },
    /// t = the targets of the batch's rows: (B, n_L).
    Targets { t: TensorId },
    /// c = a·b, a·bᵀ or aᵀ·b, ± bias.
    Matmul { form: Form, a: TensorId, b: TensorId, bias: Option<(TensorId, f32)>, c: TensorId },
    /// a = σ(z): (B, n_l).
    Activation { functions: UnitFunctions, z: TensorId, a: TensorId },
    /// δ ← δ ⊙ σ′(z): (B, n_l).
    ActivationGradient { functions: UnitFunctions, z: TensorId, delta: TensorId },
    /// y = softmax(z): (B, n_L).
    Softmax { z: TensorId, y: TensorId },
    /// δ ← Jᵀ δ with the Jacobian of softmax at y: (B, n_L).
    SoftmaxGradient { y: TensorId, delta: TensorId },
    /// gradient = ∂E/∂y: (B, n_L), and the scores of each row: (B, 4).
    Loss {
        loss: Loss,
        y: TensorId,
        t: TensorId,
        unit: TensorId,
        gradient: TensorId,
        scores: TensorId,
    },
    /// sums += Σ_rows scores: (1, 4).
    Accumulate { scores: TensorId, sums: TensorId },
    /// out = ± Σ_rows δ: (1, n_l).
    ColumnSums { delta: TensorId, sign: f32, out: TensorId },
    /// norm = ‖x‖₂: (1, 1); partial: a number for each stretch of x.
    VectorNorm { x: TensorId, partial: TensorId, norm: TensorId },
    /// g ← g changed, before the optimiser sees it.
    Edit { edit: Edit, g: TensorId },
    /// The optimiser's step on every parameter of a row from element `from` on.
    Update { rule: Rule, w: TensorId, g: TensorId, state: [TensorId; 3], from: usize },
    /// u = the direction of LAMB or Muon; its states stand from element `at` on.
    Direction { rule: Rule, w: TensorId, g: TensorId, state: [TensorId; 2], at: usize, u: TensorId },
    /// x ← α x + β y.
    Combine { factors: Factors, x: TensorId, y: TensorId },
    /// average ← average + ρ (w − average), for all parameters in one row.
    Average { share: Share, w: TensorId, average: TensorId },
    /// a and b exchanged.
    Swap { a: TensorId, b: TensorId },
    /// total += g, or behind the last micro-batch of a batch g += total, total = 0: (1, len).
    Collect { g: TensorId, total: TensorId, last: bool },
    /// x ← (1 − m) x + m x′ with x′ the other row of a pair: (B, n).
    Mixup { x: TensorId },
    /// x ← x ⊙ m / (1 − p): (B, n).
    Dropout { dropout: Dropout, x: TensorId },
    /// w ← w · min(1, limit / ‖w‖) for each unit: (n_l, n_{l−1}).
    MaxNorm { w: TensorId, limit: f32 },
    /// x += y: (B, n_l).
    Add { y: TensorId, x: TensorId },
    /// statistics = mean and variance of each unit over the batch: (2, n_l), and their running
    /// averages: (2, n_l).
    BatchStatistics { z: TensorId, statistics: TensorId, running: TensorId },
    /// normal = (z − mean) / deviation, out = scale · normal + shift: (B, n_l).
    Normalize(Box<Normalized>),
    /// The gradients of scale and shift: (1, n_l).
    NormalizeSums(Box<NormalizedGradient>),
    /// delta = ∂E/∂z from ∂E/∂out: (B, n_l).
    NormalizeGradient(Box<NormalizedGradient>),
    /// Gather, forward, loss and backward to all δ, a block of rows at a time.
    Rows(Box<Rows>),
    /// All gradients of all parameters, each followed at once by the optimiser's step; and
    /// sums += Σ_rows scores.
    GradientUpdate(Box<GradientUpdate>),
    /// The same without the step, for each part of the batch on its own.
    GradientParts(Box<GradientParts>),
    /// The parts of all gradients added up, each followed at once by the optimiser's step.
    SumUpdate(Box<SumUpdate>),
    /// z = input·weightᵀ ± bias, a = σ(z); the first layer gathers its input.
    Dense(Box<Dense>),
    /// The loss with its scores, and δ_L from the targets of the data set.
    Output(Box<Output>),
    /// δ_l from δ_{l+1}, beside the updates of layers that nothing needs any more.
    Backward(Box<Backward>),
    /// found = the first column of each row in which x is NaN or infinite, −1 where there is none:
    /// (B, 1) or (rows, 1).
    Nonfinite { x: TensorId, found: TensorId },
    /// out = uniform random numbers in [0, 1).
    Uniform { key: [u32; 2], out: TensorId },
    /// out = the rows of the data set at the batch's positions: (B, 1).
    Permutation { out: TensorId },
}

/// The tensors of a layer.
#[derive(Debug, Clone, Copy)]
pub struct LayerTensors {
    /// W: (n_l, n_{l−1}).
    pub weight: TensorId,
    /// b: (1, n_l).
    pub bias: Option<TensorId>,
    /// Z: (B, n_l).
    pub z: TensorId,
    /// A: (B, n_l); the same tensor as Z under the identity.
    pub a: TensorId,
    /// δ: (B, n_l), in training.
    pub delta: Option<TensorId>,
    /// Where the gradients are, in programs that keep them.
    pub gradients: Option<LayerGradients>,
    /// What its normalisation has.
    pub norm: Option<NormTensors>,
}

/// The tensors of an embedding.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddingTensors {
    /// Which feature column it takes, and which inputs it makes.
    pub place: Place,
    /// E: (values, dims).
    pub table: TensorId,
    /// ∂E/∂table: (values, dims), in programs that keep gradients.
    pub gradient: Option<TensorId>,
}

/// The tensors of a layer's normalisation.
#[derive(Debug, Clone, Copy)]
pub struct NormTensors {
    /// The way forth in training; its `statistics` are those of the batch.
    pub forward: Normalized,
    /// Running mean and variance: (2, n_l), of batch normalisation.
    pub running: Option<TensorId>,
    /// The way back, in training.
    pub backward: Option<NormalizedGradient>,
}

/// The tensors of a layer's gradients.
#[derive(Debug, Clone, Copy)]
pub struct LayerGradients {
    /// ∂E/∂W: (n_l, n_{l−1}).
    pub weight: TensorId,
    /// ∂E/∂b: (1, n_l).
    pub bias: Option<TensorId>,
}

/// Stretches of a program's ops that are run as one.
#[derive(Debug, Clone, Default)]
pub struct Routines {
    /// Features to outputs.
    pub predict: Range<usize>,
    /// The same, then the loss and the sums.
    pub evaluate: Range<usize>,
    /// The same as training does it: with dropout.
    pub forward: Range<usize>,
    /// The same, then back to the gradients of all parameters.
    pub gradient: Range<usize>,
    /// The gradients, collected: a micro-batch that is not the last of its batch.
    pub part: Range<usize>,
    /// The gradients and the update.
    pub step: Range<usize>,
    /// The weights of an epoch taken into their average, where epochs are averaged.
    pub average: Range<usize>,
    /// The averaged weights in the place of the trained ones, or back, where there are such.
    pub swap: Range<usize>,
}

/// Ops over tensors, with the buffers that these lie in.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The most rows of a batch.
    pub batch: usize,
    /// The tensors, by [`TensorId`].
    pub tensors: Vec<Tensor>,
    /// The length of each buffer in elements, for a full batch.
    pub buffers: Vec<usize>,
    /// The ops, in order.
    pub ops: Vec<Op>,
    /// Which ops do what.
    pub routines: Routines,
    /// Tensors that are written once, when the program is loaded.
    pub constants: Vec<(TensorId, Vec<f32>)>,
}

impl Program {
    /// An empty program for batches of up to `batch` rows.
    #[must_use]
    pub fn new(batch: usize) -> Self {
        Program { batch, ..Program::default() }
    }

    /// The tensor `id`.
    #[must_use]
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// The tensor called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.tensors.iter().position(|t| t.name == name).map(TensorId)
    }

    /// The elements that `id` takes up when the batch has `batch` rows.
    #[must_use]
    pub fn range(&self, id: TensorId, batch: usize) -> Range<usize> {
        let t = self.tensor(id);
        t.offset..t.offset.saturating_add(t.rows.rows(batch).saturating_mul(t.cols))
    }

    /// The number of elements of `id` in a full batch.
    #[must_use]
    pub fn len(&self, id: TensorId) -> usize {
        self.range(id, self.batch).len()
    }

    /// The bytes of all buffers, with elements of `element` bytes.
    #[must_use]
    pub fn bytes(&self, element: usize) -> u64 {
        let bytes = self.buffers.iter().map(|&len| (len as u64).saturating_mul(element as u64));
        bytes.fold(0, u64::saturating_add)
    }

    /// A new tensor in a buffer of its own.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        role: Role,
        rows: Extent,
        cols: usize,
    ) -> TensorId {
        self.buffers.push(0);
        self.add_to(self.buffers.len() - 1, name, role, rows, cols)
    }

    /// A new tensor behind those that are in `buffer` already.
    pub fn add_to(
        &mut self,
        buffer: usize,
        name: impl Into<String>,
        role: Role,
        rows: Extent,
        cols: usize,
    ) -> TensorId {
        let offset = self.buffers[buffer];
        // Saturates, so that a device refuses what no machine could count.
        let len = rows.rows(self.batch).saturating_mul(cols);
        let padded = len.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
        self.buffers[buffer] = offset.saturating_add(padded);
        self.tensors.push(Tensor { name: name.into(), role, rows, cols, buffer, offset });
        TensorId(self.tensors.len() - 1)
    }

    /// All of `buffer` as one row.
    pub fn add_whole(&mut self, buffer: usize, name: impl Into<String>, role: Role) -> TensorId {
        let cols = self.buffers[buffer];
        let rows = Extent::Fixed(1);
        self.tensors.push(Tensor { name: name.into(), role, rows, cols, buffer, offset: 0 });
        TensorId(self.tensors.len() - 1)
    }

    /// Rows and columns of `id` in a full batch.
    fn shape(&self, id: TensorId) -> [usize; 2] {
        let t = self.tensor(id);
        [t.rows.rows(self.batch), t.cols]
    }

    /// The shape (m, n, k) of a product, of which C and one operand tell all.
    #[must_use]
    pub fn matmul_shape(&self, form: Form, a: TensorId, c: TensorId) -> matmul::Shape {
        let (a, c) = (self.tensor(a), self.tensor(c));
        let k = if form == Form::Tn { a.rows } else { Extent::Fixed(a.cols) };
        matmul::Shape { form, m: c.rows, n: c.cols, k }
    }

    /// The products that a tiled launch of `op` computes for a full batch; none where `op` isn't one.
    #[must_use]
    pub fn products(&self, op: &Op) -> Products {
        let cols = |t: TensorId| self.tensor(t).cols;
        match op {
            Op::Matmul { form, a, c, .. } => {
                matmul::products(self.matmul_shape(*form, *a, *c), self.batch)
            }
            Op::Dense(op) => dense::products(op, self.batch, [cols(op.z), cols(op.input)]),
            Op::Backward(op) => op.products(self.batch, cols),
            Op::GradientUpdate(op) => gradient::products(&op.layers, self.batch, cols),
            Op::GradientParts(op) => gradient::products(&op.layers, op.rows, cols),
            _ => Products::default(),
        }
    }

    /// What a GPU launches for `op`; `largest` is the most elements that one binding may have.
    #[must_use]
    pub fn launches(
        &self,
        op: &Op,
        storage: Storage,
        largest: usize,
        tuning: &Tuning,
    ) -> Vec<Launch> {
        let tiling = || Tiling::new(&self.products(op), tuning);
        let cols = |t: TensorId| self.tensor(t).cols;
        let place = |t: TensorId| (self.tensor(t).offset as u32, self.tensor(t).cols as u32);
        let launch = match op {
            Op::Gather { x } => gather::launch_features(*x, cols(*x), storage.bytes),
            Op::Embed { place, features, table, x } => {
                embed::launch(*place, [*features, *table, *x])
            }
            Op::EmbedGradient { place, features, gradient, out } => {
                return embed::launches_gradient(*place, [*features, *gradient, *out], self.batch);
            }
            Op::Augment { augmentation, x } => augment::launch(augmentation, *x),
            Op::Targets { t } => gather::launch_targets(*t, cols(*t), storage.classes),
            Op::Matmul { form, a, b, bias, c } => {
                let shape = self.matmul_shape(*form, *a, *c);
                return matmul::launches(shape, self.batch, [*a, *b, *c], *bias, tuning);
            }
            Op::Activation { functions, z, a } => {
                activation::launch(&ACTIVATION, functions, *z, *a, cols(*z))
            }
            Op::ActivationGradient { functions, z, delta } => {
                activation::launch(&ACTIVATION_GRADIENT, functions, *z, *delta, cols(*z))
            }
            Op::Softmax { z, y } => softmax::launch(&SOFTMAX, *z, *y, cols(*z)),
            Op::SoftmaxGradient { y, delta } => {
                softmax::launch(&SOFTMAX_GRADIENT, *y, *delta, cols(*y))
            }
            Op::Loss { loss, y, t, unit, gradient, scores } => {
                let tensors = [*y, *t, *unit, *gradient, *scores];
                loss::launch(*loss, tensors, cols(*y), storage.weighted)
            }
            Op::Accumulate { scores, sums } => {
                return loss::launches_accumulate(*scores, *sums, self.batch);
            }
            Op::ColumnSums { delta, sign, out } => {
                return sums::launches(*delta, *out, cols(*delta), *sign, self.batch);
            }
            Op::VectorNorm { x, partial, norm } => {
                return vector_norm::launches([*x, *partial, *norm], self.len(*x), largest);
            }
            Op::Edit { edit, g } => {
                return in_parts(self.len(*g), largest, |start, len| {
                    edits::launch(*edit, *g, start, len)
                });
            }
            Op::Average { share, w, average } => {
                return in_parts(self.len(*w), largest, |start, len| {
                    average::launch(*share, *w, *average, start, len)
                });
            }
            Op::Swap { a, b } => {
                return in_parts(self.len(*a), largest, |start, len| {
                    average::launch_swap(*a, *b, start, len)
                });
            }
            Op::Collect { g, total, last } => {
                return in_parts(self.len(*g), largest, |start, len| {
                    collect::launch(*g, *total, *last, start, len)
                });
            }
            Op::Direction { rule, w, g, state, at, u } => {
                return in_parts(self.len(*w), largest, |start, len| {
                    direction::launch(*rule, [*w, *g, *u], *state, *at, start, len)
                });
            }
            Op::Combine { factors, x, y } => {
                return in_parts(self.len(*x), largest, |start, len| {
                    combine::launch(*factors, *x, *y, start, len)
                });
            }
            Op::Update { rule, w, g, state, from } => {
                return in_parts(self.len(*w) - from, largest, |start, len| {
                    optimizer::launch(*rule, [*w, *g], *state, from + start, len)
                });
            }
            Op::Add { y, x } => add::launch(*y, *x, cols(*x)),
            Op::BatchStatistics { z, statistics, running } => {
                norm::launch_statistics([*z, *statistics, *running], cols(*z))
            }
            Op::Normalize(op) => norm::launch_forward(op, cols(op.z)),
            Op::NormalizeSums(op) => norm::launch_sums(op, cols(op.delta)),
            Op::NormalizeGradient(op) => norm::launch_gradient(op, cols(op.delta)),
            Op::Dropout { dropout, x } => dropout::launch(*dropout, *x, cols(*x)),
            Op::Mixup { x } => mixup::launch(*x, cols(*x)),
            Op::MaxNorm { w, limit } => max_norm::launch(*w, self.shape(*w), *limit),
            Op::Rows(rows) => fused::launch_rows(rows, self.batch, storage, &place),
            Op::GradientUpdate(op) => gradient::launch_update(op, self.batch, &tiling(), &place),
            Op::GradientParts(op) => {
                gradient::launch_parts(op, self.shape(op.parts), &tiling(), &place)
            }
            Op::SumUpdate(op) => gradient::launch_sum(op, self.shape(op.parts)),
            Op::Dense(op) => dense::launch(op, [cols(op.z), cols(op.input)], &tiling(), storage),
            Op::Output(op) => {
                let parts = op.parts.map_or(0, |parts| cols(parts.sums) / cols(op.y));
                output::launch(op, cols(op.y), parts, storage)
            }
            Op::Backward(op) => backward::launch(op, &tiling(), &place),
            Op::Nonfinite { x, found } => {
                nonfinite::launch(*x, *found, self.tensor(*x).rows, cols(*x))
            }
            Op::Uniform { key, out } => random::launch(&UNIFORM, *out, cols(*out), *key),
            Op::Permutation { out } => random::launch(&PERMUTATION, *out, 1, [0; 2]),
        };
        vec![launch]
    }

    /// The tensors that `op` uses, with how.
    #[must_use]
    pub fn uses(&self, op: &Op) -> Vec<(TensorId, Access)> {
        let storage = Storage::default();
        let mut uses = Vec::new();
        for launch in self.launches(op, storage, usize::MAX, &Tuning::default()) {
            for (arg, binding) in launch.args.iter().zip(launch.kernel.bindings) {
                if let Arg::Tensor(t) | Arg::Part(t, ..) = arg
                    && !uses.contains(&(*t, binding.access))
                {
                    uses.push((*t, binding.access));
                }
            }
        }
        uses
    }

    /// Checks what backends rely on: no op writes what it also reads as another tensor, or twice.
    ///
    /// # Errors
    /// For such an op, with its place.
    pub fn check(&self) -> Result<()> {
        for (i, op) in self.ops.iter().enumerate() {
            let fail =
                |what: &str| Err(Error::usage(what).at(format!("op {i}: {}", self.describe(op))));
            let uses = self.uses(op);
            for (n, (a, access)) in uses.iter().enumerate() {
                for (b, other) in &uses[n + 1..] {
                    let written = [access, other].contains(&&Access::ReadWrite);
                    let (x, y) = (self.range(*a, self.batch), self.range(*b, self.batch));
                    let same = self.tensor(*a).buffer == self.tensor(*b).buffer;
                    if written && same && x.start < y.end && y.start < x.end {
                        return fail("an op writes a tensor that overlaps another of its own");
                    }
                }
            }
            match op {
                Op::Rows(rows) if !(1..=fused::LARGEST_BLOCK).contains(&rows.block) => {
                    return fail("a block of too few or too many rows");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Floating-point operations of `op` on a batch of `batch` rows, a multiply-add counting two.
    #[must_use]
    pub fn flops(&self, op: &Op, batch: usize) -> f64 {
        let elements = |t: TensorId| self.range(t, batch).len() as f64;
        match op {
            Op::Matmul { form, a, c, .. } => {
                let shape = self.matmul_shape(*form, *a, *c);
                2.0 * elements(*c) * shape.k.rows(batch) as f64
            }
            Op::Update { w, .. } => 10.0 * elements(*w),
            Op::Rows(rows) => {
                let weights = rows.layers[rows.from..].iter().map(|l| elements(l.weight));
                let forward = 2.0 * batch as f64 * weights.sum::<f64>();
                let first = rows.layers.first().map_or(0.0, |l| elements(l.weight));
                let kept = if rows.from == 0 { first } else { 0.0 };
                match rows.reach {
                    Reach::Deltas => 2.0 * forward - 2.0 * batch as f64 * kept,
                    _ => forward,
                }
            }
            Op::GradientUpdate(update) => {
                let weights = update.layers.iter().map(|l| elements(l.weight));
                (2.0 * batch as f64 + 10.0) * weights.sum::<f64>()
            }
            Op::GradientParts(op) => {
                let weights = op.layers.iter().map(|l| elements(l.weight));
                2.0 * batch as f64 * weights.sum::<f64>()
            }
            Op::SumUpdate(op) => elements(op.parts) + 10.0 * elements(op.parameters),
            Op::Dense(_) | Op::Backward(_) => {
                let flops = |p: &[usize; 3]| 2.0 * p.map(|x| x as f64).iter().product::<f64>();
                let full: f64 = self.products(op).shapes.iter().map(flops).sum();
                full * batch as f64 / self.batch as f64
            }
            _ => self.uses(op).iter().map(|(t, _)| elements(*t)).sum(),
        }
    }

    /// `op` as a line to read: what it computes, with shapes.
    #[must_use]
    pub fn describe(&self, op: &Op) -> String {
        OpText { program: self, op }.to_string()
    }
}

/// Launches on stretches of `len` elements that a binding of `largest` holds.
fn in_parts(len: usize, largest: usize, launch: impl Fn(usize, usize) -> Launch) -> Vec<Launch> {
    let part = largest / ALIGNMENT * ALIGNMENT;
    (0..len).step_by(part).map(|start| launch(start, part.min(len - start))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_op_that_writes_what_it_reads_is_refused() {
        let mut program = Program::new(4);
        let mut add = |name| program.add(name, Role::Transient, Extent::Batch, 3);
        let (z, a) = (add("z"), add("a"));
        let op = |a| Op::Activation {
            functions: UnitFunctions::Same(crate::activation::Activation::Tanh),
            z,
            a,
        };
        program.ops = vec![op(a)];
        assert!(program.check().is_ok());
        program.ops = vec![op(z)];
        let error = program.check().unwrap_err().to_string();
        assert!(error.contains("overlaps") && error.contains("op 0"), "{error}");
    }
}

//! What an op is on a device: its launches, the tensors that they use, and how much there is to
//! compute.

use super::{Op, Program, Task};
use crate::data::Storage;
use crate::kernels::common::random;
use crate::kernels::common::random::{PERMUTATION, UNIFORM};
use crate::kernels::fused::gradient;
use crate::kernels::fused::whole_net::{self, Reach};
use crate::kernels::inputs::{augment, embed, gather, mixup, sort_indices};
use crate::kernels::layers::activation::{self, ACTIVATION, ACTIVATION_GRADIENT};
use crate::kernels::layers::softmax::{SOFTMAX, SOFTMAX_GRADIENT};
use crate::kernels::layers::{add, dropout, nonfinite, norm, softmax};
use crate::kernels::loss::{self, output};
use crate::kernels::optim::{
    average, collect, combine, direction, edits, max_norm, optimizer, vector_norm,
};
use crate::kernels::products::matmul::{self, Form};
use crate::kernels::products::tile::{Products, Tiling, Tuning};
use crate::kernels::products::{backward, dense, sums};
use crate::kernels::tensor::{ALIGNMENT, Extent, TensorId};
use crate::kernels::{Access, Arg, Launch, mixed};
use std::collections::BTreeSet;

impl Program {
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
            Op::Mixed(op) => {
                op.product(self.batch, cols).map(Products::element_wise).unwrap_or_default()
            }
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
            Op::SortIndices { place, features, order, spare } => {
                return sort_indices::launches(*place, [*features, *order, *spare], self.batch);
            }
            Op::EmbedGradient { place, order, gradient, out } => {
                return embed::launches_gradient(*place, [*order, *gradient, *out], self.batch);
            }
            Op::TableGradient { place, features, gradient, out } => {
                embed::launch_table_gradient(*place, [*features, *gradient, *out])
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
            Op::Update { rule, w, g, state, range } => {
                return in_parts(range.len(), largest, |start, len| {
                    optimizer::launch(*rule, [*w, *g], *state, range.start + start, len)
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
            Op::WholeNet(op) => whole_net::launch(op, self.batch, storage, &place),
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
            Op::Mixed(op) => {
                let precision = |t: TensorId| self.tensor(t).precision;
                mixed::launch(op, self.batch, storage, tuning, &place, precision)
            }
            Op::Nonfinite { x, found } => {
                nonfinite::launch(*x, *found, self.tensor(*x).rows, cols(*x))
            }
            Op::Uniform { key, out } => random::launch(&UNIFORM, *out, cols(*out), *key),
            Op::Permutation { out } => random::launch(&PERMUTATION, *out, 1, [0; 2]),
        };
        vec![launch]
    }

    /// The tensors that the launches of `op` bind on a device, with how; of an op that GPUs have no kernel
    /// for, those that it reads and writes.
    #[must_use]
    pub fn uses(&self, op: &Op) -> Vec<(TensorId, Access)> {
        let storage = Storage::default();
        let mut uses = Vec::new();
        if !op.runs_on_gpus() {
            for task in self.effects(op) {
                uses.extend(task.reads.iter().map(|slice| (slice.tensor, Access::Read)));
                uses.extend(task.written().map(|slice| (slice.tensor, Access::ReadWrite)));
            }
            uses.sort_by_key(|(id, access)| (*id, *access == Access::Read));
            uses.dedup();
            return uses;
        }
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

    /// Floating-point operations of `op` on a batch of `batch` rows, a multiply-add counting two.
    #[must_use]
    pub fn flops(&self, op: &Op, batch: usize) -> f64 {
        let elements = |t: TensorId| self.range(t, batch).len() as f64;
        match op {
            Op::Matmul { form, a, c, .. } => {
                let shape = self.matmul_shape(*form, *a, *c);
                2.0 * elements(*c) * shape.k.rows(batch) as f64
            }
            Op::SortIndices { .. } => sort_indices::comparisons(batch),
            Op::EmbedGradient { place, out, .. } => (batch * place.dims) as f64 + elements(*out),
            Op::TableGradient { place, out, .. } => (batch * place.dims) as f64 + elements(*out),
            Op::Update { range, .. } => 10.0 * range.len() as f64,
            Op::WholeNet(net) => {
                let weights = net.layers[net.from..].iter().map(|l| elements(l.weight));
                let forward = 2.0 * batch as f64 * weights.sum::<f64>();
                let first = net.layers.first().map_or(0.0, |l| elements(l.weight));
                let kept = if net.from == 0 { first } else { 0.0 };
                match net.reach() {
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
            Op::Dense(_) | Op::Backward(_) | Op::Mixed(_) if !self.products(op).is_empty() => {
                let flops = |p: &[usize; 3]| 2.0 * p.map(|x| x as f64).iter().product::<f64>();
                let full: f64 = self.products(op).shapes.iter().map(flops).sum();
                full * batch as f64 / self.batch as f64
            }
            _ => {
                let tasks = self.effects(op);
                let touched = tasks.iter().flat_map(Task::touched);
                let ids: BTreeSet<_> = touched.map(|slice| slice.tensor).collect();
                ids.into_iter().map(elements).sum()
            }
        }
    }
}

/// Launches on stretches of `len` elements that a binding of `largest` holds.
fn in_parts(len: usize, largest: usize, launch: impl Fn(usize, usize) -> Launch) -> Vec<Launch> {
    let part = largest / ALIGNMENT * ALIGNMENT;
    (0..len).step_by(part).map(|start| launch(start, part.min(len - start))).collect()
}

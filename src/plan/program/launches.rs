//! An op on a device: its launches, the tensors that they use, and the number of floating-point
//! operations.

use super::operand::Launching;
use super::{Op, Program, Task};
use crate::data::Storage;
use crate::kernels::fused::gradient;
use crate::kernels::fused::whole_net::Reach;
use crate::kernels::products::dense;
use crate::kernels::products::matmul::{self, Form};
use crate::kernels::products::tile::{Products, Tuning};
use crate::kernels::tensor::{Extent, TensorId};
use crate::kernels::{Access, Arg, Launch};
use crate::net::precision::Precision;
use std::collections::BTreeSet;

impl Program {
    /// The shape (m, n, k) of a product, from C and one operand.
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
        let products = match op {
            Op::Matmul { form, a, c, .. } => {
                matmul::products(self.matmul_shape(*form, *a, *c), self.batch)
            }
            Op::Dense(op) => dense::products(op, self.batch, [cols(op.z), cols(op.input)]),
            Op::Backward(op) => op.products(self.batch, cols),
            Op::GradientUpdate(op) => gradient::products(&op.layers, self.batch, cols),
            Op::GradientParts(op) => gradient::products(&op.layers, op.rows, cols),
            _ => Products::default(),
        };
        match products.shapes[..] {
            [product] if self.precision_of(op) == Precision::F16 => Products::element_wise(product),
            _ => products,
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
        op.launches(&Launching { program: self, op, storage, largest, tuning })
    }

    /// The tensors that the launches of `op` bind on a device, with their access; for an op without a GPU
    /// kernel, those that it reads and writes.
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
                if let Arg::Tensor(t) | Arg::Slice(t, ..) = arg
                    && !uses.contains(&(*t, binding.access))
                {
                    uses.push((*t, binding.access));
                }
            }
        }
        uses
    }

    /// Floating-point operations of `op` on a batch of `batch` rows, a multiply-add counts as two.
    #[must_use]
    pub fn flops(&self, op: &Op, batch: usize) -> f64 {
        let elements = |t: TensorId| self.range(t, batch).len() as f64;
        match op {
            Op::Matmul { form, a, c, .. } => {
                let shape = self.matmul_shape(*form, *a, *c);
                2.0 * elements(*c) * shape.k.rows(batch) as f64
            }
            Op::EmbedGradient { tables, .. } => {
                let each = tables.each.iter();
                each.map(|(lookup, out)| (batch * lookup.dims) as f64 + elements(*out)).sum()
            }
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
            Op::Dense(_) | Op::Backward(_) if !self.products(op).is_empty() => {
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

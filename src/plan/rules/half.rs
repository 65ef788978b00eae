//! Mixed precision: the rules that its kernels support, then tensors in f16 and the ops that these need.

use super::Routine;
use crate::kernels::mixed::SCALE_STATE;
use crate::kernels::products::backward::{Backward, Scaled};
use crate::kernels::tensor::{Extent, Role, TensorId};
use crate::net::precision::MixedPrecision;
use crate::plan::program::{Op, Program};

/// The loss scale S, by which every δ is multiplied.
#[derive(Clone, Copy)]
pub(super) struct LossScaling {
    pub(super) tensor: TensorId,
    /// Steps without an overflow before S is doubled.
    interval: u32,
}

impl LossScaling {
    /// S and its counts, which a run begins with.
    pub(super) fn new(program: &mut Program, mixed: &MixedPrecision) -> Self {
        let tensor = program.add("loss_scale", Role::State, Extent::Fixed(1), SCALE_STATE);
        program.constants.push((tensor, vec![mixed.scale, 0.0, 0.0, 0.0]));
        LossScaling { tensor, interval: mixed.interval }
    }
}

/// W in f16, if the program has it.
pub(in crate::plan) fn shadow(program: &Program, weight: TensorId) -> Option<TensorId> {
    program.find(&format!("{}.f16", program.tensor(weight).name))
}

impl Routine {
    /// The rules in mixed precision; with the loss scale if the routine trains.
    ///
    /// No update stands beside a δ: all wait for the last δ, which may still overflow.
    pub(super) fn fuse_in_half(&mut self, loss_scale: Option<LossScaling>) {
        self.dense();
        self.output();
        if loss_scale.is_some() {
            self.deltas();
            let updated = self.updates();
            self.note("updates", updated.map(|_| ()));
        }
        self.a_for_z();
        self.store_in_half(loss_scale);
    }

    /// X, hidden Z and A, every δ but the loss's own, and a second copy of the weights in f16.
    fn store_in_half(&mut self, loss_scale: Option<LossScaling>) {
        let is_dense = |op: &Op| matches!(op, Op::Dense(_));
        let last = self.nodes.iter().rposition(|node| is_dense(&node.op));
        let mut scaled = None;
        let ops: Vec<Op> =
            std::mem::take(&mut self.nodes).into_iter().map(|node| node.op).collect();
        for (i, op) in ops.into_iter().enumerate() {
            match op {
                Op::Gather { x } => {
                    self.program.store_in_half(x);
                    self.push(op);
                }
                Op::Dense(mut dense) => {
                    dense.weight = self.shadow(dense.weight);
                    // What is f32 doesn't overflow.
                    if last != Some(i) {
                        [dense.z, dense.a].iter().for_each(|t| self.program.store_in_half(*t));
                        dense.overflows = loss_scale.map(|scale| scale.tensor);
                    }
                    self.push(Op::Dense(dense));
                }
                Op::Accumulate { .. } => {
                    self.push(op);
                    scaled = loss_scale.and_then(|scale| self.rescale(scale.tensor));
                }
                Op::Backward(op) => {
                    let Some(scale) = loss_scale else { continue };
                    self.backward_in_half(*op, scale.tensor, scaled);
                }
                op => self.push(op),
            }
        }
        if let Some(LossScaling { tensor: loss_scale, interval }) = loss_scale {
            self.push(Op::LossScale { loss_scale, interval });
        }
    }

    fn push(&mut self, op: Op) {
        self.nodes.push(self.node(op));
    }

    /// W in f16.
    fn shadow(&mut self, weight: TensorId) -> TensorId {
        shadow(&self.program, weight).unwrap_or_else(|| {
            let p = &mut self.program;
            let t = p.tensor(weight);
            let (name, rows, cols) = (format!("{}.f16", t.name), t.rows, t.cols);
            let shadow = p.add(name, Role::Shadow, rows, cols);
            p.store_in_half(shadow);
            shadow
        })
    }

    /// S δ_L in f16 for the backward pass, from δ_L in f32 as given by the loss: returns both.
    fn rescale(&mut self, loss_scale: TensorId) -> Option<[TensorId; 2]> {
        let x = self.nodes.iter().find_map(|node| match &node.op {
            Op::Output(output) => output.delta,
            _ => None,
        })?;
        let cols = self.cols(x);
        let y = self.program.add("delta.scaled", Role::Transient, Extent::Batch, cols);
        self.program.store_in_half(y);
        self.push(Op::Rescale { x, y, loss_scale });
        Some([x, y])
    }

    /// A δ and updates, each an op of its own.
    fn backward_in_half(
        &mut self,
        op: Backward,
        loss_scale: TensorId,
        scaled: Option<[TensorId; 2]>,
    ) {
        let through = |id: TensorId| match scaled {
            Some([x, y]) if id == x => y,
            _ => id,
        };
        let alone = Backward { delta: None, updates: Vec::new(), ..op };
        let made =
            |shadow| Backward { scaled: Some(Scaled { loss_scale, shadow }), ..alone.clone() };
        if let Some(mut delta) = op.delta {
            delta.weight = self.shadow(delta.weight);
            delta.above = through(delta.above);
            self.program.store_in_half(delta.out);
            self.push(Op::Backward(Box::new(Backward { delta: Some(delta), ..made(None) })));
        }
        for mut gradient in op.updates {
            gradient.delta = through(gradient.delta);
            let shadow = self.shadow(gradient.weight);
            let updates = vec![gradient];
            self.push(Op::Backward(Box::new(Backward { updates, ..made(Some(shadow)) })));
        }
    }
}

//! From a spec to a program: the only place that knows the order of backpropagation.
//!
//! `plain` is the program with one op for each mathematical operation. `rules` derive from it a program that
//! gives the same numbers with fewer ops, or one in mixed precision.

mod average;
mod pieces;
mod plain;
pub mod program;
mod rules;
mod tensors;
mod update;
mod watched;

pub use pieces::Piece;
pub use plain::plain;
pub use rules::{Traits, Verdict};
pub use watched::{Watch, Watched, watched};

use crate::kernels::tensor::TensorId;
use crate::net::precision::Precision;
use crate::net::spec::{Net, PlanKind, Spec};
use crate::plan::program::{EmbeddingTensors, LayerGradients, LayerTensors, Op, Program};

/// A program for a spec, and where its tensors are.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The ops.
    pub program: Program,
    /// The tensors of each embedding.
    pub embeddings: Vec<EmbeddingTensors>,
    /// The tensors of each layer.
    pub layers: Vec<LayerTensors>,
    /// The net's output: (B, n_L).
    pub output: TensorId,
    /// The running sums of losses and scores: (1, 4).
    pub sums: TensorId,
    /// The unit of each target, in the caller's units: (1, targets).
    pub unit: TensorId,
    /// All parameters in one row.
    pub parameters: TensorId,
    /// All their gradients in one row, in programs that keep them.
    pub gradients: Option<TensorId>,
    /// The state of the optimizer, in training.
    pub state: Option<[TensorId; 3]>,
    /// The loss scale and its counts, in training in mixed precision: (1, 4).
    pub loss_scale: Option<TensorId>,
    /// Which rules fused its step, and why others didn't.
    pub rules: Vec<Verdict>,
}

impl Plan {
    /// Whether a rule changed the plain program.
    #[must_use]
    pub fn is_fused(&self) -> bool {
        self.rules.iter().any(|verdict| verdict.refused.is_none())
    }

    /// Whether one op takes rows through the whole net.
    #[must_use]
    pub fn has_whole_net(&self) -> bool {
        self.program.ops.iter().any(|op| matches!(op, Op::WholeNet(_)))
    }

    /// Renumbers the tensors, some of which may have been removed.
    fn renumber(&mut self, place: &impl Fn(TensorId) -> Option<TensorId>) {
        let there = |id: TensorId| place(id).unwrap_or(id);
        for id in [&mut self.output, &mut self.sums, &mut self.unit, &mut self.parameters] {
            *id = there(*id);
        }
        self.gradients = self.gradients.and_then(place);
        self.state = self.state.map(|state| state.map(there));
        self.loss_scale = self.loss_scale.and_then(place);
        for embedding in &mut self.embeddings {
            embedding.table = there(embedding.table);
            embedding.gradient = embedding.gradient.and_then(place);
        }
        for layer in &mut self.layers {
            (layer.weight, layer.bias) = (there(layer.weight), layer.bias.and_then(place));
            layer.a = there(layer.a);
            // If they were removed, A has taken their place.
            layer.z = place(layer.z).unwrap_or(layer.a);
            (layer.shadow, layer.delta) =
                (layer.shadow.and_then(place), layer.delta.and_then(place));
            layer.gradients = layer.gradients.and_then(|g| {
                let bias = g.bias.and_then(place);
                Some(LayerGradients { weight: place(g.weight)?, bias })
            });
            if let Some(norm) = &mut layer.norm {
                norm.renumber(place, layer.a);
            }
        }
        for (id, _) in &mut self.program.constants {
            *id = there(*id);
        }
    }
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Training: with gradients and optimizer state.
    Train,
    /// Training with a hook on the gradients before each update: they are kept, and the update is a separate
    /// routine ([`Routines::update`](crate::plan::program::Routines::update)).
    TrainWithHook,
    /// Predictions and losses only.
    Evaluate,
}

/// The batch size of predictions and losses: at most `rows`, and smaller for a wide net.
#[must_use]
pub fn evaluation_rows(net: &Net, rows: usize) -> usize {
    let widest = net.shapes().map(|(out, cols)| out.max(cols)).max().unwrap_or(1);
    ((1 << 21) / widest).clamp(1, 1024).min(rows.max(1))
}

/// The batch size of evaluations between the epochs of a training: their program is that of the training, whose
/// memory they should not determine.
#[must_use]
pub fn evaluation_rows_in_training(spec: &Spec) -> usize {
    evaluation_rows(&spec.net, spec.batch_size.min(256))
}

/// The program of `spec` on a device with these traits. In mixed precision it doesn't depend on
/// the device.
///
/// Fused layers take 2L + 2 ops for a step of L layers if all rules fire (one more after a softmax), with δ_l
/// beside the update of W_{l+2}; in mixed precision 3L + 4, since all updates wait for the last δ, which may
/// still overflow. [`Plan::rules`] says which fired, and why others didn't.
#[must_use]
pub fn plan(spec: &Spec, batch: usize, purpose: Purpose, traits: Traits) -> Plan {
    let plain = plain(spec, batch, purpose);
    match (spec.precision, spec.plan) {
        (Precision::F16, _) => rules::derive_in_half(plain, &spec.mixed),
        (Precision::F32, PlanKind::Plain) => plain,
        (Precision::F32, PlanKind::Fused) => {
            rules::derive(plain, traits, purpose == Purpose::TrainWithHook)
        }
    }
}

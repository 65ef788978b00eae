//! From a spec to a program: the only place that knows the order of backpropagation.
//!
//! `plain` is the program as the mathematics names it. `rules` derive from it what gives the same numbers
//! from fewer ops, or in mixed precision; `fused` takes rows through the whole of a small net.

mod average;
mod fused;
mod plain;
mod rules;
mod tensors;
mod update;
mod watched;

pub use fused::{fused, rows};
pub use plain::plain;
pub use rules::Verdict;
pub use watched::{Watch, Watched, watched};

use crate::optim::Optimizer;
use crate::precision::Precision;
use crate::program::{EmbeddingTensors, LayerGradients, LayerTensors, Program};
use crate::spec::{Net, PlanKind, Spec};
use crate::tensor::TensorId;
use tensors::{ARENA, Layout, Tensors, allocate, augmentation, dropout, functions, max_norm};

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
    /// Users' units in one of ours, for each target: (1, targets).
    pub unit: TensorId,
    /// All parameters in one row.
    pub parameters: TensorId,
    /// What became of the rules that fuse its step; there are none in a plain program.
    pub rules: Vec<Verdict>,
}

impl Plan {
    /// The same in a program whose tensors have other numbers, and where some are gone.
    fn renumber(&mut self, place: &impl Fn(TensorId) -> Option<TensorId>) {
        let there = |id: TensorId| place(id).unwrap_or(id);
        for id in [&mut self.output, &mut self.sums, &mut self.unit, &mut self.parameters] {
            *id = there(*id);
        }
        for embedding in &mut self.embeddings {
            embedding.table = there(embedding.table);
            embedding.gradient = embedding.gradient.and_then(place);
        }
        for layer in &mut self.layers {
            (layer.weight, layer.bias) = (there(layer.weight), layer.bias.and_then(place));
            layer.a = there(layer.a);
            layer.z = place(layer.z).unwrap_or(layer.a);
            (layer.shadow, layer.delta) =
                (layer.shadow.and_then(place), layer.delta.and_then(place));
            layer.gradients = layer.gradients.and_then(|g| {
                let bias = g.bias.and_then(place);
                Some(LayerGradients { weight: place(g.weight)?, bias })
            });
            if let Some(norm) = &mut layer.norm {
                norm.renumber(place);
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
    /// Training: with gradients and optimiser state.
    Train,
    /// Predictions and losses only.
    Evaluate,
}

/// Rows that predictions and losses take at a time: no more than there are, and fewer for a wide net.
#[must_use]
pub fn evaluation_rows(net: &Net, rows: usize) -> usize {
    let widest = net.shapes().map(|(out, cols)| out.max(cols)).max().unwrap_or(1);
    ((1 << 21) / widest).clamp(1, 1024).min(rows.max(1))
}

/// How a backend runs a spec in fewer ops than the plain program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fusion {
    /// It doesn't: the plain program.
    None,
    /// [`fused`]: a block of rows through the whole net while it lies in cache.
    Blocks,
    /// [`rows`]: the same with launches enough to fill a GPU.
    Rows,
    /// [`layers`]: about two ops for each layer, made by rules.
    Layers,
    /// [`layers`] in mixed precision.
    Mixed,
}

/// How `spec` is fused on a backend that can do it as `offered`: not at all where that isn't asked for. The
/// CPU's blocks take every feature but L-BFGS, whose steps the host leads. On a GPU, what takes rows through
/// the whole net takes no augmentation, mixup, embeddings, normalisations or residual connections: those are
/// ops beside those of layers. Mixed precision has one program, whatever is offered.
#[must_use]
pub fn fusion(spec: &Spec, offered: Fusion) -> Fusion {
    match spec.plan {
        _ if spec.precision == Precision::F16 => Fusion::Mixed,
        PlanKind::Plain => Fusion::None,
        PlanKind::Fused => {
            let is_led_by_host = spec.optimizer == Optimizer::Lbfgs;
            let is_one_pass = spec.net.is_plain()
                && spec.mixup.is_none()
                && spec.augment.is_none()
                && !is_led_by_host
                && fused::rows_take(spec, spec.rows_at_a_time());
            match offered {
                Fusion::Rows if !is_one_pass => Fusion::Layers,
                Fusion::Blocks if is_led_by_host => Fusion::None,
                offered => offered,
            }
        }
    }
}

/// The program that `spec` asks for, on a backend that fuses as `offered`.
#[must_use]
pub fn plan(spec: &Spec, batch: usize, purpose: Purpose, offered: Fusion) -> Plan {
    match fusion(spec, offered) {
        Fusion::None => plain(spec, batch, purpose),
        Fusion::Blocks => fused(spec, batch, purpose),
        Fusion::Rows => rows(spec, batch, purpose),
        Fusion::Layers | Fusion::Mixed => layers(spec, batch, purpose),
    }
}

/// The program of fused layers, in f32 or mixed precision as `spec` says: what rules make of the plain one.
///
/// A step of L layers takes 2L + 2 ops where all rules fire (one more behind a softmax), δ_l beside the
/// update of W_{l+2}; in mixed precision 3L + 4, since all updates wait for the last δ, which may still
/// overflow. [`Plan::rules`] says which fired, and why not.
#[must_use]
pub fn layers(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    rules::derive(plain(spec, batch, purpose), spec.precision, &spec.mixed)
}

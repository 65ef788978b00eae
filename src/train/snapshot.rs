//! What a run is at one moment, in host memory: enough to go on from it exactly.

use crate::data::Fingerprint;
use crate::kernels::tensor::HostTensor;
use crate::math::schedule::Plateau;
use crate::net::metrics::Metrics;
use crate::net::precision::Multiplier;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Steps done since the run began: the one step counter.
    pub step: u64,
    /// Epochs done.
    pub epoch: usize,
    /// Steps done of the epoch at hand.
    pub within: usize,
}

/// What the net and the optimizer hold at a position.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Where the run is.
    pub position: Position,
    /// The running sums of the epoch at hand: loss and scores.
    pub sums: [f32; 4],
    /// All parameters, and all that the optimizer keeps.
    pub tensors: Vec<HostTensor>,
}

impl Snapshot {
    /// Whether no value in it is NaN or infinite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.tensors.iter().all(|t| t.values.iter().fold(true, |all, x| all & x.is_finite()))
    }
}

/// The best epoch so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done then.
    pub step: u64,
    /// The metric by which it is the best.
    pub metric: String,
    /// Loss and metrics on the validation rows.
    pub metrics: Metrics,
    /// All that predictions need; empty where the last weights are kept.
    pub tensors: Vec<HostTensor>,
}

/// What a run did that its settings don't tell: about steps after which the loss was no longer finite, and
/// about its learning rate, by hand.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detours {
    /// How often the learning rate was halved.
    pub halvings: u32,
    /// The steps that are passed over.
    pub skipped: BTreeSet<u64>,
    /// What the learning rate was multiplied by by hand, in the order of steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateFactor>,
}

/// A factor of the learning rate from a step on, until the next one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateFactor {
    /// The steps that are done before the first with this factor.
    pub step: u64,
    /// What the scheduled learning rate is multiplied by.
    pub factor: f32,
}

impl Detours {
    /// What the learning rate of the step after `done` steps is multiplied by, by hand.
    #[must_use]
    pub fn rate_factor(&self, done: u64) -> f32 {
        self.rates.iter().rev().find(|rate| rate.step <= done).map_or(1.0, |rate| rate.factor)
    }
}

/// A run that can be resumed.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Net and optimizer.
    pub now: Snapshot,
    /// The start of the epoch at hand, where the run may go back to it.
    pub epoch_start: Option<Snapshot>,
    /// The best epoch so far, where epochs are compared.
    pub best: Option<Arc<Best>>,
    /// What was done about divergence so far.
    pub detours: Detours,
    /// The lowest and the highest training loss of an epoch so far.
    pub losses: Option<[f64; 2]>,
    /// The lowest loss of the held-out rows so far, and the last.
    pub held_out_losses: Option<[f64; 2]>,
    /// What the schedule has seen of the loss.
    pub plateau: Plateau,
    /// Seconds that the run has taken.
    pub seconds: f64,
    /// The settings that must be the same for going on, as text.
    pub settings: String,
    /// What multiplies, in mixed precision: another would give other bits.
    pub multiplier: Option<Multiplier>,
    /// The training rows.
    pub data: Fingerprint,
    /// The held-out rows that it was judged by; none where there were none so far.
    pub validation: Option<Fingerprint>,
}

//! The state of a run in host memory: enough to continue exactly.

use crate::data::Fingerprint;
use crate::kernels::tensor::HostTensor;
use crate::math::schedule::Plateau;
use crate::net::metrics::Metrics;
use crate::net::precision::Multiplier;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The position of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Steps done since the run began: the one step counter.
    pub step: u64,
    /// Epochs done.
    pub epoch: usize,
    /// Steps done of the current epoch.
    pub within: usize,
}

/// The state of net and optimizer at a position.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The position of the run.
    pub position: Position,
    /// The running sums of the current epoch: loss and scores.
    pub sums: [f32; 4],
    /// All parameters, and the state of the optimizer.
    pub tensors: Vec<HostTensor>,
}

impl Snapshot {
    /// Whether all values are finite.
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
    /// All tensors that predictions need; empty if the last weights are kept.
    pub tensors: Vec<HostTensor>,
}

/// Deviations of a run from its settings: after divergence, and by manual changes of the learning
/// rate.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detours {
    /// The number of times the learning rate was halved.
    pub halvings: u32,
    /// The steps that are skipped.
    pub skipped: BTreeSet<u64>,
    /// The manual factors on the learning rate, in the order of steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateFactor>,
}

/// A factor of the learning rate from a step on, until the next one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateFactor {
    /// The number of steps done before the first with this factor.
    pub step: u64,
    /// The factor on the scheduled learning rate.
    pub factor: f32,
}

impl Detours {
    /// The manual factor on the learning rate of the step after `done` steps.
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
    /// The start of the current epoch, if the run may return to it.
    pub epoch_start: Option<Snapshot>,
    /// The best epoch so far, if epochs are compared.
    pub best: Option<Arc<Best>>,
    /// The deviations so far.
    pub detours: Detours,
    /// The lowest and the highest training loss of an epoch so far.
    pub losses: Option<[f64; 2]>,
    /// The lowest loss of the held-out rows so far, and the last.
    pub held_out_losses: Option<[f64; 2]>,
    /// The state of the plateau schedule.
    pub plateau: Plateau,
    /// Seconds that the run has taken.
    pub seconds: f64,
    /// The settings that must be unchanged to resume, as text.
    pub settings: String,
    /// The multiplier, in mixed precision: another one would give other bits.
    pub multiplier: Option<Multiplier>,
    /// The training rows.
    pub data: Fingerprint,
    /// The held-out rows that it was evaluated on; none if there were none so far.
    pub validation: Option<Fingerprint>,
}

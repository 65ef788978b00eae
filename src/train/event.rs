//! What observers of a run see.

use crate::base::error::Result;
use crate::kernels::tensor::HostTensor;
use crate::net::metrics::Metrics;
use crate::net::stopping::OnDivergence;
use crate::train::snapshot::{Checkpoint, Position};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a run begins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Start {
    /// The device, as shown to users.
    pub device: String,
    /// `cpu`, `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// Weights and biases.
    pub parameters: usize,
    /// Training rows.
    pub rows: usize,
    /// Rows held out.
    pub validation_rows: usize,
    /// Batch size.
    pub batch_size: usize,
    /// Number of passes over the training set.
    pub epochs: usize,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// Steps that were done before, where it goes on with a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_step: Option<u64>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Progress {
    /// The current epoch, from 1.
    pub epoch: usize,
    /// All epochs.
    pub epochs: usize,
    /// Steps done since the run began: the one step counter.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// The training loss of this epoch so far, where it was read.
    pub loss: Option<f64>,
    /// Training rows a second in this epoch.
    pub samples_per_second: f64,
    /// Seconds that the rest will take at this pace.
    pub seconds_left: f64,
}

/// An epoch's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Epoch {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done since the run began.
    pub step: u64,
    /// The mean training loss while the epoch ran.
    pub train_loss: f64,
    /// The loss on the validation rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_loss: Option<f64>,
    /// The metrics on the validation rows, by name.
    #[serde(flatten, serialize_with = "by_name")]
    pub metrics: Vec<(&'static str, f64)>,
    /// The learning rate of the last step.
    pub lr: f32,
    /// Seconds since the run began.
    pub seconds: f64,
    /// Training rows a second.
    pub samples_per_second: f64,
}

fn by_name<S: serde::Serializer>(
    values: &[(&'static str, f64)],
    s: S,
) -> std::result::Result<S::Ok, S::Error> {
    s.collect_map(values.iter().copied())
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All epochs are done.
    Done,
    /// An observer asked for it, satisfied.
    Stopped,
    /// No epoch was better for as long as the spec's patience.
    Patience,
    /// Its time was up.
    TimeLimit,
    /// The user asked for it.
    Interrupted,
}

impl Ending {
    /// As a word for users.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Ending::Done => "trained",
            Ending::Stopped | Ending::Patience => "stopped",
            Ending::TimeLimit => "time is up",
            Ending::Interrupted => "interrupted",
        }
    }
}

/// Where a run met the first value that is NaN or infinite, and what it does about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diverged {
    /// The loss that showed it; a finite one where only the weights behind the last step do.
    pub loss: f64,
    /// The epoch, from 1.
    pub epoch: usize,
    /// The step, from 1.
    pub step: u64,
    /// The layer, from 1; none for the input, the loss, and where it wasn't found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
    /// The tensor, as in `layers.0.z`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// The op that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// The first training rows of the batch in which it is so, as users count them.
    pub rows: Vec<String>,
    /// What is done about it.
    pub action: OnDivergence,
    /// The learning rate of the step.
    pub lr: f32,
}

/// A learning rate that was changed by hand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RateChange {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done when it was changed: it holds from the next step on.
    pub step: u64,
    /// What the scheduled learning rate is multiplied by from there on.
    pub factor: f32,
    /// The learning rate of the next step.
    pub lr: f32,
}

/// One training step as an observer asked to see it: what it did to the weights, and the gradient there.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSample {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done since the run began, this one included.
    pub step: u64,
    /// Training rows that the gradients are over; 0 where there are none.
    pub gradient_rows: usize,
    /// The layers with weights, first to last.
    pub layers: Vec<LayerSample>,
    /// All parameters after the step.
    pub parameters: Vec<HostTensor>,
    /// Seconds that looking took, beside the step itself.
    pub seconds: f64,
}

/// A layer's weights in a [`StepSample`].
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSample {
    /// Its name in files: `layers.0`.
    pub name: String,
    /// ‖∂L/∂W‖₂ at the weights before the step, L the mean loss over some of the training rows, not over
    /// the step's batch; none where the net is too large to compute it beside the training.
    pub gradient_norm: Option<f64>,
    /// ‖ΔW‖₂ / ‖W‖₂: how much the step changed the weights, relative to what they were before.
    pub update_ratio: f64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// Why.
    pub ending: Ending,
    /// Epochs done.
    pub epochs: usize,
    /// Steps done.
    pub steps: u64,
    /// Seconds since the run began.
    pub seconds: f64,
    /// Loss and metrics on the validation rows, after the last step, also where the weights of a better
    /// epoch are kept.
    pub valid: Option<Metrics>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End after this step; the run is complete.
    Stop,
    /// End after this step; the run is not complete.
    Interrupt,
}

/// Sees the events of a run, and may end it. Every method does nothing by default.
pub trait Observer {
    /// The run begins.
    ///
    /// # Errors
    /// Ends the run.
    fn start(&mut self, start: &Start) -> Result<()> {
        let _ = start;
        Ok(())
    }

    /// Some steps are done; called several times a second.
    fn progress(&mut self, progress: &Progress) -> Flow {
        let _ = progress;
        Flow::Continue
    }

    /// An epoch is done.
    ///
    /// # Errors
    /// Ends the run.
    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        let _ = epoch;
        Ok(Flow::Continue)
    }

    /// The loss was no longer finite, and the run goes on as its spec says.
    ///
    /// # Errors
    /// Ends the run.
    fn diverged(&mut self, diverged: &Diverged) -> Result<()> {
        let _ = diverged;
        Ok(())
    }

    /// How many steps from now the step comes that it wants to see as a [`StepSample`]: 0 for the next one,
    /// none for none; asked as often as [`Observer::progress`] is called. No result depends on it.
    fn steps_to_sample(&mut self, position: &Position) -> Option<usize> {
        let _ = position;
        None
    }

    /// The step that it wanted to see.
    ///
    /// # Errors
    /// Ends the run.
    fn sample(&mut self, sample: &StepSample) -> Result<()> {
        let _ = sample;
        Ok(())
    }

    /// What the learning rate is to be multiplied by from the next step on; asked as often as
    /// [`Observer::progress`] is called.
    fn rate_factor(&mut self) -> Option<f32> {
        None
    }

    /// The learning rate was changed, as an observer wanted.
    ///
    /// # Errors
    /// Ends the run.
    fn rate_changed(&mut self, change: &RateChange) -> Result<()> {
        let _ = change;
        Ok(())
    }

    /// Whether it wants a checkpoint of the run as it is at `position`; asked as often as
    /// [`Observer::progress`] is called, and after each epoch.
    fn wants_checkpoint(&mut self, position: &Position) -> bool {
        let _ = position;
        false
    }

    /// The checkpoint that it wanted.
    ///
    /// # Errors
    /// Ends the run.
    fn checkpoint(&mut self, checkpoint: &Arc<Checkpoint>) -> Result<()> {
        let _ = checkpoint;
        Ok(())
    }
}

impl Observer for () {}

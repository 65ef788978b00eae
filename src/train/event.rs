//! The events of a run, and its observers.

use crate::base::error::Result;
use crate::kernels::tensor::HostTensor;
use crate::net::metrics::Metrics;
use crate::net::stopping::OnDivergence;
use crate::train::snapshot::{Checkpoint, Position};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The start of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Start {
    /// The device, as shown to users.
    pub device: String,
    /// `cpu`, `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// The number of parameters.
    pub parameters: usize,
    /// The number of training rows.
    pub rows: usize,
    /// The number of validation rows.
    pub validation_rows: usize,
    /// Batch size.
    pub batch_size: usize,
    /// Number of passes over the training set.
    pub epochs: usize,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// The steps done before, if a run is resumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_step: Option<u64>,
}

/// The progress of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Progress {
    /// The current epoch, from 1.
    pub epoch: usize,
    /// The number of epochs.
    pub epochs: usize,
    /// Steps done since the run began: the one step counter.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// The training loss of this epoch so far, if it was read.
    pub loss: Option<f64>,
    /// Training rows per second in this epoch.
    pub samples_per_second: f64,
    /// Estimated seconds left.
    pub seconds_left: f64,
}

/// An epoch's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Epoch {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done since the run began.
    pub step: u64,
    /// The mean training loss over the epoch.
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
    /// Training rows per second.
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
    /// An observer stopped it, with a complete result.
    Stopped,
    /// Early stopping: no epoch improved within the spec's patience.
    Patience,
    /// The time limit was reached.
    TimeLimit,
    /// The user interrupted it.
    Interrupted,
}

impl Ending {
    /// Its name for users.
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

/// The first value of a run that is NaN or infinite, and what is done about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diverged {
    /// The loss that showed it; finite if only the weights after the last step show it.
    pub loss: f64,
    /// The epoch, from 1.
    pub epoch: usize,
    /// The step, from 1.
    pub step: u64,
    /// The layer, from 1; none for the input, the loss, and if it wasn't found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<usize>,
    /// The tensor, as in `layers.0.z`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// The op that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// The first affected training rows of the batch, as users count them.
    pub rows: Vec<String>,
    /// What is done about it.
    pub action: OnDivergence,
    /// The learning rate of the step.
    pub lr: f32,
}

/// A manual change of the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RateChange {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done when it was changed: it applies from the next step on.
    pub step: u64,
    /// The factor on the scheduled learning rate from there on.
    pub factor: f32,
    /// The learning rate of the next step.
    pub lr: f32,
}

/// One training step, sampled for an observer: its change of the weights, and the gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSample {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done since the run began, this one included.
    pub step: u64,
    /// The number of training rows of the gradients; 0 if there are none.
    pub gradient_rows: usize,
    /// The layers with weights, first to last.
    pub layers: Vec<LayerSample>,
    /// All parameters after the step.
    pub parameters: Vec<HostTensor>,
    /// Seconds that sampling took, besides the step itself.
    pub seconds: f64,
}

/// A layer's weights in a [`StepSample`].
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSample {
    /// Its name in files: `layers.0`.
    pub name: String,
    /// ‖∂L/∂W‖₂ at the weights before the step, L the mean loss over some of the training rows, not over
    /// the step's batch; none if the net is too large to compute it during training.
    pub gradient_norm: Option<f64>,
    /// ‖ΔW‖₂ / ‖W‖₂: the change of the weights by the step, relative to the weights before.
    pub update_ratio: f64,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// Why it ended.
    pub ending: Ending,
    /// Epochs done.
    pub epochs: usize,
    /// Steps done.
    pub steps: u64,
    /// Seconds since the run began.
    pub seconds: f64,
    /// Loss and metrics on the validation rows, after the last step, even if the weights of a better
    /// epoch are kept.
    pub valid: Option<Metrics>,
}

/// Whether training continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Continue.
    Continue,
    /// End after this step; the run is complete.
    Stop,
    /// End after this step; the run is not complete.
    Interrupt,
}

/// An observer receives the events of a run, and may end it. Every method does nothing by default.
pub trait Observer {
    /// The run begins.
    ///
    /// # Errors
    /// An error ends the run.
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
    /// An error ends the run.
    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        let _ = epoch;
        Ok(Flow::Continue)
    }

    /// The loss was NaN or infinite, and the run continues as its spec says.
    ///
    /// # Errors
    /// An error ends the run.
    fn diverged(&mut self, diverged: &Diverged) -> Result<()> {
        let _ = diverged;
        Ok(())
    }

    /// The number of steps until the one that it wants as a [`StepSample`]: 0 for the next one,
    /// none for no sample; called as often as [`Observer::progress`]. No result depends on it.
    fn steps_to_sample(&mut self, position: &Position) -> Option<usize> {
        let _ = position;
        None
    }

    /// The requested sample of a step.
    ///
    /// # Errors
    /// An error ends the run.
    fn sample(&mut self, sample: &StepSample) -> Result<()> {
        let _ = sample;
        Ok(())
    }

    /// The factor on the learning rate from the next step on; called as often as
    /// [`Observer::progress`].
    fn rate_factor(&mut self) -> Option<f32> {
        None
    }

    /// The learning rate was changed, as an observer requested.
    ///
    /// # Errors
    /// An error ends the run.
    fn rate_changed(&mut self, change: &RateChange) -> Result<()> {
        let _ = change;
        Ok(())
    }

    /// Whether it wants a checkpoint of the run at `position`; called as often as
    /// [`Observer::progress`], and after each epoch.
    fn wants_checkpoint(&mut self, position: &Position) -> bool {
        let _ = position;
        false
    }

    /// The requested checkpoint.
    ///
    /// # Errors
    /// An error ends the run.
    fn checkpoint(&mut self, checkpoint: &Arc<Checkpoint>) -> Result<()> {
        let _ = checkpoint;
        Ok(())
    }
}

impl Observer for () {}

//! Events for TensorBoard: scalars and histograms of each epoch, and the confusion matrix at the end.
//!
//! `files` frames events into files, `messages` are their protocol buffers, `confusion` draws the matrix.
//! The format is that of TensorFlow's `SummaryWriter`; `scripts/tensorboard` reads it back with TensorBoard's
//! reader.

mod confusion;
mod files;
mod messages;
pub use files::{event_files, is_event_file, read};
pub use messages::{Event, Histogram, Image, Kind, Metadata, Plugin, Summary, Tensor, Value, What};

use crate::base::error::{Error, Result};
use crate::train::evaluation::Confusion;
use crate::train::event::{Diverged, Epoch, Flow, Observer, RateChange, Start, StepSample};
use crate::train::snapshot::Position;
use files::EventFile;
use messages::{text, value};
use std::fs;
use std::path::PathBuf;

/// Histograms are written for at most about this many epochs.
const HISTOGRAMS: usize = 100;

/// Writes event files into a directory: when an epoch ends `loss/train`, `loss/valid`, `metrics/…`,
/// `learning_rate` and `samples_per_second`, all by step; for the last step of some epochs histograms of
/// all parameters, `gradient_norm/layers.…` and `update_ratio/layers.…`.
pub struct TensorBoard {
    directory: PathBuf,
    /// The options of the run, as TOML.
    config: String,
    file: Option<EventFile>,
    steps_per_epoch: usize,
    epochs: usize,
}

impl TensorBoard {
    /// Events in `directory`, which is created when the run begins. A resumed run continues in a
    /// new file there; events of later steps in earlier files are removed.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, config: String) -> Self {
        let directory = directory.into();
        TensorBoard { directory, config, file: None, steps_per_epoch: 1, epochs: 1 }
    }

    /// Starts a new file, for a run that is resumed after `from` steps, or is new.
    ///
    /// # Errors
    /// When it can't be created, or events of later steps can't be removed.
    pub fn begin(&mut self, from: Option<u64>) -> Result<()> {
        fs::create_dir_all(&self.directory).map_err(|e| {
            Error::io("create", &self.directory, &e)
                .help("name another directory for --tensorboard")
        })?;
        match from {
            Some(step) => files::cut(&self.directory, step)?,
            None => files::remove(&self.directory)?,
        }
        self.file = Some(EventFile::create(&self.directory)?);
        if from.is_none() {
            let markdown = format!("```toml\n{}```\n", self.config);
            self.write(0, vec![text("config", markdown)])?;
        }
        Ok(())
    }

    /// Writes the confusion matrix of the final model after `step` steps.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn confusion(&mut self, step: u64, matrix: &Confusion, names: &[String]) -> Result<()> {
        self.write(step, confusion::values("confusion_matrix", matrix, names)?)
    }

    fn write(&mut self, step: u64, values: Vec<Value>) -> Result<()> {
        match &mut self.file {
            Some(file) => file.write(step, What::Summary(Summary { values })),
            None => Ok(()),
        }
    }

    /// Whether the last step of an epoch, counted from 0, is sampled: not every epoch of long runs.
    fn is_sampled(&self, epoch: usize) -> bool {
        let every = self.epochs.div_ceil(HISTOGRAMS);
        (epoch + 1).is_multiple_of(every) || epoch + 1 == self.epochs
    }
}

/// A number under its tag.
fn scalar(tag: impl Into<String>, number: f64) -> Value {
    value(tag, Kind::Scalar(number as f32))
}

impl Observer for TensorBoard {
    fn start(&mut self, start: &Start) -> Result<()> {
        (self.steps_per_epoch, self.epochs) = (start.steps_per_epoch, start.epochs);
        self.begin(start.from_step)
    }

    fn diverged(&mut self, diverged: &Diverged) -> Result<()> {
        // The run returns, at most to the start of the epoch, and repeats its steps.
        let done = diverged.epoch.saturating_sub(1) * self.steps_per_epoch;
        self.file = None;
        self.begin(Some(done as u64))
    }

    fn steps_to_sample(&mut self, position: &Position) -> Option<usize> {
        let last = self.steps_per_epoch.saturating_sub(1);
        (self.is_sampled(position.epoch) && position.within <= last).then(|| last - position.within)
    }

    fn sample(&mut self, sample: &StepSample) -> Result<()> {
        // A sample within the epoch, for a dashboard.
        if !sample.step.is_multiple_of(self.steps_per_epoch as u64) {
            return Ok(());
        }
        let mut values = Vec::new();
        for layer in &sample.layers {
            let name = &layer.name;
            values.extend(layer.gradient_norm.map(|x| scalar(format!("gradient_norm/{name}"), x)));
            values.push(scalar(format!("update_ratio/{name}"), layer.update_ratio));
        }
        for parameter in &sample.parameters {
            let histogram = Histogram::of(&parameter.values);
            values.extend(histogram.map(|h| value(&parameter.name, Kind::Histogram(h))));
        }
        self.write(sample.step, values)
    }

    fn rate_changed(&mut self, change: &RateChange) -> Result<()> {
        self.write(
            change.step,
            vec![scalar("learning_rate_factor_by_hand", f64::from(change.factor))],
        )
    }

    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        let mut values = vec![scalar("loss/train", epoch.train_loss)];
        values.extend(epoch.valid_loss.map(|loss| scalar("loss/valid", loss)));
        let metrics = epoch.metrics.iter();
        values.extend(metrics.map(|(name, x)| scalar(format!("metrics/{name}"), *x)));
        values.push(scalar("learning_rate", f64::from(epoch.lr)));
        values.push(scalar("samples_per_second", epoch.samples_per_second));
        values.push(scalar("epoch", epoch.epoch as f64));
        self.write(epoch.step, values)?;
        Ok(Flow::Continue)
    }
}

//! Progress for people on a terminal.

use super::lines::detour;
use super::{duration, short, thousands};
use crate::error::Result;
use crate::event::{Diverged, Epoch, Flow, Observer, Progress, Start};
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on the terminal behind standard error, with loss, samples per second and time left.
pub struct Bar {
    bar: ProgressBar,
    /// The last loss that was read.
    loss: Option<f64>,
    /// A metric of the last epoch.
    metrics: String,
}

impl Default for Bar {
    fn default() -> Self {
        Bar::new()
    }
}

impl Bar {
    /// A bar that is shown as soon as the run begins.
    #[must_use]
    pub fn new() -> Self {
        Bar { bar: ProgressBar::hidden(), loss: None, metrics: String::new() }
    }

    /// A handle with which to write between redraws.
    #[must_use]
    pub fn handle(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// Takes the bar off the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Bar {
    fn start(&mut self, start: &Start) -> Result<()> {
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:24}] {wide_msg}") {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.set_length((start.epochs * start.steps_per_epoch) as u64);
        self.bar.set_prefix(format!("epoch 1/{}", start.epochs));
        self.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        Ok(())
    }

    fn progress(&mut self, progress: &Progress) -> Flow {
        self.loss = progress.loss.or(self.loss);
        let loss = self.loss.map(|l| format!("loss {}  ", short(l))).unwrap_or_default();
        self.bar.set_prefix(format!("epoch {}/{}", progress.epoch, progress.epochs));
        self.bar.set_message(format!(
            "{loss}{}{} samples/s  {} left",
            self.metrics,
            thousands(progress.samples_per_second),
            duration(progress.seconds_left)
        ));
        self.bar.set_position(progress.step);
        Flow::Continue
    }

    fn diverged(&mut self, diverged: &Diverged) -> Result<()> {
        self.bar.suspend(|| eprintln!("{}", detour(diverged)));
        Ok(())
    }

    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        self.loss = Some(epoch.train_loss);
        // The first one says enough for a line that should fit 80 columns.
        let first = epoch.metrics.first();
        self.metrics = first.map(|(n, x)| format!("{n} {}  ", short(*x))).unwrap_or_default();
        Ok(Flow::Continue)
    }
}

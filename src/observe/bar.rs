//! Progress for people on a terminal.

use super::lines::detour;
use super::{duration, short, thousands};
use crate::error::Result;
use crate::event::{Diverged, Epoch, Flow, Observer, Progress, Start};
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on the terminal behind standard error, with loss, samples per second and time left.
pub struct Bar {
    bar: ProgressBar,
    /// Where several runs have one bar: the steps of this one that it shows, and all of them.
    part: Option<[u64; 2]>,
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
        Bar { bar: ProgressBar::hidden(), part: None, loss: None, metrics: String::new() }
    }

    /// The part of one of `nets` runs at the same time in a common bar, which counts the steps of all.
    #[must_use]
    pub fn of_one(common: &ProgressBar, nets: usize) -> Self {
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:24}] {wide_msg}") {
            common.set_style(style.progress_chars("=> "));
        }
        common.set_prefix(format!("{nets} nets"));
        Bar { bar: common.clone(), part: Some([0, 0]), loss: None, metrics: String::new() }
    }

    /// A handle with which to write between redraws.
    #[must_use]
    pub fn handle(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// Takes the bar off the terminal.
    pub fn clear(&self) {
        match self.part {
            // A run that ended early has no steps left.
            Some([done, all]) => self.bar.inc(all.saturating_sub(done)),
            None => self.bar.finish_and_clear(),
        }
    }
}

impl Observer for Bar {
    fn start(&mut self, start: &Start) -> Result<()> {
        if let Some(part) = &mut self.part {
            *part = [start.from_step.unwrap_or(0), (start.epochs * start.steps_per_epoch) as u64];
            self.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            self.bar.inc_length(part[1]);
            self.bar.inc(part[0]);
            return Ok(());
        }
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:24}] {wide_msg}") {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.set_length((start.epochs * start.steps_per_epoch) as u64);
        self.bar.set_prefix(format!("epoch 1/{}", start.epochs));
        self.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        Ok(())
    }

    fn progress(&mut self, progress: &Progress) -> Flow {
        if let Some([done, _]) = &mut self.part {
            self.bar.inc(progress.step - *done);
            *done = progress.step;
            let left = self.bar.eta().as_secs_f64();
            self.bar.set_message(format!("{} left", duration(left)));
            return Flow::Continue;
        }
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

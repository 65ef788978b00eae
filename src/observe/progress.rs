//! Progress for people: a bar on a terminal, elsewhere a line for each epoch.

use super::{HeldOut, duration, short, thousands};
use crate::error::Result;
use crate::event::{Diverged, Epoch, Flow, Observer, Progress, Start};
use crate::stopping::OnDivergence;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;

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

/// A line for each epoch.
pub struct Lines<W> {
    out: W,
    held_out: HeldOut,
    epochs: usize,
}

impl<W: Write> Lines<W> {
    /// Lines that go to `out`; what can't be written is lost.
    pub fn new(out: W, held_out: HeldOut) -> Self {
        Lines { out, held_out, epochs: 0 }
    }
}

impl<W: Write> Observer for Lines<W> {
    fn start(&mut self, start: &Start) -> Result<()> {
        self.epochs = start.epochs;
        Ok(())
    }

    fn diverged(&mut self, diverged: &Diverged) -> Result<()> {
        let _ = writeln!(self.out, "{}", detour(diverged));
        Ok(())
    }

    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        let left = epoch.seconds / epoch.epoch.max(1) as f64 * (self.epochs - epoch.epoch) as f64;
        // Progress that nobody reads must not end a run.
        let _ = writeln!(
            self.out,
            "epoch {}/{}  loss {}  {}{} samples/s  {} left",
            epoch.epoch,
            self.epochs,
            short(epoch.train_loss),
            metrics(epoch, self.held_out),
            thousands(epoch.samples_per_second),
            duration(left)
        );
        Ok(Flow::Continue)
    }
}

/// What a run that diverged goes on with.
fn detour(diverged: &Diverged) -> String {
    let Diverged { loss, epoch, step, tensor, action, lr, rows, .. } = diverged;
    let tensor = tensor.as_ref().map_or(String::new(), |name| format!(", in {name}"));
    let goes_on = match action {
        OnDivergence::LowerLr => {
            format!("from the start of the epoch with half the learning rate, {}", lr / 2.0)
        }
        OnDivergence::SkipBatch if rows.is_empty() => "without the batch".into(),
        OnDivergence::SkipBatch => format!("without the batch, which has {}", rows.join(", ")),
        OnDivergence::Stop => "no further".into(),
    };
    format!(
        "warning: the loss is {loss} (epoch {epoch}, step {step}{tensor}): the run goes on {goes_on}"
    )
}

/// The metrics on held-out data, as a part of a line.
fn metrics(epoch: &Epoch, held_out: HeldOut) -> String {
    let name = match held_out {
        HeldOut::Validation => "valid loss",
        HeldOut::Test => "test loss",
    };
    let loss = epoch.valid_loss.iter().map(|l| (name, *l));
    let all = loss.chain(epoch.metrics.iter().copied());
    all.map(|(name, value)| format!("{name} {}  ", short(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::tests::epoch;

    #[test]
    fn a_line_tells_an_epoch_without_control_characters() {
        let mut out = Vec::new();
        let mut lines = Lines::new(&mut out, HeldOut::Validation);
        lines.epochs = 4;
        lines.epoch(&epoch()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "epoch 2/4  loss 0.2500  valid loss 0.5000  accuracy 0.7500  1,000 samples/s  1.5 s left\n"
        );
    }
}

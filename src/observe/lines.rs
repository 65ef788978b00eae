//! Progress for people where there is no terminal: a line for each epoch.

use super::{HeldOut, duration, short, thousands};
use crate::error::Result;
use crate::event::{Diverged, Epoch, Flow, Observer, Start};
use crate::stopping::OnDivergence;
use std::io::Write;

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
pub(super) fn detour(diverged: &Diverged) -> String {
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

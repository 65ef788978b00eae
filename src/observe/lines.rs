//! Progress without a terminal: a line for each epoch.

use super::HeldOut;
use super::narrow::{Part, fit};
use crate::base::error::Result;
use crate::base::words::{duration, short, thousands};
use crate::net::stopping::OnDivergence;
use crate::train::event::{Diverged, Epoch, Flow, Observer, Start};
use std::io::Write;

/// A line for each epoch.
pub struct Lines<W> {
    out: W,
    held_out: HeldOut,
    epochs: usize,
    width: Option<usize>,
}

impl<W: Write> Lines<W> {
    /// Lines that go to `out`; what can't be written is dropped.
    pub fn new(out: W, held_out: HeldOut) -> Self {
        Lines { out, held_out, epochs: 0, width: None }
    }

    /// The same for a terminal of this many columns, if there is one: the least important parts that
    /// don't fit are left out.
    #[must_use]
    pub fn within(self, width: Option<usize>) -> Self {
        Lines { width, ..self }
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
        let mut parts: Vec<Part> = vec![
            (0, format!("epoch {}/{}", epoch.epoch, self.epochs)),
            (1, format!("loss {}", short(epoch.train_loss))),
        ];
        parts.extend(metrics(epoch, self.held_out).map(|text| (2, text)));
        parts.push((4, format!("{} samples/s", thousands(epoch.samples_per_second))));
        parts.push((3, format!("{} left", duration(left))));
        let _ = writeln!(self.out, "{}", fit(&parts, self.width));
        Ok(Flow::Continue)
    }
}

/// How a diverged run continues.
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
        "warning: the loss is {loss} (epoch {epoch}, step {step}{tensor}): the run continues {goes_on}"
    )
}

/// Loss and metrics on held-out data, each a part of a line.
fn metrics(epoch: &Epoch, held_out: HeldOut) -> impl Iterator<Item = String> {
    let name = match held_out {
        HeldOut::Validation => "valid loss",
        HeldOut::Test => "test loss",
    };
    let loss = epoch.valid_loss.iter().map(move |l| (name, *l));
    let all = loss.chain(epoch.metrics.iter().copied());
    all.map(|(name, value)| format!("{name} {}", short(value)))
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
        let mut out = Vec::new();
        let mut lines = Lines::new(&mut out, HeldOut::Validation).within(Some(40));
        lines.epochs = 4;
        lines.epoch(&epoch()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "epoch 2/4  loss 0.2500  accuracy 0.7500\n");
    }
}

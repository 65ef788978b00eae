//! Checks whether a run has learned anything, and findings from its weights.

use super::Trainer;
use crate::backend::session::initial_weights;
use crate::base::error::{Error, ErrorKind, Result};
use crate::net::spec::Spec;
use crate::train::findings::{self, findings};

/// A loss of more than this multiple of the untrained net's has risen far beyond it.
const RISE: f64 = 10.0;
/// A net whose loss never fell below this fraction of the untrained one's has learned nothing.
const PART: f64 = 0.5;
/// A training loss below this fraction of the lowest held-out loss means overfitting.
const UNDER: f64 = 0.1;
/// A held-out loss that has risen to this multiple of its lowest means overfitting.
const RISEN: f64 = 2.0;

impl Trainer {
    /// Records the loss of the held-out rows after an epoch, if it is a number.
    pub(super) fn note_held_out(&mut self, loss: f64) {
        if loss.is_finite() {
            let low = self.held_out_losses.map_or(loss, |[low, _]| low.min(loss));
            self.held_out_losses = Some([low, loss]);
        }
    }

    /// Refuses a run whose loss rose far beyond that of the untrained net, and never fell again below
    /// a fraction of that: it has learned nothing, though all its numbers are finite.
    ///
    /// # Errors
    /// For such a run, and when net and data don't fit together.
    pub fn check_learnt(&self) -> Result<()> {
        let Some([low, high]) = self.losses else { return Ok(()) };
        // The first shard may be unlike the others.
        if !self.is_drawn || self.shards().is_some() {
            return Ok(());
        }
        let untrained = findings::loss(&self.spec, &self.samples, &initial_weights(&self.spec))?;
        // Some losses are negative, for which multiples are meaningless.
        let is_told = untrained.is_finite() && untrained > 0.0;
        if !is_told || high < RISE * untrained || low < PART * untrained {
            return Ok(());
        }
        let what = format!(
            "training diverged: the loss rose to {}, and then only fell to {}; the untrained \
             net has {}",
            short(high),
            short(low),
            short(untrained)
        );
        Err(Error::new(ErrorKind::Diverged, what)
            .at(format!("epochs 1 to {}", self.at.epoch))
            .help(lower_rate(&self.spec, self.spec.lr)))
    }

    /// Findings from the current weights about the training, as sentences; none where a rank holds only shards of the
    /// rows.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn findings(&mut self) -> Result<Vec<String>> {
        if self.shards().is_some() {
            return Ok(Vec::new());
        }
        if let Some(cause) = findings::same_inputs(&self.samples) {
            return Ok(vec![cause]);
        }
        let weights = self.weights()?;
        let drawn = initial_weights(&self.spec);
        let steps = if self.is_drawn { self.at.step } else { 0 };
        let mut found = findings(&self.spec, &self.samples, &weights, &drawn, steps)?;
        if let Some([low, high]) = self.losses
            && high > RISE * low
        {
            let untrained = findings::loss(&self.spec, &self.samples, &drawn)?;
            if untrained > 0.0 && high > RISE * untrained {
                found.push(format!(
                    "the loss rose to {} in an epoch, where the untrained net has {}: {}",
                    short(high),
                    short(untrained),
                    lower_rate(&self.spec, self.spec.lr)
                ));
            }
        }
        found.extend(self.describe_overflows()?);
        found.extend(self.noise());
        Ok(found)
    }

    /// Whether the training loss fell below the noise, estimated by the lowest held-out
    /// loss; a held-out loss that stays the same proves nothing.
    fn noise(&self) -> Option<String> {
        let ([train, _], [low, last]) = self.losses.zip(self.held_out_losses)?;
        (low > 0.0 && train < UNDER * low && last > RISEN * low).then(|| {
            format!(
                "the training loss fell to {}, far below the {} that held-out rows had at best, and \
                 theirs has risen to {} since: the net overfits; stop earlier with \
                 --patience, or regularize with --dropout or --weight-decay",
                short(train),
                short(low),
                short(last)
            )
        })
    }
}

/// A loss in a few digits.
fn short(loss: f64) -> String {
    if (1e-3..1e5).contains(&loss) { format!("{loss:.4}") } else { format!("{loss:.3e}") }
}

/// The advice for a learning rate at which a run diverged: a tenth of it, or the optimizer's default
/// if that is lower still. Divergence shows that a rate is too high, but not by how much.
pub(super) fn lower_rate(spec: &Spec, lr: f32) -> String {
    let tenth = format!("{:.3e}", lr / 10.0).parse().unwrap_or(lr);
    let rate = spec.optimizer.default_lr().min(tenth);
    let why = if rate < tenth {
        format!(", the default of {}", spec.optimizer.name())
    } else {
        String::new()
    };
    format!("lower the learning rate, now {lr}, with --lr {rate}{why}, or find one with --find-lr")
}

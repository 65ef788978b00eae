//! What to do when the loss becomes NaN or infinite: find the step at which it does, by returning to
//! the last good state and replaying, and then the op and the rows ([`super::diagnosis`]); then stop,
//! or work around it.
//!
//! Otherwise this costs only a copy of the state in host memory, taken so rarely that
//! it is at most a hundredth of the time; runs of a few seconds return to their start and take none.

use super::Trainer;
use super::diagnosis::Found;
use super::run::Run;
use crate::backend::session::LayerWeights;
use crate::backend::session::initial_weights;
use crate::base::clock::Instant;
use crate::base::error::{Error, Result};
use crate::math::optim::Averaging;
use crate::math::schedule::Schedule;
use crate::net::stopping::OnDivergence;
use crate::train::event::{Diverged, Observer};
use crate::train::snapshot::{Position, Snapshot};
use std::sync::Arc;
use std::time::Duration;

/// A state in host memory is replaced when it is this old, or a hundred times as old as reading it took.
const OLDEST: Duration = Duration::from_secs(10);
/// The most times that the learning rate is halved.
const MOST_HALVINGS: u32 = 20;
/// The number of batches that a run may always skip, and beyond that one in this many of its steps.
const MOST_SKIPPED: (u64, u64) = (10, 10);

/// The last state that was finite.
pub(super) struct LastGood {
    state: State,
    taken: Instant,
    /// The time that reading it took.
    cost: Duration,
    /// The number of steps at the last finite loss that was read.
    seen: u64,
}

/// A state to return to.
enum State {
    /// Net and optimizer at the start of a run, with these weights or random ones.
    Start(Option<Vec<LayerWeights>>),
    /// A snapshot in host memory.
    Kept(Arc<Snapshot>),
    /// The weights have been changed by the caller since.
    Unknown,
}

impl LastGood {
    /// The state of a run that begins with `weights`, or random ones.
    pub fn start(weights: Option<&[LayerWeights]>) -> Self {
        Self::of(State::Start(weights.map(<[LayerWeights]>::to_vec)), 0)
    }

    /// The state of a run that is resumed from `snapshot`.
    pub fn kept(snapshot: Arc<Snapshot>) -> Self {
        let step = snapshot.position.step;
        Self::of(State::Kept(snapshot), step)
    }

    /// None until the next state is read.
    pub fn unknown() -> Self {
        Self::of(State::Unknown, 0)
    }

    fn of(state: State, seen: u64) -> Self {
        LastGood { state, taken: Instant::now(), cost: Duration::ZERO, seen }
    }

    /// Steps done then.
    fn step(&self) -> u64 {
        match &self.state {
            State::Kept(snapshot) => snapshot.position.step,
            _ => 0,
        }
    }
}

/// The result of a replay.
#[derive(Default)]
struct Located {
    found: Option<Found>,
    /// The error, if the search failed.
    failure: Option<Error>,
}

impl Trainer {
    /// Keeps the state at the start of an epoch, if the run may return to it, or if replays
    /// mustn't go back beyond it, since the end of an epoch involves more than steps.
    pub(super) fn keep_epoch_start(&mut self) -> Result<()> {
        let goes_back = self.spec.stopping.on_divergence == OnDivergence::LowerLr;
        let stays = matches!(self.spec.schedule, Schedule::Plateau { .. })
            || matches!(self.spec.averaging, Averaging::Swa { .. });
        if goes_back || stays {
            let start = Arc::new(self.snapshot()?);
            self.epoch_start = goes_back.then(|| start.clone());
            self.good = LastGood::kept(start);
        }
        Ok(())
    }

    /// Records that the loss was finite at the current step.
    pub(super) fn note_good(&mut self) -> Result<()> {
        self.good.seen = self.at.step;
        let is_known = !matches!(self.good.state, State::Unknown);
        if is_known && self.good.taken.elapsed() < OLDEST.max(100 * self.good.cost) {
            return Ok(());
        }
        let begin = Instant::now();
        let snapshot = self.snapshot()?;
        // The last update may be the first bad one, which the next loss will show.
        if snapshot.is_finite() {
            self.good.state = State::Kept(Arc::new(snapshot));
        }
        self.good.cost = begin.elapsed();
        self.good.taken = Instant::now();
        Ok(())
    }

    /// Returns to the last good state; whether there is one.
    pub(super) fn go_back(&mut self) -> Result<bool> {
        match &self.good.state {
            State::Unknown => return Ok(false),
            State::Kept(snapshot) => {
                let snapshot = snapshot.clone();
                self.restore(&snapshot)?;
            }
            State::Start(weights) => {
                let weights = weights.clone().unwrap_or_else(|| initial_weights(&self.spec));
                self.is_intact = false;
                // The state after loading the program.
                self.session.reset()?;
                self.session.set_weights(&self.spec.net, &weights)?;
                (self.trained, self.pairs, self.averaged) = (None, None, false);
                (self.at, self.skipped_before) = (Position::default(), 0);
                self.is_intact = true;
            }
        }
        Ok(true)
    }

    /// Finds the cause of the loss `loss`, or of bad weights after it, and returns to an earlier state as the
    /// spec says; an error if it says to stop, or the workaround failed. The trainer is then at the last good
    /// state, if there is one.
    pub(super) fn treat(
        &mut self,
        run: &Run,
        observer: &mut dyn Observer,
        loss: f64,
    ) -> Result<()> {
        let noticed = self.at;
        let (found, failure) = match self.locate(run, noticed.step) {
            Ok(Located { found, failure }) => (found, failure),
            Err(error) => {
                self.is_intact = false;
                (None, Some(error))
            }
        };
        let diverged = self.describe(run, loss, noticed, found.as_ref());
        let treated = self.go_around(run, &diverged, found.as_ref());
        if let Err(error) = treated {
            if !self.is_intact {
                // The divergence is reported; whether a model is left is checked later.
                let _ = self.go_back();
            }
            return Err(match failure {
                Some(failure) => {
                    error.also(format!("its origin wasn't found: {}", failure.brief()))
                }
                None => error,
            });
        }
        observer.diverged(&diverged)
    }

    /// Returns to an earlier state as the spec says; the error of `diverged` if it says to stop, or the
    /// workaround failed.
    fn go_around(&mut self, run: &Run, diverged: &Diverged, found: Option<&Found>) -> Result<()> {
        let stop = |trainer: &Self, what: &str| Err(trainer.report(diverged, found, what));
        if !self.is_intact {
            return stop(self, "");
        }
        match self.spec.stopping.on_divergence {
            OnDivergence::Stop => return stop(self, ""),
            OnDivergence::LowerLr => {
                if self.detours.halvings >= MOST_HALVINGS {
                    return stop(self, ", however often the learning rate was halved");
                }
                let Some(start) = self.epoch_start.clone() else { return stop(self, "") };
                self.detours.halvings += 1;
                self.restore(&start)?;
                // Later changes applied to another learning rate.
                self.good = LastGood::kept(start);
            }
            OnDivergence::SkipBatch => {
                let Some(found) = found else { return stop(self, "") };
                let skipped = self.detours.skipped.len() as u64;
                let (any, part) = MOST_SKIPPED;
                let repeated = !self.detours.skipped.insert(found.step);
                if repeated || skipped >= any.max(found.step / part) {
                    let of = found.step + 1;
                    return stop(self, &format!(", with {skipped} of {of} batches skipped"));
                }
                self.go_to(run, found.step)?;
            }
        }
        self.good.seen = self.at.step;
        Ok(())
    }

    /// Replays the run from the last good state; returns the first op whose result isn't finite, if the replay
    /// finds one. The trainer is then at the start of the last step with a finite loss, which is the last
    /// good state from now on.
    fn locate(&mut self, run: &Run, noticed: u64) -> Result<Located> {
        // A hook isn't repeated: others may have taken part.
        if !self.go_back()? || self.hook.is_some() || self.parallel.is_some() {
            return Ok(Located::default());
        }
        // Up to the last read the loss was finite; from there on it is checked after each step.
        self.advance(run, self.good.seen.min(noticed))?;
        let mut bad = None;
        while bad.is_none() && self.at.step < noticed {
            self.advance(run, self.at.step + 1)?;
            if self.session.sums()?.iter().any(|x| !x.is_finite()) {
                bad = Some(self.at.step - 1);
            }
        }
        // The update of the last step doesn't affect any loss.
        if bad.is_none() && !self.has_finite_weights()? {
            bad = self.at.step.checked_sub(1);
        }
        let Some(bad) = bad else { return Ok(Located::default()) };
        // The cause may be the update before.
        let first = bad.saturating_sub(1).max(self.good.step());
        self.go_to(run, first)?;
        let before = Arc::new(self.snapshot()?);
        if before.is_finite() {
            self.good = LastGood::kept(before.clone());
        }
        Ok(match self.diagnose(run, &before, bad) {
            Ok(found) => Located { found, failure: None },
            Err(error) => Located { found: None, failure: Some(error) },
        })
    }

    /// Advances to `step` steps, from the last good state.
    fn go_to(&mut self, run: &Run, step: u64) -> Result<()> {
        self.go_back()?;
        self.advance(run, step)
    }

    /// Runs until `step` steps are done, without observers, across the ends of epochs.
    pub(super) fn advance(&mut self, run: &Run, step: u64) -> Result<()> {
        while self.at.step < step {
            self.at = self.page(run, self.at);
            if self.at.within == 0 {
                self.session.clear_sums()?;
            }
            let left = (step - self.at.step).min(self.steps_at_hand(run)? as u64);
            self.run_piece(run, left as usize)?;
        }
        Ok(())
    }

    /// The same position; at the end of an epoch the start of the next.
    pub(super) fn page(&self, run: &Run, at: Position) -> Position {
        match at.within == run.steps {
            true => Position { epoch: at.epoch + 1, within: 0, ..at },
            false => at,
        }
    }
}

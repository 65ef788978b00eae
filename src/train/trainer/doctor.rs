//! What to do when the loss is no longer finite: find the step from which on it isn't, by going back to
//! the last good state and replaying, and there the op and the rows ([`super::diagnosis`]); then stop,
//! or go around it.
//!
//! While all is well this costs nothing but a copy of the state in host memory, taken so seldom that
//! it is a hundredth of the time at most; runs of a few seconds go back to their start and have none.

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

/// A state in host memory is replaced when it is so old, or a hundred times as old as reading it took.
const OLDEST: Duration = Duration::from_secs(10);
/// The learning rate is halved so often at most.
const MOST_HALVINGS: u32 = 20;
/// Batches that a run may skip in any case, and the part of its steps beyond.
const MOST_SKIPPED: (u64, u64) = (10, 10);

/// The last state that was finite.
pub(super) struct LastGood {
    state: State,
    taken: Instant,
    /// What reading it took.
    cost: Duration,
    /// Steps at the last read of the loss that was finite.
    seen: u64,
}

/// A state to go back to.
enum State {
    /// Net and optimizer as a run begins, with these weights or drawn ones.
    Start(Option<Vec<LayerWeights>>),
    /// In host memory.
    Kept(Arc<Snapshot>),
    /// Somebody changed the weights since.
    Unknown,
}

impl LastGood {
    /// That of a run that begins with `weights`, or drawn ones.
    pub fn start(weights: Option<&[LayerWeights]>) -> Self {
        Self::of(State::Start(weights.map(<[LayerWeights]>::to_vec)), 0)
    }

    /// That of a run that goes on from `snapshot`.
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

/// What a replay came to.
#[derive(Default)]
struct Located {
    found: Option<Found>,
    /// Why nothing was found, where looking for it failed.
    failure: Option<Error>,
}

impl Trainer {
    /// Keeps the state at the start of an epoch, where the run may go back to it; and where replays
    /// mustn't go back beyond it, since what happens at the end of an epoch isn't a step.
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

    /// Notes that the loss was finite at the present step.
    pub(super) fn note_good(&mut self) -> Result<()> {
        self.good.seen = self.at.step;
        let is_known = !matches!(self.good.state, State::Unknown);
        if is_known && self.good.taken.elapsed() < OLDEST.max(100 * self.good.cost) {
            return Ok(());
        }
        let begin = Instant::now();
        let snapshot = self.snapshot()?;
        // The last update may have been the first bad one, which the next loss will show.
        if snapshot.is_finite() {
            self.good.state = State::Kept(Arc::new(snapshot));
        }
        self.good.cost = begin.elapsed();
        self.good.taken = Instant::now();
        Ok(())
    }

    /// Goes to the last good state: whether there is one.
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
                // As it was when the program was loaded.
                self.session.reset()?;
                self.session.set_weights(&self.spec.net, &weights)?;
                (self.trained, self.pairs, self.averaged) = (None, None, false);
                (self.at, self.skipped_before) = (Position::default(), 0);
                self.is_intact = true;
            }
        }
        Ok(true)
    }

    /// Finds out what made the loss `loss`, or the weights behind it, and goes back as the spec says; an
    /// error where it says to stop, or going around it led nowhere. Then the trainer is at the last good
    /// state, where there is one.
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
                // What it was about is told; whether there is a model left is asked for later.
                let _ = self.go_back();
            }
            return Err(match failure {
                Some(failure) => {
                    error.also(format!("where it began wasn't found: {}", failure.brief()))
                }
                None => error,
            });
        }
        observer.diverged(&diverged)
    }

    /// Goes back as the spec says; the error about `diverged` where it says to stop, or going around it
    /// led nowhere.
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
                // What came behind it was with another learning rate.
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

    /// Replays the run from the last good state: the first op whose result isn't finite, if the replay
    /// comes to one. The trainer is then where the last step with a finite loss began, which is the last
    /// good state from now on.
    fn locate(&mut self, run: &Run, noticed: u64) -> Result<Located> {
        // What a hook did isn't done again: others may have taken part.
        if !self.go_back()? || self.hook.is_some() || self.parallel.is_some() {
            return Ok(Located::default());
        }
        // Until the last read all was well; from there on the loss is looked at after each step.
        self.advance(run, self.good.seen.min(noticed))?;
        let mut bad = None;
        while bad.is_none() && self.at.step < noticed {
            self.advance(run, self.at.step + 1)?;
            if self.session.sums()?.iter().any(|x| !x.is_finite()) {
                bad = Some(self.at.step - 1);
            }
        }
        // The update of the last step shows in no loss.
        if bad.is_none() && !self.has_finite_weights()? {
            bad = self.at.step.checked_sub(1);
        }
        let Some(bad) = bad else { return Ok(Located::default()) };
        // What the loss shows may have been done by the update before.
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

    /// Goes to where `step` steps are done, from the last good state on.
    fn go_to(&mut self, run: &Run, step: u64) -> Result<()> {
        self.go_back()?;
        self.advance(run, step)
    }

    /// Runs until `step` steps are done, without observers, over the ends of epochs too.
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

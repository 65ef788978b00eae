//! A full-screen dashboard: curves, layers, throughput and memory during a run, and keys to
//! pause, save, stop and change the learning rate.
//!
//! `board` is the state, `draw` draws it, `screen` owns the terminal and its thread. Training only records
//! events, and handles keys between its steps.

mod board;
mod draw;
#[cfg(test)]
mod draw_tests;
mod screen;
pub use screen::{Screen, end_pause, restore, take_message};

use crate::base::error::Result;
use crate::train::event::{
    Diverged, Epoch, Flow, Observer, Progress, RateChange, Start, StepSample,
};
use crate::train::snapshot::{Checkpoint, Position};
use board::NetBoard;
use screen::Shared;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A step is looked at when so much time has passed as looking at the last one took, times this: then it is
/// less than a hundredth of the training. And no more often than this.
const SAMPLE_COST: f64 = 150.0;
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// The part of a dashboard that watches one run.
pub struct Dashboard {
    shared: Arc<Shared>,
    net: usize,
    steps_per_epoch: usize,
    next_sample: Instant,
    keeps_checkpoints: bool,
}

impl Screen {
    /// The observer of another run, called `name` where there are several.
    #[must_use]
    pub fn watch(&self, name: impl Into<String>) -> Dashboard {
        let shared = self.shared();
        let net = shared.board().add(name);
        let next_sample = Instant::now() + SAMPLE_EVERY / 4;
        Dashboard { shared, net, steps_per_epoch: 1, next_sample, keeps_checkpoints: false }
    }
}

impl Dashboard {
    /// Says whether the run keeps checkpoints, which a key asks for.
    pub fn keeps_checkpoints(&mut self, does: bool) {
        self.keeps_checkpoints = does;
    }

    /// Shows that the training has ended.
    pub fn end(&self) {
        self.note(|net| net.has_ended = true);
    }

    fn note(&self, note: impl FnOnce(&mut NetBoard)) {
        if let Some(net) = self.shared.board().nets.get_mut(self.net) {
            note(net);
        }
    }

    fn ask<T>(&self, ask: impl FnOnce(&mut NetBoard) -> T) -> Option<T> {
        self.shared.board().nets.get_mut(self.net).map(ask)
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.end();
    }
}

impl Observer for Dashboard {
    fn start(&mut self, start: &Start) -> Result<()> {
        self.steps_per_epoch = start.steps_per_epoch;
        self.note(|net| net.started(start));
        Ok(())
    }

    fn progress(&mut self, progress: &Progress) -> Flow {
        self.note(|net| net.progressed(progress));
        match self.shared.wait_while_paused() {
            true => Flow::Interrupt,
            false => Flow::Continue,
        }
    }

    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        self.note(|net| net.epoch_ended(epoch));
        Ok(Flow::Continue)
    }

    fn diverged(&mut self, diverged: &Diverged) -> Result<()> {
        self.shared.board().say(&super::lines::detour(diverged));
        self.note(|net| net.diverged(diverged, self.steps_per_epoch));
        Ok(())
    }

    fn steps_to_sample(&mut self, _: &Position) -> Option<usize> {
        (Instant::now() >= self.next_sample).then_some(0)
    }

    fn sample(&mut self, sample: &StepSample) -> Result<()> {
        let cost = Duration::try_from_secs_f64(sample.seconds * SAMPLE_COST).unwrap_or_default();
        self.next_sample = Instant::now() + cost.max(SAMPLE_EVERY);
        self.note(|net| net.sampled(sample));
        Ok(())
    }

    fn rate_factor(&mut self) -> Option<f32> {
        self.ask(NetBoard::take_rate).flatten()
    }

    fn rate_changed(&mut self, change: &RateChange) -> Result<()> {
        let RateChange { step, lr, .. } = change;
        self.shared.board().say(&format!("step {step}: the learning rate is {lr} by hand"));
        self.note(|net| net.rate_changed(change));
        Ok(())
    }

    fn wants_checkpoint(&mut self, _: &Position) -> bool {
        let is_wanted = self.ask(NetBoard::take_save).unwrap_or_default();
        if is_wanted && !self.keeps_checkpoints {
            self.shared
                .board()
                .say("this run keeps no checkpoints: nothing is saved before its end");
        }
        is_wanted && self.keeps_checkpoints
    }

    fn checkpoint(&mut self, checkpoint: &Arc<Checkpoint>) -> Result<()> {
        let step = checkpoint.now.position.step;
        self.shared.board().say(&format!("step {step}: writing a checkpoint"));
        Ok(())
    }
}

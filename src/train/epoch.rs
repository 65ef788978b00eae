//! The steps of one epoch, in pieces between which observers are asked.

use super::run::Run;
use super::{Trainer, ending_of};
use crate::error::Result;
use crate::event::{Ending, Observer, Progress};
use crate::kernels::Step;
use std::time::Instant;

/// Observers are asked about this often, in seconds.
const PIECE_SECONDS: f64 = 0.05;

/// What came of running an epoch.
pub(super) struct Stretch {
    /// What ended it before its end.
    pub ended: Option<Ending>,
    /// The mean loss over its rows so far.
    pub loss: f64,
}

impl Trainer {
    /// Runs the rest of the epoch at hand, or less where something ends it.
    pub(super) fn run_epoch(
        &mut self,
        run: &Run,
        observer: &mut dyn Observer,
        reads: usize,
    ) -> Result<Stretch> {
        if self.at.within == 0 {
            self.session.clear_sums()?;
        }
        let (begin, first) = (Instant::now(), self.at.within);
        let between_reads = run.steps.div_ceil(reads);
        let mut ended = None;
        while self.at.within < run.steps && ended.is_none() {
            let to_read = between_reads - self.at.within % between_reads;
            let asked = Instant::now();
            let piece = self.piece.min(to_read).min(self.steps_at_hand(run)?);
            self.run_piece(run, piece)?;
            // The last read is that of the whole epoch.
            let is_read =
                self.at.within.is_multiple_of(between_reads) && self.at.within < run.steps;
            let loss = if is_read { Some(self.training_loss(run)?) } else { None };
            self.fit_piece(piece, asked.elapsed().as_secs_f64());

            let rows = (self.at.within - first) * run.batch;
            let pace = rows.min(run.rows) as f64 / begin.elapsed().as_secs_f64();
            let left = run.total().saturating_sub(self.at.step);
            ended = ending_of(observer.progress(&Progress {
                epoch: self.at.epoch + 1,
                epochs: self.spec.epochs,
                step: self.at.step,
                steps: run.total(),
                loss,
                samples_per_second: pace,
                seconds_left: left as f64 * run.batch as f64 / pace,
            }))
            .or_else(|| self.out_of_time(run));
            if ended.is_none() && self.at.within < run.steps {
                self.offer_checkpoint(run, observer)?;
            }
        }
        Ok(Stretch { ended, loss: self.training_loss(run)? })
    }

    /// Runs the next `count` steps of the epoch.
    fn run_piece(&mut self, run: &Run, count: usize) -> Result<()> {
        let ((first, number), rows) = (self.window(run), self.training.rows);
        let order = run.order(rows, number);
        let step = |i: usize| {
            let done = self.at.step + i as u64;
            let step = run.step(self.at.within - first + i, rows, done, &order);
            Step { lr: self.lr(run, done), ..step }
        };
        let steps: Vec<Step> = (0..count).map(step).collect();
        let routine = self.session.plan().program.routines.step.clone();
        self.session.backend_mut().run(routine, self.training.id, &steps)?;
        self.at.within += count;
        self.at.step += count as u64;
        Ok(())
    }

    /// Fits the length of a piece to the time that one took.
    fn fit_piece(&mut self, piece: usize, seconds: f64) {
        if seconds < PIECE_SECONDS / 2.0 && piece == self.piece {
            self.piece = (self.piece * 2).min(1024);
        } else if seconds > PIECE_SECONDS * 2.0 {
            self.piece = (self.piece / 2).max(1);
        }
    }

    /// The mean loss of this epoch's rows so far, while it ran.
    fn training_loss(&mut self, run: &Run) -> Result<f64> {
        let rows = (self.at.within * run.batch).min(run.rows);
        let loss = self.session.metrics(&self.training, rows)?.loss;
        if loss.is_finite() { Ok(loss) } else { Err(self.diverged(loss)) }
    }

    fn out_of_time(&self, run: &Run) -> Option<Ending> {
        let limit = self.spec.stopping.time_limit?;
        (run.begin.elapsed().as_secs_f64() >= limit).then_some(Ending::TimeLimit)
    }
}

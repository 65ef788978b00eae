//! The steps of one epoch, in pieces between which observers are called.

use super::Trainer;
use super::run::Run;
use super::stream::Window;
use crate::base::clock::Instant;
use crate::base::error::{Error, Result};
use crate::base::wait::BlockOn as _;
use crate::kernels::Step;
use crate::math::optim::Optimizer;
use crate::plan::program::Program;
use crate::train::event::{Ending, Flow, Observer, Progress};
use crate::train::snapshot::Position;
use std::time::Duration;

/// The interval at which observers are called, in seconds.
const PIECE_SECONDS: f64 = 0.05;
/// The work of the first piece of an epoch, in floating-point operations, unless a step has more.
const FIRST_PIECE: f64 = 4e9;

/// The result of running an epoch, or a part of it.
pub(super) struct EpochPart {
    /// What ended the epoch early.
    pub ended: Option<Ending>,
    /// The mean loss over its rows so far.
    pub loss: f64,
    /// The time spent in observers, such as in a pause.
    pub waited: Duration,
}

/// The steps of the first piece of an epoch, by their work; later ones follow the time that steps take.
pub(super) fn first_piece(program: &Program, batch: usize) -> usize {
    let ops = program.ops[program.routines.step.clone()].iter();
    let flops: f64 = ops.map(|op| program.flops(op, batch)).sum();
    (FIRST_PIECE / flops).clamp(1.0, 16.0) as usize
}

impl Trainer {
    /// Runs the rest of the current epoch, or less if something ends it; none if it diverged
    /// and the run returned to an earlier state.
    pub(super) fn run_epoch(
        &mut self,
        run: &Run,
        observer: &mut dyn Observer,
        reads: usize,
    ) -> Result<Option<EpochPart>> {
        // Rank 0 decides.
        let [reads] = self.as_first([reads as f64])?;
        let reads = (reads as usize).max(1);
        if self.at.within == 0 {
            self.state_as_first()?;
            self.session.clear_sums()?;
            self.keep_epoch_start()?;
        }
        let (begin, first) = (Instant::now(), self.at.within);
        let between_reads = run.steps.div_ceil(reads);
        let (mut ended, mut waited) = (None, Duration::ZERO);
        while self.at.within < run.steps && ended.is_none() {
            let to_read = between_reads - self.at.within % between_reads;
            let most = if self.is_asking_always { 1 } else { self.piece };
            let to_sample = observer.steps_to_sample(&self.at);
            let asked = Instant::now();
            let piece = most.min(to_read).min(self.steps_at_hand(run)?);
            let piece = piece.min(to_sample.map_or(piece, |steps| steps.max(1)));
            let piece = self.as_first([piece as f64])?[0] as usize;
            match to_sample {
                Some(0) => self.run_sampled_step(run, observer)?,
                _ => self.run_piece(run, piece)?,
            }
            // The last read is that of the whole epoch.
            let is_read =
                self.at.within.is_multiple_of(between_reads) && self.at.within < run.steps;
            let loss = match is_read {
                true => match self.training_loss(run, observer)? {
                    None => return Ok(None),
                    loss => loss,
                },
                false => None,
            };
            if to_sample != Some(0) {
                self.fit_piece(piece, asked.elapsed().as_secs_f64());
            }

            let rows = ((self.at.within - first) * run.batch).min(run.rows);
            let seconds = begin.elapsed().saturating_sub(waited).as_secs_f64();
            let told = Instant::now();
            let flow = observer.progress(&self.progress(run, loss, rows as f64 / seconds));
            waited += told.elapsed();
            ended = ending_of(flow).or_else(|| self.out_of_time(run));
            ended = self.ending_as_first(ended)?;
            if ended.is_none() {
                self.change_rate(run, observer)?;
            }
            if ended.is_none() && self.at.within < run.steps {
                self.offer_checkpoint(run, observer)?;
            }
        }
        let Some(loss) = self.training_loss(run, observer)? else { return Ok(None) };
        // The last update doesn't affect any loss of the run.
        if ended.is_some() || self.at.step >= run.total() {
            let is_finite = self.has_finite_weights()?;
            if self.as_first([f64::from(u8::from(is_finite))])? == [0.0] {
                return self.treat(run, observer, loss).map(|()| None);
            }
        }
        Ok(Some(EpochPart { ended, loss, waited }))
    }

    /// The progress of a run that takes `pace` rows per second.
    fn progress(&self, run: &Run, loss: Option<f64>, pace: f64) -> Progress {
        let left = run.total().saturating_sub(self.at.step);
        Progress {
            epoch: self.at.epoch + 1,
            epochs: self.spec.epochs,
            step: self.at.step,
            steps: run.total(),
            loss,
            samples_per_second: pace,
            seconds_left: left as f64 * run.batch as f64 / pace,
        }
    }

    /// Runs the next `count` steps of the epoch, without skipped ones: all of them on
    /// the rows on the device.
    pub(super) fn run_piece(&mut self, run: &Run, count: usize) -> Result<()> {
        let steps = self.next_steps(run, count);
        self.take_steps(run, &steps)?;
        self.at.within += count;
        self.at.step += count as u64;
        Ok(())
    }

    /// The next `count` steps of the epoch, without skipped ones: all of them on the rows
    /// on the device.
    pub(super) fn next_steps(&self, run: &Run, count: usize) -> Vec<Step> {
        let Window { first, rows, order } = self.window(run);
        let number = |i: usize| self.at.step + i as u64;
        let step = |i: usize| {
            let lr = self.lr(run, number(i));
            run.step(self.at.within - first + i, rows, number(i), &order, lr)
        };
        let is_run = |i: &usize| !self.detours.skipped.contains(&number(*i));
        (0..count).filter(is_run).map(step).collect()
    }

    /// Takes steps on the training rows.
    pub(super) fn take_steps(&mut self, run: &Run, steps: &[Step]) -> Result<()> {
        self.check_intact()?;
        self.for_training()?;
        if self.spec.optimizer == Optimizer::Lbfgs {
            return steps.iter().try_for_each(|step| self.lbfgs_step(run, step));
        }
        self.run_steps_of(run, steps)
    }

    /// Runs steps, each in as many micro-batches as its batch has.
    pub(super) fn run_steps_of(&mut self, run: &Run, steps: &[Step]) -> Result<()> {
        let routines = self.session.plan().program.routines.clone();
        let data = self.training.id;
        let local = self.local_rows(run);
        if let Some(parallel) = &mut self.parallel {
            let session = &mut self.session;
            return steps
                .iter()
                .try_for_each(|step| parallel.step(session, &run.spec, &local, step));
        }
        if local.shards.is_some() {
            return Err(Error::failed("the rows of ranks are trained on without the ranks"));
        }
        if !run.spec.accumulates() && self.hook.is_none() {
            return self.session.backend_mut().run(routines.step, data, steps).block_on();
        }
        let mut hook = self.hook.take();
        let done = steps.iter().try_for_each(|step| {
            let micro_batches = run.micro_batches(step);
            let Some((last, others)) = micro_batches.split_last() else { return Ok(()) };
            if !others.is_empty() {
                self.session
                    .backend_mut()
                    .run(routines.micro_batch.clone(), data, others)
                    .block_on()?;
            }
            match &mut hook {
                None => {
                    self.session.backend_mut().run(routines.step.clone(), data, &[*last]).block_on()
                }
                Some(hook) => self.run_with_hook(hook, *last),
            }
        });
        self.hook = hook;
        done
    }

    /// Runs the next step at the learning rate `lr`, ignoring the schedule; returns the mean loss of its
    /// rows before the step, which may be NaN or infinite. Epochs follow each other without limit.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn step_at(&mut self, lr: f32) -> Result<f64> {
        let run = Run::new(self.spec.clone(), self.rows);
        if self.at.within == run.steps {
            self.at = Position { epoch: self.at.epoch + 1, within: 0, ..self.at };
        }
        self.session.clear_sums()?;
        self.steps_at_hand(&run)?;
        let Window { first, rows, order } = self.window(&run);
        let step = run.step(self.at.within - first, rows, self.at.step, &order, lr);
        self.take_steps(&run, &[step])?;
        self.at.within += 1;
        self.at.step += 1;
        Ok(self.session.metrics(&self.training, step.rows as usize)?.loss)
    }

    /// Adapts the length of a piece to the time that one took.
    fn fit_piece(&mut self, piece: usize, seconds: f64) {
        if seconds < PIECE_SECONDS / 2.0 && piece == self.piece {
            self.piece = (self.piece * 2).min(1024);
        } else if seconds > PIECE_SECONDS * 2.0 {
            self.piece = (self.piece / 2).max(1);
        }
    }

    /// The mean training loss over this epoch so far; none if it wasn't finite, and the
    /// run returned to an earlier state.
    fn training_loss(&mut self, run: &Run, observer: &mut dyn Observer) -> Result<Option<f64>> {
        let first = self.at.step - self.at.within as u64;
        let rows = |step: u64| run.batch.min(run.rows - (step - first) as usize * run.batch);
        let skipped: usize =
            self.detours.skipped.range(first..self.at.step).map(|&s| rows(s)).sum();
        let rows = (self.at.within * run.batch).min(run.rows) - skipped;
        let loss = self.session.metrics(&self.training, rows)?.loss;
        if loss.is_finite() {
            return self.note_good().map(|()| Some(loss));
        }
        self.treat(run, observer, loss).map(|()| None)
    }

    /// How the run ends, as decided by rank 0.
    pub(super) fn ending_as_first(&mut self, ended: Option<Ending>) -> Result<Option<Ending>> {
        const ENDINGS: [Option<Ending>; 6] = [
            None,
            Some(Ending::Done),
            Some(Ending::Stopped),
            Some(Ending::Interrupted),
            Some(Ending::TimeLimit),
            Some(Ending::Patience),
        ];
        let number = ENDINGS.iter().position(|ending| *ending == ended).unwrap_or_default();
        let [number] = self.as_first([number as f64])?;
        Ok(ENDINGS.get(number as usize).copied().flatten())
    }

    fn out_of_time(&self, run: &Run) -> Option<Ending> {
        let limit = self.spec.stopping.time_limit?;
        (run.begin.elapsed().as_secs_f64() >= limit).then_some(Ending::TimeLimit)
    }
}

pub(super) fn ending_of(flow: Flow) -> Option<Ending> {
    match flow {
        Flow::Continue => None,
        Flow::Stop => Some(Ending::Stopped),
        Flow::Interrupt => Some(Ending::Interrupted),
    }
}

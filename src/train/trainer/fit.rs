//! The loop over epochs: each is run, evaluated and reported, until the run ends.

use super::Trainer;
use super::epoch::{EpochPart, ending_of};
use super::run::Run;
use super::stream::Held;
use crate::base::clock::Instant;
use crate::base::error::{Error, Result};
use crate::data::{Dataset, Samples};
use crate::net::metrics::Metrics;
use crate::train::event::{End, Ending, Epoch, Observer, Start};
use crate::train::snapshot::Position;

/// The most times that the loss is read back within an epoch.
const READS_PER_EPOCH: usize = 8;

impl Trainer {
    /// Trains for the spec's epochs, or until an observer or the spec's [`Stopping`] ends it.
    /// Called again, it continues where it stopped, even in the middle of an epoch.
    ///
    /// Then the weights are those that the spec [keeps](crate::net::stopping::Keep): with `Keep::Best` those
    /// of the best epoch so far, with which the net predicts and is evaluated. Checkpoints still hold the
    /// trained ones, and another call continues from them. After an error about divergence the trainer is at
    /// the last step up to which all losses were finite, if that is known.
    ///
    /// [`Stopping`]: crate::net::stopping::Stopping
    ///
    /// # Errors
    /// When the data don't fit the net, epochs are to be compared without validation data, the run is
    /// resumed and was evaluated on other validation data, the device was lost, an observer
    /// fails, or the loss becomes NaN or infinite.
    pub fn fit(
        &mut self,
        validation: Option<&Dataset>,
        observer: &mut dyn Observer,
    ) -> Result<End> {
        let samples = |data: &Dataset| self.ready(data, data.mean_weight()?);
        let samples = validation.map(samples).transpose()?;
        self.hold_out(samples.as_ref().map(Samples::fingerprint))?;
        let truth = validation.map(|data| self.truth(data)).transpose()?.flatten();
        let load = |samples| self.session.upload(samples, &self.preprocessing);
        let loaded = samples.map(load).transpose()?;
        let validation = loaded.map(|data| Held::Loaded(data, truth));
        let ended = self.fit_on(validation.as_ref(), observer);
        if let Some(Held::Loaded(data, _)) = &validation {
            self.session.forget(data);
        }
        ended
    }

    pub(super) fn fit_on(
        &mut self,
        validation: Option<&Held>,
        observer: &mut dyn Observer,
    ) -> Result<End> {
        if validation.is_none() && self.spec.stopping.compares() {
            return Err(Error::usage("keeping the best epoch, and patience, need validation data")
                .help("hold some rows out with --validation"));
        }
        self.check_intact()?;
        self.for_training()?;
        self.check_together()?;
        let run = Run::new(self.spec.clone(), self.rows);
        self.announce(&run, validation, observer)?;
        let mut ending = self.out_of_patience().then_some(Ending::Patience);
        let mut valid = None;
        let mut reads = READS_PER_EPOCH;
        while self.at.epoch < self.spec.epochs && ending.is_none() {
            let (begin, first) = (Instant::now(), self.at.within);
            let Some(EpochPart { ended, loss, waited }) = self.run_epoch(&run, observer, reads)?
            else {
                continue;
            };
            let seconds = begin.elapsed().saturating_sub(waited).as_secs_f64();
            // A short epoch isn't worth stopping the device for.
            reads = ((seconds / 0.25) as usize).clamp(1, READS_PER_EPOCH);
            let steps = self.at.within - first;
            let is_whole = self.at.within == run.steps;
            if is_whole {
                self.at = Position { epoch: self.at.epoch + 1, within: 0, ..self.at };
                self.average_epoch()?;
                self.check_overflows(run.steps)?;
            }
            valid = validation.map(|data| self.measure_together(data)).transpose()?;
            ending = ended;
            if is_whole {
                let [low, high] = self.losses.unwrap_or([loss; 2]);
                self.losses = Some([low.min(loss), high.max(loss)]);
                let report = Epoch {
                    epoch: self.at.epoch,
                    step: self.at.step,
                    train_loss: loss,
                    valid_loss: valid.as_ref().map(|v| v.loss),
                    metrics: valid.as_ref().map_or(Vec::new(), |v| v.values.clone()),
                    lr: self.lr(&run, self.at.step.saturating_sub(1)),
                    seconds: self.seconds(&run),
                    samples_per_second: (steps * run.batch).min(run.rows) as f64 / seconds,
                };
                let judged = valid.as_ref().map_or(loss, |valid| valid.loss);
                self.plateau.take(self.spec.schedule, judged);
                if let Some(valid) = &valid {
                    self.note_held_out(valid.loss);
                    self.compare(valid)?;
                }
                let after = observer.epoch(&report)?;
                let patience = || self.out_of_patience().then_some(Ending::Patience);
                ending = ending.or_else(|| ending_of(after)).or_else(patience);
                ending = self.ending_as_first(ending)?;
                self.offer_checkpoint(&run, observer)?;
            }
        }
        if let (Some(data), None) = (validation, &valid) {
            valid = Some(self.measure_together(data)?);
        }
        // The result is the best epoch, if there is one.
        let judged = self.best.as_ref().map(|best| &best.metrics).or(valid.as_ref());
        if let Some(metrics) = judged.filter(|metrics| !metrics.loss.is_finite()) {
            return Err(self.diverged(metrics.loss));
        }
        self.seconds_before = self.seconds(&run);
        self.gather_state()?;
        self.restore_best()?;
        Ok(End {
            ending: ending.unwrap_or(Ending::Done),
            epochs: self.at.epoch,
            steps: self.at.step,
            seconds: self.seconds_before,
            valid,
        })
    }

    /// Loss and metrics on held-out rows, on which all ranks agree.
    fn measure_together(&mut self, data: &Held) -> Result<Metrics> {
        let mut metrics = self.measure_by(data, Self::evaluate_together)?;
        self.metrics_as_first(&mut metrics)?;
        Ok(metrics)
    }

    fn announce(
        &self,
        run: &Run,
        validation: Option<&Held>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let info = self.session.backend().info();
        observer.start(&Start {
            device: info.to_string(),
            backend: info.backend.clone(),
            parameters: self.spec.net.parameters(),
            rows: run.rows,
            validation_rows: validation.map_or(0, Held::rows),
            batch_size: run.batch,
            epochs: self.spec.epochs,
            steps_per_epoch: run.steps,
            from_step: (self.at.step > 0).then_some(self.at.step),
        })
    }

    /// η of the step after `done` steps.
    pub(super) fn lr(&self, run: &Run, done: u64) -> f32 {
        let on_plateau = self.plateau.factor(self.spec.schedule) as f32;
        let halved = 0.5f32.powi(self.detours.halvings as i32);
        run.lr(done) * on_plateau * halved * self.detours.rate_factor(done)
    }

    /// Seconds that the run has taken.
    pub(super) fn seconds(&self, run: &Run) -> f64 {
        self.seconds_before + run.begin.elapsed().as_secs_f64()
    }
}

//! The best epoch, and checkpoints: the state of a run, taken and restored.

use super::Trainer;
use super::doctor::LastGood;
use super::run::Run;
use super::stream::Windows;
use crate::backend::{Backend, ValuesMut};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::wait::BlockOn as _;
use crate::data::Fingerprint;
use crate::data::{Dataset, Preprocessing};
use crate::net::metrics::Metrics;
use crate::net::precision::{Gate, MixedPrecision};
use crate::net::spec::{PlanKind, Spec};
use crate::net::stopping::{Keep, Stopping, is_better};
use crate::train::event::Observer;
use crate::train::model::Model;
use crate::train::snapshot::{Best, Checkpoint, Snapshot};
use std::sync::Arc;

/// The position of the model that a run keeps after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoodAt {
    /// At the end of the best epoch, counted from 1.
    BestEpoch(usize),
    /// After this many steps.
    Step(u64),
}

impl Trainer {
    /// The best epoch so far, if the spec compares epochs.
    #[must_use]
    pub fn best(&self) -> Option<&Best> {
        self.best.as_deref()
    }

    /// Replaces the trained weights with those of the best epoch, for predictions; returns whether
    /// there were any. [`Trainer::fit`] does so at its end. The trained ones are restored, bit for bit, for
    /// the next step and for checkpoints.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn restore_best(&mut self) -> Result<bool> {
        let Some(best) = self.best.clone().filter(|best| !best.tensors.is_empty()) else {
            return Ok(false);
        };
        if self.trained.is_none() {
            self.use_average(true)?;
            self.trained = Some(self.session.read_tensors(&self.session.predicting())?);
            self.session.write_tensors(&best.tensors)?;
        }
        Ok(true)
    }

    /// The model of a run that ended with an error: that of the best epoch, else of the last
    /// step up to which all losses were finite. None if no step had changed the weights until then, or
    /// no such state is known.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn last_good(&mut self) -> Result<Option<(GoodAt, Model)>> {
        if let (true, Some(best)) = (self.restore_best()?, self.best()) {
            let at = GoodAt::BestEpoch(best.epoch);
            return Ok(Some((at, self.model()?)));
        }
        let is_good = self.is_intact && {
            let now = self.snapshot()?;
            now.is_finite() && now.sums.iter().all(|x| x.is_finite())
        };
        if !is_good && !self.go_back()? {
            return Ok(None);
        }
        let skipped = self.loss_scale()?.map_or(0, |scale| scale.skipped);
        if skipped >= self.at.step {
            return Ok(None);
        }
        let model = self.model()?;
        Ok(model.is_finite().then_some((GoodAt::Step(self.at.step), model)))
    }

    /// Whether all trained weights are finite.
    pub(super) fn has_finite_weights(&mut self) -> Result<bool> {
        self.for_training()?;
        let plan = self.session.plan();
        let parameters = plan.parameters;
        let mut values = vec![0.0; plan.program.len(parameters)];
        self.session.backend_mut().read(parameters, ValuesMut::F32(&mut values)).block_on()?;
        Ok(values.iter().fold(true, |all, x| all & x.is_finite()))
    }

    /// Compares the metrics of the epoch that just ended with those of the best one.
    pub(super) fn compare(&mut self, metrics: &Metrics) -> Result<()> {
        let stopping = &self.spec.stopping;
        if !stopping.compares() {
            return Ok(());
        }
        let metric = stopping.metric(metrics)?;
        if self.best.as_ref().is_some_and(|best| !is_better(&metric, metrics, &best.metrics)) {
            return Ok(());
        }
        let tensors = match stopping.keep {
            Keep::Best => self.session.read_tensors(&self.session.predicting())?,
            Keep::Last => Vec::new(),
        };
        let (epoch, step, metrics) = (self.at.epoch, self.at.step, metrics.clone());
        self.best = Some(Arc::new(Best { epoch, step, metric, metrics, tensors }));
        Ok(())
    }

    /// Whether the patience is exhausted, so that the run ends.
    pub(super) fn out_of_patience(&self) -> bool {
        match (self.spec.stopping.patience, &self.best) {
            (Some(patience), Some(best)) => self.at.epoch.saturating_sub(best.epoch) >= patience,
            _ => false,
        }
    }

    /// Takes a checkpoint if an observer wants one.
    pub(super) fn offer_checkpoint(
        &mut self,
        run: &Run,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let wants_one = observer.wants_checkpoint(&self.at);
        if self.shares_update() && self.as_first([f64::from(u8::from(wants_one))])? != [0.0] {
            self.gather_state()?;
        }
        if !wants_one {
            return Ok(());
        }
        let checkpoint = Checkpoint { seconds: self.seconds(run), ..self.checkpoint()? };
        if !checkpoint.now.is_finite() {
            // The state can't be resumed; the next loss will show it.
            return Ok(());
        }
        observer.checkpoint(&Arc::new(checkpoint))
    }

    /// The current state of net and optimizer.
    pub(super) fn snapshot(&mut self) -> Result<Snapshot> {
        self.check_intact()?;
        self.for_training()?;
        Ok(Snapshot {
            position: self.at,
            sums: self.session.sums()?,
            tensors: self.session.read_tensors(&self.session.state())?,
        })
    }

    /// Returns to the state of a snapshot.
    pub(super) fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        // Half of a state is unusable.
        self.is_intact = false;
        // All tensors that differ between trained, averaged and best weights are written below.
        (self.trained, self.averaged) = (None, false);
        self.session.write_tensors(&snapshot.tensors)?;
        self.pairs = None;
        self.session.set_sums(snapshot.sums)?;
        self.at = snapshot.position;
        self.skipped_before = self.loss_scale()?.map_or(0, |scale| scale.skipped);
        self.is_intact = true;
        Ok(())
    }

    /// Refuses to use the device's tensors if a state couldn't be restored.
    pub(super) fn check_intact(&self) -> Result<()> {
        match self.is_intact {
            true => Ok(()),
            false => Err(Error::failed("the device no longer holds the state of the run")
                .help("resume the run from its last checkpoint")),
        }
    }

    /// Everything needed to continue exactly from here, even in another process, with
    /// [`Trainer::resume`]: with the trained weights, even if those of the best epoch are in their
    /// place, which stay there. Tensors are f32, as devices have them. Several ranks call it together; after
    /// [`Trainer::fit`] one of them may call it alone.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn checkpoint(&mut self) -> Result<Checkpoint> {
        let shows_best = self.trained.is_some();
        self.gather_state()?;
        let now = self.snapshot()?;
        if shows_best {
            self.restore_best()?;
        }
        Ok(Checkpoint {
            now,
            epoch_start: self.epoch_start.as_deref().cloned(),
            best: self.best.clone(),
            detours: self.detours.clone(),
            losses: self.losses,
            held_out_losses: self.held_out_losses,
            plateau: self.plateau,
            seconds: self.seconds_before,
            settings: self.settings(),
            multiplier: self.admission.map(|admission| admission.multiplier),
            data: self.fingerprint(),
            validation: self.validation.clone(),
        })
    }

    /// The settings that the run can't change, a line for each.
    pub(super) fn settings(&self) -> String {
        let windows = self.windows.as_ref().and_then(Windows::settings);
        settings(&self.spec) + &windows.map_or(String::new(), |line| format!("\n    {line},"))
    }

    /// The fingerprint of the training rows.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        match &self.windows {
            Some(windows) => windows.fingerprint().clone(),
            None => self.samples.fingerprint(),
        }
    }

    /// Records the held-out rows that the run is evaluated on; an error if they were others before
    /// it was resumed.
    pub(super) fn hold_out(&mut self, found: Option<Fingerprint>) -> Result<()> {
        if let Some(was) = &self.validation_before
            && found.as_ref() != Some(was)
        {
            return Err(other_rows("validation", was, found.as_ref()));
        }
        self.validation_before = None;
        self.validation = found;
        Ok(())
    }

    /// A trainer that continues from `checkpoint`: with the same spec, except for `epochs`,
    /// `plan` and `stopping`, and the same data, it reproduces the weights of an uninterrupted run, bit
    /// for bit, on the same device. With other `epochs` this holds if nothing
    /// [depends on the length](Spec::depends_on_length) of the run. Epochs are compared by the metric
    /// that the best one so far was chosen by. In mixed precision nothing is measured again: the
    /// multiplier is that of the checkpoint.
    ///
    /// # Errors
    /// As [`Trainer::new`]; and when the spec or the data differ.
    pub fn resume(
        spec: &Spec,
        training: &Dataset,
        preprocessing: Preprocessing,
        backend: Box<dyn Backend>,
        checkpoint: &Checkpoint,
    ) -> Result<Self> {
        let mixed = spec.mixed.chosen(checkpoint.multiplier);
        Trainer::new(&Spec { mixed, ..spec.clone() }, training, preprocessing, backend)?
            .go_on(checkpoint)
            .map_err(|e| if e.kind() == ErrorKind::Data { e.at(training.name()) } else { e })
    }

    /// As [`Trainer::resume`], for a newly made trainer.
    ///
    /// # Errors
    /// When its spec or its data differ from those of the checkpoint.
    pub fn go_on(mut self, checkpoint: &Checkpoint) -> Result<Self> {
        let found = self.fingerprint();
        if found != checkpoint.data {
            return Err(other_rows("training", &checkpoint.data, Some(&found)));
        }
        let multiplies = self.admission.map(|admission| admission.multiplier);
        if let (Some(was), Some(now)) = (checkpoint.multiplier, multiplies)
            && was != now
        {
            return Err(Error::device(format!("the run was started with {was}, not {now}")).help(
                "resume it on the device that it was started on, or start a new run without --resume",
            ));
        }
        let now = self.settings();
        if let Some((was, now)) = first_difference(&checkpoint.settings, &now) {
            return Err(Error::usage(format!("the run was started with {was}, not {now}"))
                .help("leave the setting as it was, or start a new run without --resume"));
        }
        let expected = self.session.state().len();
        if checkpoint.now.tensors.len() != expected {
            let found = checkpoint.now.tensors.len();
            return Err(Error::data(format!("{found} tensors, where the run has {expected}"))
                .at("the checkpoint"));
        }
        self.restore(&checkpoint.now)?;
        self.good = LastGood::kept(Arc::new(checkpoint.now.clone()));
        self.epoch_start = checkpoint.epoch_start.clone().map(Arc::new);
        self.best = checkpoint.best.clone();
        if let Some(best) = &self.best {
            self.spec.stopping.compare_by(&best.metric);
        }
        self.detours = checkpoint.detours.clone();
        self.losses = checkpoint.losses;
        self.held_out_losses = checkpoint.held_out_losses;
        self.plateau = checkpoint.plateau;
        self.validation = checkpoint.validation.clone();
        self.validation_before = checkpoint.validation.clone();
        self.seconds_before = checkpoint.seconds;
        Ok(self)
    }
}

/// The error for rows that are not those of the run.
fn other_rows(kind: &str, was: &Fingerprint, found: Option<&Fingerprint>) -> Error {
    let what = match found {
        Some(found) if (found.rows, found.columns) == (was.rows, was.columns) => {
            "the same numbers of rows and columns, but different values".into()
        }
        Some(found) => format!(
            "{} {kind} rows of {} columns, where it had {} of {}",
            found.rows, found.columns, was.rows, was.columns
        ),
        None => format!("no {kind} rows, where it had {}", was.rows),
    };
    Error::data(format!("the {kind} data are not those of the run: {what}"))
        .help("resume with the data of the run, or start a new run without --resume")
}

/// The settings of a spec that can't change during a run, a line for each.
fn settings(spec: &Spec) -> String {
    let fixed = Spec {
        epochs: 0,
        plan: PlanKind::default(),
        stopping: Stopping::default(),
        mixed: MixedPrecision { gate: Gate::default(), ..spec.mixed },
        ..spec.clone()
    };
    format!("{fixed:#?}")
}

/// The first lines that differ; within a setting, followed by its name.
fn first_difference(was: &str, now: &str) -> Option<(String, String)> {
    let mut setting = "";
    let (mut old, mut new) = (was.lines(), now.lines());
    loop {
        let (a, b) = (old.next(), new.next());
        let is_setting =
            |line: &str| line.strip_prefix("    ").is_some_and(|l| !l.starts_with(' '));
        if a == b {
            let line = a?;
            if is_setting(line) {
                setting = line.trim().split(':').next().unwrap_or_default();
            }
            continue;
        }
        let describe = |line: Option<&str>| {
            let Some(line) = line else { return "the default".into() };
            let text = line.trim().trim_end_matches(['{', ',', '[', '(', ' ']).replace('_', " ");
            if is_setting(line) { text } else { format!("{text} in its {setting}") }
        };
        return Some((describe(a), describe(b)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::activation::Activation;
    use crate::math::loss::Loss;
    use crate::math::optim::Optimizer;
    use crate::net::precision::Multiplier;
    use crate::net::spec::Net;

    #[test]
    fn the_setting_that_differs_is_named() {
        let net = |units| Net::new(3).layer(units, Activation::Relu).layer(2, Activation::Identity);
        let spec = Spec::new(net(5), Loss::CrossEntropy);
        let differ = |other: &Spec| first_difference(&settings(&spec), &settings(other));
        let free = Spec { epochs: 99, plan: PlanKind::Plain, ..spec.clone() };
        assert_eq!(differ(&free), None);
        let mut chosen = spec.clone();
        chosen.mixed.gate = Gate::Chosen(Multiplier::Matrices(16));
        assert_eq!(differ(&chosen), None, "what multiplies is told apart by itself");
        let batch = Spec { batch_size: 7, ..spec.clone() };
        assert_eq!(differ(&batch), Some(("batch size: 64".into(), "batch size: 7".into())));
        let (was, now) = differ(&spec.clone().optimizer(Optimizer::Sgd)).unwrap();
        assert_eq!((was.as_str(), now.as_str()), ("optimizer: Adam", "optimizer: Sgd"));
        let (was, now) = differ(&Spec { net: net(6), ..spec.clone() }).unwrap();
        assert_eq!((was.as_str(), now.as_str()), ("units: 5 in its net", "units: 6 in its net"));
        let sharded = settings(&spec) + "\n    shards: 4,";
        let differ = first_difference(&sharded, &settings(&spec));
        assert_eq!(differ, Some(("shards: 4".into(), "the default".into())));
    }
}

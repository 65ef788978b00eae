//! The training loop, with the one step counter.
//!
//! `start` plans and loads the program, `run` computes the parameters of each step, `fit` runs epochs
//! and sets the learning rate, `epoch` takes the steps of
//! one, `hook` exposes gradients before the update, `ranks` joins other ranks, `greeting` compares these,
//! `data_parallel` sums gradients over them, `shared_update` shares the update between them, `sync_batch_norm` the
//! statistics of batch normalization, `keep` compares epochs, and takes and restores checkpoints,
//! `averaging` averages weights, `lbfgs` takes the steps that the host drives, `stream` feeds rows that aren't
//! in memory and tells which rows are on the device,
//! `sample` shows single steps to observers and applies their changes of the learning rate, `report`
//! computes metrics that aren't sums over rows, `doctor` returns to a good state when a loss isn't finite and
//! `diagnosis` finds the cause, `learnt` checks whether anything was learned, `mixed` whether a device trains
//! in mixed precision, `loss_scale` reports its overflows.

mod averaging;
mod data_parallel;
mod diagnosis;
mod doctor;
mod epoch;
mod fit;
mod greeting;
mod hook;
mod keep;
mod lbfgs;
mod learnt;
mod loss_scale;
mod mixed;
mod ranks;
mod report;
mod run;
mod sample;
mod start;
mod stream;

pub use hook::Gradients;
pub use keep::GoodAt;
pub use loss_scale::LossScale;
pub use mixed::Admission;
pub use report::Predicted;

use crate::backend::Backend;
use crate::backend::session::{LayerWeights, Loaded, Session, initial_weights};
use crate::base::error::{Error, ErrorKind, Result};
use crate::data::{Dataset, Fingerprint, Preprocessing, Samples};
use crate::kernels::Step;
use crate::kernels::tensor::HostTensor;
use crate::math::optim::lbfgs::Pair;
use crate::math::schedule::Plateau;
use crate::net::metrics::Metrics;
use crate::net::spec::Spec;
use crate::train::model::Model;
use crate::train::samples::samples;
use crate::train::snapshot::{Best, Detours, Position, Snapshot};
use doctor::LastGood;
use learnt::lower_rate;
use run::Run;
use std::sync::Arc;
use stream::{Held, Windows};

/// Data about all rows of a set, of which only some are available.
struct Whole {
    rows: usize,
    /// None if rows have no weights.
    mean_weight: Option<f64>,
}

/// Trains a net by a spec.
pub struct Trainer {
    spec: Spec,
    preprocessing: Preprocessing,
    session: Session,
    /// The rows on the device: all training rows, or a window of them.
    training: Loaded,
    samples: Arc<Samples>,
    /// The number of all training rows.
    rows: usize,
    /// The windows, if not all of them are on the device.
    windows: Option<Windows>,
    at: Position,
    /// The best epoch so far, if epochs are compared.
    best: Option<Arc<Best>>,
    detours: Detours,
    /// The lowest and the highest training loss of an epoch so far.
    losses: Option<[f64; 2]>,
    /// The lowest loss of the held-out rows so far, and the last.
    held_out_losses: Option<[f64; 2]>,
    /// The start of the current epoch, if the run may return to it.
    epoch_start: Option<Arc<Snapshot>>,
    good: LastGood,
    /// Whether the run started from random weights.
    is_drawn: bool,
    /// The name of a training row for users.
    row_name: Box<dyn Fn(usize) -> String + Send>,
    /// The state of the plateau schedule.
    plateau: Plateau,
    /// The held-out rows that the run was last evaluated on.
    validation: Option<Fingerprint>,
    /// Those that it was evaluated on before it was resumed, until they are seen again.
    validation_before: Option<Fingerprint>,
    /// Seconds that the run took before it was resumed.
    seconds_before: f64,
    /// The pairs of L-BFGS, as on the device; none if they must be read.
    pairs: Option<Vec<Pair>>,
    /// Whether the averaged weights are in the place of the trained ones.
    averaged: bool,
    /// The trained weights, while those of the best epoch are in their place.
    trained: Option<Vec<HostTensor>>,
    /// Whether the device holds a complete state of the run.
    is_intact: bool,
    /// The test results of the device, in mixed precision.
    admission: Option<Admission>,
    /// Steps that overflowed and were skipped before the current epoch.
    skipped_before: u64,
    /// The hook between gradient and update.
    hook: Option<hook::Hook>,
    /// The ranks that train the net together, if there are several.
    parallel: Option<data_parallel::DataParallel>,
    /// Steps between two calls of observers; adapted to the time of steps.
    piece: usize,
    /// Whether they are called after every step.
    is_asking_always: bool,
}

impl Trainer {
    /// A trainer on `backend` for `training`, with random weights from the spec's seed.
    ///
    /// # Errors
    /// For a spec that makes no sense, or fits neither the data nor the device.
    pub fn new(
        spec: &Spec,
        training: &Dataset,
        preprocessing: Preprocessing,
        backend: Box<dyn Backend>,
    ) -> Result<Self> {
        let whole = Whole { rows: training.rows(), mean_weight: training.mean_weight()? };
        Self::begin(spec, training, whole, preprocessing, backend)
    }

    /// As [`Trainer::new`], on only some rows of `whole`, for timing.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub(crate) fn on_part(
        spec: &Spec,
        part: &Dataset,
        whole: &Dataset,
        preprocessing: Preprocessing,
        backend: Box<dyn Backend>,
    ) -> Result<Self> {
        // Rows of weight 0 may come first.
        let whole = Whole { rows: part.rows(), mean_weight: whole.mean_weight()? };
        Self::begin(spec, part, whole, preprocessing, backend)
    }

    /// As [`Trainer::new`], for all rows of a set, of which `training` are the first on the device.
    fn begin(
        spec: &Spec,
        training: &Dataset,
        Whole { rows, mean_weight }: Whole,
        preprocessing: Preprocessing,
        backend: Box<dyn Backend>,
    ) -> Result<Self> {
        spec.check()?;
        if rows == 0 {
            return Err(Error::data("no rows to train on").at(training.name()));
        }
        start::check_task(spec, &preprocessing)?;
        start::check_batch(spec, rows)?;
        start::check_images(spec, training, &preprocessing)?;
        let mut spec = spec.clone();
        spec.batch_size = spec.batch_size.min(rows);
        let mut backend = backend;
        let admission =
            mixed::admission(&spec, training, &preprocessing, mean_weight, backend.as_mut())?;
        let mut session = start::load(&mut spec, backend)?;
        let piece = epoch::first_piece(&session.plan().program, spec.batch_size);
        session.set_weights(&spec.net, &initial_weights(&spec))?;
        // After the weights: their copy on the host is the peak of memory use.
        let samples = samples(spec.objective.loss, &preprocessing, training, mean_weight)?;
        start::check_weights(&spec, &samples)?;
        let samples = Arc::new(samples);
        let training = session.upload(samples.clone(), &preprocessing)?;
        Ok(Trainer {
            spec,
            preprocessing,
            session,
            training,
            samples,
            rows,
            windows: None,
            at: Position::default(),
            best: None,
            detours: Detours::default(),
            losses: None,
            held_out_losses: None,
            epoch_start: None,
            good: LastGood::start(None),
            is_drawn: true,
            row_name: Box::new(|row| format!("training row {}", row + 1)),
            plateau: Plateau::default(),
            validation: None,
            validation_before: None,
            seconds_before: 0.0,
            pairs: None,
            averaged: false,
            trained: None,
            is_intact: true,
            admission,
            skipped_before: 0,
            hook: None,
            parallel: None,
            piece,
            is_asking_always: false,
        })
    }

    /// Starts from these weights instead of random ones.
    ///
    /// # Errors
    /// When their shapes are not those of the net.
    pub fn set_weights(&mut self, weights: &[LayerWeights]) -> Result<()> {
        self.for_training()?;
        self.session.set_weights(&self.spec.net, weights)?;
        self.is_drawn = false;
        self.good = match self.at.step {
            0 => LastGood::start(Some(weights)),
            _ => LastGood::unknown(),
        };
        Ok(())
    }

    /// The current weights; their average, if the spec has one; after [`Trainer::fit`]
    /// those of the best epoch, if the spec keeps these.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn weights(&mut self) -> Result<Vec<LayerWeights>> {
        if self.trained.is_none() {
            self.check_intact()?;
        }
        self.use_average(true)?;
        self.session.weights()
    }

    /// The current model: after [`Trainer::fit`] the one that the spec [keeps](crate::net::stopping::Keep),
    /// that of the last step or of the best epoch; after an error about divergence that of the last step up to
    /// which all losses were finite, if there is one ([`Trainer::last_good`]).
    ///
    /// # Errors
    /// When the device was lost.
    pub fn model(&mut self) -> Result<Model> {
        Ok(Model {
            net: self.spec.net.clone(),
            objective: self.spec.objective,
            preprocessing: self.preprocessing.clone(),
            members: vec![self.weights()?],
        })
    }

    /// Sets the names of training rows for users, counted from 0: by default their numbers.
    pub fn name_rows(&mut self, name: impl Fn(usize) -> String + Send + 'static) {
        self.row_name = Box::new(name);
    }

    /// Calls the observers after every step instead of several times a second: slower, with the same result.
    pub fn ask_after_every_step(&mut self) {
        self.is_asking_always = true;
    }

    /// The test results of the device for mixed precision; none in f32.
    #[must_use]
    pub fn admission(&self) -> Option<&Admission> {
        self.admission.as_ref()
    }

    /// The spec, completed by the data and the device.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The position of the run.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at
    }

    /// The backend, without the training rows, for other uses.
    #[must_use]
    pub fn into_backend(mut self) -> Box<dyn Backend> {
        self.forget_training();
        self.session.into_backend()
    }

    /// The loaded program.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Loss and metrics on `data`.
    ///
    /// # Errors
    /// When the data don't fit the net, or the device was lost.
    pub fn evaluate(&mut self, data: &Dataset) -> Result<Metrics> {
        let data = self.upload(data, data.mean_weight()?)?;
        let metrics = self.measure(&Held::Loaded(data, None));
        self.session.forget(&data);
        metrics
    }

    /// Prepares the device for everything that the run may do with the training rows, so that a kernel that
    /// can't be compiled is an error now.
    ///
    /// # Errors
    /// When the device can't compile a kernel, or was lost.
    pub fn prepare(&mut self) -> Result<()> {
        self.session.prepare(&self.training)
    }

    /// Runs `count` steps from the beginning of the next epoch on, and waits until they are done:
    /// without observers, to be timed.
    ///
    /// # Errors
    /// When the device was lost, or the loss becomes NaN or infinite.
    pub fn run_steps(&mut self, count: usize) -> Result<()> {
        self.queue_steps(count)?;
        let metrics = self.session.metrics(&self.training, self.training.rows)?;
        if metrics.loss.is_finite() { Ok(()) } else { Err(self.diverged(metrics.loss)) }
    }

    /// As [`Trainer::run_steps`], without waiting for an asynchronous device.
    ///
    /// # Errors
    /// When the device was lost, and for a trainer that holds shards of the rows.
    pub fn queue_steps(&mut self, count: usize) -> Result<()> {
        if self.shards().is_some() {
            return Err(Error::failed("the steps of shards are run by `fit`"));
        }
        let run = Run::new(self.spec.clone(), self.training.rows);
        let order = run.order(run.rows, self.at.epoch as u64);
        let step = |i: usize| {
            let done = self.at.step + i as u64;
            run.step(i % run.steps, run.rows, done, &order, run.lr(done))
        };
        let steps: Vec<Step> = (0..count).map(step).collect();
        self.take_steps(&run, &steps)?;
        self.at.step += count as u64;
        self.good = LastGood::unknown();
        Ok(())
    }

    /// Rows of a set with that mean weight, ready for the device.
    fn ready(&self, data: &Dataset, mean_weight: Option<f64>) -> Result<Samples> {
        samples(self.spec.objective.loss, &self.preprocessing, data, mean_weight)
    }

    fn upload(&mut self, data: &Dataset, mean_weight: Option<f64>) -> Result<Loaded> {
        let samples = self.ready(data, mean_weight)?;
        self.session.upload(samples, &self.preprocessing)
    }

    /// The error for a loss that is NaN or infinite.
    fn diverged(&self, loss: f64) -> Error {
        Error::new(ErrorKind::Diverged, format!("training diverged: the loss is {loss}"))
            .at(format!("epoch {}, by step {}", self.at.epoch + 1, self.at.step))
            .help(lower_rate(&self.spec, self.spec.lr))
    }
}

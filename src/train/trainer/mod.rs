//! The training loop, with the one step counter.
//!
//! `start` draws weights, `run` says what each step is told, `fit` runs epochs, `epoch` the steps of
//! one, `hook` shows gradients before the update, `ranks` joins others, `greeting` compares these, `data_parallel` sums gradients over them, `shard` shares the update between them, `sync_batch_norm` the statistics of batch normalization, `keep` compares epochs, and takes and restores checkpoints, `averaging` averages weights,
//! `lbfgs` takes the steps that the host leads, `stream` feeds rows that aren't held in memory,
//! `sample` shows single steps to observers and takes their change of the learning rate,
//! `report` measures what sums over rows don't tell, `doctor` goes back where a loss isn't finite and
//! `diagnosis` finds out why, `learnt` whether anything was learnt, `mixed` whether a device trains in mixed precision, `loss_scale` what
//! overflowed in it.

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
mod shard;
mod start;
mod stream;
mod sync_batch_norm;

use crate::backend::session::initial_weights;
pub use hook::Gradients;
pub use keep::GoodAt;
pub use loss_scale::LossScale;
pub use mixed::Admission;
pub use report::Predicted;

use crate::backend::Backend;
use crate::backend::session::{LayerWeights, Loaded, Session};
use crate::base::error::{Error, ErrorKind, Result};
use crate::data::Fingerprint;
use crate::data::{Dataset, Preprocessing, Samples};
use crate::kernels::Step;
use crate::kernels::tensor::HostTensor;
use crate::math::optim::Optimizer;
use crate::math::optim::lbfgs::Pair;
use crate::math::schedule::Plateau;
use crate::net::metrics::Metrics;
use crate::net::precision::Precision;
use crate::net::spec::Spec;
use crate::train::model::Model;
use crate::train::snapshot::{Best, Detours, Position, Snapshot};
use doctor::LastGood;
use learnt::lower_rate;
use run::Run;
use std::sync::Arc;
use stream::{Held, Windows};

/// The work of the first piece of an epoch, in floating-point operations, unless a step has more.
const FIRST_PIECE: f64 = 4e9;

/// What is known of all rows of a set, of which some are at hand.
struct Whole {
    rows: usize,
    /// None where rows have no weights.
    mean_weight: Option<f64>,
}

/// Trains a net as a spec says.
pub struct Trainer {
    spec: Spec,
    preprocessing: Preprocessing,
    session: Session,
    /// The rows on the device: all that are trained on, or a window of them.
    training: Loaded,
    samples: Arc<Samples>,
    /// All rows that are trained on.
    rows: usize,
    /// Where not all of them are held: the windows.
    windows: Option<Windows>,
    at: Position,
    /// The best epoch so far, where epochs are compared.
    best: Option<Arc<Best>>,
    detours: Detours,
    /// The lowest and the highest training loss of an epoch so far.
    losses: Option<[f64; 2]>,
    /// The lowest loss of the held-out rows so far, and the last.
    held_out_losses: Option<[f64; 2]>,
    /// The start of the epoch at hand, where the run may go back to it.
    epoch_start: Option<Arc<Snapshot>>,
    good: LastGood,
    /// Whether the run began with drawn weights.
    is_drawn: bool,
    /// What users call a training row.
    row_name: Box<dyn Fn(usize) -> String + Send>,
    /// What the schedule has seen of the loss.
    plateau: Plateau,
    /// The held-out rows that the run was judged by last.
    validation: Option<Fingerprint>,
    /// Those that it was judged by before it was resumed, until they are seen again.
    validation_before: Option<Fingerprint>,
    /// Seconds that the run took before it was resumed.
    seconds_before: f64,
    /// What L-BFGS knows of the last steps, as the device holds it; none when that is to be read.
    pairs: Option<Vec<Pair>>,
    /// Whether the averaged weights are in the place of the trained ones.
    averaged: bool,
    /// What the weights of the best epoch took the place of, while they are there.
    trained: Option<Vec<HostTensor>>,
    /// Whether the device holds a state of the run, and not a part of one.
    is_intact: bool,
    /// What was seen of the device, in mixed precision.
    admission: Option<Admission>,
    /// Steps that overflowed and were skipped before the present epoch.
    skipped_before: u64,
    /// What is called between gradient and update.
    hook: Option<hook::Hook>,
    /// The ranks that train the net together, where there are several.
    parallel: Option<data_parallel::DataParallel>,
    /// Steps between two questions to the observers; follows the time that they take.
    piece: usize,
    /// Whether they are asked after every step.
    is_asking_always: bool,
}

impl Trainer {
    /// A trainer on `backend` for `training`, whose weights are drawn by the spec's seed.
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

    /// As [`Trainer::new`], where all that is trained on are some rows of `whole`: to be timed.
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
        // Rows that count nothing may come first.
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
        let samples = |spec: &Spec| {
            let samples = crate::train::samples::samples(
                spec.objective.loss,
                &preprocessing,
                training,
                mean_weight,
            )?;
            start::check_weights(spec, &samples)?;
            Ok::<_, Error>(Arc::new(samples))
        };
        let mut backend = backend;
        let admission = match spec.precision {
            Precision::F16 => {
                let batch: Vec<usize> = (0..spec.batch_size.min(training.rows())).collect();
                let batch = preprocessing.samples_of(&training.select(&batch), mean_weight)?;
                Some(mixed::admit(&spec, batch, backend.as_mut())?)
            }
            Precision::F32 => None,
        };
        let mut session = start::load(&mut spec, backend)?;
        let program = &session.plan().program;
        let ops = program.ops[program.routines.step.clone()].iter();
        let flops: f64 = ops.map(|op| program.flops(op, spec.batch_size)).sum();
        let piece = (FIRST_PIECE / flops).clamp(1.0, 16.0) as usize;
        session.set_weights(&spec.net, &initial_weights(&spec))?;
        // After the weights: their copy on the host is the most that is held at a time.
        let samples = samples(&spec)?;
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

    /// Starts from these weights instead of drawn ones.
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

    /// The weights as they are now; their average, where the spec asks for one; after [`Trainer::fit`]
    /// those of the best epoch, where the spec keeps these.
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

    /// The model as it is now: after [`Trainer::fit`] what the spec [keeps](crate::net::stopping::Keep), that
    /// of the last step or of the best epoch; after an error about divergence that of the last step up
    /// to which all losses were finite, where there is one ([`Trainer::last_good`]).
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

    /// Says what users call each training row, counted from 0: by default its number.
    pub fn name_rows(&mut self, name: impl Fn(usize) -> String + Send + 'static) {
        self.row_name = Box::new(name);
    }

    /// Asks the observers after every step, not several times a second: slower, and no result differs.
    pub fn ask_after_every_step(&mut self) {
        self.is_asking_always = true;
    }

    /// What was seen of the device before it was taken for mixed precision; none in f32.
    #[must_use]
    pub fn admission(&self) -> Option<&Admission> {
        self.admission.as_ref()
    }

    /// The spec, with what followed from the data and the device.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// How far the run is.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at
    }

    /// The backend, without the training rows, to be used otherwise.
    #[must_use]
    pub fn into_backend(mut self) -> Box<dyn Backend> {
        self.session.forget(&self.training);
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

    /// Makes the device ready for all that the run may ask of it on the training rows: what can't be compiled
    /// is an error now.
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
    /// When the device was lost, or the loss is no longer a finite number.
    pub fn run_steps(&mut self, count: usize) -> Result<()> {
        self.queue_steps(count)?;
        let metrics = self.session.metrics(&self.training, self.training.rows)?;
        if metrics.loss.is_finite() { Ok(()) } else { Err(self.diverged(metrics.loss)) }
    }

    /// As [`Trainer::run_steps`], without waiting for a device that works on its own.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn queue_steps(&mut self, count: usize) -> Result<()> {
        let run = Run::new(self.spec.clone(), self.training.rows);
        let order = run.order(run.rows, self.at.epoch as u64);
        let step = |i: usize| run.step(i % run.steps, run.rows, self.at.step + i as u64, &order);
        let steps: Vec<Step> = (0..count).map(step).collect();
        self.take_steps(&run, &steps)?;
        self.at.step += count as u64;
        self.good = LastGood::unknown();
        Ok(())
    }

    /// Takes steps on the training rows.
    fn take_steps(&mut self, run: &Run, steps: &[Step]) -> Result<()> {
        self.check_intact()?;
        self.for_training()?;
        if self.spec.optimizer == Optimizer::Lbfgs {
            return steps.iter().try_for_each(|step| self.lbfgs_step(run, step));
        }
        self.run_steps_of(run, steps)
    }

    /// Rows of a set with that mean weight, ready for the device.
    fn ready(&self, data: &Dataset, mean_weight: Option<f64>) -> Result<Samples> {
        crate::train::samples::samples(
            self.spec.objective.loss,
            &self.preprocessing,
            data,
            mean_weight,
        )
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

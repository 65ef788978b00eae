//! The training loop, with the one step counter.

use crate::backend::Backend;
use crate::data::{Dataset, Preprocessing, Samples, Targets};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{End, Ending, Epoch, Flow, Observer, Progress, Start};
use crate::kernels::Step;
use crate::loss::{Link, Loss};
use crate::metrics::Metrics;
use crate::model::Model;
use crate::plan::{self, Purpose};
use crate::random::{Permutation, Random, Stream, stream_key};
use crate::session::{LayerWeights, Loaded, Session};
use crate::spec::{Bias, Spec};
use std::time::Instant;

/// How often the loss is read back within an epoch, at most.
const READS_PER_EPOCH: usize = 8;
/// The work of the first piece of an epoch, in floating-point operations, unless a step has more.
const FIRST_PIECE: f64 = 4e9;
/// Observers are asked about this often, in seconds.
const PIECE_SECONDS: f64 = 0.05;

/// Trains a net as a spec says.
pub struct Trainer {
    spec: Spec,
    preprocessing: Preprocessing,
    session: Session,
    training: Loaded,
    /// Steps done.
    step: u64,
    /// Epochs done.
    epoch: usize,
    /// Steps between two questions to the observers; follows the time that they take.
    piece: usize,
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
        spec.check()?;
        if training.rows() == 0 {
            return Err(Error::data("no rows to train on").at(training.name()));
        }
        check_task(spec, &preprocessing)?;
        let mut spec = spec.clone();
        spec.batch_size = spec.batch_size.min(training.rows());
        let evaluation = plan::evaluation_rows(&spec.net, training.rows().min(256));
        let batch = spec.batch_size.max(evaluation);
        let plan = plan::plan(&spec, batch, Purpose::Train, backend.fusion(&spec, batch));
        let ops = plan.program.ops[plan.program.routines.step.clone()].iter();
        let flops: f64 = ops.map(|op| plan.program.flops(op, spec.batch_size)).sum();
        let piece = (FIRST_PIECE / flops).clamp(1.0, 16.0) as usize;
        let mut session = Session::new(backend, plan, spec.objective)?;
        session.set_weights(&spec.net, &initial_weights(&spec))?;
        let samples = preprocessing.samples(training)?;
        check_targets(spec.objective.loss, &samples).map_err(|e| e.at(training.name()))?;
        let training = session.upload(samples, &preprocessing)?;
        Ok(Trainer { spec, preprocessing, session, training, step: 0, epoch: 0, piece })
    }

    /// Starts from these weights instead of drawn ones.
    ///
    /// # Errors
    /// When their shapes are not those of the net.
    pub fn set_weights(&mut self, weights: &[LayerWeights]) -> Result<()> {
        self.session.set_weights(&self.spec.net, weights)
    }

    /// The weights as they are now.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn weights(&mut self) -> Result<Vec<LayerWeights>> {
        self.session.weights()
    }

    /// The model as it is now.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn model(&mut self) -> Result<Model> {
        Ok(Model {
            net: self.spec.net.clone(),
            objective: self.spec.objective,
            preprocessing: self.preprocessing.clone(),
            weights: self.session.weights()?,
        })
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
        let data = self.upload(data)?;
        let metrics = self.session.evaluate(&data);
        self.session.forget(&data);
        metrics
    }

    /// Trains for the spec's epochs, or until an observer ends it.
    ///
    /// # Errors
    /// When the data don't fit the net, the device was lost, an observer fails, or the loss is no
    /// longer a finite number.
    pub fn fit(
        &mut self,
        validation: Option<&Dataset>,
        observer: &mut dyn Observer,
    ) -> Result<End> {
        let training = self.training;
        let validation = validation.map(|data| self.upload(data)).transpose()?;
        let run = Run::new(self.spec.clone(), training.rows);
        let info = self.session.backend().info();
        observer.start(&Start {
            device: info.to_string(),
            backend: info.backend.clone(),
            parameters: self.spec.net.parameters(),
            rows: training.rows,
            validation_rows: validation.map_or(0, |v| v.rows),
            batch_size: run.batch,
            epochs: self.spec.epochs,
            steps_per_epoch: run.steps,
        })?;

        let mut ending = Ending::Done;
        let mut valid = None;
        let mut reads = READS_PER_EPOCH;
        while self.epoch < self.spec.epochs && ending == Ending::Done {
            let begin = Instant::now();
            let (flow, rows) = self.run_epoch(&run, observer, reads)?;
            let seconds = begin.elapsed().as_secs_f64();
            // A short epoch isn't worth stopping the device for.
            reads = ((seconds / 0.25) as usize).clamp(1, READS_PER_EPOCH);
            let trained = self.training_metrics(rows)?;
            valid = validation.map(|data| self.session.evaluate(&data)).transpose()?;
            let mut flow = flow;
            if rows == training.rows {
                self.epoch += 1;
                let report = Epoch {
                    epoch: self.epoch,
                    step: self.step,
                    train_loss: trained.loss,
                    valid_loss: valid.as_ref().map(|v| v.loss),
                    metrics: valid.as_ref().map_or(Vec::new(), |v| v.values.clone()),
                    lr: run.lr(self.step.saturating_sub(1)),
                    seconds: run.begin.elapsed().as_secs_f64(),
                    samples_per_second: rows as f64 / seconds,
                };
                let after = observer.epoch(&report)?;
                if flow == Flow::Continue {
                    flow = after;
                }
            }
            ending = match flow {
                Flow::Continue => Ending::Done,
                Flow::Stop => Ending::Stopped,
                Flow::Interrupt => Ending::Interrupted,
            };
        }
        if let Some(data) = &validation {
            if valid.is_none() {
                valid = Some(self.session.evaluate(data)?);
            }
            self.session.forget(data);
        }
        if let Some(valid) = &valid {
            self.finite(valid.clone())?;
        }
        Ok(End {
            ending,
            epochs: self.epoch,
            steps: self.step,
            seconds: run.begin.elapsed().as_secs_f64(),
            valid,
        })
    }

    /// Runs `count` steps from the beginning of the next epoch on, and waits until they are done:
    /// without observers, to be timed.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn run_steps(&mut self, count: usize) -> Result<()> {
        self.queue_steps(count)?;
        self.training_metrics(self.training.rows).map(|_| ())
    }

    /// As [`Trainer::run_steps`], without waiting for a device that works on its own.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn queue_steps(&mut self, count: usize) -> Result<()> {
        let run = Run::new(self.spec.clone(), self.training.rows);
        let order = self.order(&run);
        let step = |i: usize| run.step(i % run.steps, self.step + i as u64, &order);
        let steps: Vec<Step> = (0..count).map(step).collect();
        let routine = self.session.plan().program.routines.step.clone();
        self.session.backend_mut().run(routine, self.training.id, &steps)?;
        self.step += count as u64;
        Ok(())
    }

    /// The order of the rows in the next epoch.
    fn order(&self, run: &Run) -> Permutation {
        let key = stream_key(self.spec.seed, Stream::Shuffle, self.epoch as u64);
        Permutation::new(run.rows as u32, self.spec.shuffle.then_some(key))
    }

    /// Runs one epoch, or less where an observer ends it: what it said, and the rows done.
    fn run_epoch(
        &mut self,
        run: &Run,
        observer: &mut dyn Observer,
        reads: usize,
    ) -> Result<(Flow, usize)> {
        let order = self.order(run);
        let begin = Instant::now();
        let between_reads = run.steps.div_ceil(reads);
        self.session.clear_sums()?;
        let mut done = 0;
        while done < run.steps {
            let to_read = between_reads - done % between_reads;
            let piece = self.piece.min(to_read).min(run.steps - done);
            let steps: Vec<Step> = (done..done + piece)
                .map(|i| run.step(i, self.step + (i - done) as u64, &order))
                .collect();
            let asked = Instant::now();
            let routine = self.session.plan().program.routines.step.clone();
            self.session.backend_mut().run(routine, self.training.id, &steps)?;
            done += piece;
            self.step += piece as u64;

            let rows = (done * run.batch).min(run.rows);
            // The last read is the caller's.
            let loss = if done % between_reads == 0 && done < run.steps {
                Some(self.training_metrics(rows)?.loss)
            } else {
                None
            };
            let seconds = asked.elapsed().as_secs_f64();
            if seconds < PIECE_SECONDS / 2.0 && piece == self.piece {
                self.piece = (self.piece * 2).min(1024);
            } else if seconds > PIECE_SECONDS * 2.0 {
                self.piece = (self.piece / 2).max(1);
            }
            let pace = rows as f64 / begin.elapsed().as_secs_f64();
            let total = run.steps as u64 * self.spec.epochs as u64;
            let flow = observer.progress(&Progress {
                epoch: self.epoch + 1,
                epochs: self.spec.epochs,
                step: self.step,
                steps: total,
                loss,
                samples_per_second: pace,
                seconds_left: (total - self.step.min(total)) as f64 * run.batch as f64 / pace,
            });
            if flow != Flow::Continue {
                return Ok((flow, rows));
            }
        }
        Ok((Flow::Continue, run.rows))
    }

    /// Loss and metrics of the first `rows` rows of this epoch, while it ran.
    fn training_metrics(&mut self, rows: usize) -> Result<Metrics> {
        let training = self.training;
        let metrics = self.session.metrics(&training, rows)?;
        self.finite(metrics)
    }

    fn upload(&mut self, data: &Dataset) -> Result<Loaded> {
        let samples = self.preprocessing.samples(data)?;
        self.session.upload(samples, &self.preprocessing)
    }

    /// Refuses a loss that is NaN or infinite.
    fn finite(&self, metrics: Metrics) -> Result<Metrics> {
        if metrics.loss.is_finite() {
            return Ok(metrics);
        }
        Err(Error::new(
            ErrorKind::Diverged,
            format!("training diverged: the loss is {}", metrics.loss),
        )
        .at(format!("epoch {}, by step {}", self.epoch + 1, self.step))
        .help(format!("lower the learning rate, now {}, with --lr", self.spec.lr)))
    }
}

/// What stays the same over a run.
struct Run {
    spec: Spec,
    rows: usize,
    batch: usize,
    steps: usize,
    begin: Instant,
}

impl Run {
    fn new(spec: Spec, rows: usize) -> Self {
        let batch = spec.batch_size.min(rows);
        Run { rows, batch, steps: rows.div_ceil(batch), begin: Instant::now(), spec }
    }

    /// η of the step after `done` steps.
    fn lr(&self, done: u64) -> f32 {
        let total = self.steps as u64 * self.spec.epochs as u64;
        (f64::from(self.spec.lr) * self.spec.schedule.factor(done, total)) as f32
    }

    /// Step `i` of an epoch, after `done` steps of the run.
    fn step(&self, i: usize, done: u64, order: &Permutation) -> Step {
        let first = i * self.batch;
        let rows = self.batch.min(self.rows - first);
        let divisor = self.spec.objective.divisor(rows, self.spec.net.outputs());
        Step {
            rows: rows as u32,
            first: first as u32,
            order: order.words(),
            lr: self.lr(done),
            loss_scale: (1.0 / divisor) as f32,
            corrections: self.spec.optimizer.corrections(done + 1),
            t: done as u32,
            epoch: (done / self.steps as u64) as u32,
            smoothing: self.spec.label_smoothing,
        }
    }
}

/// Weights and biases drawn by the spec's seed, each layer from a stream of its own.
#[must_use]
pub fn initial_weights(spec: &Spec) -> Vec<LayerWeights> {
    let layers = spec.net.layers.iter().zip(spec.net.shapes()).enumerate();
    layers
        .map(|(l, (layer, (out, cols)))| {
            let mut random = Random::new(spec.seed, Stream::Weights, l as u64);
            let mut drawn = layer.weight_init.draw(out, cols, &mut random).into_iter();
            let weight =
                crate::matrix::Matrix::from_fn(out, cols, |_, _| drawn.next().unwrap_or_default());
            let bias =
                (layer.bias != Bias::None).then(|| layer.bias_init.draw(out, 1, &mut random));
            LayerWeights { weight, bias }
        })
        .collect()
}

/// One output for each class, or a single one for two classes.
fn fits_classes(outputs: usize, classes: usize) -> bool {
    if outputs == 1 { classes == 2 } else { outputs == classes }
}

/// Refuses a loss or a width of the output that doesn't fit the targets.
fn check_task(spec: &Spec, preprocessing: &Preprocessing) -> Result<()> {
    let (loss, outputs) = (spec.objective.loss, spec.net.outputs());
    let inputs = preprocessing.features.cols();
    if spec.net.inputs != inputs {
        return Err(Error::usage(format!(
            "the net takes {} inputs, the data have {inputs} feature columns",
            spec.net.inputs
        ))
        .at("layer 1")
        .help("give the net the data's number of feature columns"));
    }
    let targets = loss.targets(outputs);
    match &preprocessing.classes {
        None if loss.is_for_classes()
            && !(preprocessing.labels.is_some() && loss.is_for_labels()) => Err(Error::usage(format!("{} on a regression target", loss.name()))
            .help("take squared-error, absolute-error, huber, log-cosh, quantile, gaussian-nll or poisson; or --task classification if the target is a class")),
        None if targets != preprocessing.targets.cols() => {
            let needed = match loss {
                Loss::GaussianNll => "a mean and a variance for each of",
                _ => "one for each of",
            };
            Err(Error::usage(format!("the net gives {outputs} outputs, the data have {} target columns", preprocessing.targets.cols()))
                .at("the output layer")
                .help(format!("give {needed} them")))
        }
        Some(_) if loss == Loss::GaussianNll => Err(Error::usage("gaussian-nll on classes")
            .help("take cross-entropy; or --task regression if the target is a number")),
        Some(classes) if !fits_classes(outputs, classes.len()) => {
            Err(Error::usage(format!("the net gives {outputs} outputs, the data have {} classes", classes.len()))
                .at("the output layer")
                .help("one output for each class, or a single one for two classes"))
        }
        Some(_) if outputs == 1 && loss.link() == Link::Softmax => {
            Err(Error::usage(format!("{} over a single output is always 0", loss.name()))
                .at("the output layer")
                .help("take two outputs, or the loss binary-cross-entropy"))
        }
        _ => Ok(()),
    }
}

/// Refuses numbers of which the loss can't be taken.
fn check_targets(loss: Loss, samples: &Samples) -> Result<()> {
    let Some(Targets::Numbers(m)) = &samples.targets else { return Ok(()) };
    if !matches!(loss, Loss::Poisson | Loss::KlDivergence) {
        return Ok(());
    }
    match m.data().iter().position(|&t| t < 0.0) {
        None => Ok(()),
        Some(i) => Err(Error::data(format!("the target {} under the loss {loss}", m.data()[i]))
            .at(format!("row {}, column {}", i / m.cols() + 1, i % m.cols() + 1))
            .help("counts and shares are from 0 on: correct it, or take another loss")),
    }
}

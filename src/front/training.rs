//! From settings and data to a trained model: the one engine of both fronts.

use super::control::{Control, EpochReport, Watched};
use super::setup::held_out::HeldOut;
use super::setup::hooks::Hooks;
use super::setup::job::Job;
use super::setup::members::Nets;
use super::setup::settings::check_threads;
use super::setup::source::Source;
use crate::backend::Backend;
use crate::backend::device::{self, Device, Opened};
use crate::base::error::{Error, ErrorKind, Result};
use crate::data::{Data, Frame};
use crate::files::config::{Calibration, Shard, TrainConfig};
use crate::train::calibration::calibrate;
use crate::train::choose;
use crate::train::event::Ending;
use crate::train::model::Model;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// The data of a training.
pub(super) enum Given {
    /// Rows in memory, and held-out rows if they are given.
    Rows { data: Box<Data>, validation: Option<Frame> },
    /// The data named in the settings: a file, a directory or a known set.
    #[cfg(feature = "data")]
    Named,
}

/// A training that is ready to start.
pub(super) struct Training {
    pub config: TrainConfig,
    pub given: Given,
    pub control: Control,
    /// The caller's own backend; none if the settings select the device.
    pub backend: Option<Box<dyn Backend>>,
    pub hooks: Hooks,
}

/// The result of a training.
pub(super) struct Trained {
    pub model: Model,
    /// The backend of the training, for predictions.
    pub backend: Box<dyn Backend>,
    pub history: Vec<EpochReport>,
    /// The temperature by which the outputs of the nets were divided, if they were calibrated.
    pub temperature: Option<f64>,
    /// The settings, with what followed from the data.
    pub config: TrainConfig,
}

impl Training {
    /// Trains to the end.
    ///
    /// # Errors
    /// For settings that don't match the data, a device that can't be opened or is lost, a loss that is
    /// no longer finite, and a training that is canceled.
    pub(super) fn run(self) -> Result<Trained> {
        let Training { config, given, control, backend, hooks } = self;
        check_threads(config.device.threads)?;
        let mut source = match given {
            Given::Rows { data, validation } => Source::of_data(config, *data, validation, hooks)?,
            #[cfg(feature = "data")]
            Given::Named => Source::open(config, hooks)?,
        };
        let run = &source.config.run;
        if let (Some(k), None, None) = (run.folds, run.fold, run.member) {
            return Err(Error::usage(format!("{k} folds without a choice of one"))
                .at("folds")
                .help(
                    "models of folds are evaluated but not kept: use an ensemble by folds, or choose one fold",
                ));
        }
        if run.stop_at.is_some() {
            return Err(Error::usage("stop_at can't be used here")
                .at("stop_at")
                .help("let a callback return Flow::Stop"));
        }
        if !matches!(run.shard, None | Some(Shard::No)) {
            return Err(Error::usage("shard can't be used here")
                .at("shard")
                .help("use Trainer::sharded, or wgrad train --shard"));
        }
        let watched = Watched::new(control);
        let is_many = run.ensemble.is_some_and(|e| e.nets > 1) && run.member.is_none();
        match is_many {
            true => many(&mut source, backend, watched),
            false => one(&mut source, backend, watched),
        }
    }
}

/// Trains one net.
fn one(
    source: &mut Source,
    backend: Option<Box<dyn Backend>>,
    watched: Watched,
) -> Result<Trained> {
    let mut job = Job::of(source)?;
    job.store()?;
    let backend = match backend {
        Some(backend) => backend,
        None => {
            let device = &job.config.device;
            let choice = device.device.clone().unwrap_or_default();
            let opened = choose::open(&choice, device.threads, &job.work())?;
            job.spec.mixed = job.spec.mixed.chosen(opened.multiplier);
            source.say_passed_over(&opened.passed_over);
            opened.backend
        }
    };
    let (mut model, backend) = net(&job, backend, &watched, (1, 1))?;
    let mut session = model.session(backend, usize::MAX)?;
    let asked = job.config.run.calibrate == Some(Calibration::Temperature);
    let temperature = match job.validation.as_ref().filter(|_| asked) {
        Some(data) => {
            let outputs = model.outputs_of_nets(&mut session, data)?;
            calibrate(&mut model, &outputs, data)?
        }
        None => None,
    };
    let (backend, config) = (session.into_backend(), job.config);
    Ok(Trained { model, backend, history: watched.into_history(), temperature, config })
}

/// Trains the nets of an ensemble: on the CPU as many in parallel as it has threads.
fn many(
    source: &mut Source,
    backend: Option<Box<dyn Backend>>,
    watched: Watched,
) -> Result<Trained> {
    let nets = Nets::new(source)?;
    let config = &nets.whole.config.device;
    let count = nets.ensemble.nets;
    let (trained, backend) = match backend {
        Some(backend) => in_order(&nets, source, backend, &watched)?,
        None => {
            let choice = config.device.clone().unwrap_or_default();
            let Opened { backend, device, passed_over, .. } =
                choose::open(&choice, config.threads, &nets.work())?;
            source.say_passed_over(&passed_over);
            match device {
                Device::Cpu => (at_once(&nets, source, config.threads, &watched)?, backend),
                _ => in_order(&nets, source, backend, &watched)?,
            }
        }
    };
    debug_assert_eq!(trained.len(), count);
    let (mut model, mut session) = nets.together(trained, backend)?;
    let temperature = match nets.whole.config.run.calibrate {
        Some(Calibration::Temperature) => {
            HeldOut::new(&nets)?.calibrate(&mut model, &mut session)?
        }
        _ => None,
    };
    let (backend, config) = (session.into_backend(), nets.whole.config);
    Ok(Trained { model, backend, history: watched.into_history(), temperature, config })
}

/// Trains the nets one after the other on one backend.
fn in_order(
    nets: &Nets,
    source: &Source,
    mut backend: Box<dyn Backend>,
    watched: &Watched,
) -> Result<(Vec<Model>, Box<dyn Backend>)> {
    let count = nets.ensemble.nets;
    let mut models = Vec::with_capacity(count);
    for member in 1..=count {
        let trained = net(&nets.job(source, member)?, backend, watched, (member, count));
        let (model, again) = trained.map_err(|e| e.at(format!("net {member} of {count}")))?;
        backend = again;
        models.push(model);
    }
    Ok((models, backend))
}

/// Trains the nets on the CPU; after a failure no other net is started.
fn at_once(
    nets: &Nets,
    source: &Source,
    threads: Option<usize>,
    watched: &Watched,
) -> Result<Vec<Model>> {
    let count = nets.ensemble.nets;
    let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let workers = threads.min(count).max(1);
    let threads = (threads / workers).max(1);
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done: Mutex<Vec<(usize, Result<Model>)>> = Mutex::new(Vec::with_capacity(count));
    let one = |member: usize| {
        let backend = device::open(&Device::Cpu, Some(threads))?.backend;
        net(&nets.job(source, member)?, backend, watched, (member, count)).map(|(model, _)| model)
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::SeqCst);
                    if i >= count || has_failed.load(Ordering::SeqCst) {
                        return;
                    }
                    let trained = one(i + 1);
                    if trained.is_err() {
                        has_failed.store(true, Ordering::SeqCst);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((i, trained));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(i, _)| *i);
    let named = |(i, trained): (usize, Result<Model>)| {
        trained.map_err(|e| e.at(format!("net {} of {count}", i + 1)))
    };
    done.into_iter().map(named).collect()
}

/// Trains net `member`, counted from 1, of `count`: returns its model with the weights of the best epoch, if
/// epochs are compared, and the backend.
fn net(
    job: &Job,
    backend: Box<dyn Backend>,
    watched: &Watched,
    (member, nets): (usize, usize),
) -> Result<(Model, Box<dyn Backend>)> {
    let mut trainer = job.trainer(backend)?;
    let mut watch = watched.net(member, nets, trainer.spec().epochs);
    let validation = job.stored.as_ref().and_then(|stored| stored.validation.clone());
    let end = match validation {
        Some(set) => trainer.fit_stored(set, &mut watch)?,
        None => trainer.fit(job.validation.as_ref(), &mut watch)?,
    };
    match end.ending {
        Ending::Interrupted => {
            return Err(Error::new(ErrorKind::Interrupted, "the training was canceled")
                .at(format!("epoch {}, step {}", end.epochs + 1, end.steps)));
        }
        Ending::Done | Ending::Patience => trainer.check_learnt()?,
        Ending::Stopped | Ending::TimeLimit => {}
    }
    if trainer.restore_best()?
        && let Some(best) = trainer.best()
    {
        watched.best(member, best.epoch);
    }
    let model = trainer.model()?;
    if !model.is_finite() {
        return Err(Error::new(ErrorKind::Diverged, "the weights are NaN or infinite")
            .at("the last step")
            .help(format!("lower the learning rate, now {}", job.spec.lr)));
    }
    Ok((model, trainer.into_backend()))
}

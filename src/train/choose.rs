//! `--device auto`: the fastest device by measurement. Part of the real work is done on the CPU and on each
//! GPU, and the choice is cached for nets of the same shape.
//!
//! ```no_run
//! use wgrad::backend::device::Device;
//! use wgrad::train::choose::{self, Work};
//! use wgrad::data::{Preprocessing, Scaling, digits};
//! use wgrad::{Activation, Loss, Net, Spec};
//!
//! let training = digits();
//! let net = Net::new(64).layer(128, Activation::Relu).layer(10, Activation::Identity);
//! let spec = Spec::new(net, Loss::CrossEntropy);
//! let scaling = Preprocessing::fit(&training, Scaling::Minmax);
//! let opened = choose::open(&Device::Auto, None, &Work::training(&spec, &training, &scaling))?;
//! println!("{}: {}", opened.backend.info(), opened.why);
//! # Ok::<(), wgrad::Error>(())
//! ```

use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::backend::device::{self, Device, Opened, passed_over};
use crate::backend::gpu::{self, Gpu};
use crate::backend::session::Session;
use crate::base::atomic::{cache_directory, write_atomically};
use crate::base::clock::Instant;
use crate::base::error::{Error, Result};
use crate::base::sha256::Sha256;
use crate::base::words::{duration, short};
use crate::data::{Dataset, Features, Preprocessing};
use crate::net::precision::{Multiplier, Precision};
use crate::net::spec::Spec;
use crate::train::model::Model;
use crate::train::trainer::Trainer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The time for which each device is measured, in seconds, without its first step.
const TIMED: f64 = 0.1;
/// If the CPU does all of the work within this many seconds, no GPU is opened.
const SHORT: f64 = 1.0;
/// The number of batches that are measured.
const BATCHES: usize = 20;
/// The number of rows that are predicted first when a device is measured.
const FEW_ROWS: usize = 256;
/// The most rows on which predictions are measured.
const MANY_ROWS: usize = 1 << 16;
/// The most cached choices.
const REMEMBERED: usize = 500;

/// The work for which a device is opened.
#[derive(Debug, Clone, Copy)]
pub enum Work<'a> {
    /// Training.
    Training {
        /// The spec of the training.
        spec: &'a Spec,
        /// The training rows, or a sample of them.
        data: &'a Dataset,
        /// The preprocessing fitted to them.
        preprocessing: &'a Preprocessing,
        /// The number of all training rows.
        rows: usize,
        /// The number of all steps.
        steps: usize,
    },
    /// Predictions.
    Predictions {
        /// The trained net.
        model: &'a Model,
        /// The rows, or the first of them.
        features: &'a Arc<Features>,
        /// The number of all rows, if known.
        rows: Option<usize>,
    },
}

impl<'a> Work<'a> {
    /// Training on all rows of `data`, for the epochs of `spec`.
    #[must_use]
    pub fn training(spec: &'a Spec, data: &'a Dataset, preprocessing: &'a Preprocessing) -> Self {
        Self::training_of(spec, data, preprocessing, data.rows())
    }

    /// Training on `rows` rows, of which `data` is a sample, for the epochs of `spec`.
    #[must_use]
    pub fn training_of(
        spec: &'a Spec,
        data: &'a Dataset,
        preprocessing: &'a Preprocessing,
        rows: usize,
    ) -> Self {
        let batch = spec.batch_size.min(rows).max(1);
        let steps = rows.div_ceil(batch).saturating_mul(spec.epochs);
        Work::Training { spec, data, preprocessing, rows, steps }
    }

    /// Predictions for all rows of `features`.
    #[must_use]
    pub fn predictions(model: &'a Model, features: &'a Arc<Features>) -> Self {
        Work::Predictions { model, features, rows: Some(features.rows()) }
    }

    /// The amount of work, in steps or rows, if known.
    fn amount(&self) -> Option<usize> {
        match self {
            Work::Training { steps, .. } => Some(*steps),
            Work::Predictions { rows, .. } => *rows,
        }
    }

    /// The unit of the amount.
    fn unit(&self) -> &'static str {
        match self {
            Work::Training { .. } => "steps",
            Work::Predictions { .. } => "rows",
        }
    }

    /// Whether the CPU can do it.
    fn suits_cpu(&self) -> bool {
        !matches!(self, Work::Training { spec, .. } if spec.precision != Precision::F32)
    }

    /// A key of everything that decides how long a step or a row takes: net, batch, optimizer, devices,
    /// version.
    fn key(&self, candidates: &[Candidate]) -> String {
        let devices: Vec<&str> = candidates.iter().map(|c| c.key.as_str()).collect();
        let what = match self {
            Work::Training { spec, rows, .. } => {
                let Spec { net, objective, optimizer, batch_size, plan, precision, .. } = spec;
                let batch = (*batch_size).min(*rows);
                format!("{net:?} {objective:?} {optimizer:?} {batch} {plan:?} {precision:?}")
            }
            Work::Predictions { model, features, .. } => {
                // Of the number of rows at a time only the magnitude matters.
                let at_a_time = features.rows().min(MANY_ROWS).next_power_of_two();
                format!("predictions {:?} {:?} {at_a_time}", model.net, model.objective)
            }
        };
        let digest = Sha256::digest(format!("{what} {devices:?} {}", env!("CARGO_PKG_VERSION")));
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Measures part of it on a device.
    fn time(&self, candidate: &Candidate) -> Result<Timed> {
        let backend = (candidate.open)()?;
        match *self {
            Work::Training { spec, data, preprocessing, .. } => {
                let rows = spec.batch_size.saturating_mul(BATCHES).min(data.rows());
                let some = data.select(&(0..rows).collect::<Vec<_>>());
                let scaling = preprocessing.clone();
                let mut trainer = Trainer::on_part(spec, &some, data, scaling, backend)?;
                // Kernels that don't compile are found here, not at the end of an epoch.
                trainer.prepare()?;
                let (seconds, count) = time_steps(&mut trainer, TIMED)?;
                let multiplier = trainer.admission().map(|admission| admission.multiplier);
                Ok(Timed { seconds, count, backend: trainer.into_backend(), multiplier })
            }
            Work::Predictions { model, features, rows } => {
                let mut session = model.session(backend, rows.unwrap_or(usize::MAX))?;
                let (seconds, count) = time_rows(model, &mut session, features, TIMED)?;
                let backend = session.into_backend();
                Ok(Timed { seconds, count, backend, multiplier: None })
            }
        }
    }
}

/// Opens the chosen device for some work: with [`Device::Auto`], if there is a GPU, the fastest by
/// measurement, or the CPU for work that it does within a second. `threads` are those of the CPU. A device
/// that fails, such as an adapter whose driver can't compile the kernels, is skipped
/// ([`Opened::passed_over`]); if it was requested by name, that is an error.
///
/// # Errors
/// As [`device::open`], and when the work can't be done on any device.
pub fn open(choice: &Device, threads: Option<usize>, work: &Work<'_>) -> Result<Opened> {
    let adapters = match choice {
        Device::Auto => gpu::adapters(),
        _ => Vec::new(),
    };
    let real: Vec<_> = adapters.into_iter().filter(|adapter| !adapter.is_software).collect();
    if real.is_empty() {
        return device::open(choice, threads);
    }
    let cpu = Candidate {
        name: "the CPU".into(),
        key: format!("cpu {threads:?} {:?}", std::thread::available_parallelism().ok()),
        device: Device::Cpu,
        open: Box::new(move || Ok(Box::new(Cpu::<f32>::new(threads)?))),
    };
    let mut candidates = Vec::from_iter(work.suits_cpu().then_some(cpu));
    candidates.extend(real.into_iter().map(|adapter| Candidate {
        key: adapter.identity(),
        name: adapter.title(),
        device: Device::Index(adapter.index),
        open: Box::new(move || Ok(Box::new(Gpu::open(adapter.index)?))),
    }));
    let memory = cache_directory().map(|directory| directory.join("devices.json"));
    fastest(&candidates, work, memory)
}

/// A device that may be chosen.
struct Candidate {
    /// Its name for users.
    name: String,
    /// Its key in the cache, with its driver or threads.
    key: String,
    /// The choice that opens it.
    device: Device,
    open: Box<dyn Fn() -> Result<Box<dyn Backend>>>,
}

/// A cached choice.
#[derive(Serialize, Deserialize)]
struct Remembered {
    device: String,
    why: String,
    /// The CPU's time for a step or a row, in seconds, if it can run the work.
    #[serde(default)]
    cpu_seconds: Option<f64>,
    /// As [`Opened::passed_over`].
    #[serde(default)]
    passed_over: Vec<String>,
}

/// The time of all of the work, if it is known and short.
fn short_for(seconds: f64, work: &Work<'_>) -> Option<f64> {
    let whole = seconds * work.amount()? as f64;
    (whole < SHORT).then_some(whole)
}

/// Chooses the fastest of `candidates`; `memory` is the file of the cache.
fn fastest(candidates: &[Candidate], work: &Work<'_>, memory: Option<PathBuf>) -> Result<Opened> {
    let key = work.key(candidates);
    let is_cpu = |candidate: &Candidate| candidate.device == Device::Cpu;
    let short_why = |whole: f64| format!("it takes about {} for the whole run", duration(whole));
    let mut choices = memory.as_deref().map(recall).unwrap_or_default();
    if let Some(before) = choices.get(&key) {
        // The amount of work isn't part of the key.
        let short = before.cpu_seconds.and_then(|seconds| short_for(seconds, work));
        let (found, why, passed_over) = match short {
            Some(whole) => (candidates.iter().find(|c| is_cpu(c)), short_why(whole), Vec::new()),
            None => (
                candidates.iter().find(|c| c.key == before.device),
                format!("{}, as measured before", before.why),
                before.passed_over.clone(),
            ),
        };
        if let Some(candidate) = found
            && let Ok(backend) = (candidate.open)()
        {
            let device = candidate.device.clone();
            return Ok(Opened { backend, device, why, multiplier: None, passed_over });
        }
    }
    let mut timed: Vec<(&Candidate, Timed)> = Vec::new();
    let (mut refused, mut count, mut cpu_seconds) = (Vec::new(), 0, None);
    for candidate in candidates {
        match work.time(candidate) {
            Err(error) => refused.push((candidate, error)),
            Ok(found) => {
                if is_cpu(candidate) {
                    cpu_seconds = Some(found.seconds);
                    if let Some(whole) = short_for(found.seconds, work) {
                        let Timed { backend, multiplier, .. } = found;
                        let (device, why) = (Device::Cpu, short_why(whole));
                        // No other device was measured.
                        let passed_over = Vec::new();
                        return Ok(Opened { backend, device, why, multiplier, passed_over });
                    }
                }
                count = count.max(found.count);
                timed.push((candidate, found));
            }
        }
    }
    timed.sort_by(|a, b| a.1.seconds.total_cmp(&b.1.seconds));
    let mut timed = timed.into_iter();
    let Some((first, Timed { seconds, backend, multiplier, .. })) = timed.next() else {
        let error = refused.into_iter().next().map(|(_, error)| error);
        return Err(error.unwrap_or_else(|| Error::device("no device was found")));
    };
    let why = match timed.next() {
        Some((second, slower)) => format!(
            "{} × the speed of {} on {count} {}",
            short(slower.seconds / seconds),
            second.name,
            work.unit()
        ),
        None if refused.is_empty() => "the only device".into(),
        None => "the only device that can be used".into(),
    };
    let passed_over: Vec<String> =
        refused.iter().map(|(candidate, error)| passed_over(&candidate.name, error)).collect();
    while choices.len() >= REMEMBERED {
        choices.pop_first();
    }
    let remembered = Remembered {
        device: first.key.clone(),
        why: why.clone(),
        cpu_seconds,
        passed_over: passed_over.clone(),
    };
    choices.insert(key, remembered);
    if let Some(path) = memory {
        remember(&path, &choices);
    }
    Ok(Opened { backend, device: first.device.clone(), why, multiplier, passed_over })
}

/// The choices in a file; none if it is damaged.
fn recall(path: &Path) -> BTreeMap<String, Remembered> {
    let text = std::fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Writes the choices; if that fails, they are measured again.
fn remember(path: &Path, choices: &BTreeMap<String, Remembered>) {
    let made = path.parent().is_some_and(|parent| std::fs::create_dir_all(parent).is_ok());
    if let (true, Ok(text)) = (made, serde_json::to_vec(choices)) {
        let _ = write_atomically(path, |out| out.write_all(&text));
    }
}

/// The measured speed of a device.
struct Timed {
    /// Seconds for a step or a row.
    seconds: f64,
    /// The number of steps or rows that were timed.
    count: usize,
    backend: Box<dyn Backend>,
    /// The multiplier, in mixed precision.
    multiplier: Option<Multiplier>,
}

/// The seconds per step and the number of steps measured, for about `about`
/// seconds.
///
/// # Errors
/// When the device was lost, or the loss is no longer finite.
pub fn time_steps(trainer: &mut Trainer, about: f64) -> Result<(f64, usize)> {
    // The first step also prepares what later ones use.
    trainer.run_steps(1)?;
    let (mut count, begin) = (1, Instant::now());
    loop {
        let asked = Instant::now();
        trainer.run_steps(count)?;
        let seconds = asked.elapsed().as_secs_f64();
        if seconds >= about / 2.0 || begin.elapsed().as_secs_f64() >= about {
            return Ok((seconds / count as f64, count));
        }
        count *= 2;
    }
}

/// The seconds per predicted row and the number of rows measured: increasing numbers of rows, then
/// all available ones repeatedly, for about `about` seconds.
fn time_rows(
    model: &Model,
    session: &mut Session,
    features: &Arc<Features>,
    about: f64,
) -> Result<(f64, usize)> {
    let all = features.rows().min(MANY_ROWS);
    if all == 0 {
        return Ok((0.0, 0));
    }
    let first = |rows: usize| Arc::new(features.select_rows(&(0..rows).collect::<Vec<_>>()));
    let (mut rows, mut passes) = (FEW_ROWS.min(all), 1);
    let mut some = first(rows);
    model.predict_in(session, some.clone())?;
    let begin = Instant::now();
    loop {
        let asked = Instant::now();
        for _ in 0..passes {
            model.predict_in(session, some.clone())?;
        }
        let (seconds, count) = (asked.elapsed().as_secs_f64(), rows * passes);
        if seconds >= about / 2.0 || begin.elapsed().as_secs_f64() >= about {
            return Ok((seconds / count as f64, count));
        }
        if rows < all {
            rows = (rows * 2).min(all);
            some = first(rows);
        } else {
            passes *= 2;
        }
    }
}

#[cfg(test)]
mod tests;

//! `--device auto`: the fastest device by measurement. Some of the real work is done on the CPU and on each
//! GPU, and what was found is remembered for nets of the same shape.
//!
//! ```no_run
//! use wgrad::backend::device::Choice;
//! use wgrad::train::choose::{self, Work};
//! use wgrad::data::{Preprocessing, Scaling, digits};
//! use wgrad::{Activation, Loss, Net, Spec};
//!
//! let training = digits();
//! let net = Net::new(64).layer(128, Activation::Relu).layer(10, Activation::Identity);
//! let spec = Spec::new(net, Loss::CrossEntropy);
//! let scaling = Preprocessing::fit(&training, Scaling::Minmax);
//! let opened = choose::open(&Choice::Auto, None, &Work::training(&spec, &training, &scaling))?;
//! println!("{}: {}", opened.backend.info(), opened.why);
//! # Ok::<(), wgrad::Error>(())
//! ```

use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::backend::device::{self, Choice, Opened, passed_over};
use crate::backend::gpu::{self, Gpu};
use crate::backend::session::Session;
use crate::base::atomic::{cache_directory, write_atomically};
use crate::base::error::{Error, Result};
use crate::base::words::{duration, short};
use crate::data::{Dataset, Features, Preprocessing};
use crate::net::precision::{Multiplier, Precision};
use crate::net::spec::Spec;
use crate::train::model::Model;
use crate::train::trainer::Trainer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use web_time::Instant;

/// Seconds for which each device is timed, its first step aside.
const TIMED: f64 = 0.1;
/// Where all of the work takes the CPU no longer than this, in seconds, no GPU is opened for it.
const SHORT: f64 = 1.0;
/// Batches of rows that are timed on.
const BATCHES: usize = 20;
/// Rows that are predicted at first when a device is timed.
const FEW_ROWS: usize = 256;
/// Rows that predictions are timed on at most.
const MANY_ROWS: usize = 1 << 16;
/// Choices that are remembered at most.
const REMEMBERED: usize = 500;

/// What a device is to be opened for.
#[derive(Debug, Clone, Copy)]
pub enum Work<'a> {
    /// Training.
    Training {
        /// What is trained.
        spec: &'a Spec,
        /// The training rows, or a sample of them.
        data: &'a Dataset,
        /// What was fitted to them.
        preprocessing: &'a Preprocessing,
        /// All rows that are trained on.
        rows: usize,
        /// All steps that are made.
        steps: usize,
    },
    /// Predictions.
    Predictions {
        /// The trained net.
        model: &'a Model,
        /// The rows, or the first of them.
        features: &'a Arc<Features>,
        /// All rows, where their number is known.
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

    /// How much there is to do, in steps or rows, where it is known.
    fn amount(&self) -> Option<usize> {
        match self {
            Work::Training { steps, .. } => Some(*steps),
            Work::Predictions { rows, .. } => *rows,
        }
    }

    /// What it is counted in.
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

    /// What decides how long a step or a row takes: net, batch, optimizer, devices, version.
    fn key(&self, candidates: &[Candidate]) -> String {
        let devices: Vec<&str> = candidates.iter().map(|c| c.key.as_str()).collect();
        let what = match self {
            Work::Training { spec, rows, .. } => {
                let Spec { net, objective, optimizer, batch_size, plan, precision, .. } = spec;
                let batch = (*batch_size).min(*rows);
                format!("{net:?} {objective:?} {optimizer:?} {batch} {plan:?} {precision:?}")
            }
            Work::Predictions { model, features, .. } => {
                // Of the rows at a time only the magnitude matters.
                let at_a_time = features.rows().min(MANY_ROWS).next_power_of_two();
                format!("predictions {:?} {:?} {at_a_time}", model.net, model.objective)
            }
        };
        let digest = Sha256::digest(format!("{what} {devices:?} {}", env!("CARGO_PKG_VERSION")));
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Times some of it on a device.
    fn time(&self, candidate: &Candidate) -> Result<Timed> {
        let backend = (candidate.open)()?;
        match *self {
            Work::Training { spec, data, preprocessing, .. } => {
                let rows = spec.batch_size.saturating_mul(BATCHES).min(data.rows());
                let some = data.select(&(0..rows).collect::<Vec<_>>());
                let scaling = preprocessing.clone();
                let mut trainer = Trainer::on_part(spec, &some, data, scaling, backend)?;
                // Before it is taken, and not at the end of an epoch, it shows whether it compiles them.
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

/// Opens the chosen device for some work: with [`Choice::Auto`], where there is a GPU, the fastest by
/// measurement, but the CPU for work that it does within a second. `threads` are those of the CPU. A device
/// that fails, such as an adapter whose driver can't compile the kernels, is passed over
/// ([`Opened::passed_over`]); one that was asked for by name is an error.
///
/// # Errors
/// As [`device::open`], and when the work can't be done on any device.
pub fn open(choice: &Choice, threads: Option<usize>, work: &Work<'_>) -> Result<Opened> {
    let adapters = match choice {
        Choice::Auto => gpu::adapters(),
        _ => Vec::new(),
    };
    let real: Vec<_> = adapters.into_iter().filter(|adapter| !adapter.is_software).collect();
    if real.is_empty() {
        return device::open(choice, threads);
    }
    let cpu = Candidate {
        name: "the CPU".into(),
        key: format!("cpu {threads:?} {:?}", std::thread::available_parallelism().ok()),
        device: Choice::Cpu,
        open: Box::new(move || Ok(Box::new(Cpu::<f32>::new(threads)?))),
    };
    let mut candidates = Vec::from_iter(work.suits_cpu().then_some(cpu));
    candidates.extend(real.into_iter().map(|adapter| Candidate {
        key: adapter.identity(),
        name: adapter.title(),
        device: Choice::Index(adapter.index),
        open: Box::new(move || Ok(Box::new(Gpu::open(adapter.index)?))),
    }));
    let memory = cache_directory().map(|directory| directory.join("devices.json"));
    fastest(&candidates, work, memory)
}

/// A device that may be taken.
struct Candidate {
    /// As users know it.
    name: String,
    /// What it is recognized by: with its driver, or its threads.
    key: String,
    /// What it is opened by.
    device: Choice,
    open: Box<dyn Fn() -> Result<Box<dyn Backend>>>,
}

/// A choice that was made before.
#[derive(Serialize, Deserialize)]
struct Remembered {
    device: String,
    why: String,
    /// What a step or a row takes the CPU, in seconds, where it can do it.
    #[serde(default)]
    cpu_seconds: Option<f64>,
    /// As [`Opened::passed_over`].
    #[serde(default)]
    passed_over: Vec<String>,
}

/// The time that all of the work takes, where it is known and short.
fn short_for(seconds: f64, work: &Work<'_>) -> Option<f64> {
    let whole = seconds * work.amount()? as f64;
    (whole < SHORT).then_some(whole)
}

/// Takes the fastest of `candidates`; `memory` is the file in which choices are remembered.
fn fastest(candidates: &[Candidate], work: &Work<'_>, memory: Option<PathBuf>) -> Result<Opened> {
    let key = work.key(candidates);
    let is_cpu = |candidate: &Candidate| candidate.device == Choice::Cpu;
    let short_why = |whole: f64| format!("the whole run takes it about {}", duration(whole));
    let mut choices = memory.as_deref().map(recall).unwrap_or_default();
    if let Some(before) = choices.get(&key) {
        // How much there is to do isn't part of the key.
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
                        let (device, why) = (Choice::Cpu, short_why(whole));
                        // No other device was looked at.
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

/// The choices in a file; none where it isn't whole.
fn recall(path: &Path) -> BTreeMap<String, Remembered> {
    let text = std::fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Writes the choices; what can't be written is measured again.
fn remember(path: &Path, choices: &BTreeMap<String, Remembered>) {
    let made = path.parent().is_some_and(|parent| std::fs::create_dir_all(parent).is_ok());
    if let (true, Ok(text)) = (made, serde_json::to_vec(choices)) {
        let _ = write_atomically(path, |out| out.write_all(&text));
    }
}

/// How fast a device is.
struct Timed {
    /// Seconds for a step or a row.
    seconds: f64,
    /// Steps or rows that were timed.
    count: usize,
    backend: Box<dyn Backend>,
    /// What multiplies, in mixed precision.
    multiplier: Option<Multiplier>,
}

/// The seconds that a step takes, and how many steps tell it: they are timed for `about` so many
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

/// The seconds that the prediction of a row takes, and how many rows tell it: more and more of them, and
/// then all at hand again and again, for `about` so many seconds.
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
mod tests {
    use super::*;
    use crate::backend::{DataId, DeviceInfo, Pending, Values, ValuesMut};
    use crate::data::{Samples, Scaling, digits};
    use crate::kernels::Step;
    use crate::kernels::tensor::TensorId;
    use crate::math::activation::Activation;
    use crate::math::loss::Loss;
    use crate::net::spec::Net;
    use crate::plan::program::Program;
    use std::ops::Range;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// The CPU, which takes its time for each step, and may have a compiler that refuses every kernel.
    struct Slow(Cpu<f32>, Duration, Option<&'static str>);

    impl Backend for Slow {
        fn info(&self) -> &DeviceInfo {
            self.0.info()
        }
        fn load(&mut self, program: Arc<Program>) -> Pending<'_> {
            self.0.load(program)
        }
        fn upload(&mut self, samples: Arc<Samples>) -> Pending<'_, DataId> {
            self.0.upload(samples)
        }
        fn forget(&mut self, data: DataId) {
            self.0.forget(data);
        }
        fn write<'a>(&'a mut self, tensor: TensorId, values: Values<'a>) -> Pending<'a> {
            self.0.write(tensor, values)
        }
        fn prepare(&mut self, _: DataId) -> Pending<'_> {
            Box::pin(async move {
                self.2.map_or(Ok(()), |said| Err(Error::device(said).help("take another")))
            })
        }
        fn run<'a>(
            &'a mut self,
            ops: Range<usize>,
            data: DataId,
            steps: &'a [Step],
        ) -> Pending<'a> {
            Box::pin(async move {
                std::thread::sleep(self.1 * steps.len() as u32);
                self.0.run(ops, data, steps).await
            })
        }
        fn read<'a>(&'a mut self, tensor: TensorId, values: ValuesMut<'a>) -> Pending<'a> {
            self.0.read(tensor, values)
        }
    }

    /// Candidates that take so many milliseconds for a step, or fail; and how often each was opened.
    fn candidates(each: &[Option<u64>]) -> (Vec<Candidate>, Arc<Vec<AtomicUsize>>) {
        let opened: Arc<Vec<_>> = Arc::new(each.iter().map(|_| AtomicUsize::new(0)).collect());
        let candidate = |(i, slow): (usize, &Option<u64>)| {
            let (opened, slow) = (opened.clone(), *slow);
            Candidate {
                name: format!("device {i}"),
                key: format!("{i}: {slow:?}"),
                device: if i == 0 { Choice::Cpu } else { Choice::Index(i - 1) },
                open: Box::new(move || {
                    opened[i].fetch_add(1, Ordering::SeqCst);
                    let millis = slow.ok_or_else(|| Error::device("it is broken"))?;
                    let cpu = Cpu::new(Some(1))?;
                    Ok(Box::new(Slow(cpu, Duration::from_millis(millis), None)))
                }),
            }
        };
        (each.iter().enumerate().map(candidate).collect(), opened)
    }

    #[test]
    fn the_fastest_device_is_taken_explained_and_remembered() {
        let data = digits();
        let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
        let net = Net::new(64).layer(8, Activation::Relu).layer(10, Activation::Identity);
        let spec = Spec::new(net, Loss::CrossEntropy).epochs(1000);
        let rows = data.rows();
        let work = Work::training(&spec, &data, &preprocessing);
        let of_sample = Work::training_of(&spec, &data, &preprocessing, 100 * rows);
        assert_eq!(of_sample.amount(), Some((100 * rows).div_ceil(64) * 1000));
        let place = tempfile::tempdir().unwrap();
        let memory = || Some(place.path().join("deep/devices.json"));
        let counts = |opened: &[AtomicUsize]| -> Vec<usize> {
            opened.iter().map(|n| n.load(Ordering::SeqCst)).collect()
        };

        let (all, opened) = candidates(&[Some(20), None, Some(2), Some(40)]);
        let why = fastest(&all, &work, memory()).unwrap().why;
        assert!(why.contains("× the speed of device 0 on ") && why.ends_with("steps"), "{why}");
        let ratio: f64 = why.split(' ').next().unwrap().parse().unwrap();
        // How much faster, a loaded machine decides.
        assert!(ratio > 1.0, "{why}");
        assert_eq!(counts(&opened), [1, 1, 1, 1]);
        let again = fastest(&all, &work, memory()).unwrap().why;
        assert_eq!(again, format!("{why}, as measured before"));
        assert_eq!(counts(&opened), [1, 1, 2, 1]);

        // Another batch is another measurement, and so is a memory that was damaged.
        let other = Spec { batch_size: 32, ..spec.clone() };
        fastest(&all, &Work::training(&other, &data, &preprocessing), memory()).unwrap();
        assert_eq!(counts(&opened), [2, 2, 3, 2]);
        std::fs::write(memory().unwrap(), b"{\"half").unwrap();
        fastest(&all, &work, memory()).unwrap();
        assert_eq!(counts(&opened), [3, 3, 4, 3]);

        // However it was chosen before: what the CPU does in no time stays there.
        let few = Work::Training {
            spec: &spec,
            data: &data,
            preprocessing: &preprocessing,
            rows: data.rows(),
            steps: 3,
        };
        let (all, opened) = candidates(&[Some(100), Some(1)]);
        let long = fastest(&all, &work, memory()).unwrap();
        assert_eq!((long.device, counts(&opened)), (Choice::Index(0), vec![1, 1]));
        let short = fastest(&all, &few, memory()).unwrap();
        assert_eq!((short.device, counts(&opened)), (Choice::Cpu, vec![2, 1]));
        assert!(short.why.contains("the whole run takes it about 0."), "{}", short.why);

        // What the CPU does in no time needs no other device.
        let (all, opened) = candidates(&[Some(0), Some(0)]);
        let short = spec.clone().epochs(1);
        let why = fastest(&all, &Work::training(&short, &data, &preprocessing), None).unwrap().why;
        assert!(why.contains("the whole run takes it about 0."), "{why}");
        assert_eq!(counts(&opened), [1, 0]);
    }

    #[test]
    fn a_device_that_cannot_compile_is_passed_over_with_one_line_each_time() {
        let data = digits();
        let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
        let net = Net::new(64).layer(8, Activation::Relu).layer(10, Activation::Identity);
        let spec = Spec::new(net, Loss::CrossEntropy).epochs(1000);
        let work = Work::training(&spec, &data, &preprocessing);
        let place = tempfile::tempdir().unwrap();
        let memory = || Some(place.path().join("devices.json"));
        let refusing = |all: &mut Vec<Candidate>, i: usize| {
            all[i].open = Box::new(|| {
                let said = "the device can't compile the kernel loss: error X3507\n    line 2";
                Ok(Box::new(Slow(Cpu::new(Some(1))?, Duration::ZERO, Some(said))))
            });
        };
        let (mut all, _) = candidates(&[Some(40), Some(1), None, Some(1)]);
        refusing(&mut all, 1);
        // It would be the fastest.
        let expected = [
            "device 1 is passed over: the device can't compile the kernel loss: error X3507",
            "device 2 is passed over: it is broken",
        ];
        for _ in 0..2 {
            let Opened { device, passed_over, .. } = fastest(&all, &work, memory()).unwrap();
            assert_eq!(device, Choice::Index(2));
            assert_eq!(passed_over, expected);
        }
        let (mut all, _) = candidates(&[Some(20), Some(1)]);
        refusing(&mut all, 1);
        let Opened { device, why, passed_over, .. } = fastest(&all, &work, None).unwrap();
        assert_eq!((device, why.as_str()), (Choice::Cpu, "the only device that can be used"));
        assert_eq!(passed_over, expected[..1]);
        // Where none is left, the error has all that the compiler said.
        refusing(&mut all, 0);
        let Err(error) = fastest(&all, &work, None) else { panic!("none is left") };
        assert!(error.to_string().contains("line 2\n  help: take another"), "{error}");
    }

    #[test]
    fn a_few_predictions_stay_on_the_cpu_and_many_are_made_where_they_are_fastest() {
        let data = digits();
        let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
        let net = Net::new(64).layer(8, Activation::Relu).layer(10, Activation::Identity);
        let spec = Spec::new(net, Loss::CrossEntropy);
        let cpu = Box::new(Cpu::<f32>::new(Some(1)).unwrap());
        let model = Trainer::new(&spec, &data, preprocessing, cpu).unwrap().model().unwrap();
        let features = data.features_shared();
        let (all, opened) = candidates(&[Some(0), Some(0)]);
        let few = fastest(&all, &Work::predictions(&model, &features), None).unwrap();
        assert_eq!(few.device, Choice::Cpu);
        assert_eq!(opened[1].load(Ordering::SeqCst), 0, "no GPU is opened");
        assert!(few.why.contains("the whole run takes it about 0."), "{}", few.why);
        // Far enough apart for a machine with much else to do.
        let (all, _) = candidates(&[Some(200), Some(1)]);
        for rows in [Some(100_000_000), None] {
            let work = Work::Predictions { model: &model, features: &features, rows };
            let many = fastest(&all, &work, None).unwrap();
            assert_eq!(many.device, Choice::Index(0), "{}", many.why);
            assert!(many.why.ends_with(" rows"), "{}", many.why);
        }
    }
}

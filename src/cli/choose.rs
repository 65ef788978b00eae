//! `--device auto` by measurement: some real steps on the CPU and on each GPU, the fastest is taken,
//! and remembered for nets of the same shape.

use super::job::Job;
use super::open::{check_threads, open_device};
use super::say;
use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::backend::device::{Choice, Opened};
use crate::backend::gpu::{self, Gpu};
use crate::data::{Dataset, Preprocessing};
use crate::error::{Error, Result};
use crate::files::{cache_directory, write_atomically};
use crate::observe::{duration, short};
use crate::precision::{Multiplier, Precision};
use crate::spec::Spec;
use crate::train::Trainer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Seconds for which each device is timed, its first step aside.
const TIMED: f64 = 0.1;
/// Where all of a run takes the CPU no longer than this, in seconds, no GPU is opened for it.
const SHORT: f64 = 1.0;
/// Batches of rows that are timed on.
const BATCHES: usize = 20;
/// Choices that are remembered at most.
const REMEMBERED: usize = 500;

/// Opens the device for a run: with `auto`, where there is a GPU, the fastest by measurement.
pub(super) fn open_for(job: &Job) -> Result<Opened> {
    let config = &job.config.device;
    let adapters = match config.device.clone().unwrap_or_default() {
        Choice::Auto => gpu::adapters(),
        _ => Vec::new(),
    };
    let real: Vec<_> = adapters.into_iter().filter(|adapter| !adapter.is_software).collect();
    if real.is_empty() {
        return open_device(config);
    }
    check_threads(config.threads)?;
    let threads = config.threads;
    let cpu = Candidate {
        name: "the CPU".into(),
        key: format!("cpu {threads:?} {:?}", std::thread::available_parallelism().ok()),
        open: Box::new(move || Ok(Box::new(Cpu::<f32>::new(threads)?))),
    };
    // The CPU doesn't train in f16.
    let mut candidates = Vec::from_iter((job.spec.precision == Precision::F32).then_some(cpu));
    candidates.extend(real.into_iter().map(|adapter| Candidate {
        key: format!("{} {} {}", adapter.backend, adapter.name, adapter.driver),
        name: adapter.name,
        open: Box::new(move || Ok(Box::new(Gpu::open(adapter.index)?))),
    }));
    let (spec, data, preprocessing) = (&job.spec, &job.training, &job.preprocessing);
    let work = Work { spec, data, rows: job.rows().0, preprocessing };
    let memory = cache_directory().map(|directory| directory.join("devices.json"));
    let opened = choose(&candidates, &work, memory)?;
    say(format_args!("device: {}: {}", opened.backend.info(), opened.why));
    Ok(opened)
}

/// A device that may be taken.
pub(super) struct Candidate {
    /// As users know it.
    name: String,
    /// What it is recognised by: with its driver, or its threads.
    key: String,
    open: Box<dyn Fn() -> Result<Box<dyn Backend>>>,
}

/// What is to be trained.
pub(super) struct Work<'a> {
    spec: &'a Spec,
    /// The training rows, or a sample of them.
    data: &'a Dataset,
    /// All rows that are trained on.
    rows: usize,
    preprocessing: &'a Preprocessing,
}

/// A choice that was made before.
#[derive(Serialize, Deserialize)]
struct Remembered {
    device: String,
    why: String,
}

/// Takes the fastest of `candidates`, the first of which is the CPU in f32; `memory` is the file in which
/// choices are remembered.
fn choose(candidates: &[Candidate], work: &Work<'_>, memory: Option<PathBuf>) -> Result<Opened> {
    let key = work.key(candidates);
    let mut choices = memory.as_deref().map(recall).unwrap_or_default();
    if let Some(before) = choices.get(&key)
        && let Some(candidate) = candidates.iter().find(|c| c.key == before.device)
        && let Ok(backend) = (candidate.open)()
    {
        let why = format!("{}, as measured before", before.why);
        return Ok(Opened { backend, why, multiplier: None });
    }
    let mut timed: Vec<(usize, Timed)> = Vec::new();
    let (mut refused, mut steps) = (Vec::new(), 0);
    for (i, candidate) in candidates.iter().enumerate() {
        match work.time(candidate) {
            Err(error) => refused.push((candidate, error)),
            Ok(found) => {
                let whole = found.seconds * work.steps() as f64;
                // Not remembered: it depends on the epochs, which the key leaves out.
                if i == 0 && whole < SHORT {
                    let why = format!("the whole run takes it about {}", duration(whole));
                    let Timed { backend, multiplier, .. } = found;
                    return Ok(Opened { backend, why, multiplier });
                }
                steps = steps.max(found.count);
                timed.push((i, found));
            }
        }
    }
    timed.sort_by(|a, b| a.1.seconds.total_cmp(&b.1.seconds));
    let mut timed = timed.into_iter();
    let Some((first, Timed { seconds, backend, multiplier, .. })) = timed.next() else {
        let error = refused.into_iter().next().map(|(_, error)| error);
        return Err(error.unwrap_or_else(|| Error::device("no device was found")));
    };
    let why = match (timed.next(), refused.first()) {
        (Some((second, slower)), _) => format!(
            "{} × the speed of {} on {steps} steps",
            short(slower.seconds / seconds),
            candidates[second].name
        ),
        (None, Some((candidate, error))) => format!("{} couldn't be used: {error}", candidate.name),
        (None, None) => "the only device".into(),
    };
    let device = candidates[first].key.clone();
    while choices.len() >= REMEMBERED {
        choices.pop_first();
    }
    choices.insert(key, Remembered { device, why: why.clone() });
    if let Some(path) = memory {
        remember(&path, &choices);
    }
    Ok(Opened { backend, why, multiplier })
}

/// The choices in a file; none where it isn't whole.
fn recall(path: &std::path::Path) -> BTreeMap<String, Remembered> {
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
    /// Seconds for a step.
    seconds: f64,
    /// Steps that were timed.
    count: usize,
    backend: Box<dyn Backend>,
    /// What multiplies, in mixed precision.
    multiplier: Option<Multiplier>,
}

impl Work<'_> {
    /// Steps of the whole run.
    fn steps(&self) -> usize {
        let batch = self.spec.batch_size.min(self.rows);
        self.rows.div_ceil(batch).saturating_mul(self.spec.epochs)
    }

    /// What decides how long a step takes: net, batch, optimiser, devices, version.
    fn key(&self, candidates: &[Candidate]) -> String {
        let Spec { net, objective, optimizer, batch_size, plan, precision, .. } = self.spec;
        let batch = (*batch_size).min(self.rows);
        let devices: Vec<&str> = candidates.iter().map(|c| c.key.as_str()).collect();
        let what = format!(
            "{net:?} {objective:?} {optimizer:?} {batch} {plan:?} {precision:?} {devices:?}"
        );
        let digest = Sha256::digest(format!("{what} {}", env!("CARGO_PKG_VERSION")));
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Times steps on a device.
    fn time(&self, candidate: &Candidate) -> Result<Timed> {
        let rows = self.spec.batch_size.saturating_mul(BATCHES).min(self.data.rows());
        let some = self.data.select(&(0..rows).collect::<Vec<_>>());
        let (backend, scaling) = ((candidate.open)()?, self.preprocessing.clone());
        let mut trainer = Trainer::on_part(self.spec, &some, self.data, scaling, backend)?;
        let (seconds, count) = time_steps(&mut trainer, TIMED)?;
        let multiplier = trainer.admission().map(|admission| admission.multiplier);
        Ok(Timed { seconds, count, backend: trainer.into_backend(), multiplier })
    }
}

/// The seconds that a step takes, and how many steps tell it: they are timed for `about` so many
/// seconds.
pub(super) fn time_steps(trainer: &mut Trainer, about: f64) -> Result<(f64, usize)> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::backend::{DataId, DeviceInfo, Values, ValuesMut};
    use crate::data::{Samples, Scaling, digits};
    use crate::kernels::Step;
    use crate::loss::Loss;
    use crate::program::Program;
    use crate::spec::Net;
    use crate::tensor::TensorId;
    use std::ops::Range;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// The CPU, which takes its time for each step.
    struct Slow(Cpu<f32>, Duration);

    impl Backend for Slow {
        fn info(&self) -> &DeviceInfo {
            self.0.info()
        }
        fn load(&mut self, program: Arc<Program>) -> Result<()> {
            self.0.load(program)
        }
        fn upload(&mut self, samples: Arc<Samples>) -> Result<DataId> {
            self.0.upload(samples)
        }
        fn forget(&mut self, data: DataId) {
            self.0.forget(data);
        }
        fn write(&mut self, tensor: TensorId, values: Values<'_>) -> Result<()> {
            self.0.write(tensor, values)
        }
        fn run(&mut self, ops: Range<usize>, data: DataId, steps: &[Step]) -> Result<()> {
            std::thread::sleep(self.1 * steps.len() as u32);
            self.0.run(ops, data, steps)
        }
        fn read(&mut self, tensor: TensorId, values: ValuesMut<'_>) -> Result<()> {
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
                open: Box::new(move || {
                    opened[i].fetch_add(1, Ordering::SeqCst);
                    let millis = slow.ok_or_else(|| Error::device("it is broken"))?;
                    let cpu = Cpu::new(Some(1))?;
                    Ok(Box::new(Slow(cpu, Duration::from_millis(millis))))
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
        let work = Work { spec: &spec, data: &data, rows, preprocessing: &preprocessing };
        let of_sample = Work { rows: 100 * rows, ..work };
        assert_eq!(of_sample.steps(), (100 * rows).div_ceil(64) * 1000);
        let place = tempfile::tempdir().unwrap();
        let memory = || Some(place.path().join("deep/devices.json"));
        let counts = |opened: &[AtomicUsize]| -> Vec<usize> {
            opened.iter().map(|n| n.load(Ordering::SeqCst)).collect()
        };

        let (all, opened) = candidates(&[Some(20), None, Some(2), Some(40)]);
        let why = choose(&all, &work, memory()).unwrap().why;
        assert!(why.contains("× the speed of device 0 on ") && why.ends_with("steps"), "{why}");
        let ratio: f64 = why.split(' ').next().unwrap().parse().unwrap();
        assert!((2.0..20.0).contains(&ratio), "{why}");
        assert_eq!(counts(&opened), [1, 1, 1, 1]);
        let again = choose(&all, &work, memory()).unwrap().why;
        assert_eq!(again, format!("{why}, as measured before"));
        assert_eq!(counts(&opened), [1, 1, 2, 1]);

        // Another batch is another measurement, and so is a memory that was damaged.
        let other = Spec { batch_size: 32, ..spec.clone() };
        choose(&all, &Work { spec: &other, ..work }, memory()).unwrap();
        assert_eq!(counts(&opened), [2, 2, 3, 2]);
        std::fs::write(memory().unwrap(), b"{\"half").unwrap();
        choose(&all, &work, memory()).unwrap();
        assert_eq!(counts(&opened), [3, 3, 4, 3]);

        // What the CPU does in no time needs no other device.
        let (all, opened) = candidates(&[Some(0), Some(0)]);
        let short = spec.clone().epochs(1);
        let why = choose(&all, &Work { spec: &short, ..work }, None).unwrap().why;
        assert!(why.contains("the whole run takes it about 0."), "{why}");
        assert_eq!(counts(&opened), [1, 0]);
        let (all, _) = candidates(&[Some(20), None]);
        let why = choose(&all, &work, None).unwrap().why;
        assert!(why.contains("device 1 couldn't be used: it is broken"), "{why}");
    }
}

//! `wgrad verify --checkpoints`: on this machine, a run that is interrupted and resumed reproduces the weights
//! of an uninterrupted run, bit for bit.

use crate::backend::device::{self, Opened};
use crate::base::error::{Error, Result};
use crate::cli::arguments::terminal::{count, print, print_json};
use crate::cli::setup::job::Job;
use crate::cli::setup::open::open_for;
use crate::files::checkpoint::{Saved, Store, load_checkpoint};
use crate::math::random::{Random, Stream};
use crate::net::spec::Spec;
use crate::net::stopping::Stopping;
use crate::train::event::{Flow, Observer, Progress};
use crate::train::snapshot::Snapshot;
use crate::train::trainer::Trainer;
use rand::RngExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Epochs of the run.
const EPOCHS: usize = 3;
/// Steps of an epoch, at most.
const STEPS: usize = 40;
/// The number of interruptions.
const INTERRUPTIONS: usize = 6;

#[derive(serde::Serialize)]
struct Report {
    event: &'static str,
    device: String,
    steps: u64,
    /// The number of steps done at each interruption.
    interrupted_at: Vec<u64>,
    tensors: usize,
    /// The first tensor that differs.
    differs: Option<String>,
    passed: bool,
}

pub(in crate::cli) fn verify(job: &Job, json: bool) -> Result<ExitCode> {
    let config = &job.config.device;
    let Opened { backend, device: choice, .. } = open_for(job)?;
    let device = backend.info().to_string();
    let spec = Spec { epochs: EPOCHS, stopping: Stopping::default(), ..job.spec.clone() };
    let rows = spec.batch_size.saturating_mul(STEPS).min(job.training.rows());
    let data = job.training.select(&(0..rows).collect::<Vec<_>>());
    let scaling = || job.preprocessing.clone();

    let mut whole = Trainer::new(&spec, &data, scaling(), backend)?;
    let multiplier = whole.admission().map(|admission| admission.multiplier);
    let spec = Spec { mixed: spec.mixed.chosen(multiplier), ..spec };
    whole.fit(None, &mut ())?;
    let expected = whole.checkpoint()?.now;
    drop(whole);

    let steps = expected.position.step;
    // Removed when it goes out of scope.
    let directory = tempfile::Builder::new().prefix("wgrad-verify-").tempdir();
    let directory = directory
        .map_err(|e| Error::failed(format!("cannot create a directory of temporary files: {e}")))?;
    let store = Store::new(directory.path().to_path_buf(), 1);
    let mut run =
        Trainer::new(&spec, &data, scaling(), device::open(&choice, config.threads)?.backend)?;
    let interrupted_at = random_steps(steps);
    for &step in &interrupted_at {
        run.ask_after_every_step();
        run.fit(None, &mut EndsAt(step))?;
        // Through a file, and into a newly opened device.
        let checkpoint = Arc::new(run.checkpoint()?);
        let saved = Saved { checkpoint, config: String::new(), events: 0, ended: None };
        let read = load_checkpoint(&store.write(&saved)?)?;
        let backend = device::open(&choice, config.threads)?.backend;
        run = Trainer::resume(&spec, &data, scaling(), backend, &read.checkpoint)?;
    }
    run.fit(None, &mut ())?;
    let found = run.checkpoint()?.now;
    let differs = first_difference(&expected, &found);
    let passed = differs.is_none();
    let tensors = expected.tensors.len();
    let report =
        Report { event: "verify_resume", device, steps, interrupted_at, tensors, differs, passed };
    match json {
        true => print_json(&report)?,
        false => print(&describe(&report))?,
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ends a run after this many steps.
struct EndsAt(u64);

impl Observer for EndsAt {
    fn progress(&mut self, progress: &Progress) -> Flow {
        if progress.step >= self.0 { Flow::Interrupt } else { Flow::Continue }
    }
}

/// Different steps before the last one, in order, drawn anew each time.
fn random_steps(steps: u64) -> Vec<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
    let mut random = Random::new(now, Stream::Check, 0);
    let draws = (0..INTERRUPTIONS).map(|_| random.random_range(1..steps.max(2)));
    let mut all: Vec<u64> = draws.collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn first_difference(expected: &Snapshot, found: &Snapshot) -> Option<String> {
    if found.position != expected.position {
        return Some("the step counter".into());
    }
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let pairs = expected.tensors.iter().zip(&found.tensors);
    let mut differ = pairs.filter(|(a, b)| a.name != b.name || bits(&a.values) != bits(&b.values));
    differ.next().map(|(a, _)| a.name.clone())
}

fn describe(report: &Report) -> String {
    let Report { device, steps, interrupted_at, tensors, differs, .. } = report;
    let at = interrupted_at.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let run =
        format!("{} on {device}, interrupted after steps {at}", count(*steps as usize, "step"));
    match differs {
        None => format!("passed: {run}: {} bit-identical\n", count(*tensors, "tensor")),
        Some(name) => format!("FAILED: {run}: {name} differs from an uninterrupted run\n"),
    }
}

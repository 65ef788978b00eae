//! `wgrad bench`.

use super::args::BenchArgs;
use super::job::Job;
use super::open::open_device;
use super::{print, print_json};
use crate::backend::device;
use crate::bench::{self, Case, Measurement};
use crate::data::Dataset;
use crate::error::Result;
use crate::spec::Spec;
use std::process::ExitCode;
use std::time::Instant;

#[derive(serde::Serialize)]
struct Line<'a> {
    event: &'static str,
    case: &'a str,
    contender: &'static str,
    version: &'static str,
    device: &'a str,
    plan: &'static str,
    /// Seconds from the start of the process until the first step was done, data load aside.
    start_seconds: f64,
    #[serde(flatten)]
    measured: &'a Measurement,
}

pub(super) fn bench(args: Box<BenchArgs>, begin: Instant) -> Result<ExitCode> {
    let before_data = begin.elapsed().as_secs_f64();
    let (name, spec, data) = prepare(&args)?;
    let opened = open_device(&args.device)?;
    let device = opened.backend.info().to_string();
    drop(opened);
    let choice = args.device.device.clone().unwrap_or_default();
    let open = || device::open(&choice, args.device.threads).map(|opened| opened.backend);
    let measured = bench::measure(&spec, &data, args.seconds, &open)?;
    let line = Line {
        event: "bench",
        case: &name,
        contender: "wgrad",
        version: env!("CARGO_PKG_VERSION"),
        device: &device,
        plan: spec.plan.name(),
        start_seconds: before_data + measured.warmup_seconds,
        measured: &measured,
    };
    match args.common.json {
        true => print_json(&line)?,
        false => print(&describe(&name, &spec, &measured))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What is measured: a named case, or the net and data of the options.
fn prepare(args: &BenchArgs) -> Result<(String, Spec, Dataset)> {
    let Some(name) = &args.case else {
        let job = Job::new(args.common.resolve(args.step.clone(), args.device.clone())?)?;
        return Ok((job.training.name().to_string(), job.spec, job.training));
    };
    let case = Case::find(name)?;
    let mut spec = case.spec();
    spec.batch_size = args.step.batch_size.unwrap_or(spec.batch_size);
    spec.plan = args.plan.unwrap_or_default();
    Ok((case.name.to_string(), spec, case.data()?))
}

fn describe(name: &str, spec: &Spec, m: &Measurement) -> String {
    format!(
        "{name}: {} samples/s, {:.1} µs a step of {} rows, median over {} steps\n\
         {:.1} GFLOP/s, {:.0}% of {:.1}, the best matrix product here; a copy moves {:.1} GB/s\n\
         bound by {}; {:.1} kernel launches a step; first step after {:.0} ms\n",
        crate::observe::thousands(m.samples_per_second),
        m.step_seconds * 1e6,
        spec.batch_size,
        m.steps,
        m.gflops,
        m.share * 100.0,
        m.ceiling_gflops,
        m.copy_gigabytes,
        m.bound,
        m.dispatches_per_step,
        m.warmup_seconds * 1e3,
    )
}

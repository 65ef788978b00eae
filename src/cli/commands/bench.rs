//! `wgrad bench`.

use crate::backend::device::{self, Device};
use crate::base::error::{Error, Result};
use crate::base::words::thousands;
use crate::cli::arguments::check_args::{BenchArgs, Subject};
use crate::cli::arguments::terminal::{positive, print, print_json};
use crate::cli::setup::open::{self, Trained, open_device, open_device_as};
use crate::data::{Dataset, Preprocessing, Scaling};
use crate::files::config::{RunConfig, TrainConfig};
use crate::net::precision::Precision;
use crate::net::spec::Spec;
use crate::train::bench::{Bench, Case, Ceilings, Floor, Pace, ceilings};
use crate::train::choose::Work;
use std::process::ExitCode;
use std::time::Instant;

/// A bound that accounts for this fraction of a step explains it.
const EXPLAINED: f64 = 0.75;

#[derive(serde::Serialize)]
struct Line<'a> {
    event: &'static str,
    case: &'a str,
    contender: &'static str,
    version: &'static str,
    device: &'a str,
    plan: &'static str,
    precision: Precision,
    /// Seconds from the start of the process until the end of the first step, without loading data.
    start_seconds: f64,
    #[serde(flatten)]
    pace: Pace,
    #[serde(flatten)]
    ceilings: Option<Ceilings>,
    #[serde(flatten)]
    floor: Option<Floor>,
}

pub(in crate::cli) fn bench(args: Box<BenchArgs>, begin: Instant) -> Result<ExitCode> {
    let seconds = positive("--seconds", args.seconds)?;
    let again =
        |choice: &Device| device::open(choice, args.device.threads).map(|opened| opened.backend);
    if args.case.as_deref() == Some("product") {
        // There is no net by which to choose a device.
        let choice = args.device.device.clone().unwrap_or_default();
        let opened = open_device_as(&args.device, "the best product is measured on it")?;
        drop(opened);
        return in_turns(|| {
            let samples_per_second = ceilings::best_product(&|| again(&choice))? * 1e9;
            Ok(Product { samples_per_second })
        });
    }

    let loading = Instant::now();
    let Measured { name, spec, data, preprocessing } = prepare(&args)?;
    let loaded = loading.elapsed();
    // A device is measured as for a long run.
    let work = Work::Training {
        spec: &spec,
        data: &data,
        preprocessing: &preprocessing,
        rows: data.rows(),
        steps: usize::MAX,
    };
    let opened = open_device(&args.device, &work)?;
    let (device, choice) = (opened.backend.info().to_string(), opened.device);
    let open = || again(&choice);
    let mut bench = Bench::start(&spec, &data, preprocessing, opened.backend)?;
    let start_seconds = (begin.elapsed() - loaded).as_secs_f64();
    drop(data);
    let line = |pace| Line {
        event: "bench",
        case: &name,
        contender: "wgrad",
        version: env!("CARGO_PKG_VERSION"),
        device: &device,
        plan: spec.plan.name(),
        precision: spec.precision,
        start_seconds,
        pace,
        ceilings: None,
        floor: None,
    };
    if args.serve {
        bench.measure(seconds / 4.0)?;
        return in_turns(|| Ok(line(bench.measure(seconds)?)));
    }
    let pace = bench.measure(seconds)?;
    let ceilings = Ceilings::measure(bench.step_bytes(), &open)?;
    let floor = bench.floor(&pace, &ceilings);
    let line = Line { ceilings: Some(ceilings), floor: Some(floor), ..line(pace) };
    match args.common.json {
        true => print_json(&line)?,
        false => print(&describe(&line, &spec, &ceilings, &floor))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The best matrix product, whose samples are floating-point operations.
#[derive(serde::Serialize)]
struct Product {
    samples_per_second: f64,
}

/// Writes "ready", then measures once for each line of standard input, so that several
/// programs can take turns while all of them are warm.
fn in_turns<L: serde::Serialize>(mut measure: impl FnMut() -> Result<L>) -> Result<ExitCode> {
    print("ready\n")?;
    for line in std::io::stdin().lines() {
        line.map_err(|e| Error::failed(format!("cannot read standard input: {e}")))?;
        print_json(&measure()?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The subject of a measurement.
struct Measured {
    name: String,
    spec: Spec,
    data: Dataset,
    preprocessing: Preprocessing,
}

/// A named case, a trained net, or the net and data of the options.
fn prepare(args: &BenchArgs) -> Result<Measured> {
    let Subject { run, data } = Subject::of(args.subject.as_ref());
    let given = args.common.resolve(data.as_ref(), args.step.clone(), args.device.clone())?;
    let Some(name) = &args.case else {
        let mut config = match &run {
            None => given,
            Some(run) => {
                let trained = Trained::open(run)?.config()?.ok_or_else(|| {
                    Error::usage("the model file doesn't contain its training settings")
                        .at(run.display())
                        .help("give the options of its net instead")
                })?;
                let run = RunConfig { plan: trained.run.plan, ..given.run.clone() };
                TrainConfig { run, ..given.or(trained) }
            }
        };
        config.run.plan = args.plan.or(config.run.plan);
        let job = open::job(config)?;
        let name = job.training.name().to_string();
        let (data, preprocessing) = (job.training, job.preprocessing);
        return Ok(Measured { name, spec: job.spec, data, preprocessing });
    };
    let case = Case::find(name)?;
    let mut spec = case.spec();
    spec.batch_size = args.step.batch_size.unwrap_or(spec.batch_size);
    spec.plan = args.plan.unwrap_or_default();
    spec.precision = args.step.precision.unwrap_or_default();
    spec.mixed.scale = args.step.loss_scale.unwrap_or(spec.mixed.scale);
    spec.check()?;
    let data = Case { rows: case.rows.max(4 * spec.batch_size), ..case }.data()?;
    let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
    Ok(Measured { name: case.name.to_string(), spec, data, preprocessing })
}

fn describe(line: &Line<'_>, spec: &Spec, ceilings: &Ceilings, floor: &Floor) -> String {
    let pace = &line.pace;
    let micro = |seconds: f64| format!("{:>10.1} µs", seconds * 1e6);
    let mut text = format!(
        "{}: {} samples/s, {:.1} µs per step of {} rows (quartiles {:.1} and {:.1}), {:.1} GFLOP/s; first step after {:.0} ms\n\
         lower bounds on the time of a step, from speeds of this device measured just now:\n",
        line.case,
        thousands(pace.samples_per_second),
        pace.step_seconds * 1e6,
        spec.batch_size,
        pace.step_seconds_quartiles[0] * 1e6,
        pace.step_seconds_quartiles[1] * 1e6,
        pace.gflops,
        line.start_seconds * 1e3,
    );
    let mut arithmetic = format!("{:.1} GFLOP/s, the best matrix product", ceilings.gflops);
    if pace.left_out > 0.0 {
        let percent = pace.left_out * 100.0;
        arithmetic +=
            &format!("; {percent:.0}% of the operations are skipped, as their inputs are 0");
    }
    let bandwidth = format!("{:.1} GB/s, a copy of as many bytes", ceilings.copy_gigabytes);
    let dispatches = format!(
        "{:.1} launches of {:.1} µs, the smallest op",
        pace.dispatches_per_step,
        ceilings.smallest_op_seconds * 1e6
    );
    let submissions =
        format!("encoding and submitting, {:.1} steps at a time", 1.0 / pace.submissions_per_step);
    for (name, seconds, by) in [
        ("arithmetic", floor.arithmetic_seconds, arithmetic),
        ("bandwidth", floor.bandwidth_seconds, bandwidth),
        ("dispatches", floor.dispatch_seconds, dispatches),
        ("host", floor.host_seconds, submissions),
    ] {
        if seconds > 0.0 {
            text += &format!("{name:<12}{}  {by}\n", micro(seconds));
        }
    }
    text += &format!("bound by {}: {:.0}% of the step", floor.bound, floor.share * 100.0);
    if floor.share < EXPLAINED {
        text += "; the rest is overhead: short loops, and waiting between them";
    }
    text + "\n"
}

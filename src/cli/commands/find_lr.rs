//! `wgrad train --find-lr`: the learning-rate range test, without a run.

use crate::base::error::{Error, Result};
use crate::base::words::short;
use crate::cli::arguments::terminal::{print, print_json};
use crate::cli::arguments::train_args::TrainArgs;
use crate::cli::runs::begin::{announce, trainer};
use crate::cli::setup::job::Job;
use crate::cli::setup::open;
use crate::train::choose::Work;
use crate::train::range_test::{self, Point, Ramp, RangeTest};
use serde::Serialize;
use std::process::ExitCode;

/// The number of lines of the curve.
const LINES: usize = 28;
/// The longest bar.
const BAR: usize = 40;

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    data: &'a str,
    optimizer: String,
    batch_size: usize,
    #[serde(flatten)]
    found: &'a RangeTest,
}

/// Runs the test, and shows the curve with the rate that it suggests. No run directory is used.
pub(in crate::cli) fn find_lr(args: &TrainArgs, job: &Job) -> Result<ExitCode> {
    announce(args, job);
    let ramp = Ramp::default();
    let Job { spec, training: data, preprocessing, .. } = job;
    let work = Work::Training { spec, data, preprocessing, rows: job.rows().0, steps: ramp.steps };
    let backend = open::open_device(&job.config.device, &work)?.backend;
    let found = range_test::run(&mut trainer(job, backend)?, &ramp)?;
    if args.json {
        print_json(&Line {
            event: "find_lr",
            data: job.training.name(),
            optimizer: job.spec.optimizer.to_string(),
            batch_size: job.spec.batch_size,
            found: &found,
        })?;
    } else {
        print(&describe(&found))?;
    }
    match found.suggested {
        Some(_) => Ok(ExitCode::SUCCESS),
        None => Err(Error::failed("the loss didn't fall at any learning rate")
            .help("try another --optimizer, more --layers or a larger --batch-size, and check the data with --dry-run")),
    }
}

/// The smoothed loss as bars, by learning rate, and the suggestion.
fn describe(found: &RangeTest) -> String {
    let RangeTest { points, suggested, lowest_at, steepest_at, diverged_at } = found;
    // Bars above the initial loss are cut off: what matters is below.
    let start = points.first().map_or(0.0, |p| p.smoothed);
    let lowest = points.iter().map(|p| p.smoothed).fold(start, f64::min);
    let top = start + 0.25 * (start - lowest).abs();
    let mut text = format!("{:>13}  {:>9}\n", "learning rate", "loss");
    let groups: Vec<&[Point]> = points.chunks(points.len().div_ceil(LINES)).collect();
    for (i, group) in groups.iter().enumerate() {
        let Point { lr, smoothed, .. } = group[group.len() / 2];
        let share = ((smoothed - lowest) / (top - lowest).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        let cut = if smoothed > top { "…" } else { "" };
        let bar = "█".repeat(1 + (share * (BAR - 1) as f64).round() as usize);
        let end = groups.get(i + 1).map_or(f32::INFINITY, |next| next[0].lr);
        let holds = |rate: f32| (group[0].lr..end).contains(&rate);
        let mark = if suggested.is_some_and(holds) { "  ← suggested" } else { "" };
        text += &format!("{lr:>13.1e}  {:>9}  {bar}{cut}{mark}\n", short(smoothed));
    }
    let rose = diverged_at.map_or(String::new(), |rate| format!(", too high at {rate:.1e}"));
    if let Some(rate) = suggested {
        text += &format!(
            "suggested  --lr {rate}: half the rate with the lowest loss, {lowest_at:.1e}; the loss falls \
             fastest at {steepest_at:.1e}{rose}\n"
        );
    }
    text
}

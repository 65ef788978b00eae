//! `wgrad train --dry-run`: what would be trained, and how long it would take.

use super::column_table::{columns, describe_columns};
use crate::backend::device::Opened;
use crate::base::error::Result;
use crate::base::words::duration;
use crate::cli::arguments::terminal::{count, print, print_json};
use crate::cli::setup::job::Job;
use crate::cli::setup::memory::{Estimate, human};
use crate::cli::setup::settings::describe_net;
use crate::cli::setup::{choices, open};
use crate::data::{Dataset, Features, Targets};
use crate::files::config::Ensemble;
use crate::math::schedule::Span;
use crate::net::spec::Spec;
use crate::train::choose;
use crate::train::trainer::Trainer;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// The time for measuring steps, in seconds.
const TIMED: f64 = 0.25;

/// Prints the plan of a run, or of the nets of an `ensemble`, for which `job` describes the whole.
pub(in crate::cli) fn show(job: &Job, ensemble: Option<Ensemble>, json: bool) -> Result<ExitCode> {
    let (rows, validation_rows) = match ensemble {
        Some(Ensemble { nets, by_folds: true }) => {
            let held_out = job.rows().0.div_ceil(nets);
            (job.rows().0 - held_out, held_out)
        }
        _ => job.rows(),
    };
    let nets = ensemble.map_or(1, |ensemble| ensemble.nets);
    let steps = rows.div_ceil(job.spec.batch_size.min(rows));
    let spec = &job.spec;
    let sets = [Some(&job.training), job.validation.as_ref(), job.test.as_ref()];
    let memory = Estimate::new(spec, sets.into_iter().flatten());
    memory.check()?;
    let seconds = seconds(job, steps)? * nets as f64;
    let columns = columns(job);
    let class_weights = class_weights(job);
    let test_rows = match (&job.streaming, &job.other_test) {
        (_, Some(set)) => set.rows(),
        (Some(table), _) if table.test_rows() > 0 => table.test_rows(),
        _ => job.test.as_ref().map_or(0, Dataset::rows),
    };
    if json {
        print_json(&serde_json::json!({
            "event": "plan",
            "data": job.training.name(),
            "rows": rows,
            "validation_rows": validation_rows,
            "test_rows": test_rows,
            "columns": columns,
            "class_weights": class_weights,
            "net": spec.net,
            "parameters": spec.net.parameters(),
            "nets": nets,
            "steps_per_epoch": steps,
            "epochs": spec.epochs,
            "memory": memory,
            "seconds": seconds,
            "chosen": job.choices,
            "config": job.config.to_toml()?,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let held_out = |name: &str, rows: usize| match rows {
        0 => format!("none for {name}"),
        rows => format!("{} for {name}", count(rows, "row")),
    };
    let text = [
        format!("data       {}: {}", job.training.name(), describe_data(&job.training)),
        format!(
            "split      {} for training{}, {}, {}{}",
            count(rows, "row"),
            if nets > 1 { " of each net" } else { "" },
            held_out("validation", validation_rows),
            held_out("test", test_rows),
            job.config.run.split.as_ref().map_or(String::new(), |split| format!(" ({split})")),
        ),
        class_weights.map_or(String::new(), |weights| describe_weights(&weights)),
        format!("scaling    {}", job.scaling),
        describe_columns(job, &columns),
        format!("net        {}", describe_net(&spec.net)),
        match job.config.net.residual {
            Some(depth @ 1..) => format!(
                "           residual blocks of {} after the first hidden layer",
                count(depth, "layer")
            ),
            _ => String::new(),
        },
        format!("           {}", count(spec.net.parameters(), "parameter")),
        format!("loss       {}", spec.objective),
        format!(
            "optimizer  {}, learning rate {} ({}{}), weight decay {}",
            spec.optimizer,
            spec.lr,
            spec.schedule,
            match spec.warmup == Span::default() {
                true => String::new(),
                false => format!(" after a warmup of {}", spec.warmup),
            },
            spec.weight_decay
        ),
        format!(
            "steps      {} of {} in each of {}{}",
            count(steps, "step"),
            count(spec.batch_size.min(rows), "row"),
            count(spec.epochs, "epoch"),
            if nets > 1 { format!(", for each of {}", count(nets, "net")) } else { String::new() }
        ),
        match job.choices.is_empty() {
            true => String::new(),
            false => {
                format!(
                    "chosen     {}",
                    choices::block(&job.choices).replace('\n', "\n           ")
                )
            }
        },
        format!(
            "memory     about {} on the device: {} for parameters and optimizer, {} for a batch, {} for data",
            human(memory.total()),
            human(memory.parameters),
            human(memory.batch),
            human(memory.data)
        ),
        format!("time       about {}, measured on a few steps", duration(seconds)),
        "nothing was trained: omit --dry-run to train\n".into(),
    ];
    let lines: Vec<&str> = text.iter().map(String::as_str).filter(|t| !t.is_empty()).collect();
    print(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The estimated training time in seconds, from steps on the device itself; `steps` in an epoch.
fn seconds(job: &Job, steps: usize) -> Result<f64> {
    let Opened { backend, multiplier, .. } = open::open_for(job)?;
    let spec = Spec { mixed: job.spec.mixed.chosen(multiplier), ..job.spec.clone() };
    let mut trainer = Trainer::new(&spec, &job.training, job.preprocessing.clone(), backend)?;
    let (seconds, _) = choose::time_steps(&mut trainer, TIMED)?;
    Ok(seconds * steps as f64 * spec.epochs as f64)
}

/// The class weights, if any.
fn class_weights(job: &Job) -> Option<BTreeMap<String, f32>> {
    let (weights, names) = (job.class_weights.as_ref()?, job.training.class_names()?);
    Some(names.iter().cloned().zip(weights.iter().copied()).collect())
}

fn describe_weights(weights: &BTreeMap<String, f32>) -> String {
    const SHOWN: usize = 10;
    let each = weights.iter().take(SHOWN).map(|(class, weight)| format!("{class} {weight}"));
    let more = if weights.len() > SHOWN { ", …" } else { "" };
    format!("weights    of classes: {}{more}", each.collect::<Vec<_>>().join(", "))
}

/// The shape of a data set and the kind of its targets.
pub(in crate::cli) fn describe_data(data: &Dataset) -> String {
    let kind = match data.features() {
        Features::U8(_) if data.is_image() => "pixel",
        Features::U8(_) => "byte column",
        Features::F32(_) => "feature",
    };
    let target = match data.targets() {
        Targets::Classes { names, .. } => count(names.len(), "class"),
        Targets::Numbers(m) => count(m.cols(), "numeric target"),
        Targets::Labels { names, .. } => count(names.len(), "label"),
    };
    format!("{}, {target}", count(data.features().cols(), kind))
}

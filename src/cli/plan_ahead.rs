//! `wgrad train --dry-run`: what would be trained.

use super::inspect::describe_net;
use super::job::Job;
use super::memory::{Estimate, human};
use super::{count, print, print_json};
use crate::data::{Dataset, Features, Targets};
use crate::error::Result;
use std::process::ExitCode;

pub(super) fn show(job: &Job, json: bool) -> Result<ExitCode> {
    let rows = job.training.rows();
    let steps = rows.div_ceil(job.spec.batch_size.min(rows));
    let sets = [Some(&job.training), job.validation.as_ref(), job.test.as_ref()];
    let memory = Estimate::new(&job.spec, sets.into_iter().flatten());
    memory.check()?;
    let spec = &job.spec;
    if json {
        let rows_of = |data: &Option<Dataset>| data.as_ref().map_or(0, Dataset::rows);
        print_json(&serde_json::json!({
            "event": "plan",
            "data": job.training.name(),
            "rows": rows,
            "validation_rows": rows_of(&job.validation),
            "test_rows": rows_of(&job.test),
            "net": spec.net,
            "parameters": spec.net.parameters(),
            "steps_per_epoch": steps,
            "epochs": spec.epochs,
            "memory": memory,
            "config": job.config.to_toml()?,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let held_out = |name: &str, data: &Option<Dataset>| match data {
        Some(data) => format!("{} for {name}", count(data.rows(), "row")),
        None => format!("none for {name}"),
    };
    let text = [
        format!("data       {}: {}", job.training.name(), describe_data(&job.training)),
        format!(
            "split      {} for training, {}, {}",
            count(rows, "row"),
            held_out("validation", &job.validation),
            held_out("test", &job.test)
        ),
        format!("scaling    {}", job.scaling),
        format!("net        {}", describe_net(&spec.net)),
        format!("           {}", count(spec.net.parameters(), "parameter")),
        format!("loss       {}", spec.objective),
        format!(
            "optimizer  {}, learning rate {} ({}), weight decay {}",
            spec.optimizer, spec.lr, spec.schedule, spec.weight_decay
        ),
        format!(
            "steps      {} of {} in each of {}",
            count(steps, "step"),
            count(spec.batch_size.min(rows), "row"),
            count(spec.epochs, "epoch")
        ),
        format!(
            "memory     about {} on the device: {} for parameters and optimizer, {} for a batch, {} for data",
            human(memory.total()),
            human(memory.parameters),
            human(memory.batch),
            human(memory.data)
        ),
        "nothing was trained: leave out --dry-run to start\n".into(),
    ];
    print(&text.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The shape of a data set, and what is to be learnt.
pub(super) fn describe_data(data: &Dataset) -> String {
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
    format!("{} to learn {target} from", count(data.features().cols(), kind))
}

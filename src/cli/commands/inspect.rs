//! `wgrad inspect`.

use crate::base::error::Result;
use crate::base::words::short;
use crate::cli::arguments::args::InspectArgs;
use crate::cli::arguments::terminal::{count, print, print_json};
use crate::cli::setup::open::Trained;
use crate::cli::setup::settings::describe_net;
use crate::math::embedding::Embedding;
use crate::net::precision::Precision;
use crate::net::spec::{Bias, Layer, Net, PlanKind, Spec};
use crate::plan::{self, Plan, Purpose, Traits};
use serde::Serialize;
use std::ops::Range;
use std::process::ExitCode;

#[derive(Serialize)]
struct LayerReport {
    units: usize,
    inputs: usize,
    activation: String,
    bias: String,
    initializer: String,
    parameters: usize,
}

pub(in crate::cli) fn inspect(args: &InspectArgs) -> Result<ExitCode> {
    let trained = Trained::open(&args.run)?;
    let model = &trained.model;
    let programs = programs(&trained)?;
    let layers = layers(&model.net);
    let provenance = &trained.provenance;
    if args.json {
        let encoding = model.preprocessing.encoding.as_ref();
        print_json(&serde_json::json!({
            "event": "inspect",
            "run": args.run,
            "embeddings": model.net.embeddings,
            "layers": layers,
            "parameters": model.net.parameters(),
            "nets": model.members.len(),
            "temperature": provenance.temperature,
            "loss": model.objective,
            "classes": model.preprocessing.classes,
            "labels": model.preprocessing.labels,
            "features": encoding.map(|e| e.features.iter().map(|f| &f.column).collect::<Vec<_>>()),
            "targets": encoding.map(|e| &e.targets),
            "config": provenance.config,
            "program": programs.first().map(|(_, ops)| ops),
            "fused": programs.get(1).map(|(_, ops)| ops),
            "data": provenance.data,
            "version": provenance.version,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{}: {}\n\nlayers\n", args.run.display(), describe_net(&model.net));
    for (i, e) in model.net.embeddings.iter().enumerate() {
        let parameters = count(e.parameters(), "parameter");
        let Embedding { values, dims, init } = e;
        text += &format!(
            "  embedding {:<3} {values} values in {dims} dimensions, {init}, {parameters}\n",
            i + 1
        );
    }
    for (l, layer) in layers.iter().enumerate() {
        text += &format!(
            "  {:<3} {:>6} → {:<6} {:<20} bias {:<9} {:<16} {}\n",
            l + 1,
            layer.inputs,
            layer.units,
            layer.activation,
            layer.bias,
            layer.initializer,
            count(layer.parameters, "parameter")
        );
    }
    text += &format!("  total {}\n", count(model.net.parameters(), "parameter"));
    if model.members.len() > 1 {
        text += &format!("  an ensemble of {} such nets\n", model.members.len());
    }
    if let Some(temperature) = provenance.temperature {
        text += &format!("  calibrated: the logits were divided by {}\n", short(temperature));
    }
    for (title, ops) in &programs {
        text += &format!("\n{title}\n");
        ops.iter().for_each(|op| text += &format!("  {op}\n"));
    }
    text += "\nsettings\n";
    match &provenance.config {
        Some(config) => {
            let lines = config.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
            lines.for_each(|line| text += &format!("  {line}\n"));
        }
        None => text += &format!("  loss = {}\n  other settings are unknown\n", model.objective),
    }
    text += &format!("\nmade by wgrad {}", provenance.version);
    if let Some(data) = &provenance.data {
        text += &format!(" from {data}");
    }
    if let Some(classes) = &model.preprocessing.classes {
        text += &format!(", classes {}", list(classes));
    }
    if let Some(encoding) = &model.preprocessing.encoding {
        let features: Vec<String> = encoding.features.iter().map(|f| f.column.clone()).collect();
        text += &format!(", features {}", list(&features));
    }
    print(&(text + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The ops of a training step if the run's settings are known, else those of an evaluation: the plain
/// program, then the fused ones.
fn programs(trained: &Trained) -> Result<Vec<(String, Vec<String>)>> {
    let (net, objective) = (trained.model.net.clone(), trained.model.objective);
    let ops = |plan: Plan, ops: Range<usize>| -> Vec<String> {
        plan.program.ops[ops].iter().map(|op| plan.program.describe(op)).collect()
    };
    let Some(mut config) = trained.config()? else {
        let plan = plan::plain(&Spec::new(net, objective), 1, Purpose::Evaluate);
        let all = plan.program.routines.evaluate.clone();
        return Ok(vec![("evaluation, B rows at a time".into(), ops(plan, all))]);
    };
    let spec = crate::cli::setup::settings::spec(net, objective, &mut config)?;
    let plain = plan::plain(&spec, spec.batch_size, Purpose::Train);
    let step = plain.program.routines.step.clone();
    let title = "a training step, B rows at a time (--plan plain)";
    let mut programs = vec![(title.to_string(), ops(plain, step))];
    let on = match (spec.precision, spec.plan) {
        (Precision::F16, _) => vec![("in mixed precision", Traits::LAYERS)],
        (Precision::F32, PlanKind::Plain) => Vec::new(),
        (Precision::F32, PlanKind::Fused) => {
            vec![("on the CPU", Traits::Cpu), ("on a GPU", Traits::GPU)]
        }
    };
    for (place, traits) in on {
        let plan = plan::plan(&spec, spec.batch_size, Purpose::Train, traits);
        let rules = plan.rules.iter().map(ToString::to_string).collect();
        let step = plan.program.routines.step.clone();
        programs.push((format!("the same, fused, {place}"), ops(plan, step)));
        programs.push((format!("the fusion rules, {place}"), rules));
    }
    Ok(programs)
}

fn layers(net: &Net) -> Vec<LayerReport> {
    let report = |(layer, (units, inputs)): (&Layer, (usize, usize))| LayerReport {
        units,
        inputs,
        activation: layer.activation.to_string(),
        bias: layer.bias.to_string(),
        initializer: layer.weight_init.to_string(),
        parameters: units * inputs + if layer.bias == Bias::None { 0 } else { units },
    };
    net.layers.iter().zip(net.shapes()).map(report).collect()
}

fn list(names: &[String]) -> String {
    let more = if names.len() > 20 { ", …" } else { "" };
    names.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ") + more
}

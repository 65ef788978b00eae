//! `wgrad devices`.

use super::args::DevicesArgs;
use super::{print, print_json};
use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::backend::gpu::{self, AdapterSummary};
use crate::error::Result;
use std::process::ExitCode;

pub(super) fn devices(args: &DevicesArgs) -> Result<ExitCode> {
    let adapters = gpu::adapters();
    let cpu = Cpu::<f32>::new(None)?.info().clone();
    let has_gpu = adapters.iter().any(|a| !a.is_software);
    if args.json {
        let json = serde_json::json!({
            "event": "devices",
            "cpu": { "name": cpu.name, "detail": cpu.detail },
            "adapters": adapters,
            "auto": if has_gpu { "fastest" } else { "cpu" },
        });
        print_json(&json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("cpu  {}, {}\n", cpu.name, cpu.detail);
    for adapter in &adapters {
        text += &describe(adapter);
    }
    if adapters.is_empty() {
        text += "     no GPU adapter was found\n";
    }
    let taken = match has_gpu {
        false => "cpu",
        true => "the fastest of cpu and the GPUs, by timing some of the work",
    };
    text += &format!("\n--device auto takes {taken}\n");
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn describe(adapter: &AdapterSummary) -> String {
    let AdapterSummary { index, name, backend, device_type, driver, .. } = adapter;
    let mut text = format!("{index:<4} {name}\n     {device_type}, {backend}, {driver}\n");
    let features = match adapter.features.is_empty() {
        true => "none".to_string(),
        false => adapter.features.join(", "),
    };
    text += &format!("     optional features: {features}\n");
    for (limit, value) in &adapter.limits {
        text += &format!("     {limit:<40} {value}\n");
    }
    text
}

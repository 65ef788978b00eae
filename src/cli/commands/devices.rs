//! `wgrad devices`.

use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::backend::gpu::{self, AdapterSummary, HlslCompiler};
use crate::base::error::Result;
use crate::cli::arguments::run_args::DevicesArgs;
use crate::cli::arguments::terminal::{print, print_json};
use std::process::ExitCode;

pub(in crate::cli) fn devices(args: &DevicesArgs) -> Result<ExitCode> {
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
        true => "the fastest of the CPU and the GPUs, measured on part of the work",
    };
    text += &format!("\n--device auto uses {taken}\n");
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn describe(adapter: &AdapterSummary) -> String {
    let AdapterSummary { index, name, backend, device_type, driver, compiler, .. } = adapter;
    let mut text = format!("{index:<4} {name}\n     {device_type}, {backend}, {driver}\n");
    let features = match adapter.features.is_empty() {
        true => "none".to_string(),
        false => adapter.features.join(", "),
    };
    text += &format!("     optional features: {features}\n");
    match compiler {
        Some(HlslCompiler::Dxc) => text += "     compiled by DXC (dxcompiler.dll)\n",
        Some(HlslCompiler::Fxc) => {
            text += "     compiled by FXC: put dxcompiler.dll (DXC 1.8.2502 or newer) in the folder of wgrad.exe for subgroups, f16 and faster compilation\n";
        }
        None => {}
    }
    for (limit, value) in &adapter.limits {
        text += &format!("     {limit:<40} {value}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direct3d_adapter_says_what_compiles_for_it_and_where_dxc_goes() {
        let adapter = |compiler| AdapterSummary {
            index: 0,
            name: "a GPU".into(),
            backend: "dx12".into(),
            device_type: "discrete GPU".into(),
            driver: "a driver".into(),
            is_software: false,
            compiler,
            limits: Vec::new(),
            features: Vec::new(),
        };
        let line = |compiler| {
            let text = describe(&adapter(compiler));
            text.lines().find(|line| line.contains("compiled by")).map(str::to_string)
        };
        let fxc = line(Some(HlslCompiler::Fxc)).unwrap();
        assert!(
            fxc.contains("FXC: put dxcompiler.dll") && fxc.contains("in the folder of wgrad.exe"),
            "{fxc}"
        );
        assert!(line(Some(HlslCompiler::Dxc)).unwrap().contains("DXC"));
        assert_eq!(line(None), None);
        let json = |compiler| serde_json::to_value(adapter(compiler)).unwrap()["compiler"].clone();
        assert_eq!(json(Some(HlslCompiler::Fxc)), "fxc");
        assert!(json(None).is_null());
        // With the DLL it is timed anew.
        let identities = [Some(HlslCompiler::Fxc), Some(HlslCompiler::Dxc), None]
            .map(|compiler| adapter(compiler).identity());
        assert_eq!(
            identities,
            ["dx12 a GPU a driver Fxc", "dx12 a GPU a driver Dxc", "dx12 a GPU a driver"]
        );
    }
}

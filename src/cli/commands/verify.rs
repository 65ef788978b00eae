//! `wgrad verify`.

use super::verify_resume;
use crate::backend::device::Choice;
use crate::backend::gpu;
use crate::base::error::Result;
use crate::cli::arguments::args::VerifyArgs;
use crate::cli::arguments::terminal::{count, print, print_json, say};
use crate::cli::setup::open::{self, open_for};
use crate::proof::parity::{self, OpReport, Report};
use std::process::ExitCode;

#[derive(serde::Serialize)]
struct Line<'a> {
    event: &'static str,
    device: String,
    #[serde(flatten)]
    report: &'a Report,
}

pub(in crate::cli) fn verify(args: Box<VerifyArgs>) -> Result<ExitCode> {
    let config = args.common.resolve(args.step.clone(), args.device.clone())?;
    let job = open::job(config)?;
    if args.resume {
        return verify_resume::verify(&job, args.common.json);
    }
    let opened = open_for(&job)?;
    let is_auto = matches!(job.config.device.device, None | Some(Choice::Auto));
    if is_auto && opened.device == Choice::Cpu && gpu::adapters().iter().any(|a| !a.is_software) {
        say(
            "note: this run is trained on the CPU, and verified there: --device gpu verifies the GPU",
        );
    }
    let backend = opened.backend;
    let device = backend.info().to_string();
    let report = parity::verify(&job.spec, &job.preprocessing, &job.training, backend)?;
    match args.common.json {
        true => print_json(&Line { event: "verify", device, report: &report })?,
        false => print(&describe(&report, &device))?,
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn describe(report: &Report, device: &str) -> String {
    let mut text = format!(
        "{:<6} {:<24} {:>5} {:>11} {:>11} {:>11}\n",
        "", "tensor", "rows", "device", "CPU f32", "allowed"
    );
    let mut multiplier = &None;
    for op in &report.ops {
        if let (true, Some(name)) = (op.multiplier != *multiplier, &op.multiplier) {
            text += &format!("by {name}\n");
        }
        multiplier = &op.multiplier;
        let OpReport { tensor, rows, device_error, cpu_error, allowed, passed, .. } = op;
        let mark = if *passed { "ok" } else { "FAILED" };
        text += &format!(
            "{mark:<6} {tensor:<24} {rows:>5} {device_error:>11.3e} {cpu_error:>11.3e} {allowed:>11.3e}\n"
        );
    }
    match report.ops.iter().find(|op| !op.passed) {
        None => {
            text + &format!(
                "passed: {} on {device}, errors against f64\n",
                count(report.ops.len(), "result")
            )
        }
        Some(op) => {
            let by = op.multiplier.as_ref().map_or(String::new(), |name| format!(" by {name}"));
            text + &format!("FAILED on {device}{by}, first in {} of\n  {}\n", op.tensor, op.op)
        }
    }
}

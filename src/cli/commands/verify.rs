//! `wgrad verify`.

use super::verify_resume;
use crate::backend::device::Device;
use crate::backend::gpu;
use crate::base::error::Result;
use crate::cli::arguments::check_args::VerifyArgs;
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
    let (step, device) = (args.step.clone(), args.device.clone());
    let job = open::job(args.common.resolve(args.source.as_ref(), step, device)?)?;
    if args.checkpoints {
        return verify_resume::verify(&job, args.common.json);
    }
    let opened = open_for(&job)?;
    let is_auto = matches!(job.config.device.device, None | Some(Device::Auto));
    if is_auto && opened.device == Device::Cpu && gpu::adapters().iter().any(|a| !a.is_software) {
        say(
            "note: such a run is trained on the CPU, and is verified there: --device gpu verifies the GPU",
        );
    }
    let backend = opened.backend;
    let device = backend.info().to_string();
    let report = parity::verify(&job.spec, &job.preprocessing, &job.training, backend)?;
    match args.common.json {
        true => print_json(&Line { event: "verify", device, report: &report })?,
        false => print(&describe(&report, &device, args.all))?,
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The number of results that are shown without --all.
const WORST: usize = 3;

fn describe(report: &Report, device: &str, all: bool) -> String {
    let mut text = String::new();
    let results = count(report.ops.len(), "result");
    if all {
        text += &header();
        let mut multiplier = &None;
        for op in &report.ops {
            if let (true, Some(name)) = (op.multiplier != *multiplier, &op.multiplier) {
                text += &format!("by {name}\n");
            }
            multiplier = &op.multiplier;
            text += &line(op);
        }
        text.push('\n');
    }
    let mut worst: Vec<&OpReport> = report.ops.iter().collect();
    // A failure is worse than any result that passed.
    worst.sort_by(|a, b| a.passed.cmp(&b.passed).then(share(b).total_cmp(&share(a))));
    let hint = if all { "" } else { " (--all prints all of them)" };
    text += &format!("worst {} of {results}{hint}, errors against f64\n", WORST.min(worst.len()));
    text += &header();
    worst.iter().take(WORST).for_each(|op| text += &line(op));
    let failed = report.ops.iter().filter(|op| !op.passed).count();
    match report.ops.iter().find(|op| !op.passed) {
        None => text + &format!("passed: {results} on {device}\n"),
        Some(op) => {
            let by = op.multiplier.as_ref().map_or(String::new(), |name| format!(" by {name}"));
            text + &format!(
                "FAILED: {failed} of {results} on {device}{by}, first in {} of\n  {}\n",
                op.tensor, op.op
            )
        }
    }
}

/// The error as a fraction of the tolerance; if that is 0, of the smallest number.
fn share(op: &OpReport) -> f64 {
    match op.device_error == 0.0 {
        true => 0.0,
        false => op.device_error / op.allowed.max(f64::MIN_POSITIVE),
    }
}

fn header() -> String {
    format!(
        "{:<6} {:<24} {:>5} {:>11} {:>11} {:>11} {:>6}\n",
        "", "tensor", "rows", "device", "CPU f32", "allowed", "share"
    )
}

fn line(op: &OpReport) -> String {
    let OpReport { tensor, rows, device_error, cpu_error, allowed, passed, .. } = op;
    let mark = if *passed { "ok" } else { "FAILED" };
    let share = match share(op) * 100.0 {
        share if share < 1000.0 => format!("{share:.0}%"),
        _ => ">10×".into(),
    };
    format!(
        "{mark:<6} {tensor:<24} {rows:>5} {device_error:>11.3e} {cpu_error:>11.3e} {allowed:>11.3e} {share:>6}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(errors: &[f64]) -> Report {
        let op = |(i, &device_error): (usize, &f64)| OpReport {
            op: format!("op {i}"),
            tensor: format!("T{i}"),
            multiplier: None,
            rows: 64,
            device_error,
            cpu_error: 0.0,
            allowed: 1.0,
            passed: device_error <= 1.0,
        };
        let ops: Vec<OpReport> = errors.iter().enumerate().map(op).collect();
        Report { passed: ops.iter().all(|op| op.passed), ops }
    }

    #[test]
    fn the_worst_three_and_the_verdict_come_last() {
        let text = describe(&report(&[0.1, 0.9, 0.0, 0.5, 0.2]), "a device", false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6, "{text}");
        for (line, tensor) in lines[2..5].iter().zip(["T1", "T3", "T4"]) {
            assert!(line.contains(tensor), "{text}");
        }
        assert_eq!(lines[5], "passed: 5 results on a device");
        let all = describe(&report(&[0.1, 0.9, 0.0, 0.5, 0.2]), "a device", true);
        assert!(all.contains("T0") && all.ends_with("passed: 5 results on a device\n"), "{all}");
        assert!(all.contains("T2") && !text.contains("T2"), "{all}");
    }

    #[test]
    fn failures_are_shown_before_what_passed() {
        let text = describe(&report(&[0.5, 2.0, f64::NAN]), "a device", false);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("FAILED") && lines[3].starts_with("FAILED"), "{text}");
        assert!(
            text.contains("FAILED: 2 of 3 results on a device, first in T1 of\n  op 1\n"),
            "{text}"
        );
    }
}

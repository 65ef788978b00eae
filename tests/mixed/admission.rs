//! When f16 is used, and the messages if it is refused.

use super::adapter::has_gpu;
use super::cli_support::Place;
use super::device::Device;
use super::task::{in_f16, task, trainer};
use std::time::Duration;
use wgrad::Trainer;
use wgrad::backend::Backend;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::Gpu;
use wgrad::base::error::ErrorKind;
use wgrad::data::Preprocessing;
use wgrad::kernels::mixed::Multiplier;
use wgrad::net::precision::Precision;
use wgrad::net::spec::Spec;

#[test]
fn a_device_is_taken_where_it_computes_right_and_gains() {
    let (spec, data) = task(8);
    let measured = Spec { precision: Precision::F16, ..spec.clone() };
    let matrices = Multiplier::Matrices(16);
    let admit = |spec: &Spec, wrong: Option<Multiplier>, single: u64, halves: [u64; 2]| {
        let millis = Duration::from_millis;
        let device = Device {
            offered: vec![Multiplier::Fma, matrices],
            wrong,
            pace: Some((millis(single), halves.map(millis).to_vec())),
            ..Device::new()
        };
        let trainer = Trainer::new(spec, &data, Preprocessing::none(&data), Box::new(device));
        trainer.map(|trainer| *trainer.admission().unwrap())
    };
    // The fastest of what computes right, where it gains. Steps sleep for times so far apart that what
    // else the machine does puts no one before another: where the line is, a test beside it says.
    let admission = admit(&measured, None, 60, [20, 2]).unwrap();
    assert_eq!(admission.multiplier, matrices);
    let [half, single] = admission.seconds.unwrap();
    assert!(half >= 0.002 && single >= 0.06 && half < single, "{admission}");
    let said = format!("16x16 cooperative matrices, a step takes {:.3} ms, in f32 ", 1e3 * half);
    assert!(admission.to_string().starts_with(&said), "{admission}");
    // Whichever is offered first.
    let storage = admit(&measured, None, 60, [2, 20]).unwrap();
    assert_eq!(storage.multiplier, Multiplier::Fma);
    let fallen_back = admit(&measured, Some(matrices), 60, [20, 1]).unwrap();
    assert_eq!(fallen_back.multiplier, Multiplier::Fma);
    assert!(fallen_back.seconds.unwrap()[0] >= 0.02, "what is wrong isn't what is timed");
    // What loses the device isn't taken, and the device is there again for the rest.
    let device = Device {
        offered: vec![Multiplier::Fma, matrices],
        breaks: Some(matrices),
        ..Device::new()
    };
    let mut trainer = trainer(&in_f16(&spec), &data, Box::new(device));
    assert_eq!(trainer.admission().unwrap().multiplier, Multiplier::Fma);
    trainer.run_steps(3).unwrap();
    // No gain: both times are told. Without the measurement it is taken.
    let refused = |error: wgrad::Error, text: &str| {
        assert_eq!(error.kind(), ErrorKind::Device);
        assert!(error.to_string().contains(text), "{error}");
    };
    refused(admit(&measured, None, 2, [40, 40]).unwrap_err(), " ms, in f32 ");
    assert_eq!(admit(&in_f16(&spec), Some(matrices), 0, [9, 9]).unwrap().seconds, None);
    // Nothing that computes right.
    let device = Device { wrong: Some(Multiplier::Fma), ..Device::new() };
    let made = Trainer::new(&measured, &data, Preprocessing::none(&data), Box::new(device));
    refused(made.err().unwrap(), "computes incorrectly in f16 with f16 storage");
}

#[test]
fn f16_is_refused_with_the_reason() {
    let (spec, data) = task(7);
    let spec = Spec { precision: Precision::F16, ..spec };
    let refused = |backend| {
        Trainer::new(&spec, &data, Preprocessing::none(&data), backend).err().map(|error| {
            assert_eq!(error.kind(), ErrorKind::Device, "{error}");
            error.to_string()
        })
    };
    let text = refused(Box::new(Cpu::<f32>::new(None).unwrap()) as Box<dyn Backend>).unwrap();
    assert!(text.contains("trains in f32 only") && text.contains("--precision f16"), "{text}");
    if !has_gpu("the gate") {
        return;
    }
    // A software adapter gains nothing; what was measured is told.
    if let Some(text) = refused(Box::new(Gpu::open(0).unwrap())) {
        assert!(text.contains("not faster") && text.contains(" ms, in f32 "), "{text}");
    }
}

#[test]
fn the_command_line_takes_f16_or_says_what_was_measured() {
    if !has_gpu("f16 on the command line") {
        return;
    }
    let place = Place::new();
    place.write("half.toml", "precision = \"f16\"\nlayers = \"16\"\nepochs = 1\n");
    let ran = place.run("train digits --config half.toml --device 0 --out run");
    match ran.code {
        0 => {
            assert!(
                ran.stderr.contains("precision: f16: f16 storage, a step takes"),
                "{}",
                ran.stderr
            );
            assert!(ran.stderr.contains("steps overflowed and were skipped"), "{}", ran.stderr);
            assert!(place.read("run/config.toml").contains("precision = \"f16\""));
        }
        4 => {
            assert!(ran.stderr.contains("f16 is not faster for this net"), "{}", ran.stderr);
            assert!(ran.stderr.contains(" ms, in f32 "), "{}", ran.stderr);
            assert!(!place.path("run").exists());
        }
        code => panic!("exit code {code}: {}{}", ran.stdout, ran.stderr),
    }
    let verified =
        place.run("verify --precision f16 --device 0 --layers 9:tanh --batch-size 40 --all");
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    assert!(verified.stdout.contains("layers.0.weight.f16"), "{}", verified.stdout);
    assert!(verified.stdout.contains("\nby f16 storage\n"), "{}", verified.stdout);
}

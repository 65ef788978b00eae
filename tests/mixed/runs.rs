//! Whole runs against f32, the scale of the loss, and resuming.

use super::device::{Device, devices};
use super::task::{in_f16, normal, task, train, trainer};
use std::time::Duration;
use wgrad::backend::cpu::Cpu;
use wgrad::base::error::ErrorKind;
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::kernels::mixed::Multiplier;
use wgrad::math::matrix::Matrix;
use wgrad::math::random::{Random, Stream};
use wgrad::net::precision::{MixedPrecision, Precision};
use wgrad::net::spec::{Net, Spec};
use wgrad::train::trainer::LossScale;
use wgrad::{Activation, Loss, Trainer};

/// In f16 a loss that fell below a tenth of its first value ends at the f32 result, within 3% of the
/// first loss.
#[test]
fn training_in_f16_converges_like_f32() {
    for seed in 0..3 {
        let (spec, data) = task(seed);
        let cpu = Box::new(Cpu::<f32>::new(Some(2)).unwrap());
        let mut untrained = trainer(&spec, &data, Box::new(Cpu::<f32>::new(Some(2)).unwrap()));
        let first = untrained.evaluate(&data).unwrap().loss;
        let (single, _) = train(&spec, &data, cpu);
        assert!(single < 0.1 * first, "{single} of {first}");
        for device in devices("training in f16") {
            let name = device.info().to_string();
            let (half, _) = train(&in_f16(&spec), &data, device);
            assert!((half - single).abs() < 0.03 * first, "{name}: {half}, in f32 {single}");
        }
    }
}

#[test]
fn a_loss_scale_that_overflows_skips_steps_and_recovers() {
    let (mut spec, data) = task(2);
    spec.mixed.scale = 2f32.powi(30);
    spec.epochs = 1;
    let spec = in_f16(&spec);
    let mut ends = Vec::new();
    for device in devices("overflows") {
        let mut trainer = trainer(&spec, &data, device);
        let before = trainer.weights().unwrap();
        trainer.run_steps(1).unwrap();
        let after_one = LossScale { scale: 2f32.powi(29), good: 0, skipped: 1 };
        assert_eq!(trainer.loss_scale().unwrap(), Some(after_one));
        assert!(trainer.weights().unwrap() == before, "a skipped step changes no weight");
        trainer.run_steps(40).unwrap();
        let LossScale { scale, good, skipped } = trainer.loss_scale().unwrap().unwrap();
        assert_eq!(scale, 2f32.powi(30 - skipped as i32));
        assert_eq!(good, 41 - skipped, "no step overflows once one didn't");
        assert!((2..30).contains(&skipped), "{skipped}");
        assert!(trainer.weights().unwrap() != before);
        let findings = trainer.findings().unwrap();
        let said = format!("f16: {skipped} of 41 steps overflowed");
        assert!(findings.iter().any(|finding| finding.contains(&said)), "{findings:?}");
        ends.push((scale, skipped));
    }
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:?}");
}

#[test]
fn a_loss_scale_is_doubled_after_steps_without_an_overflow() {
    let (mut spec, data) = task(3);
    spec.mixed = MixedPrecision { scale: 4.0, interval: 3, ..spec.mixed };
    for device in devices("doubling") {
        let mut trainer = trainer(&in_f16(&spec), &data, device);
        trainer.run_steps(7).unwrap();
        let expected = LossScale { scale: 16.0, good: 1, skipped: 0 };
        assert_eq!(trainer.loss_scale().unwrap(), Some(expected));
    }
}

/// Inputs beyond the largest number of f16 overflow with any loss scale. A single one for each unit:
/// of two, infinities of either sign would make NaN.
#[test]
fn a_run_that_always_overflows_ends_with_a_reason() {
    let mut random = Random::new(5, Stream::Check, 0);
    let x = Matrix::from_fn(40, 1, |_, _| 1e6 * (1.0 + random.uniform() as f32));
    let y = normal(&mut random, 40, 1);
    let data = Dataset::new("large", Features::F32(x), Targets::from(y)).unwrap();
    // Saturated, so that the loss stays finite.
    let net = Net::new(1).layer(4, Activation::HardSigmoid).layer(1, Activation::Identity);
    let mut spec = Spec::new(net, Loss::SquaredError).epochs(50);
    spec.batch_size = 10;
    for device in devices("always overflowing") {
        let mut trainer = trainer(&in_f16(&spec), &data, device);
        let error = trainer.fit(None, &mut ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
        let text = error.to_string();
        // Sixteen steps halve the scale to 1, and the next epoch overflows at that.
        for part in ["f16 overflows in every step, even without loss scaling", "where: epoch 4\n"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let LossScale { scale, skipped, .. } = trainer.loss_scale().unwrap().unwrap();
        assert_eq!((scale, skipped), (1.0, 16));
        assert_eq!(trainer.last_good().unwrap(), None, "nothing was learned");
    }
}

#[test]
fn runs_in_f16_repeat_and_go_on_bit_by_bit() {
    let (mut spec, data) = task(4);
    // So that the scale is halved and doubled on the way.
    spec.mixed = MixedPrecision { scale: 2f32.powi(24), interval: 5, ..spec.mixed };
    spec.epochs = 4;
    let spec = in_f16(&spec);
    let preprocessing = || Preprocessing::none(&data);
    for (whole, parts) in devices("going on").into_iter().zip(devices("going on")) {
        let mut straight = trainer(&spec, &data, whole);
        straight.fit(None, &mut ()).unwrap();
        let half = Spec { epochs: 2, ..spec.clone() };
        let mut first = trainer(&half, &data, parts);
        first.fit(None, &mut ()).unwrap();
        let checkpoint = first.checkpoint().unwrap();
        assert!(checkpoint.now.tensors.iter().any(|tensor| tensor.name == "loss_scale"));
        let backend = first.into_backend();
        let mut second =
            Trainer::resume(&spec, &data, preprocessing(), backend, &checkpoint).unwrap();
        second.fit(None, &mut ()).unwrap();
        assert!(second.weights().unwrap() == straight.weights().unwrap());
        let scale = straight.loss_scale().unwrap().unwrap();
        assert_eq!(second.loss_scale().unwrap(), Some(scale));
        assert!(scale.skipped > 0, "{scale:?}");
        let single = Spec { precision: Precision::F32, ..spec.clone() };
        let cpu = Box::new(Cpu::<f32>::new(None).unwrap());
        let error = Trainer::resume(&single, &data, preprocessing(), cpu, &checkpoint).err();
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("precision: F16"), "{text}");
    }
}

#[test]
fn a_run_goes_on_with_what_multiplied() {
    let (spec, data) = task(10);
    let spec = Spec { precision: Precision::F16, epochs: 2, ..spec };
    let matrices = Multiplier::Matrices(16);
    let device = |offered: &[Multiplier], halves: [u64; 2]| {
        let millis = Duration::from_millis;
        let pace = Some((millis(20), halves.map(millis).to_vec()));
        Box::new(Device { offered: offered.to_vec(), pace, ..Device::new() })
    };
    let both = [Multiplier::Fma, matrices];
    let mut first = trainer(&spec, &data, device(&both, [10, 1]));
    let checkpoint = first.checkpoint().unwrap();
    assert_eq!(checkpoint.multiplier, Some(matrices));
    let resume =
        |backend| Trainer::resume(&spec, &data, Preprocessing::none(&data), backend, &checkpoint);
    // On a device that gains nothing now, as another program runs on it.
    let second = resume(device(&both, [30, 30])).unwrap();
    assert_eq!(second.admission().unwrap().multiplier, matrices);
    assert_eq!(second.admission().unwrap().seconds, None, "nothing is timed");
    let text = resume(device(&both[..1], [10, 1])).err().unwrap().to_string();
    assert!(text.contains("offers no 16x16 cooperative matrices"), "{text}");
    // One that was measured anew is told apart.
    let third = trainer(&spec, &data, device(&both, [10, 40]));
    let text = third.go_on(&checkpoint).err().unwrap().to_string();
    assert!(text.contains("started with 16x16 cooperative matrices, not f16 storage"), "{text}");
}

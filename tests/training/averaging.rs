//! Averaged weights: what is evaluated and saved, against averages of the weights of shorter runs.

use crate::common::{Shared, cpu32, gpu, largest_error, numbers, random_classes};
use wgrad::data::{Dataset, Preprocessing};
use wgrad::math::optim::{Averaging, Optimizer};
use wgrad::net::spec::{Net, PlanKind, Spec};
use wgrad::train::event::{Epoch, Flow, Observer};
use wgrad::{Activation, Loss, Trainer};

const EPOCHS: usize = 6;

/// A run of full batches: a step is an epoch.
fn spec(averaging: Averaging, plan: PlanKind) -> Spec {
    let net = Net::new(5).layer(16, Activation::Tanh).layer(3, Activation::Identity);
    let mut spec = Spec::new(net, Loss::CrossEntropy).optimizer(Optimizer::ALL[1]).epochs(EPOCHS);
    (spec.batch_size, spec.averaging, spec.plan) = (40, averaging, plan);
    spec
}

fn data() -> Dataset {
    random_classes(40, 5, 3, 3)
}

fn trainer(spec: &Spec, data: &Dataset, backend: &Shared) -> Trainer {
    Trainer::new(spec, data, Preprocessing::none(data), backend.boxed()).unwrap()
}

/// The weights after each epoch, without an average.
fn trained(plan: PlanKind, data: &Dataset, backend: &Shared) -> Vec<Vec<f64>> {
    let after = |epochs: usize| {
        let spec = Spec { epochs, ..spec(Averaging::None, plan) };
        let mut trainer = trainer(&spec, data, backend);
        trainer.fit(None, &mut ()).unwrap();
        numbers(&trainer.weights().unwrap())
    };
    (1..=EPOCHS).map(after).collect()
}

/// Σ share · weights.
fn mixed(weights: &[Vec<f64>], shares: &[f64]) -> Vec<f64> {
    let at = |i: usize| weights.iter().zip(shares).map(|(w, share)| share * w[i]).sum();
    (0..weights[0].len()).map(at).collect()
}

#[test]
fn averages_are_those_of_the_weights_after_each_step_or_epoch() {
    let test = "averages_are_those_of_the_weights_after_each_step_or_epoch";
    let data = data();
    for backend in [Some(cpu32(2)), gpu(test)].into_iter().flatten() {
        for plan in PlanKind::ALL {
            let weights = trained(plan, &data, &backend);
            let d = 0.75f64;
            // The first weights stand for themselves and all before.
            let moving: Vec<f64> = (0..EPOCHS)
                .map(|i| {
                    let kept = d.powi((EPOCHS - 1 - i) as i32);
                    if i == 0 { kept } else { (1.0 - d) * kept }
                })
                .collect();
            let last_half = [0.0, 0.0, 0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0];
            for (averaging, shares) in [
                (Averaging::Ema { decay: 0.75 }, &moving[..]),
                (Averaging::Swa { fraction: 0.5 }, &last_half[..]),
            ] {
                let mut trainer = trainer(&spec(averaging, plan), &data, &backend);
                let end = trainer.fit(Some(&data), &mut ()).unwrap();
                let found = numbers(&trainer.weights().unwrap());
                let error = largest_error(&found, &mixed(&weights, shares));
                assert!(error < 1e-6, "{averaging:?}, {plan}: {error:e}");
                let apart = largest_error(&found, &weights[EPOCHS - 1]);
                assert!(apart > 1e-3, "the average is another than the last weights: {apart:e}");
                // What is evaluated is what is saved.
                let model = trainer.model().unwrap();
                let saved = model.evaluate(&data, backend.boxed()).unwrap();
                let valid = end.valid.unwrap();
                assert!((saved.loss - valid.loss).abs() < 1e-6, "{} {}", saved.loss, valid.loss);
            }
        }
    }
}

/// Ends the run after this epoch.
struct StopAfter(usize);

impl Observer for StopAfter {
    fn epoch(&mut self, epoch: &Epoch) -> wgrad::Result<Flow> {
        Ok(if epoch.epoch == self.0 { Flow::Stop } else { Flow::Continue })
    }
}

#[test]
fn looking_at_averages_and_going_on_changes_no_bit() {
    let test = "looking_at_averages_and_going_on_changes_no_bit";
    let data = data();
    for backend in [Some(cpu32(2)), gpu(test)].into_iter().flatten() {
        for averaging in [Averaging::Ema { decay: 0.9 }, Averaging::Swa { fraction: 0.75 }] {
            let spec = spec(averaging, PlanKind::Fused);
            let mut whole = trainer(&spec, &data, &backend);
            whole.fit(None, &mut ()).unwrap();
            let expected = whole.weights().unwrap();

            let mut stopped = trainer(&spec, &data, &backend);
            stopped.fit(Some(&data), &mut StopAfter(3)).unwrap();
            stopped.weights().unwrap();
            let checkpoint = stopped.checkpoint().unwrap();
            stopped.fit(Some(&data), &mut ()).unwrap();
            assert_eq!(stopped.weights().unwrap(), expected, "{averaging:?}");

            let none = Preprocessing::none(&data);
            let mut resumed =
                Trainer::resume(&spec, &data, none, backend.boxed(), &checkpoint).unwrap();
            resumed.fit(Some(&data), &mut ()).unwrap();
            assert_eq!(resumed.weights().unwrap(), expected, "{averaging:?}");
        }
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |averaging| spec(averaging, PlanKind::Fused).check().unwrap_err().to_string();
    assert!(refused(Averaging::Ema { decay: 1.0 }).contains("--ema"));
    assert!(refused(Averaging::Ema { decay: f32::NAN }).contains("--ema"));
    assert!(refused(Averaging::Swa { fraction: 0.0 }).contains("--swa"));
    let mut spec = spec(Averaging::Swa { fraction: 0.5 }, PlanKind::Fused);
    spec.net.layers[0].norm = Some(wgrad::net::spec::Norm::Batch);
    assert!(spec.check().unwrap_err().to_string().contains("batch normalization"));
}

/// RPROP follows the signs of the gradient over all rows.
#[test]
fn full_batches_are_demanded_where_the_rule_needs_them() {
    let data = data();
    let mut spec = spec(Averaging::None, PlanKind::Fused);
    spec.optimizer = "rprop".parse().unwrap();
    spec.batch_size = 39;
    let none = Preprocessing::none(&data);
    let error = Trainer::new(&spec, &data, none.clone(), cpu32(1).boxed()).err().unwrap();
    assert!(error.to_string().contains("--batch-size 40"), "{error}");
    spec.batch_size = 64;
    assert!(Trainer::new(&spec, &data, none, cpu32(1).boxed()).is_ok());
}

//! Requests of observers to a run: samples of single steps, which don't change its bits, and another learning
//! rate, which is continued exactly from a checkpoint.

use crate::common::{cpu32, random_classes};
use std::sync::Arc;
use wgrad::data::{Dataset, Preprocessing};
use wgrad::files::checkpoint::{Saved, Store, load_checkpoint};
use wgrad::math::activation::Activation;
use wgrad::math::loss::Loss;
use wgrad::math::optim::{Averaging, Optimizer};
use wgrad::net::spec::{Net, PlanKind, Spec};
use wgrad::net::stopping::{Keep, Stopping};
use wgrad::train::event::{Ending, Epoch, Flow, Observer, Progress, RateChange, StepSample};
use wgrad::train::snapshot::{Checkpoint, Position, RateFactor};
use wgrad::train::trainer::Trainer;

/// Makes the given requests, and stores what it receives.
#[derive(Default)]
struct Asks {
    /// The interval of sampled steps.
    every: Option<usize>,
    /// Factors of the learning rate, each with the number of steps after which it applies.
    rates: Vec<(u64, f32)>,
    /// The step that ends the run.
    end: Option<u64>,
    at: u64,
    samples: Vec<StepSample>,
    changes: Vec<RateChange>,
    lr: Vec<f32>,
}

impl Observer for Asks {
    fn progress(&mut self, progress: &Progress) -> Flow {
        self.at = progress.step;
        match self.end {
            Some(end) if progress.step >= end => Flow::Interrupt,
            _ => Flow::Continue,
        }
    }
    fn epoch(&mut self, epoch: &Epoch) -> wgrad::Result<Flow> {
        self.lr.push(epoch.lr);
        Ok(Flow::Continue)
    }
    fn steps_to_sample(&mut self, position: &Position) -> Option<usize> {
        let every = self.every? as u64;
        Some(((every - position.step % every) % every) as usize)
    }
    fn sample(&mut self, sample: &StepSample) -> wgrad::Result<()> {
        self.samples.push(sample.clone());
        Ok(())
    }
    fn rate_factor(&mut self) -> Option<f32> {
        let is_due = self.rates.first().is_some_and(|(step, _)| *step <= self.at);
        is_due.then(|| self.rates.remove(0).1)
    }
    fn rate_changed(&mut self, change: &RateChange) -> wgrad::Result<()> {
        self.changes.push(*change);
        Ok(())
    }
    fn checkpoint(&mut self, _: &Arc<Checkpoint>) -> wgrad::Result<()> {
        Ok(())
    }
}

fn adam() -> Optimizer {
    "adam".parse().unwrap()
}

fn spec(optimizer: Optimizer) -> (Spec, Dataset, Dataset) {
    let net = Net::new(6).layer(40, Activation::Tanh).layer(3, Activation::Identity);
    let stopping = Stopping { keep: Keep::Best, ..Stopping::default() };
    let spec = Spec {
        batch_size: 4,
        lr: 0.01,
        seed: 5,
        stopping,
        optimizer,
        ..Spec::new(net, Loss::CrossEntropy)
    };
    (spec.epochs(3), random_classes(50, 6, 3, 1), random_classes(20, 6, 3, 2))
}

fn trainer(spec: &Spec, training: &Dataset) -> Trainer {
    let mut trainer =
        Trainer::new(spec, training, Preprocessing::none(training), cpu32(1).boxed()).unwrap();
    trainer.ask_after_every_step();
    trainer
}

fn run(spec: &Spec, training: &Dataset, validation: &Dataset, asks: &mut Asks) -> Checkpoint {
    let mut trainer = trainer(spec, training);
    trainer.fit(Some(validation), asks).unwrap();
    trainer.checkpoint().unwrap()
}

#[test]
fn looking_at_steps_changes_no_bit() {
    let ema = Averaging::Ema { decay: 0.9 };
    for (optimizer, plan, averaging) in [
        (adam(), PlanKind::Fused, Averaging::None),
        (adam(), PlanKind::Plain, ema),
        (Optimizer::Sgd, PlanKind::Fused, ema),
    ] {
        let (spec, training, validation) = spec(optimizer);
        let spec = Spec { plan, averaging, ..spec };
        let plain = run(&spec, &training, &validation, &mut Asks::default());
        let mut asks = Asks { every: Some(5), ..Asks::default() };
        let seen = run(&spec, &training, &validation, &mut asks);
        assert_eq!(seen.now, plain.now);
        assert_eq!(seen.best, plain.best);
        // 3 epochs of 13 steps: after 1, 6, 11 … 36 steps.
        let steps: Vec<u64> = asks.samples.iter().map(|sample| sample.step).collect();
        assert_eq!(steps, [1, 6, 11, 16, 21, 26, 31, 36]);
    }
}

#[test]
fn a_sample_tells_the_update_and_the_gradient_of_sgd() {
    // On full batches a step of SGD is −η ∂L/∂W, so that both tell the same.
    let (spec, training, validation) = spec(Optimizer::Sgd);
    let spec = Spec { batch_size: 50, lr: 0.1, ..spec };
    let mut asks = Asks { every: Some(1), ..Asks::default() };
    run(&spec, &training, &validation, &mut asks);
    assert_eq!(asks.samples.len(), 3);
    for pair in asks.samples.windows(2) {
        assert_eq!(pair[1].gradient_rows, 50);
        for (layer, name) in pair[1].layers.iter().zip(["layers.0", "layers.1"]) {
            assert_eq!(layer.name, name);
            let weight = |sample: &StepSample| {
                let name = format!("{name}.weight");
                sample.parameters.iter().find(|p| p.name == name).unwrap().values.clone()
            };
            let norm =
                |values: &[f32]| values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let before = norm(&weight(&pair[0]));
            let expected = 0.1 * layer.gradient_norm.unwrap() / before;
            assert!((layer.update_ratio / expected - 1.0).abs() < 1e-3, "{layer:?} {expected}");
        }
    }
}

#[test]
fn a_rate_that_was_changed_by_hand_goes_on_exactly_from_a_checkpoint() {
    let (spec, training, validation) = spec(adam());
    let rates = vec![(7, 0.5), (20, 4.0)];
    let mut asks = Asks { rates: rates.clone(), ..Asks::default() };
    let whole = run(&spec, &training, &validation, &mut asks);
    let found: Vec<_> = asks.changes.iter().map(|c| (c.step, c.epoch, c.factor, c.lr)).collect();
    assert_eq!(found, [(7, 1, 0.5, 0.005), (20, 2, 2.0, 0.02)]);
    assert_eq!(asks.lr, [0.005, 0.02, 0.02]);
    let expected = [RateFactor { step: 7, factor: 0.5 }, RateFactor { step: 20, factor: 2.0 }];
    assert_eq!(whole.detours.rates, expected);
    let plain = run(&spec, &training, &validation, &mut Asks::default());
    assert_ne!(plain.now, whole.now, "the rate made a difference");

    // Interrupted behind the first change, and again behind the second, through files.
    let place = tempfile::tempdir().unwrap();
    let store = Store::new(place.path().into(), 1);
    let mut now = trainer(&spec, &training);
    for (end, rates) in [(15, &rates[..1]), (25, &rates[1..])] {
        let mut asks = Asks { rates: rates.to_vec(), end: Some(end), ..Asks::default() };
        assert_eq!(now.fit(Some(&validation), &mut asks).unwrap().ending, Ending::Interrupted);
        let (checkpoint, config) = (Arc::new(now.checkpoint().unwrap()), String::new());
        let path = store.write(&Saved { checkpoint, config, events: 0, ended: None }).unwrap();
        let saved = load_checkpoint(&path).unwrap();
        now = trainer(&spec, &training).go_on(&saved.checkpoint).unwrap();
    }
    now.fit(Some(&validation), &mut ()).unwrap();
    let found = now.checkpoint().unwrap();
    assert_eq!(found.now, whole.now);
    assert_eq!(found.detours, whole.detours);
}

#[test]
fn no_factor_leads_out_of_bounds() {
    let (spec, training, validation) = spec(Optimizer::Sgd);
    for (factor, expected) in
        [(f32::NAN, None), (0.0, None), (-1.0, None), (1e-30, Some(2f32.powi(-20)))]
    {
        let mut asks = Asks { rates: vec![(1, factor)], ..Asks::default() };
        run(&spec, &training, &validation, &mut asks);
        assert_eq!(asks.changes.first().map(|c| c.factor), expected, "{factor}");
    }
}

//! Data-parallel training: any number of ranks gives the bits of one, for all parts of a step besides layers.
//! The ranks are threads here; `tests/ranks` starts processes.

mod observers;
mod overlap;
mod refused;
mod same_bits;
mod sharded;

use crate::common::{cpu32, random_classes, random_data};
use std::thread;
use wgrad::backend::Backend;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::session::LayerWeights;
use wgrad::data::{Dataset, Preprocessing};
use wgrad::math::optim::{Averaging, GradientEdits};
use wgrad::math::schedule::Schedule;
use wgrad::net::spec::{Net, Norm, PlanKind, Spec};
use wgrad::net::stopping::{Keep, Stopping};
use wgrad::train::event::End;
use wgrad::train::ranks::{Alone, Ranks, Reduction, threads};
use wgrad::train::snapshot::Checkpoint;
use wgrad::{Activation, Loss, Optimizer, Result, Trainer};

const BLOCKS: Reduction = Reduction::Reproducible { blocks: 8 };

/// A run's weights and end.
type Trained = (Vec<LayerWeights>, End);

/// A backend of its own, in which gradients are summed where they lie, and of which ranks share the update.
fn own_cpu() -> Box<dyn Backend> {
    Box::new(Cpu::<f32>::new(Some(1)).unwrap())
}

/// Calls `train` in a thread for each of `size` ranks; returns the result of each.
fn in_threads<T: Send>(size: usize, train: impl Fn(usize, Box<dyn Ranks>) -> T + Sync) -> Vec<T> {
    let ranks: Vec<Box<dyn Ranks>> = match size {
        1 => vec![Box::new(Alone)],
        size => {
            let ranks = threads(size).into_iter();
            ranks.map(|ranks| -> Box<dyn Ranks> { Box::new(ranks) }).collect()
        }
    };
    let train = &train;
    thread::scope(|scope| {
        let ranks = ranks.into_iter().enumerate();
        let running: Vec<_> =
            ranks.map(|(rank, ranks)| scope.spawn(move || train(rank, ranks))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// The net and the data of a training.
#[derive(Clone)]
struct Job {
    spec: Spec,
    training: Dataset,
    validation: Option<Dataset>,
    /// Whether gradients are summed in buckets.
    buckets: Option<overlap::Asked>,
}

impl Job {
    fn trainer(
        &self,
        backend: Box<dyn Backend>,
        ranks: Box<dyn Ranks>,
        reduction: Reduction,
    ) -> Result<Trainer> {
        let none = Preprocessing::none(&self.training);
        let mut trainer = Trainer::new(&self.spec, &self.training, none, backend)?;
        trainer.set_ranks(ranks, reduction)?;
        Ok(trainer)
    }

    /// Trains in `size` threads, from a checkpoint if there is one; returns the result of each.
    fn run(
        &self,
        size: usize,
        reduction: Reduction,
        backend: impl Fn(usize) -> Box<dyn Backend> + Sync,
        from: Option<&Checkpoint>,
    ) -> Vec<Result<Trained>> {
        in_threads(size, |rank, ranks| {
            let ranks = match &self.buckets {
                Some(asked) => asked.wrap(ranks),
                None => ranks,
            };
            let mut trainer = self.trainer(backend(rank), ranks, reduction)?;
            if let Some(checkpoint) = from {
                trainer = trainer.go_on(checkpoint)?;
            }
            let end = trainer.fit(self.validation.as_ref(), &mut ())?;
            Ok((trainer.weights()?, end))
        })
    }

    /// The weights on the CPU, which all ranks have alike.
    fn weights(&self, size: usize, reduction: Reduction) -> Vec<LayerWeights> {
        self.weights_on(size, reduction, |_| cpu32(1).boxed())
    }

    fn weights_on(
        &self,
        size: usize,
        reduction: Reduction,
        backend: impl Fn(usize) -> Box<dyn Backend> + Sync,
    ) -> Vec<LayerWeights> {
        let all = self.run(size, reduction, backend, None);
        let all: Vec<Trained> = all.into_iter().map(Result::unwrap).collect();
        assert!(all.iter().all(|(weights, _)| *weights == all[0].0), "ranks differ");
        assert!(all.iter().all(|(_, end)| end.ending == all[0].1.ending), "ends differ");
        all.into_iter().next().unwrap().0
    }
}

fn net() -> Net {
    Net::new(7).layer(11, Activation::Tanh).layer(3, Activation::Identity)
}

/// Each optional part of a step or a run besides layers.
fn jobs() -> Vec<(&'static str, Job)> {
    // A ragged last batch of 5 rows, of which three blocks have none.
    let base = Spec { batch_size: 24, epochs: 3, seed: 3, ..Spec::new(net(), Loss::CrossEntropy) };
    let training = random_classes(77, 7, 3, 1);
    let validation = Some(random_classes(40, 7, 3, 2));
    let of = |change: &dyn Fn(&mut Job)| {
        let (spec, training) = (base.clone(), training.clone());
        let mut job = Job { spec, training, validation: validation.clone(), buckets: None };
        change(&mut job);
        job
    };
    let digits = wgrad::data::digits().select(&(0..100).collect::<Vec<_>>());
    vec![
        ("adam", of(&|_| ())),
        (
            "sgd, no validation",
            of(&|j| {
                j.spec.optimizer = Optimizer::Sgd;
                j.validation = None;
            }),
        ),
        ("lamb", of(&|j| j.spec.optimizer = "lamb".parse().unwrap())),
        (
            "rprop, all rows at once",
            of(&|j| {
                j.spec.optimizer = "rprop".parse().unwrap();
                j.spec.batch_size = 77;
            }),
        ),
        ("dropout", of(&|j| j.spec.net = net().dropout(0.3))),
        ("layer norm", of(&|j| j.spec.net = net().norm(Some(Norm::Layer)))),
        ("batch norm", of(&|j| j.spec.net = net().norm(Some(Norm::Batch)))),
        (
            "batch norm, two layers with all that lies between",
            of(&|j| {
                let net = Net::new(7).layer(11, Activation::Tanh).layer(11, Activation::Relu);
                let net = net.layer(3, Activation::Identity).norm(Some(Norm::Batch)).residual(1);
                j.spec.net = Net { input_dropout: 0.1, ..net.dropout(0.2) };
                j.spec.mixup = Some(0.4);
            }),
        ),
        ("mixup", of(&|j| j.spec.mixup = Some(0.4))),
        (
            "weights of rows",
            of(&|j| {
                let weights = (0..77).map(|row| (row % 5) as f32 * 0.5).collect();
                j.training = j.training.clone().weighted(weights).unwrap();
            }),
        ),
        (
            "edits",
            of(&|j| {
                j.spec.edits = GradientEdits {
                    clip_global_norm: Some(0.5),
                    l1: 1e-4,
                    ..GradientEdits::default()
                };
            }),
        ),
        ("averaged", of(&|j| j.spec.averaging = Averaging::Ema { decay: 0.9 })),
        (
            "label smoothing, plateau",
            of(&|j| {
                j.spec.label_smoothing = 0.1;
                j.spec.schedule = "plateau(0.5,1)".parse::<Schedule>().unwrap();
            }),
        ),
        ("the plain plan", of(&|j| j.spec.plan = PlanKind::Plain)),
        (
            "early stop",
            of(&|j| {
                (j.spec.epochs, j.spec.lr) = (40, 0.05);
                j.spec.stopping =
                    Stopping { keep: Keep::Best, patience: Some(2), ..Stopping::default() };
            }),
        ),
        (
            "a first layer that lies packed",
            of(&|j| {
                j.spec.net = Net::new(7).layer(32, Activation::Relu).layer(3, Activation::Identity);
            }),
        ),
        (
            "layers that aren't whole in one op",
            of(&|j| {
                j.spec.net =
                    Net::new(7).layer(600, Activation::Relu).layer(3, Activation::Identity);
            }),
        ),
        (
            "augmentation",
            of(&|j| {
                j.spec.net =
                    Net::new(64).layer(12, Activation::Relu).layer(10, Activation::Identity);
                j.spec.augment = Some(("shift(1)".parse().unwrap(), [8, 8, 1]));
                (j.training, j.validation) = (digits.clone(), None);
            }),
        ),
        (
            "numbers",
            of(&|j| {
                j.spec = Spec { objective: Loss::SquaredError.into(), ..j.spec.clone() };
                j.training = random_data(Loss::SquaredError, 77, 7, 3, 5);
                j.validation = None;
            }),
        ),
    ]
}

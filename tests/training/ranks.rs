//! Data-parallel training: any number of ranks gives the bits of one, for all parts of a step besides layers.
//! The ranks are threads here; `tests/ranks` starts processes.

use crate::common::{cpu32, gpu, largest, random_classes, random_data};
use std::sync::Arc;
use wgrad::backend::Backend;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::session::LayerWeights;
use wgrad::data::{Dataset, Preprocessing};
use wgrad::math::optim::{Averaging, GradientEdits};
use wgrad::math::schedule::Schedule;
use wgrad::net::spec::{Net, Norm, PlanKind, Spec};
use wgrad::net::stopping::{Keep, Stopping};
use wgrad::train::event::{End, Ending, Flow, Observer, Progress};
use wgrad::train::ranks::{Alone, Ranks, Reduction, threads};
use wgrad::train::snapshot::{Checkpoint, Position};
use wgrad::{Activation, Error, Loss, Optimizer, Result, Trainer};

const BLOCKS: Reduction = Reduction::Reproducible { blocks: 8 };

/// A run's weights and end.
type Trained = (Vec<LayerWeights>, End);

/// The net and the data of a training.
#[derive(Clone)]
struct Job {
    spec: Spec,
    training: Dataset,
    validation: Option<Dataset>,
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

    /// Trains in `ranks` threads, from a checkpoint if there is one; returns the result of each.
    fn run(
        &self,
        size: usize,
        reduction: Reduction,
        backend: impl Fn(usize) -> Box<dyn Backend>,
        from: Option<&Checkpoint>,
    ) -> Vec<Result<Trained>> {
        let run = |rank: usize, ranks: Box<dyn Ranks>| {
            let (job, backend, from) = (self.clone(), backend(rank), from.cloned());
            std::thread::spawn(move || {
                let mut trainer = job.trainer(backend, ranks, reduction)?;
                if let Some(checkpoint) = &from {
                    trainer = trainer.go_on(checkpoint)?;
                }
                let end = trainer.fit(job.validation.as_ref(), &mut ())?;
                Ok((trainer.weights()?, end))
            })
        };
        let running: Vec<_> = match size {
            1 => vec![run(0, Box::new(Alone))],
            size => {
                threads(size).into_iter().enumerate().map(|(i, r)| run(i, Box::new(r))).collect()
            }
        };
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    }

    /// The weights on the CPU, which all ranks have alike.
    fn weights(&self, size: usize, reduction: Reduction) -> Vec<LayerWeights> {
        self.weights_on(size, reduction, |_| cpu32(1).boxed())
    }

    fn weights_on(
        &self,
        size: usize,
        reduction: Reduction,
        backend: impl Fn(usize) -> Box<dyn Backend>,
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
        let mut job = Job { spec, training, validation: validation.clone() };
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

#[test]
fn any_number_of_ranks_gives_the_bits_of_one() {
    for (name, job) in jobs() {
        let one = job.weights(1, BLOCKS);
        let values = one.iter().flat_map(|layer| layer.weight.data().iter().map(|&x| x.into()));
        let values: Vec<f64> = values.collect();
        assert!(values.iter().all(|x: &f64| x.is_finite()) && largest(&values) > 0.0, "{name}");
        // A backend behind a lock reads and writes gradients, one of its own sums them where they lie.
        for size in [2, 3] {
            assert!(job.weights(size, BLOCKS) == one, "{name}, {size} ranks");
        }
        for size in [1, 2, 4, 8] {
            let own = |_| -> Box<dyn Backend> { Box::new(Cpu::<f32>::new(Some(1)).unwrap()) };
            let found = job.weights_on(size, BLOCKS, own);
            assert!(found == one, "{name}, {size} ranks in place");
        }
    }
}

#[test]
fn other_blocks_are_another_rounding_of_the_same_model() {
    let (_, job) = jobs().swap_remove(0);
    let values = |weights: Vec<LayerWeights>| -> Vec<f64> {
        weights.iter().flat_map(|l| l.weight.data().iter().map(|&x| x.into())).collect()
    };
    let eight = values(job.weights(2, BLOCKS));
    let plain = {
        let none = Preprocessing::none(&job.training);
        let backend = cpu32(1).boxed();
        let mut trainer = Trainer::new(&job.spec, &job.training, none, backend).unwrap();
        trainer.fit(job.validation.as_ref(), &mut ()).unwrap();
        values(trainer.weights().unwrap())
    };
    let sixteen = Reduction::Reproducible { blocks: 16 };
    let others = [
        values(job.weights(4, sixteen)),
        values(job.weights(1, Reduction::Reproducible { blocks: 1 })),
        values(job.weights(2, Reduction::Fastest)),
        values(job.weights(3, Reduction::Fastest)),
        plain.clone(),
    ];
    for other in &others {
        let error = crate::common::largest_error(other, &eight);
        assert!(error < 1e-4, "{error}");
    }
    assert!(others[0] != eight, "the blocks must matter here");
    assert!(others[1] == plain, "one block is the whole batch");
}

/// The bits of a GPU, too, whose ranks share one.
#[test]
fn ranks_on_a_gpu_give_the_bits_of_one() {
    let Some(_) = gpu("ranks") else { return };
    let names = ["adam", "dropout", "weights of rows", "layers that aren't whole in one op"];
    for (name, job) in jobs().into_iter().filter(|(name, _)| names.contains(name)) {
        let on = |_| gpu("ranks").unwrap().boxed();
        let weights = |size| -> Vec<Vec<LayerWeights>> {
            let all = job.run(size, BLOCKS, on, None);
            all.into_iter().map(|trained| trained.unwrap().0).collect()
        };
        let one = weights(1).remove(0);
        for weights in weights(2).into_iter().chain(weights(4)) {
            assert!(weights == one, "{name}");
        }
    }
}

/// Ends the run at a step of rank 0 and keeps a checkpoint there.
#[derive(Default)]
struct EndsAt {
    step: u64,
    taken: Option<Arc<Checkpoint>>,
}

impl Observer for EndsAt {
    fn progress(&mut self, progress: &Progress) -> Flow {
        if progress.step >= self.step { Flow::Interrupt } else { Flow::Continue }
    }
    fn wants_checkpoint(&mut self, position: &Position) -> bool {
        position.step >= self.step
    }
    fn checkpoint(&mut self, checkpoint: &Arc<Checkpoint>) -> Result<()> {
        self.taken = Some(checkpoint.clone());
        Ok(())
    }
}

#[test]
fn rank_0_ends_the_run_and_another_number_of_ranks_goes_on_to_the_same_bits() {
    let (_, mut job) = jobs().swap_remove(0);
    job.spec.net = net().dropout(0.3);
    job.spec.epochs = 5;
    let whole = job.weights(1, BLOCKS);
    for (before, after, step) in [(2, 4, 7), (4, 1, 9), (1, 3, 2)] {
        let run = |rank: usize, ranks: Box<dyn Ranks>| {
            let job = job.clone();
            std::thread::spawn(move || {
                let mut trainer = job.trainer(cpu32(1).boxed(), ranks, BLOCKS).unwrap();
                trainer.ask_after_every_step();
                let mut first = EndsAt { step, taken: None };
                let end = match rank {
                    0 => trainer.fit(job.validation.as_ref(), &mut first),
                    _ => trainer.fit(job.validation.as_ref(), &mut ()),
                };
                let end = end.unwrap();
                assert_eq!((end.ending, end.steps), (Ending::Interrupted, step), "rank {rank}");
                trainer.checkpoint().unwrap()
            })
        };
        let running: Vec<_> = match before {
            1 => vec![run(0, Box::new(Alone))],
            n => threads(n).into_iter().enumerate().map(|(i, r)| run(i, Box::new(r))).collect(),
        };
        let taken: Vec<Checkpoint> = running.into_iter().map(|t| t.join().unwrap()).collect();
        let ended = job.run(after, BLOCKS, |_| cpu32(1).boxed(), Some(&taken[0]));
        for trained in ended {
            assert!(trained.unwrap().0 == whole, "{before} ranks, then {after}");
        }
    }
}

/// Changes the learning rate once.
struct Halves(bool);

impl Observer for Halves {
    fn rate_factor(&mut self) -> Option<f32> {
        std::mem::replace(&mut self.0, false).then_some(0.5)
    }
}

#[test]
fn all_ranks_follow_the_learning_rate_of_rank_0() {
    let (_, job) = jobs().swap_remove(0);
    let run = |rank: usize, ranks: Box<dyn Ranks>| {
        let job = job.clone();
        std::thread::spawn(move || {
            let mut trainer = job.trainer(cpu32(1).boxed(), ranks, BLOCKS).unwrap();
            match rank {
                0 => trainer.fit(None, &mut Halves(true)),
                _ => trainer.fit(None, &mut ()),
            }
            .unwrap();
            (trainer.weights().unwrap(), trainer.rates_by_hand().to_vec())
        })
    };
    let ranks = threads(2).into_iter().enumerate().map(|(i, r)| run(i, Box::new(r)));
    let all: Vec<_> = ranks.collect::<Vec<_>>().into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(all[0].1.len(), 1);
    assert!(all[0] == all[1]);
}

/// The errors of two ranks that don't train the same.
fn refused(jobs: [Job; 2]) -> Vec<String> {
    let running = threads(2).into_iter().zip(jobs).map(|(ranks, job)| {
        std::thread::spawn(move || {
            job.trainer(cpu32(1).boxed(), Box::new(ranks), BLOCKS).err().map(|e| e.to_string())
        })
    });
    let running: Vec<_> = running.collect();
    running.into_iter().map(|thread| thread.join().unwrap().expect("refused")).collect()
}

#[test]
fn ranks_that_train_something_else_are_named() {
    let (_, job) = jobs().swap_remove(0);
    let with = |change: &dyn Fn(&mut Job)| {
        let mut other = job.clone();
        change(&mut other);
        refused([job.clone(), other])
    };
    let rows = with(&|j| j.training = random_classes(77, 7, 3, 9));
    let options = with(&|j| j.spec.lr = 0.5);
    for (errors, said) in [(rows, "other training rows"), (options, "other options")] {
        for error in errors {
            assert!(error.contains("rank 1") && error.contains(said), "{error}");
        }
    }
}

#[test]
fn what_cant_be_cut_is_refused() {
    let (_, job) = jobs().swap_remove(0);
    let error = |change: &dyn Fn(&mut Job), reduction| -> Error {
        let mut job = job.clone();
        change(&mut job);
        let trainer = job.trainer(cpu32(1).boxed(), Box::new(Alone), reduction);
        trainer.err().expect("refused")
    };
    let batch = error(&|j| j.spec.net = net().norm(Some(Norm::Batch)), BLOCKS).to_string();
    assert!(batch.contains("batch normalization") && batch.contains("--norm layer"), "{batch}");
    let odd = error(&|_| (), Reduction::Reproducible { blocks: 6 }).to_string();
    assert!(odd.contains("power of two"), "{odd}");
    let small = error(&|j| j.spec.micro_batch = Some(2), BLOCKS).to_string();
    assert!(small.contains("--reproducible=16"), "{small}");
    error(&|j| (j.spec.optimizer, j.spec.batch_size) = (Optimizer::Lbfgs, 77), BLOCKS);
    // More ranks than blocks.
    let two = Reduction::Reproducible { blocks: 2 };
    for trained in job.run(3, two, |_| cpu32(1).boxed(), None) {
        let error = trained.unwrap_err().to_string();
        assert!(error.contains("3 ranks for 2 blocks") && error.contains("=4"), "{error}");
    }
}

#[test]
fn a_rank_that_fails_ends_the_others() {
    let (_, job) = jobs().swap_remove(0);
    let mut ranks = threads(3);
    // Its ends of the channels go with it.
    drop(ranks.remove(1));
    let running: Vec<_> = ranks
        .into_iter()
        .map(|ranks| {
            let job = job.clone();
            std::thread::spawn(move || {
                job.trainer(cpu32(1).boxed(), Box::new(ranks), BLOCKS).err().map(|e| e.to_string())
            })
        })
        .collect();
    for thread in running {
        let error = thread.join().unwrap().expect("an error");
        assert!(error.contains("is gone"), "{error}");
    }
}

#[test]
fn ranks_of_different_kinds_share_a_batch_by_their_speed() {
    let Some(_) = gpu("ranks of different kinds") else { return };
    let (_, mut job) = jobs().swap_remove(0);
    job.spec.optimizer = Optimizer::Sgd;
    let on = |rank: usize| match rank {
        0 => cpu32(1).boxed(),
        _ => gpu("ranks of different kinds").unwrap().boxed(),
    };
    for refused in job.run(2, BLOCKS, on, None) {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("different kinds") && error.contains("rank 1"), "{error}");
    }
    let alone = job.weights(1, Reduction::Fastest);
    for trained in job.run(2, Reduction::Fastest, on, None) {
        let (weights, end) = trained.unwrap();
        assert_eq!((end.ending, end.steps), (Ending::Done, 12));
        for (a, b) in alone.iter().zip(&weights) {
            for (a, b) in a.weight.data().iter().zip(b.weight.data()) {
                assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }
    }
}

/// Micro-batches of a rank's part add up to it where the order is free.
#[test]
fn parts_may_go_in_micro_batches() {
    let (_, mut job) = jobs().swap_remove(0);
    let whole = job.weights(2, Reduction::Fastest);
    job.spec.micro_batch = Some(5);
    let parts = job.weights(2, Reduction::Fastest);
    for (whole, parts) in whole.iter().zip(&parts) {
        for (a, b) in whole.weight.data().iter().zip(parts.weight.data()) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}

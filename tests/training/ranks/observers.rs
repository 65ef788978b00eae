//! What the observers of rank 0 ask for, all ranks do: end, checkpoint, another learning rate.

use super::{BLOCKS, Job, in_threads, jobs, net, own_cpu};
use crate::common::cpu32;
use std::sync::Arc;
use wgrad::backend::Backend;
use wgrad::train::event::{End, Ending, Flow, Observer, Progress};
use wgrad::train::snapshot::{Checkpoint, Position};
use wgrad::{Result, Trainer};

/// Keeps the checkpoint of a step, at which the run may end.
struct Keeps {
    step: u64,
    ends: bool,
    taken: Option<Arc<Checkpoint>>,
}

impl Observer for Keeps {
    fn progress(&mut self, progress: &Progress) -> Flow {
        if self.ends && progress.step >= self.step { Flow::Interrupt } else { Flow::Continue }
    }
    fn wants_checkpoint(&mut self, position: &Position) -> bool {
        position.step == self.step
    }
    fn checkpoint(&mut self, checkpoint: &Arc<Checkpoint>) -> Result<()> {
        self.taken = Some(checkpoint.clone());
        Ok(())
    }
}

/// Trains with an observer that only rank 0 has.
fn fit(trainer: &mut Trainer, job: &Job, rank: usize, first: &mut dyn Observer) -> End {
    match rank {
        0 => trainer.fit(job.validation.as_ref(), first).unwrap(),
        _ => trainer.fit(job.validation.as_ref(), &mut ()).unwrap(),
    }
}

#[test]
fn rank_0_ends_the_run_and_another_number_of_ranks_goes_on_to_the_same_bits() {
    let (_, mut job) = jobs().swap_remove(0);
    job.spec.net = net().dropout(0.3);
    job.spec.epochs = 5;
    let whole = job.weights(1, BLOCKS);
    let backends: [fn() -> Box<dyn Backend>; 2] = [|| cpu32(1).boxed(), own_cpu];
    for (before, after, step) in [(2, 4, 7), (4, 1, 9), (1, 3, 2)] {
        for backend in backends {
            let taken = in_threads(before, |rank, ranks| {
                let mut trainer = job.trainer(backend(), ranks, BLOCKS).unwrap();
                trainer.ask_after_every_step();
                let mut first = Keeps { step, ends: true, taken: None };
                let end = fit(&mut trainer, &job, rank, &mut first);
                assert_eq!((end.ending, end.steps), (Ending::Interrupted, step), "rank {rank}");
                trainer.checkpoint().unwrap()
            });
            assert!(taken.iter().all(|t| t.now.tensors == taken[0].now.tensors), "whole states");
            for trained in job.run(after, BLOCKS, |_| backend(), Some(&taken[0])) {
                assert!(trained.unwrap().0 == whole, "{before} ranks, then {after}");
            }
        }
    }
}

/// A checkpoint that rank 0 alone wants in the middle of a run holds what all ranks have of the optimizer's state.
#[test]
fn a_checkpoint_on_the_way_holds_the_state_of_all_ranks() {
    let (_, job) = jobs().swap_remove(0);
    let whole = job.weights(1, BLOCKS);
    let taken = in_threads(4, |rank, ranks| {
        let mut trainer = job.trainer(own_cpu(), ranks, BLOCKS).unwrap();
        trainer.ask_after_every_step();
        let mut first = Keeps { step: 5, ends: false, taken: None };
        fit(&mut trainer, &job, rank, &mut first);
        first.taken
    });
    let taken = taken[0].clone().expect("a checkpoint of step 5");
    let state = |name: &str| taken.now.tensors.iter().find(|t| t.name == name).unwrap();
    let moments = &state("optimizer.second").values;
    // Of each quarter of the parameters some have moved.
    for quarter in moments.chunks(moments.len().div_ceil(4)) {
        assert!(quarter.iter().any(|&x| x > 0.0));
    }
    for trained in job.run(1, BLOCKS, |_| own_cpu(), Some(&taken)) {
        assert!(trained.unwrap().0 == whole);
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
    let (_, mut job) = jobs().swap_remove(0);
    job.validation = None;
    let all = in_threads(2, |rank, ranks| {
        let mut trainer = job.trainer(cpu32(1).boxed(), ranks, BLOCKS).unwrap();
        fit(&mut trainer, &job, rank, &mut Halves(true));
        (trainer.weights().unwrap(), trainer.rates_by_hand().to_vec())
    });
    assert_eq!(all[0].1.len(), 1);
    assert!(all[0] == all[1]);
}

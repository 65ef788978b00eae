//! Ranks that don't train the same run, runs that can't be distributed, and ranks that fail.

use super::{BLOCKS, Job, in_threads, jobs};
use crate::common::{cpu32, random_classes};
use std::thread;
use wgrad::train::ranks::{Alone, Reduction, threads};
use wgrad::{Error, Optimizer};

/// The errors of two ranks that don't train the same.
fn refused(jobs: [Job; 2]) -> Vec<String> {
    in_threads(2, |rank, ranks| {
        let trainer = jobs[rank].trainer(cpu32(1).boxed(), ranks, BLOCKS);
        trainer.err().expect("refused").to_string()
    })
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
    for (errors, said) in [(rows, "different training rows"), (options, "different options")] {
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
    let odd = error(&|_| (), Reduction::Reproducible { blocks: 6 }).to_string();
    assert!(odd.contains("power of two"), "{odd}");
    let small = error(&|j| j.spec.micro_batch = Some(2), BLOCKS).to_string();
    assert!(small.contains("--reproducible=16"), "{small}");
    error(&|j| (j.spec.optimizer, j.spec.batch_size) = (Optimizer::Lbfgs, 77), BLOCKS);
    // More ranks than blocks.
    let two = Reduction::Reproducible { blocks: 2 };
    for trained in job.run(3, two, |_| cpu32(1).boxed(), None) {
        let error = trained.unwrap_err().to_string();
        assert!(
            error.contains("3 ranks are too many for 2 blocks") && error.contains("=4"),
            "{error}"
        );
    }
}

#[test]
fn a_rank_that_fails_ends_the_others() {
    let (_, job) = jobs().swap_remove(0);
    let mut ranks = threads(3);
    // Its ends of the channels go with it.
    drop(ranks.remove(1));
    thread::scope(|scope| {
        for ranks in ranks {
            scope.spawn(|| {
                let trainer = job.trainer(cpu32(1).boxed(), Box::new(ranks), BLOCKS);
                let error = trainer.err().expect("an error").to_string();
                assert!(error.contains("is gone"), "{error}");
            });
        }
    });
}

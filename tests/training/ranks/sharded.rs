//! Training rows split over ranks: each holds only some of them, and any number gives the bits of one.

use super::{BLOCKS, Job, Trained, in_threads, jobs, own_cpu};
use crate::common::cpu32;
use std::sync::Arc;
use wgrad::backend::session::LayerWeights;
use wgrad::data::{Preprocessing, StoredWriter};
use wgrad::net::spec::Norm;
use wgrad::train::event::{Flow, Observer, Progress};
use wgrad::train::ranks::{Ranks, Reduction, Shards, threads};
use wgrad::train::snapshot::Checkpoint;
use wgrad::{Optimizer, Result, Trainer};

impl Job {
    /// A trainer of a rank that has only the rows of its shards, in windows of two batches.
    fn sharded(
        &self,
        ranks: Box<dyn Ranks>,
        shards: usize,
        reduction: Reduction,
    ) -> Result<Trainer> {
        let place = [ranks.rank(), ranks.size()];
        let rows = self.training.rows();
        let shards = Shards::new(&self.spec, rows, shards, place)?;
        let mut writer = StoredWriter::create_for(shards.held())?;
        writer.append(&self.training)?;
        let set = Arc::new(writer.finish()?.expect("rows"));
        assert_eq!(set.held(), shards.held());
        let bytes = set.row_bytes() * shards.batch();
        let (none, memory) = (Preprocessing::none(&self.training), 16 * 2 * bytes as u64);
        let mut trainer = Trainer::sharded(&self.spec, set, shards, none, own_cpu(), memory)?;
        let ranks = match &self.buckets {
            Some(asked) => asked.wrap(ranks),
            None => ranks,
        };
        trainer.set_ranks(ranks, reduction)?;
        Ok(trainer)
    }

    fn trained(&self, size: usize, shards: usize, reduction: Reduction) -> Vec<LayerWeights> {
        let all: Vec<Trained> = in_threads(size, |_, ranks| {
            let mut trainer = self.sharded(ranks, shards, reduction).unwrap();
            let end = trainer.fit(self.validation.as_ref(), &mut ()).unwrap();
            (trainer.weights().unwrap(), end)
        });
        assert!(all.iter().all(|(weights, _)| *weights == all[0].0), "ranks differ");
        all.into_iter().next().unwrap().0
    }
}

#[test]
fn any_number_of_ranks_gives_the_bits_of_one_with_shards() {
    for (name, job) in jobs() {
        let expected = job.trained(1, 8, BLOCKS);
        for size in [2, 4, 8] {
            assert!(job.trained(size, 8, BLOCKS) == expected, "{name}, {size} ranks");
        }
        let whole = job.weights(1, BLOCKS);
        let takes_all = job.spec.batch_size == 77;
        assert!(takes_all || whole != expected, "{name}: the order of the rows is another one");
    }
}

#[test]
fn ranks_with_different_numbers_of_shards_give_the_same_bits() {
    for (name, job) in jobs().into_iter().take(12) {
        let expected = job.trained(1, 8, BLOCKS);
        for size in [3, 5] {
            assert!(job.trained(size, 8, BLOCKS) == expected, "{name}, {size} ranks");
        }
    }
}

/// Sums in buckets, and in the fastest order, which two ranks add in a single one.
#[test]
fn overlapping_sums_change_no_bit_of_shards() {
    for (name, mut job) in jobs().into_iter().take(8) {
        let reproducible = job.trained(2, 8, BLOCKS);
        let fastest = job.trained(2, 2, Reduction::Fastest);
        job.buckets = Some(super::overlap::Asked::at_least(1));
        assert!(job.trained(2, 8, BLOCKS) == reproducible, "{name}");
        assert!(job.trained(2, 2, Reduction::Fastest) == fastest, "{name}, in the fastest order");
    }
}

/// Ranks with several shards each take the same rows as one rank for each shard: the result differs only by rounding.
#[test]
fn fewer_ranks_than_shards_train_the_same_net_in_the_fastest_order() {
    let norm = |(_, job): &(&str, Job)| job.spec.net.layers[0].norm == Some(Norm::Batch);
    let (mut jobs, first) = (jobs(), jobs().swap_remove(0));
    jobs.retain(norm);
    for (name, mut job) in jobs.into_iter().chain([first]) {
        (job.spec.optimizer, job.spec.lr) = (Optimizer::Sgd, 0.1);
        let expected = job.trained(4, 4, Reduction::Fastest);
        let apart = |size: usize, shards: usize| {
            let found = job.trained(size, shards, Reduction::Fastest);
            let pairs = expected.iter().zip(&found);
            pairs
                .flat_map(|(a, b)| a.weight.data().iter().zip(b.weight.data()))
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max)
        };
        for size in [1, 2, 3] {
            assert!(apart(size, 4) < 1e-5, "{name}, {size} ranks: {}", apart(size, 4));
        }
        assert!(apart(2, 2) > 1e-4, "{name}: other shards give other batches");
    }
}

/// Ends a run after this many steps.
struct EndsAt(u64);

impl Observer for EndsAt {
    fn progress(&mut self, progress: &Progress) -> Flow {
        if progress.step >= self.0 { Flow::Interrupt } else { Flow::Continue }
    }
}

#[test]
fn another_number_of_ranks_goes_on_in_the_middle_of_an_epoch() {
    let (_, job) = jobs().swap_remove(0);
    let expected = job.trained(1, 8, BLOCKS);
    for step in [1, 3, 4, 6] {
        let mut parts: Vec<Checkpoint> = in_threads(2, |_, ranks| {
            let mut trainer = job.sharded(ranks, 8, BLOCKS).unwrap();
            trainer.ask_after_every_step();
            trainer.fit(job.validation.as_ref(), &mut EndsAt(step)).unwrap();
            trainer.checkpoint().unwrap()
        });
        let checkpoint = parts.swap_remove(0);
        assert_eq!(checkpoint.now.position.step, step);
        let all = in_threads(4, |_, ranks| {
            let mut trainer = job.sharded(ranks, 8, BLOCKS).unwrap().go_on(&checkpoint).unwrap();
            trainer.fit(job.validation.as_ref(), &mut ()).unwrap();
            trainer.weights().unwrap()
        });
        assert!(all.iter().all(|weights| *weights == expected), "from step {step}");
        // Another number of shards has other rows left in the epoch.
        let other = in_threads(1, |_, ranks| {
            let trainer = job.sharded(ranks, 4, Reduction::Fastest).unwrap();
            trainer.go_on(&checkpoint).err().expect("refused").to_string()
        });
        assert!(
            other[0].contains("shards: 8 in windows of 2 steps, not shards: 4"),
            "{}",
            other[0]
        );
        let whole = job.trainer(cpu32(1).boxed(), Box::new(wgrad::train::ranks::Alone), BLOCKS);
        let error = whole.unwrap().go_on(&checkpoint).err().expect("refused").to_string();
        assert!(error.contains("training data") || error.contains("not the default"), "{error}");
    }
}

#[test]
fn shards_that_fit_no_blocks_or_no_ranks_are_refused() {
    let (_, job) = jobs().swap_remove(0);
    let alone = |shards, reduction| {
        in_threads(1, |_, ranks| job.sharded(ranks, shards, reduction).err().unwrap().to_string())
            .swap_remove(0)
    };
    let error = alone(4, BLOCKS);
    assert!(error.contains("4 shards for 8 blocks"), "{error}");
    let error = alone(32, Reduction::Fastest);
    assert!(error.contains("--batch-size 32"), "{error}");
    let error = in_threads(3, |_, ranks| {
        job.sharded(ranks, 2, Reduction::Fastest).err().unwrap().to_string()
    });
    assert!(error[0].contains("3 ranks for 2 shards"), "{}", error[0]);
    // Without ranks, no step is taken on a part of the rows.
    let shards = Shards::new(&job.spec, 77, 2, [0, 2]).unwrap();
    let mut writer = StoredWriter::create_for(shards.held()).unwrap();
    writer.append(&job.training).unwrap();
    let set = Arc::new(writer.finish().unwrap().unwrap());
    let none = Preprocessing::none(&job.training);
    let trainer = Trainer::sharded(&job.spec, set, shards, none, own_cpu(), 1 << 20);
    let mut trainer = trainer.unwrap();
    let error = trainer.fit(None, &mut ()).unwrap_err().to_string();
    assert!(error.contains("without the ranks"), "{error}");
    // The rows of another rank.
    let mut ranks = threads(2);
    let error = trainer.set_ranks(Box::new(ranks.remove(1)), Reduction::Fastest).unwrap_err();
    assert!(error.to_string().contains("the rows of another rank"), "{error}");
}

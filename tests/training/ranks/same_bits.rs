//! Any number of ranks trains the model of one: with the same bits in blocks, else but for rounding.

use super::{BLOCKS, jobs, own_cpu};
use crate::common::{cpu32, gpu, largest, largest_error};
use wgrad::backend::session::{LayerWeights, NormWeights};
use wgrad::data::Preprocessing;
use wgrad::train::event::Ending;
use wgrad::train::ranks::Reduction;
use wgrad::{Optimizer, Trainer};

/// The weights of all products, one after the other.
fn products(weights: &[LayerWeights]) -> Vec<f64> {
    weights.iter().flat_map(|layer| layer.weight.data().iter().map(|&x| x.into())).collect()
}

#[test]
fn any_number_of_ranks_gives_the_bits_of_one() {
    for (name, job) in jobs() {
        let one = job.weights(1, BLOCKS);
        let values = products(&one);
        assert!(values.iter().all(|x: &f64| x.is_finite()) && largest(&values) > 0.0, "{name}");
        // A backend behind a lock reads and writes gradients, one of its own sums them where they lie.
        for size in [2, 3] {
            assert!(job.weights(size, BLOCKS) == one, "{name}, {size} ranks");
        }
        for size in [1, 2, 4, 8] {
            let found = job.weights_on(size, BLOCKS, |_| own_cpu());
            assert!(found == one, "{name}, {size} ranks in place");
        }
    }
}

#[test]
fn other_blocks_are_another_rounding_of_the_same_model() {
    let (_, job) = jobs().swap_remove(0);
    let eight = products(&job.weights(2, BLOCKS));
    let plain = {
        let none = Preprocessing::none(&job.training);
        let backend = cpu32(1).boxed();
        let mut trainer = Trainer::new(&job.spec, &job.training, none, backend).unwrap();
        trainer.fit(job.validation.as_ref(), &mut ()).unwrap();
        products(&trainer.weights().unwrap())
    };
    let sixteen = Reduction::Reproducible { blocks: 16 };
    let others = [
        products(&job.weights(4, sixteen)),
        products(&job.weights(1, Reduction::Reproducible { blocks: 1 })),
        products(&job.weights(2, Reduction::Fastest)),
        products(&job.weights(3, Reduction::Fastest)),
        products(&job.weights_on(3, Reduction::Fastest, |_| own_cpu())),
        products(&job.weights_on(4, Reduction::Fastest, |_| own_cpu())),
        plain.clone(),
    ];
    for other in &others {
        let error = largest_error(other, &eight);
        assert!(error < 1e-4, "{error}");
    }
    assert!(others[0] != eight, "the blocks must matter here");
    assert!(others[1] == plain, "one block is the whole batch");
}

/// Statistics of batch normalization are those of the whole batch: several ranks train the net of one process.
#[test]
fn batch_normalization_over_ranks_is_that_of_one_process() {
    for (name, mut job) in jobs().into_iter().filter(|(name, _)| name.starts_with("batch norm")) {
        // By Adam, biases before a normalization follow the sign of what rounding leaves of their gradients.
        (job.spec.optimizer, job.spec.lr) = (Optimizer::Sgd, 0.1);
        let none = Preprocessing::none(&job.training);
        let mut trainer = Trainer::new(&job.spec, &job.training, none, cpu32(1).boxed()).unwrap();
        let before = trainer.weights().unwrap();
        trainer.fit(job.validation.as_ref(), &mut ()).unwrap();
        let values = |weights: &[LayerWeights]| -> Vec<f64> {
            let norms = weights.iter().filter_map(|layer| layer.norm.as_ref());
            let of_norm = |norm: &NormWeights| {
                let running = norm.running.iter().flatten().flatten();
                norm.scale.iter().chain(&norm.shift).chain(running).copied().collect::<Vec<f32>>()
            };
            let weights = weights.iter().flat_map(|layer| layer.weight.data().to_vec());
            weights.chain(norms.flat_map(of_norm)).map(f64::from).collect()
        };
        let plain = values(&trainer.weights().unwrap());
        assert!(largest_error(&values(&before), &plain) > 0.01, "{name}: it learns");
        let several = [BLOCKS, Reduction::Fastest, Reduction::Reproducible { blocks: 2 }];
        for (i, reduction) in several.into_iter().enumerate() {
            for size in [1, 2, 3 - i / 2] {
                let found = values(&job.weights(size, reduction));
                let error = largest_error(&found, &plain);
                assert!(error < 1e-4, "{name}, {size} ranks, {reduction:?}: {error}");
            }
        }
    }
}

/// The bits of a GPU, too, whose ranks share one.
#[test]
fn ranks_on_a_gpu_give_the_bits_of_one() {
    let Some(_) = gpu("ranks") else { return };
    let names =
        ["adam", "dropout", "weights of rows", "layers that aren't whole in one op", "batch norm"];
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
        let error = largest_error(&products(&alone), &products(&weights));
        assert!(error < 1e-4, "{error}");
    }
}

/// Micro-batches of a rank's share add up to it where the order is free.
#[test]
fn shares_may_go_in_micro_batches() {
    let (_, mut job) = jobs().swap_remove(0);
    let whole = job.weights(2, Reduction::Fastest);
    job.spec.micro_batch = Some(5);
    let halves = job.weights(2, Reduction::Fastest);
    let error = largest_error(&products(&whole), &products(&halves));
    assert!(error < 1e-4, "{error}");
}

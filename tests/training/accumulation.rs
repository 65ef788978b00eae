//! Gradients accumulated over micro-batches are those of the whole batch.

use crate::common::{Shared, cpu32, cpu64, gpu, largest, largest_error, random_data};
use crate::forward::forward;
use std::sync::Arc;
use wgrad::backend::{Backend, Pending};
use wgrad::base::error::Error;
use wgrad::data::{Dataset, Preprocessing};
use wgrad::math::activation::Activation;
use wgrad::math::loss::Loss;
use wgrad::math::optim::Optimizer;
use wgrad::net::spec::{Net, Norm, Spec};
use wgrad::plan::program::Program;
use wgrad::proof::parity::{FACTOR, FLOOR};
use wgrad::train::trainer::Trainer;

const ROWS: usize = 600;
const BATCH: usize = 256;

fn spec() -> Spec {
    let net = Net::new(20)
        .layer(30, Activation::Tanh)
        .layer(17, Activation::Silu)
        .layer(5, Activation::Identity)
        .norm(Some(Norm::Layer))
        .dropout(0.25);
    let mut spec =
        Spec::new(net, Loss::SquaredError).optimizer(Optimizer::Momentum { momentum: 0.9 });
    (spec.batch_size, spec.epochs, spec.lr) = (BATCH, 2, 0.05);
    spec
}

fn data() -> Dataset {
    random_data(Loss::SquaredError, ROWS, 20, 5, 4)
}

/// The weights after two epochs, whose last batches have fewer rows.
fn train(backend: Box<dyn Backend>, micro_batch: Option<usize>) -> (Vec<Vec<f64>>, Spec) {
    train_as(spec(), backend, micro_batch)
}

fn train_as(
    spec: Spec,
    backend: Box<dyn Backend>,
    micro_batch: Option<usize>,
) -> (Vec<Vec<f64>>, Spec) {
    let (spec, data) = (Spec { micro_batch, ..spec }, data());
    let mut trainer = Trainer::new(&spec, &data, Preprocessing::none(&data), backend).unwrap();
    trainer.fit(None, &mut ()).unwrap();
    let double = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect();
    let weights = trainer.weights().unwrap();
    (weights.iter().map(|layer| double(layer.weight.data())).collect(), trainer.spec().clone())
}

#[test]
fn micro_batches_of_any_size_train_as_the_whole_batch() {
    let (exact, _) = train(cpu64(1).boxed(), None);
    let (single, _) = train(cpu32(1).boxed(), None);
    let on = |name: &str, device: Shared| {
        for micro_batch in [1, 7, 64, 255, 256, 1000] {
            let (found, _) = train(device.boxed(), Some(micro_batch));
            for (l, ((found, single), exact)) in found.iter().zip(&single).zip(&exact).enumerate() {
                let allowed = FACTOR * largest_error(single, exact) + FLOOR * largest(exact);
                let error = largest_error(found, exact);
                assert!(error <= allowed, "{name}, {micro_batch}, layer {l}: {error} > {allowed}");
            }
        }
    };
    on("cpu", cpu32(2));
    if let Some(device) = gpu("micro-batches") {
        on("gpu", device);
    }
}

/// The mixing of the rows of a pair affects the weights: pairs must not be separated.
#[test]
fn micro_batches_of_even_size_have_the_pairs_of_the_whole_batch() {
    let mixed = || Spec { mixup: Some(0.5), ..spec() };
    let [(exact, _), (single, _)] =
        [cpu64(1), cpu32(1)].map(|b| train_as(mixed(), b.boxed(), None));
    let (alone, _) = train(cpu64(1).boxed(), None);
    assert!(largest_error(&alone[0], &exact[0]) > 1e-3 * largest(&exact[0]));
    for micro_batch in [2, 64, 250] {
        let (found, _) = train_as(mixed(), cpu32(2).boxed(), Some(micro_batch));
        for ((found, single), exact) in found.iter().zip(&single).zip(&exact) {
            let allowed = FACTOR * largest_error(single, exact) + FLOOR * largest(exact);
            assert!(largest_error(found, exact) <= allowed, "{micro_batch}");
        }
    }
    let odd = Spec { micro_batch: Some(7), ..mixed() };
    assert!(odd.check().unwrap_err().to_string().contains("choose an even number"));
}

#[test]
fn parts_without_meaning_are_refused() {
    let alone = Spec { batch_size: 1, net: spec().net.norm(Some(Norm::Batch)), ..spec() };
    assert!(alone.check().unwrap_err().to_string().contains("no variance"));
    let batch_norm =
        Spec { micro_batch: Some(64), net: spec().net.norm(Some(Norm::Batch)), ..spec() };
    assert!(batch_norm.check().unwrap_err().to_string().contains("--norm layer"));
    assert!(Spec { micro_batch: Some(0), ..spec() }.check().is_err());
}

/// A device with memory for programs of up to `bytes` bytes.
struct Small(Box<dyn Backend>, u64);

impl Backend for Small {
    forward!(0: info upload forget write run read);
    fn load(&mut self, program: Arc<Program>) -> Pending<'_> {
        Box::pin(async move {
            match program.bytes(4) > self.1 {
                true => Err(Error::device("out of memory")),
                false => self.0.load(program).await,
            }
        })
    }
}

#[test]
fn a_batch_that_does_not_fit_the_device_goes_in_parts() {
    let whole = wgrad::plan::plain(&spec(), BATCH, wgrad::plan::Purpose::Train).program.bytes(4);
    let (_, at_ease) = train(Box::new(Small(cpu32(1).boxed(), whole)), None);
    assert_eq!(at_ease.micro_batch, None);
    // Evaluation takes up to 256 rows too; no smaller program is asked for than that needs.
    let (data, mut large) = (random_data(Loss::SquaredError, 4096, 20, 5, 4), spec());
    large.batch_size = 4096;
    let backend = Box::new(Small(cpu32(1).boxed(), 4 * whole));
    let none = Preprocessing::none(&data);
    let mut trainer = Trainer::new(&large, &data, none.clone(), backend).unwrap();
    let rows = trainer.spec().micro_batch.unwrap();
    assert!((256..=1024).contains(&rows), "{rows}");
    assert!(trainer.fit(None, &mut ()).unwrap().steps == 2);

    // Of mixed rows in even parts.
    (large.batch_size, large.mixup) = (2049, Some(1.0));
    let backend = Box::new(Small(cpu32(1).boxed(), 4 * whole));
    let trainer = Trainer::new(&large, &data, none.clone(), backend).unwrap();
    assert!(trainer.spec().micro_batch.is_some_and(|rows| rows.is_multiple_of(2)));
    large.mixup = None;

    let tiny = Box::new(Small(cpu32(1).boxed(), 1000));
    let refused = Trainer::new(&large, &data, none, tiny).err().unwrap();
    assert!(refused.to_string().contains("out of memory"), "{refused}");
}

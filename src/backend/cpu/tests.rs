//! Steps shared out among threads, in every way that there is, though they are small enough for one:
//! the threads change no bit.

use super::*;
use crate::base::wait::BlockOn as _;
use crate::data::{Affine, Features, Targets};
use crate::math::activation::Activation;
use crate::math::embedding::Embedding;
use crate::math::loss::Loss;
use crate::math::matrix::Matrix;
use crate::math::optim::Optimizer;
use crate::math::random::{Permutation, Random, Stream};
use crate::net::spec::{Net, Norm, PlanKind, Spec};
use crate::plan::{self, Plan, Purpose};

fn samples(net: &Net, rows: usize) -> Samples {
    let mut random = Random::new(8, Stream::Check, 0);
    let tables = net.embeddings.len();
    let features = Matrix::from_fn(rows, net.inputs, |row, col| match col + tables < net.inputs {
        true => random.normal() as f32,
        false => (row * 7 % 11) as f32,
    });
    let targets = Matrix::from_fn(rows, net.outputs(), |_, _| (random.normal() as f32).into());
    Samples {
        affine: Affine::identity(net.inputs),
        features: Arc::new(Features::F32(features)),
        targets: Some(Targets::Numbers(targets)),
        weights: None,
    }
}

/// The bits of all parameters after two steps.
fn trained(spec: &Spec, plan: &Plan, threads: usize) -> Vec<u32> {
    let rows = plan.program.batch;
    let mut cpu = Cpu::<f32>::new(Some(threads)).unwrap();
    cpu.worth_a_team = 0.0;
    cpu.load(Arc::new(plan.program.clone())).block_on().unwrap();
    let mut random = Random::new(9, Stream::Check, 0);
    let len = plan.program.len(plan.parameters);
    let drawn: Vec<f32> = (0..len).map(|_| 0.3 * random.normal() as f32).collect();
    cpu.write(plan.parameters, Values::F32(&drawn)).block_on().unwrap();
    let data = cpu.upload(Arc::new(samples(&spec.net, rows))).block_on().unwrap();
    let order = Permutation::new(rows as u32, Some([1, 2])).words();
    let step = Step { rows: rows as u32, order, lr: 0.1, reduction_factor: 0.1, ..Step::default() };
    let steps = [0, 1].map(|t| {
        let corrections = spec.optimizer.corrections(u64::from(t) + 1);
        Step { corrections, t, ..step }
    });
    cpu.run(plan.program.routines.step.clone(), data, &steps).block_on().unwrap();
    let mut after = vec![0.0; len];
    cpu.read(plan.parameters, ValuesMut::F32(&mut after)).block_on().unwrap();
    assert!(after.iter().all(|x| x.is_finite()) && after != drawn, "no step was taken");
    after.iter().map(|x| x.to_bits()).collect()
}

fn is_the_same_with_more_threads(spec: &Spec, plan: &Plan) {
    let alone = trained(spec, plan, 1);
    for threads in [2, 3] {
        assert!(alone == trained(spec, plan, threads), "{threads} threads");
    }
}

fn tanh(inputs: usize, hidden: &[usize]) -> Net {
    let net = hidden.iter().fold(Net::new(inputs), |net, &n| net.layer(n, Activation::Tanh));
    net.layer(2, Activation::Identity)
}

fn spec(net: Net) -> Spec {
    Spec::new(net, Loss::SquaredError)
}

fn planned(spec: &Spec, batch: usize) -> Plan {
    plan::plan(spec, batch, Purpose::Train, Traits::Cpu)
}

/// What the fused op and its caches do for this program.
fn ways(plan: &Plan) -> (bool, bool, bool) {
    let program = &plan.program;
    let partial = Partial::<f32>::new(program).is_some();
    let packed = Packed::<f32>::new(program, !partial);
    (partial, Inputs::<f32>::new(program, 2).is_some(), packed.is_in_place(plan.layers[0].weight))
}

#[test]
#[cfg_attr(miri, ignore = "too long: 33,000 weights")]
fn threads_share_a_step_by_units() {
    // Weights of the first layer that lie packed, a large second layer, the last one by rows.
    let net = Net::new(5)
        .layer(128, Activation::Relu)
        .layer(130, Activation::Tanh)
        .layer(2, Activation::Identity);
    let spec = spec(net).optimizer(Optimizer::Momentum { momentum: 0.9 });
    let plan = planned(&spec, 3);
    assert_eq!(ways(&plan), (false, true, true));
    is_the_same_with_more_threads(&spec, &plan);
}

#[test]
fn threads_share_a_step_by_rows() {
    // Units that fill no vector of any processor, so that no weights lie packed.
    let spec = spec(tanh(3, &[7, 5]));
    let plan = planned(&spec, 70);
    assert_eq!(ways(&plan), (false, false, false));
    is_the_same_with_more_threads(&spec, &plan);
}

#[test]
#[cfg_attr(miri, ignore = "too long: 512 rows")]
fn threads_share_a_long_batch_by_chunks() {
    let spec = spec(tanh(6, &[8]));
    let plan = planned(&spec, 512);
    assert!(ways(&plan).0);
    is_the_same_with_more_threads(&spec, &plan);
}

#[test]
#[cfg_attr(miri, ignore = "too long: embeddings of 300 values")]
fn threads_share_the_ops_of_a_plain_step() {
    let embedded = Net::new(4).embed(vec![Embedding::new(11, 3), Embedding::new(300, 2)]);
    let net = embedded.layer(7, Activation::Gelu).layer(2, Activation::Identity);
    let spec = Spec { plan: PlanKind::Plain, max_norm: Some(1.0), ..spec(net) };
    is_the_same_with_more_threads(&spec, &planned(&spec, 130));
    let net = Net { input_dropout: 0.3, ..tanh(3, &[9]).norm(Some(Norm::Batch)) };
    let spec = Spec { net, ..spec }.optimizer(Optimizer::ALL[4]);
    is_the_same_with_more_threads(&spec, &planned(&spec, 30));
}

#[test]
fn threads_share_the_ops_of_a_step_of_fused_layers() {
    let spec = spec(tanh(5, &[66, 4]));
    is_the_same_with_more_threads(&spec, &plan::plan(&spec, 140, Purpose::Train, Traits::LAYERS));
}

/// Features of a net with three hidden layers of equal width.
fn featured(net: &Net) -> Vec<Spec> {
    let inputs = net.inputs;
    let tables = vec![Embedding::new(11, 3), Embedding::new(300, 2)];
    let deep = net.clone().norm(Some(Norm::Layer)).residual(1).dropout(0.3);
    let by_name = |name: &str| Optimizer::ALL.into_iter().find(|o| o.name() == name).unwrap();
    let mut clipped = spec(net.clone());
    clipped.edits.clip_global_norm = Some(0.1);
    let mut edited = Spec { micro_batch: Some(1), ..spec(net.clone()) };
    (edited.edits.l1, edited.edits.clip_value) = (0.1, Some(0.1));
    let embedded = Net { inputs: inputs + 2, ..net.clone() }.embed(tables);
    vec![
        clipped,
        edited.optimizer(Optimizer::Momentum { momentum: 0.9 }),
        spec(net.clone()).optimizer(by_name("lamb")),
        Spec { mixup: Some(0.4), ..spec(embedded.clone()) },
        spec(Net { input_dropout: 0.2, ..embedded.norm(Some(Norm::Layer)) }),
        spec(deep),
        spec(net.clone().norm(Some(Norm::Batch)).residual(2)),
    ]
}

#[test]
#[cfg_attr(miri, ignore = "too long: 21 steps")]
fn threads_share_a_step_with_features() {
    // By units, with layers that have more weights than are shared by rows; by rows; by chunks.
    for (units, batch) in [(136, 6), (8, 70), (8, 512)] {
        for spec in featured(&tanh(6, &[units; 3])) {
            is_the_same_with_more_threads(&spec, &planned(&spec, batch));
        }
    }
}

#[test]
fn what_needs_all_rows_is_not_added_up_by_chunks() {
    let net = tanh(6, &[8]);
    let of = |net: Net| ways(&planned(&spec(net), 512)).0;
    assert!(of(net.clone()) && of(net.clone().norm(Some(Norm::Layer))));
    assert!(!of(net.clone().norm(Some(Norm::Batch))));
    assert!(!of(Net { inputs: 7, ..net }.embed(vec![Embedding::new(5, 2)])));
}

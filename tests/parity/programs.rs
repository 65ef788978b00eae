//! Whole programs of nets, replayed op by op.

use super::case::{gpu, has_few_shapes, random, rounds, size};
use super::forward::forward;
use rand::RngExt;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::{Backend, Pending, ValuesMut};
use wgrad::data::{Dataset, Features, Targets};
use wgrad::kernels::tensor::TensorId;
use wgrad::math::activation::Activation;
use wgrad::math::loss::Loss;
use wgrad::math::matrix::Matrix;
use wgrad::math::optim::Optimizer;
use wgrad::net::spec::{Bias, Layer, Net, Norm, Spec, Units};
use wgrad::plan::{self, Purpose};

/// Whole programs of nets drawn at random, replayed op by op.
#[test]
fn steps_of_random_nets_agree_op_by_op() {
    let mut random = random(10);
    // Of the few, the second has batch normalization and the third layer normalization.
    for round in rounds(14, &[3, 10, 11]) {
        let Some(device) = gpu("steps of random nets") else { return };
        let (rows, cols, classes) =
            (20 + size(&mut random), size(&mut random), 2 + size(&mut random) / 8);
        let mut net = Net::new(cols);
        for _ in 0..random.random_range(0..3) {
            let units = size(&mut random);
            let activation = Activation::ALL[random.random_range(0..18)];
            net.layers.push(Layer::new(units, activation));
        }
        let softmax = round % 2 == 0;
        net.layers.push(Layer::new(
            classes,
            if softmax { Units::Softmax } else { Activation::Identity.into() },
        ));
        net = net.bias(Bias::ALL[round % 3]);
        if round >= 8 {
            // Three more hidden layers of one width, in residual blocks.
            let width = size(&mut random);
            let block = (0..3).map(|_| Layer::new(width, Activation::Tanh));
            net.layers.splice(0..0, block);
            net = net
                .norm([None, Some(Norm::Batch), Some(Norm::Layer)][round % 3])
                .dropout([0.0, 0.25][round % 2]);
            net.layers[1].skip = 1;
            net.layers[2].skip = 2 - round % 2;
        }
        let loss = if softmax { Loss::CrossEntropyProbabilities } else { Loss::CrossEntropy };
        let mut spec = Spec::new(net, loss).optimizer(Optimizer::ALL[round % 5]);
        spec.batch_size = random.random_range(1..rows);
        spec.seed = round as u64;
        spec.mixup = (round % 4 == 3).then_some(1.0);
        let features = Features::F32(Matrix::from_fn(rows, cols, |_, _| random.normal() as f32));
        let labels = (0..rows).map(|_| random.random_range(0..classes as u32)).collect();
        let names = (0..classes).map(|c| c.to_string()).collect();
        let data = Dataset::new("random", features, Targets::Classes { labels, names }).unwrap();
        let preprocessing = wgrad::data::Preprocessing::none(&data);
        let report = wgrad::proof::parity::verify(&spec, &preprocessing, &data, device).unwrap();
        let failed: Vec<_> = report.ops.iter().filter(|op| !op.passed).collect();
        assert!(report.passed, "{spec:?}\n{failed:#?}");
    }
}

/// The fused program of a small net is replayed too, tensor by tensor.
#[test]
fn fused_steps_agree_tensor_by_tensor() {
    let data = wgrad::data::digits();
    let preprocessing = wgrad::data::Preprocessing::fit(&data, wgrad::data::Scaling::Minmax);
    let rules = Optimizer::ALL.into_iter().filter(|o| o.is_element_wise());
    let rules = rules.take(if has_few_shapes() { 1 } else { usize::MAX });
    for (round, optimizer) in rules.enumerate() {
        let Some(device) = gpu("fused steps") else { return };
        let last = [Units::Softmax, Activation::Identity.into()][round % 2].clone();
        let loss = [Loss::SquaredError, Loss::CrossEntropy][round % 2];
        let net =
            Net::new(64).layer(70, Activation::Relu).layer(33, Activation::Gelu).layer(10, last);
        let mut spec = Spec::new(net.bias(Bias::ALL[round % 3]), loss).optimizer(optimizer);
        spec.batch_size = 50;
        let report = wgrad::proof::parity::verify(&spec, &preprocessing, &data, device).unwrap();
        let failed: Vec<_> = report.ops.iter().filter(|op| !op.passed).collect();
        assert!(report.passed, "{failed:#?}");
        assert!(report.ops.iter().any(|op| op.op.starts_with("gradient + update")));
    }
}

/// In the fused plan of small nets and in that of fused layers of larger ones.
#[test]
fn every_loss_keeps_the_rule_in_every_plan() {
    let mut random = random(13);
    for (units, is_whole) in [(12, true), (450, false)] {
        for loss in Loss::ALL {
            if has_few_shapes() && loss != Loss::CrossEntropy {
                continue;
            }
            let Some(device) = gpu("losses in every plan") else { return };
            let (rows, targets) = (61, 5);
            let last = match loss {
                Loss::CrossEntropyProbabilities => Units::Softmax,
                _ => Activation::Identity.into(),
            };
            let net = Net::new(6)
                .layer(units, Activation::Tanh)
                .layer(units, Activation::Silu)
                .layer(loss.outputs(targets), last);
            let mut spec = Spec::new(net, loss);
            spec.batch_size = 40;
            spec.label_smoothing = if loss.takes_smoothing() { 0.1 } else { 0.0 };
            let features = Features::F32(Matrix::from_fn(rows, 6, |_, _| random.normal() as f32));
            let numbers = Matrix::from_fn(rows, targets, |_, _| random.uniform() as f32);
            let data = Dataset::new("random", features, Targets::from(numbers)).unwrap();
            let plan = plan::plan(&spec, spec.batch_size, Purpose::Train, device.traits());
            assert_eq!(plan.has_whole_net(), is_whole);
            let preprocessing = wgrad::data::Preprocessing::none(&data);
            let report =
                wgrad::proof::parity::verify(&spec, &preprocessing, &data, device).unwrap();
            let failed: Vec<_> = report.ops.iter().filter(|op| !op.passed).collect();
            assert!(report.passed, "{}: {failed:#?}", spec.objective);
        }
    }
}

/// A device that computes NaN anywhere must not pass.
#[test]
fn a_device_that_gives_nan_fails_the_comparison() {
    struct Broken(Cpu<f32>);
    impl Backend for Broken {
        forward!(0: info load upload forget write run);
        fn read<'a>(&'a mut self, tensor: TensorId, mut values: ValuesMut<'a>) -> Pending<'a> {
            Box::pin(async move {
                if let ValuesMut::F64(values) = &mut values {
                    self.0.read(tensor, ValuesMut::F64(values)).await?;
                    // All but the last element: the worst that a maximum may forget.
                    let last = values.len() - 1;
                    values[..last].fill(f64::NAN);
                }
                Ok(())
            })
        }
    }
    let data = wgrad::data::digits();
    let net = Net::new(64).layer(8, Activation::Tanh).layer(10, Activation::Identity);
    let spec = Spec::new(net, Loss::CrossEntropy);
    let preprocessing = wgrad::data::Preprocessing::none(&data);
    let broken = Box::new(Broken(Cpu::new(Some(1)).unwrap()));
    let report = wgrad::proof::parity::verify(&spec, &preprocessing, &data, broken).unwrap();
    let failed = report.ops.iter().filter(|op| !op.passed).count();
    assert!(!report.passed && 2 * failed > report.ops.len(), "{report:#?}");
}

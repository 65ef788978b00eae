//! Products that fused layers split along the inner dimension: the same numbers as unsplit ones, the
//! same bits where that is guaranteed, and no additional launch.

use crate::common::{
    Shared, cpu64, first_rows, gpu, largest_error, random_data, random_weights, unscaled,
};
use pollster::FutureExt as _;
use wgrad::backend::Backend;
use wgrad::kernels::Step;
use wgrad::net::spec::{Bias, Layer, Net, Spec};
use wgrad::plan::program::Op;
use wgrad::plan::{self, Plan, Purpose, Traits};
use wgrad::proof::parity::Replay;
use wgrad::{Activation, Loss, Optimizer};

/// A net of these widths with tanh in between.
fn spec(widths: &[usize], output: Activation, bias: Bias, batch: usize) -> Spec {
    let mut net = Net::new(widths[0]);
    for &units in &widths[1..widths.len() - 1] {
        net.layers.push(Layer::new(units, Activation::Tanh));
    }
    net.layers.push(Layer::new(widths[widths.len() - 1], output));
    let mut spec = Spec::new(net.bias(bias), Loss::SquaredError)
        .optimizer(Optimizer::Momentum { momentum: 0.9 });
    spec.batch_size = batch;
    spec
}

/// A last layer whose sums are split into nine segments.
fn narrow(output: Activation, bias: Bias) -> Spec {
    spec(&[9, 17, 521, 3], output, bias, 70)
}

/// Updates that are split: a batch of four parts.
fn long() -> Spec {
    spec(&[12, 40, 33, 3], Activation::Identity, Bias::ALL[0], 1100)
}

fn plan_of(spec: &Spec) -> Plan {
    plan::plan(spec, spec.batch_size, Purpose::Train, Traits::LAYERS)
}

/// A full batch, a ragged one and a single row.
fn steps(spec: &Spec) -> Vec<Step> {
    let rows = [spec.batch_size, 7 * spec.batch_size / 10, 1];
    rows.map(|rows| first_rows(spec, rows)).to_vec()
}

/// All parameters after some steps, and the sums of losses and scores.
fn run(backend: &mut Shared, spec: &Spec, plan: &Plan) -> Vec<f64> {
    let data = random_data(Loss::SquaredError, spec.batch_size, spec.net.inputs, 3, 1);
    let data = backend.start(&plan.program, &unscaled(&data));
    backend.set_weights(plan, &random_weights(spec));
    backend.run(plan.program.routines.step.clone(), data, &steps(spec)).block_on().unwrap();
    let layers = plan.layers.iter().flat_map(|l| [Some(l.weight), l.bias]).flatten();
    layers.chain([plan.sums]).flat_map(|t| backend.get(&plan.program, t, 0)).collect()
}

#[test]
fn cut_programs_have_the_launches_that_they_are_to_have() {
    for (spec, cut) in [(narrow(Activation::Tanh, Bias::ALL[0]), true), (long(), false)] {
        let plan = plan_of(&spec);
        let step = &plan.program.ops[plan.program.routines.step.clone()];
        assert_eq!(step.len(), 2 * spec.net.layers.len() + 2);
        let dense = |op: &Op| matches!(op, Op::Dense(dense) if dense.partial_sums.is_some());
        assert_eq!(step.iter().any(dense), cut);
        let parts = plan.program.find("gradients.parts");
        assert_eq!(parts.is_some(), !cut);
        if let Some(parts) = parts {
            assert_eq!(plan.program.len(parts), 4 * plan.program.len(plan.parameters));
        }
    }
    // If products fill the device, or sums are short, nothing is split.
    let whole = plan_of(&spec(&[64, 512, 512, 10], Activation::Identity, Bias::ALL[0], 8192));
    assert_eq!(whole.program.find("gradients.parts"), None);
    let short = plan_of(&spec(&[9, 17, 200, 3], Activation::Identity, Bias::ALL[0], 70));
    assert!(!short.program.tensors.iter().any(|t| t.name.ends_with(".partial_sums")));
}

#[test]
fn cut_programs_give_the_numbers_of_the_plain_one() {
    let mut specs = vec![long()];
    for (i, output) in [Activation::Identity, Activation::Tanh, Activation::Relu].iter().enumerate()
    {
        specs.push(narrow(*output, Bias::ALL[i % 3]));
    }
    for spec in specs {
        let plain = plan::plain(&spec, spec.batch_size, Purpose::Train);
        let (whole, cut) =
            (run(&mut cpu64(2), &spec, &plain), run(&mut cpu64(2), &spec, &plan_of(&spec)));
        assert!(largest_error(&cut, &whole) < 1e-10, "{}", largest_error(&cut, &whole));
    }
}

#[test]
fn cut_ops_keep_the_parity_rule_and_repeat_bit_by_bit() {
    for spec in [narrow(Activation::Tanh, Bias::ALL[1]), long()] {
        let Some(mut device) = gpu("cut products") else { return };
        let plan = plan_of(&spec);
        let first = run(&mut device, &spec, &plan);
        assert!(run(&mut device, &spec, &plan) == first, "the same seed gives the same bits");
        let data = random_data(Loss::SquaredError, spec.batch_size, spec.net.inputs, 3, 1);
        let mut replay =
            Replay::new(plan.program.clone(), unscaled(&data), device.boxed()).unwrap();
        for step in steps(&spec) {
            replay.set_weights(&plan, &random_weights(&spec));
            let reports = replay.run(&step).unwrap();
            let failed: Vec<_> = reports.iter().filter(|report| !report.passed).collect();
            assert!(!reports.is_empty() && failed.is_empty(), "{failed:#?}");
        }
    }
}

/// Predictions come from the whole product.
#[test]
fn cutting_the_last_layer_changes_no_bit_of_its_outputs() {
    let Some(mut device) = gpu("a cut last layer") else { return };
    for bias in Bias::ALL {
        let spec = narrow(Activation::Identity, bias);
        let plan = plan_of(&spec);
        let data = random_data(Loss::SquaredError, spec.batch_size, spec.net.inputs, 3, 1);
        let data = device.start(&plan.program, &unscaled(&data));
        device.set_weights(&plan, &random_weights(&spec));
        let mut outputs = |ops: std::ops::Range<usize>| {
            device.run(ops, data, &[first_rows(&spec, 70)]).block_on().unwrap();
            device.get(&plan.program, plan.output, 70)
        };
        let routines = &plan.program.routines;
        let whole = outputs(routines.predict.clone());
        assert!(whole.iter().all(|&y| y != 0.0));
        // The layers and the loss.
        let forward = routines.step.start..routines.step.start + spec.net.layers.len() + 1;
        assert!(outputs(forward) == whole);
    }
}

use super::*;
use crate::math::activation::Activation;
use crate::math::loss::Loss;
use crate::net::spec::{Layer, Net, Spec, Units};
use crate::plan::{Purpose, plan};

fn net(widths: &[usize], hidden: Activation, last: impl Into<Units>) -> Net {
    let mut net = Net::new(widths[0]);
    let (last_width, between) = widths[1..].split_last().unwrap();
    for &n in between {
        net.layers.push(Layer::new(n, hidden));
    }
    net.layers.push(Layer::new(*last_width, last));
    net
}

/// The ops of a step by their names.
fn step(plan: &Plan) -> Vec<String> {
    let p = &plan.program;
    let ops = p.ops[p.routines.step.clone()].iter();
    ops.map(|op| p.describe(op)).collect()
}

/// The step as described in DESIGN.md.
#[test]
fn a_step_of_plain_layers_is_two_ops_for_each() {
    let spec = Spec::new(
        net(&[13, 512, 256, 1], Activation::Tanh, Activation::Identity),
        Loss::SquaredError,
    );
    let plan = plan(&spec, 256, Purpose::Train, Traits::LAYERS);
    let expected = [
        "dense                layers.0.a (B, 512) = tanh of gathered input (B, 13) · layers.0.weight (512, 13)ᵀ + layers.0.bias (1, 512)",
        "dense                layers.1.a (B, 256) = tanh of layers.0.a (B, 512) · layers.1.weight (256, 512)ᵀ + layers.1.bias (1, 256)",
        "dense                layers.2.z (B, 1) = identity of layers.1.a (B, 256) · layers.2.weight (1, 256)ᵀ + layers.2.bias (1, 1)",
        "output               layers.2.delta (B, 1), scores (B, 4) = squared-error at layers.2.z (B, 1)",
        "accumulate           sums (1, 4) += Σ scores (B, 4)",
        "backward             layers.1.delta (B, 256) = layers.2.delta (B, 1) · layers.2.weight (1, 256) ⊙ tanh′(layers.1.z (B, 256))",
        "backward             layers.0.delta (B, 512) = layers.1.delta (B, 256) · layers.1.weight (256, 512) ⊙ tanh′(layers.0.z (B, 512)); layers.2.weight (1, 256) by adam",
        "backward             layers.1.weight (256, 512) by adam; layers.0.weight (512, 13) by adam",
    ];
    let found = step(&plan);
    assert_eq!(found, expected);
}

/// A rule that can't fire says why.
#[test]
fn verdicts_name_what_stood_in_the_way() {
    let base = || net(&[64, 32, 32, 10], Activation::Tanh, Activation::Identity);
    let verdicts = |change: &dyn Fn(&mut Spec)| {
        let mut spec = Spec::new(base(), Loss::CrossEntropy);
        change(&mut spec);
        plan(&spec, 16, Purpose::Train, Traits::LAYERS).rules
    };
    let refused = |verdicts: &[Verdict], rule: &str| {
        verdicts.iter().find(|v| v.rule == rule && v.refused.is_some()).and_then(|v| v.refused)
    };
    let fired = |verdicts: &[Verdict], rule: &str| {
        verdicts.iter().find(|v| v.rule == rule && v.refused.is_none()).map_or(0, |v| v.times)
    };
    let none = verdicts(&|_| ());
    assert_eq!(fired(&none, "dense"), 3);
    assert_eq!(fired(&none, "δ"), 2);
    assert_eq!(fired(&none, "updates"), 1);
    assert_eq!(refused(&none, "gather"), None);
    let dropped = verdicts(&|s| s.net.input_dropout = 0.2);
    assert_eq!(refused(&dropped, "gather"), Some("X is changed before the first layer"));
    let mixed_up = verdicts(&|s| s.mixup = Some(0.2));
    assert_eq!(refused(&mixed_up, "output"), Some("T is changed before the loss"));
    let clipped = verdicts(&|s| s.edits.clip_global_norm = Some(1.0));
    assert_eq!(refused(&clipped, "updates"), Some("gradients are read before the update"));
    assert_eq!(fired(&clipped, "kept gradients"), 3);
    let text = clipped.iter().find(|v| v.rule == "updates").unwrap().to_string();
    assert_eq!(
        text,
        "updates              didn't fire, once: gradients are read before the update"
    );
}

/// Memory on the device is no more than with programs written by hand.
#[test]
fn tensors_that_no_op_needs_are_not_allocated() {
    let (relu, id) = (Activation::Relu, Activation::Identity);
    let spec = Spec::new(net(&[4096, 4096, 4096, 4096], relu, id), Loss::SquaredError)
        .optimizer(Optimizer::Sgd);
    let [fused, plain] = [Traits::LAYERS, Traits::Plain]
        .map(|traits| plan(&spec, 512, Purpose::Train, traits).program);
    assert_eq!(fused.bytes(4), 260_121_600);
    assert!(plain.bytes(4) > fused.bytes(4) + 4 * 3 * 4096 * 4096, "gradients are kept");
    assert!(fused.find("gradients").is_none() && fused.find("target").is_none());
    assert!(fused.find("layers.0.z").is_none() && fused.find("layers.0.a").is_some());
    fused.check().unwrap();
    let predicts = plan(&spec, 512, Purpose::Evaluate, Traits::LAYERS).program;
    assert!(predicts.find("layers.0.delta").is_none());
    predicts.check().unwrap();
}

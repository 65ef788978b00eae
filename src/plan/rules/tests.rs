use super::*;
use crate::activation::Activation;
use crate::loss::Loss;
use crate::optim::{Averaging, Optimizer};
use crate::plan::{Purpose, merged, mixed, plain};
use crate::spec::{Bias, Layer, Net, Spec, Units};
use std::collections::HashMap;

/// Ops as text, tensors by the order in which they first appear, with their shapes and precision.
fn canonical(program: &Program, routines: &[Vec<Op>; 3]) -> Vec<String> {
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    let mut out = vec![];
    for (r, ops) in routines.iter().enumerate() {
        for op in ops {
            let mut op = op.clone();
            if let Op::Output(o) = &mut op {
                if r == 1 {
                    o.delta = None;
                }
                if o.functions.is_none() || r == 1 || o.parts.is_some() {
                    o.z = o.y;
                    if r == 1 {
                        o.functions = None;
                    }
                }
            }
            if let Op::Dense(d) = &mut op
                && d.parts.is_some()
            {
                d.z = d.a;
            }
            let text = format!("{op:?}");
            let mut line = format!("{r}: ");
            for (i, part) in text.split("TensorId(").enumerate() {
                if i == 0 {
                    line += part;
                    continue;
                }
                let (id, rest) = part.split_once(')').unwrap();
                let id: usize = id.parse().unwrap();
                let next = numbers.len();
                let n = *numbers.entry(id).or_insert(next);
                let t = &program.tensors[id];
                let place = if t.role == Role::Parameter { t.offset } else { 0 };
                line += &format!(
                    "#{n}[{:?} {:?}x{} @{place} {:?}]",
                    t.role, t.rows, t.cols, t.precision
                );
                line += rest;
            }
            out.push(line);
        }
    }
    out
}

fn routines(plan: &Plan) -> [Vec<Op>; 3] {
    let r = plan.program.routines.clone();
    [r.predict, r.evaluate, r.step].map(|range| plan.program.ops[range].to_vec())
}

fn same(name: &str, spec: &Spec, batch: usize) {
    spec.check().unwrap();
    let train = Purpose::Train;
    let old = if spec.precision == Precision::F16 { mixed } else { merged };
    for purpose in [Purpose::Train, Purpose::Evaluate] {
        let old = old(spec, batch, purpose);
        let new = derive(plain(spec, batch, purpose), spec.precision, &spec.mixed);
        new.program.check().unwrap();
        let expected = canonical(&old.program, &routines(&old));
        let found = canonical(&new.program, &routines(&new));
        for (i, (e, f)) in expected.iter().zip(&found).enumerate() {
            assert_eq!(e, f, "{name}: op {i}, {purpose:?} {train:?}");
        }
        assert_eq!(expected.len(), found.len(), "{name}");
        println!(
            "{name} {purpose:?} {:?}: {} {}",
            spec.precision,
            old.program.bytes(4),
            new.program.bytes(4)
        );
        assert!(new.program.bytes(4) <= old.program.bytes(4), "{name} {purpose:?}");
    }
}

fn net(widths: &[usize], hidden: Activation, last: impl Into<Units>) -> Net {
    let mut net = Net::new(widths[0]);
    let (last_width, between) = widths[1..].split_last().unwrap();
    for &n in between {
        net.layers.push(Layer::new(n, hidden));
    }
    net.layers.push(Layer::new(*last_width, last));
    net
}

fn cases() -> Vec<(&'static str, Spec, usize)> {
    let (relu, tanh, id) = (Activation::Relu, Activation::Tanh, Activation::Identity);
    let small = || Spec::new(net(&[784, 128, 10], relu, id), Loss::CrossEntropy);
    let deep = || {
        Spec::new(net(&[13, 512, 256, 384, 1], tanh, id), Loss::SquaredError)
            .optimizer(Optimizer::ALL[4])
    };
    let wide = Spec::new(net(&[4096, 4096, 4096, 4096], relu, id), Loss::SquaredError)
        .optimizer(Optimizer::Sgd);
    let softmax =
        Spec::new(net(&[64, 300, 200, 10], tanh, Units::Softmax), Loss::CrossEntropyProbabilities);
    let mut dropout = deep();
    dropout.net = dropout.net.dropout(0.3);
    let mut relu_dropout = small();
    relu_dropout.net = relu_dropout.net.dropout(0.5);
    relu_dropout.max_norm = Some(3.0);
    let ema = Spec { averaging: Averaging::Ema { decay: 0.9 }, ..small() };
    let swa = Spec { averaging: Averaging::Swa { fraction: 0.5 }, ..deep() };
    let none = Spec::new(net(&[64, 512, 512, 10], relu, id).bias(Bias::None), Loss::CrossEntropy);
    let minus =
        Spec::new(net(&[64, 512, 99, 10], relu, tanh).bias(Bias::ALL[1]), Loss::SquaredError);
    let mut mixed_layers = Net::new(20);
    for (n, a) in [(40, id), (30, relu), (50, Activation::LeakyRelu(0.1)), (20, Activation::Silu)] {
        mixed_layers.layers.push(Layer::new(n, a));
    }
    mixed_layers.layers.push(Layer::new(3, relu));
    let mixed_layers = Spec::new(mixed_layers, Loss::SquaredError);
    let gelu = Spec::new(net(&[5, 9, 600, 3], relu, Activation::Gelu), Loss::SquaredError);
    let single = Spec::new(net(&[600, 10], relu, id), Loss::CrossEntropy);
    let two = Spec::new(net(&[1000, 700, 10], relu, id), Loss::CrossEntropy);
    vec![
        ("784-128-10", small(), 64),
        ("784-128-10, 8192 rows", small(), 8192),
        ("13-512-256-384-1 AdamW", deep(), 256),
        ("13-512-256-384-1 AdamW, 16384", deep(), 16384),
        ("4096x3 SGD", wide, 512),
        ("softmax", softmax, 128),
        ("dropout tanh", dropout, 256),
        ("dropout relu, max-norm", relu_dropout, 64),
        ("EMA", ema, 64),
        ("SWA", swa, 64),
        ("no bias", none, 32),
        ("subtracted bias, tanh outputs", minus, 32),
        ("identity, relu, leaky, silu, relu", mixed_layers, 50),
        ("gelu outputs in stretches", gelu, 64),
        ("linear", single, 64),
        ("1000-700-10 in stretches", two, 64),
    ]
}

#[test]
fn rules_give_the_merged_program() {
    for (name, spec, batch) in cases() {
        same(name, &spec, batch);
    }
}

#[test]
fn rules_give_the_mixed_program() {
    for (name, mut spec, batch) in cases() {
        spec.precision = Precision::F16;
        if spec.check().is_ok() {
            same(name, &spec, batch);
        }
    }
}

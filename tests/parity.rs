//! Parity op by op: the GPU against f64, by the rule in `wgrad::parity`, over shapes drawn afresh.

mod adapter;

use adapter::has_gpu;
use rand::RngExt;
use std::sync::Arc;
use wgrad::activation::Activation;
use wgrad::augment::Augmentation;
use wgrad::backend::cpu::Cpu;
use wgrad::backend::gpu::Gpu;
use wgrad::backend::{Backend, DataId, DeviceInfo, Values, ValuesMut};
use wgrad::data::{Affine, Dataset, Features, Samples, Targets};
use wgrad::kernels::Step;
use wgrad::kernels::activation::{UnitFunctions, unit_table};
use wgrad::kernels::average::Share;
use wgrad::kernels::combine::Factors;
use wgrad::kernels::dropout::Dropout;
use wgrad::kernels::edits::Edit;
use wgrad::kernels::embed::Place;
use wgrad::kernels::matmul::Form;
use wgrad::kernels::vector_norm::STRETCH;
use wgrad::loss::{Loss, Reduction};
use wgrad::matrix::Matrix;
use wgrad::optim::{Optimizer, Rule};
use wgrad::parity::Replay;
use wgrad::plan::Fusion;
use wgrad::program::{Op, Program};
use wgrad::random::{Permutation, Random, Stream, stream_key};
use wgrad::spec::{Bias, Layer, Net, Norm, Spec, Units};
use wgrad::tensor::{Extent, Role, TensorId};

/// The GPU backend, or none where there is no adapter and none is required.
fn gpu(test: &str) -> Option<Box<dyn Backend>> {
    if !has_gpu(test) {
        return None;
    }
    Some(Box::new(Gpu::open(0).unwrap()))
}

/// A seed that is new each day, printed so that a failure can be had again with WGRAD_TEST_SEED.
fn random(test: u64) -> Random {
    let today =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
            / 86_400;
    let seed = std::env::var("WGRAD_TEST_SEED").map_or(today, |s| s.parse().unwrap());
    eprintln!("WGRAD_TEST_SEED={seed}");
    Random::new(seed, Stream::Check, test)
}

/// A ragged size: 1, a prime, around a tile of 16, 32 or 64, or any up to 150.
fn size(random: &mut Random) -> usize {
    const NOTABLE: [usize; 16] = [1, 2, 3, 7, 13, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 127];
    match random.random_range(0..3) {
        0 => random.random_range(1..150),
        _ => NOTABLE[random.random_range(0..NOTABLE.len())],
    }
}

fn normal(random: &mut Random, len: usize) -> Vec<f32> {
    (0..len).map(|_| random.normal() as f32).collect()
}

/// A program under construction, with what its tensors hold.
struct Case {
    program: Program,
    rows: usize,
    values: Vec<(TensorId, Vec<f32>)>,
}

impl Case {
    fn new(rows: usize) -> Self {
        Case { program: Program::new(rows.max(1)), rows, values: Vec::new() }
    }

    fn batch(&mut self, name: &str, cols: usize, values: Vec<f32>) -> TensorId {
        self.tensor(name, Extent::Batch, cols, values)
    }

    fn tensor(&mut self, name: &str, rows: Extent, cols: usize, values: Vec<f32>) -> TensorId {
        let id = self.program.add(name, Role::Transient, rows, cols);
        self.values.push((id, values));
        id
    }

    /// Runs `op` alone on all backends, and returns what its last output holds.
    fn check(
        mut self,
        op: Op,
        step: Step,
        samples: Option<Samples>,
        device: Box<dyn Backend>,
    ) -> Vec<f32> {
        let output = *self.program.uses(&op).last().map(|(t, _)| t).unwrap();
        let described = self.program.describe(&op);
        self.program.ops.push(op);
        let samples = samples.unwrap_or_else(|| Samples {
            features: Arc::new(Features::U8(Matrix::new(1, 1, vec![0]).unwrap())),
            affine: Affine::identity(1),
            targets: None,
            weights: None,
        });
        let mut replay = Replay::new(self.program, samples, device).unwrap();
        for (id, values) in self.values {
            replay.set(id, values);
        }
        let step = Step { rows: self.rows as u32, ..step };
        for report in replay.run(&step).unwrap() {
            assert!(report.passed, "{described} with {} rows: {report:#?}", self.rows);
        }
        replay.get(output)
    }
}

#[test]
fn matrix_products_of_every_form_agree() {
    let mut random = random(1);
    for round in 0..24 {
        for form in [Form::Nn, Form::Nt, Form::Tn] {
            let Some(device) = gpu("matrix products") else { return };
            // Every eighth round is an empty batch.
            let rows = if round % 8 == 7 { 0 } else { size(&mut random) };
            let (n, other) = (size(&mut random), size(&mut random));
            let mut case = Case::new(rows);
            // Two of the three matrices have the batch's rows.
            let (a, b, c) = match form {
                Form::Nn | Form::Nt => {
                    let k = other;
                    let a = case.batch("a", k, normal(&mut random, rows * k));
                    let shape = if form == Form::Nt { (n, k) } else { (k, n) };
                    let b = case.tensor(
                        "b",
                        Extent::Fixed(shape.0),
                        shape.1,
                        normal(&mut random, n * k),
                    );
                    (a, b, case.batch("c", n, vec![]))
                }
                Form::Tn => {
                    let m = other;
                    let a = case.batch("a", m, normal(&mut random, rows * m));
                    let b = case.batch("b", n, normal(&mut random, rows * n));
                    (a, b, case.tensor("c", Extent::Fixed(m), n, vec![f32::NAN; m * n]))
                }
            };
            let bias = case.tensor("bias", Extent::Fixed(1), n, normal(&mut random, n));
            let sign = [1.0, -1.0][round % 2];
            let bias = (form == Form::Nt && round % 3 > 0).then_some((bias, sign));
            let product =
                case.check(Op::Matmul { form, a, b, bias, c }, Step::default(), None, device);
            assert!(
                rows > 0 || product.iter().all(|&x| x == 0.0),
                "an empty batch has no gradient"
            );
        }
    }
}

/// Mesa's llvmpipe ends loops after 65,535 rounds without a word; sums over that many terms must
/// not be cut short, nor lose digits when all terms have one sign.
#[test]
fn very_long_sums_agree() {
    let (rows, cols) = (70_001, 5);
    let positive = |n: usize| (0..n).map(|i| 0.5 + (i % 11) as f32 / 11.0).collect::<Vec<_>>();
    for form in [Form::Tn, Form::Nt] {
        let Some(device) = gpu("very long sums") else { return };
        let mut case = Case::new(if form == Form::Tn { rows } else { 3 });
        let (a, b, c) = if form == Form::Tn {
            let a = case.batch("a", 3, positive(rows * 3));
            (
                a,
                case.batch("b", cols, positive(rows * cols)),
                case.tensor("c", Extent::Fixed(3), cols, vec![]),
            )
        } else {
            let a = case.batch("a", rows, positive(3 * rows));
            (
                a,
                case.tensor("b", Extent::Fixed(cols), rows, positive(rows * cols)),
                case.batch("c", cols, vec![]),
            )
        };
        let bias = (form == Form::Nt)
            .then(|| (case.tensor("bias", Extent::Fixed(1), cols, positive(cols)), -1.0));
        case.check(Op::Matmul { form, a, b, bias, c }, Step::default(), None, device);
    }
    let rows = 1_100_000;
    let Some(device) = gpu("very long sums") else { return };
    let mut case = Case::new(rows);
    let delta = case.batch("delta", 1, positive(rows));
    let out = case.tensor("out", Extent::Fixed(1), 1, vec![7.0]);
    case.check(Op::ColumnSums { delta, sign: -1.0, out }, Step::default(), None, device);
    let rows = 200_001;
    let Some(device) = gpu("very long sums") else { return };
    let mut case = Case::new(rows);
    // All rows but some ask for the same row of the table.
    let indices = (0..rows).map(|row| f32::from(u8::from(row % 97 > 0))).collect();
    let features = case.batch("features", 1, indices);
    let gradient = case.batch("gradient", 1, positive(rows));
    let out = case.tensor("out", Extent::Fixed(2), 1, vec![7.0; 2]);
    let place =
        Place { features: 1, column: 0, inputs: 1, at: 0, values: 2, dims: 1, copies: true };
    let op = Op::EmbedGradient { place, features, gradient, out };
    case.check(op, Step::default(), None, device);
    let rows = 4_300_000;
    let Some(device) = gpu("very long sums") else { return };
    let mut case = Case::new(rows);
    let scores = case.batch("scores", 4, positive(4 * rows));
    let sums = case.tensor("sums", Extent::Fixed(1), 4, vec![7.0; 4]);
    case.check(Op::Accumulate { scores, sums }, Step::default(), None, device);
}

#[test]
fn activations_and_their_derivatives_agree_over_a_wide_range() {
    let mut random = random(2);
    for activation in Activation::ALL {
        let Some(device) = gpu("activations") else { return };
        let (rows, cols) = (size(&mut random), size(&mut random));
        let spread = [0.01, 1.0, 10.0][random.random_range(0..3)];
        let z: Vec<f32> = normal(&mut random, rows * cols).iter().map(|z| z * spread).collect();
        let functions = UnitFunctions::Same(activation);
        let mut case = Case::new(rows);
        let (z_id, a) = (case.batch("z", cols, z.clone()), case.batch("a", cols, vec![]));
        case.check(
            Op::Activation { functions: functions.clone(), z: z_id, a },
            Step::default(),
            None,
            device,
        );

        let Some(device) = gpu("activations") else { return };
        let mut case = Case::new(rows);
        let (z, delta) =
            (case.batch("z", cols, z), case.batch("delta", cols, normal(&mut random, rows * cols)));
        case.check(Op::ActivationGradient { functions, z, delta }, Step::default(), None, device);
    }
}

#[test]
fn a_different_activation_for_each_unit_agrees() {
    let mut random = random(3);
    for gradient in [false, true] {
        let Some(device) = gpu("activations by unit") else { return };
        let (rows, cols) = (size(&mut random), size(&mut random));
        let each: Vec<_> = (0..cols).map(|_| Activation::ALL[random.random_range(0..18)]).collect();
        let mut case = Case::new(rows);
        let table = case.tensor("units", Extent::Fixed(cols), 2, unit_table(&each));
        let z = case.batch("z", cols, normal(&mut random, rows * cols));
        let out = case.batch("out", cols, normal(&mut random, rows * cols));
        let functions = UnitFunctions::Each(each, table);
        let op = if gradient {
            Op::ActivationGradient { functions, z, delta: out }
        } else {
            Op::Activation { functions, z, a: out }
        };
        case.check(op, Step::default(), None, device);
    }
}

#[test]
fn softmax_and_its_jacobian_agree() {
    let mut random = random(4);
    for round in 0..8 {
        let (rows, cols) = (size(&mut random), size(&mut random));
        let input: Vec<f32> = normal(&mut random, rows * cols).iter().map(|z| z * 5.0).collect();
        let Some(device) = gpu("softmax") else { return };
        let mut case = Case::new(rows);
        let (input, out) = (
            case.batch("in", cols, input),
            case.batch("out", cols, normal(&mut random, rows * cols)),
        );
        let op = if round % 2 == 0 {
            Op::Softmax { z: input, y: out }
        } else {
            Op::SoftmaxGradient { y: input, delta: out }
        };
        case.check(op, Step::default(), None, device);
    }
}

#[test]
fn every_loss_and_its_gradient_agree() {
    let mut random = random(5);
    for loss in Loss::ALL {
        for (round, reduction) in Reduction::ALL.into_iter().enumerate() {
            let Some(device) = gpu("losses") else { return };
            let (rows, targets) = (size(&mut random), size(&mut random));
            let cols = loss.outputs(targets);
            let probabilities = loss == Loss::CrossEntropyProbabilities;
            let y = (0..rows * cols)
                .map(
                    |_| if probabilities { random.uniform() } else { 3.0 * random.normal() } as f32,
                )
                .collect();
            let shares = loss.is_for_classes() || loss == Loss::KlDivergence;
            let t = (0..rows * targets)
                .map(|_| if shares { random.uniform() } else { random.normal() } as f32)
                .collect();
            let mut case = Case::new(rows);
            let y = case.batch("y", cols, y);
            let t = case.batch("t", targets, t);
            let unit = case.tensor("unit", Extent::Fixed(1), targets, vec![2.5; targets]);
            let gradient = case.batch("gradient", cols, vec![]);
            let scores = case.batch("scores", 4, vec![]);
            let step = Step {
                loss_scale: (1.0 / reduction.divisor(rows, targets)) as f32,
                smoothing: if loss.takes_smoothing() { 0.15 * round as f32 } else { 0.0 },
                ..Step::default()
            };
            case.check(Op::Loss { loss, y, t, unit, gradient, scores }, step, None, device);
        }
    }
}

/// In the fused plan of small nets and in the merged one of larger ones.
#[test]
fn every_loss_keeps_the_rule_in_every_plan() {
    let mut random = random(13);
    for (units, fusion) in [(12, Fusion::Rows), (450, Fusion::Layers)] {
        for loss in Loss::ALL {
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
            let data = Dataset::new("random", features, Targets::Numbers(numbers)).unwrap();
            assert_eq!(device.fusion(&spec, spec.batch_size), fusion);
            let preprocessing = wgrad::data::Preprocessing::none(&data);
            let report = wgrad::parity::verify(&spec, &preprocessing, &data, device).unwrap();
            let failed: Vec<_> = report.ops.iter().filter(|op| !op.passed).collect();
            assert!(report.passed, "{}: {failed:#?}", spec.objective);
        }
    }
}

#[test]
fn sums_over_rows_agree() {
    let mut random = random(6);
    for round in 0..8 {
        let Some(device) = gpu("sums") else { return };
        let rows = if round == 7 { 0 } else { 10 * size(&mut random) };
        let cols = size(&mut random);
        let mut case = Case::new(rows);
        let delta = case.batch("delta", cols, normal(&mut random, rows * cols));
        let out = case.tensor("out", Extent::Fixed(1), cols, vec![7.0; cols]);
        case.check(
            Op::ColumnSums { delta, sign: [1.0, -1.0][round % 2], out },
            Step::default(),
            None,
            device,
        );

        let Some(device) = gpu("sums") else { return };
        let mut case = Case::new(rows);
        let scores = case.batch("scores", 4, normal(&mut random, rows * 4));
        let sums = case.tensor("sums", Extent::Fixed(1), 4, normal(&mut random, 4));
        case.check(Op::Accumulate { scores, sums }, Step::default(), None, device);
    }
}

/// An embedding at a place drawn afresh, and features whose indices repeat or are none.
fn embedding(random: &mut Random, rows: usize) -> (Place, Vec<f32>) {
    let (copied, others) = (random.random_range(0..20), random.random_range(0..3));
    let (values, dims) = (size(random), size(random));
    let features = copied + 1 + others;
    let place = Place {
        features,
        column: copied,
        inputs: copied + dims + others,
        at: copied,
        values,
        dims,
        copies: random.random_range(0..2) == 0,
    };
    let mut all = normal(random, rows * features);
    for row in all.chunks_exact_mut(features) {
        row[copied] = match random.random_range(0..20) {
            0 => values as f32,
            1 => -1.0,
            _ => random.random_range(0..values) as f32,
        };
    }
    (place, all)
}

#[test]
fn embeddings_are_bit_equal_and_their_gradients_agree() {
    let mut random = random(22);
    for round in 0..16 {
        let Some(device) = gpu("embeddings") else { return };
        let rows = if round == 15 { 0 } else { size(&mut random) };
        let (place, features) = embedding(&mut random, rows);
        let Place { values, dims, inputs, .. } = place;
        let mut case = Case::new(rows);
        let from = case.batch("features", place.features, features.clone());
        let table = normal(&mut random, values * dims);
        let table = case.tensor("table", Extent::Fixed(values), dims, table);
        let x = case.batch("x", inputs, normal(&mut random, rows * inputs));
        let op = Op::Embed { place, features: from, table, x };
        case.check(op, Step::default(), None, device);

        let Some(device) = gpu("embeddings") else { return };
        let mut case = Case::new(rows);
        let from = case.batch("features", place.features, features);
        let gradient = case.batch("gradient", inputs, normal(&mut random, rows * inputs));
        let out = case.tensor("out", Extent::Fixed(values), dims, vec![7.0; values * dims]);
        let op = Op::EmbedGradient { place, features: from, gradient, out };
        case.check(op, Step::default(), None, device);
    }
}

#[test]
fn every_optimizer_agrees() {
    let mut random = random(7);
    for optimizer in Optimizer::ALL.into_iter().filter(|o| o.is_element_wise()) {
        for decay in [0.0, 0.01] {
            let Some(device) = gpu("optimizers") else { return };
            let len = 64 + 10 * size(&mut random);
            let mut case = Case::new(1);
            let mut row = |name, values| case.tensor(name, Extent::Fixed(1), len, values);
            let w = row("w", normal(&mut random, len));
            let g = row("g", normal(&mut random, len));
            let first = row("first", normal(&mut random, len));
            let mut squares =
                |name| row(name, normal(&mut random, len).iter().map(|x| x * x).collect());
            let state = [first, squares("second"), squares("third")];
            let momentum_change = optimizer.momentum().map_or(0.0, |_| -decay);
            let corrections = optimizer.corrections(3);
            let step = Step { lr: 0.01, corrections, momentum_change, ..Step::default() };
            let rule = Rule { optimizer, decay, decayed: len / 2 };
            // From the middle of the row on, too.
            let from = if decay > 0.0 { 64 } else { 0 };
            case.check(Op::Update { rule, w, g, state, from }, step, None, device);
        }
    }
}

#[test]
fn edits_of_the_gradient_agree() {
    let mut random = random(11);
    for round in 0..10 {
        let Some(device) = gpu("edits of the gradient") else { return };
        let len = 10 * size(&mut random);
        let mut case = Case::new(1);
        let mut row = |name, values| case.tensor(name, Extent::Fixed(1), len, values);
        let (w, g) = (row("w", normal(&mut random, len)), row("g", normal(&mut random, len)));
        let norm = case.tensor("norm", Extent::Fixed(1), 1, vec![[0.5, 20.0][round / 5]]);
        let edit = match round % 5 {
            0 => Edit::SignPenalty { strength: 0.3, w },
            1 => Edit::ClipValue { limit: 0.7 },
            2 => Edit::ClipNorm { limit: 3.0, norm },
            3 => Edit::Unit { norm },
            _ => Edit::Noise { variance: 0.1, key: [3, round as u32], first: 70 },
        };
        let step = Step { t: [0, 900][round / 5], ..Step::default() };
        case.check(Op::Edit { edit, g }, step, None, device);
    }
}

#[test]
fn augmented_images_are_bit_equal() {
    let mut random = random(20);
    for text in [
        "none",
        "standard",
        "shift(3)+rotation(45)+scale(0.5)+shear(45)",
        "elastic(6,3)+noise(40)+cutout(5)",
    ] {
        for colours in [1, 3] {
            let Some(device) = gpu("augmentation") else { return };
            let shape = [random.random_range(1..40), random.random_range(1..40), colours];
            let cols = shape.iter().product::<u32>() as usize;
            let (all, rows) = (9, 7);
            let features =
                Features::U8(Matrix::from_fn(all, cols, |_, _| random.random_range(0..=255)));
            let affine =
                Affine { shift: normal(&mut random, cols), scale: normal(&mut random, cols) };
            let samples =
                Samples { features: Arc::new(features), affine, targets: None, weights: None };
            let mut case = Case::new(rows);
            let x = case.batch("x", cols, vec![0.0; rows * cols]);
            let key = [random.random(), random.random()];
            let augmentation = Augmentation::new(&text.parse().unwrap(), shape, key);
            let order = Permutation::new(all as u32, Some([5, 6])).words();
            let step = Step { first: 2, position: 1 << 20, epoch: 4, order, ..Step::default() };
            // The rule allows such an op no error at all.
            case.check(Op::Augment { augmentation, x }, step, Some(samples), device);
        }
    }
}

#[test]
fn gradients_of_micro_batches_add_up_alike() {
    let mut random = random(19);
    for last in [false, true] {
        let Some(device) = gpu("collected gradients") else { return };
        let len = size(&mut random);
        let mut case = Case::new(1);
        let g = case.tensor("g", Extent::Fixed(1), len, normal(&mut random, len));
        let total = case.tensor("total", Extent::Fixed(1), len, normal(&mut random, len));
        let after = case.check(Op::Collect { g, total, last }, Step::default(), None, device);
        assert_eq!(after.iter().all(|&x| x == 0.0), last, "the total is given back at the end");
    }
}

#[test]
fn mixed_rows_agree() {
    let mut random = random(22);
    for mixing in [0.0, 0.3, 1.0] {
        let Some(device) = gpu("mixup") else { return };
        let (rows, cols) = (size(&mut random), size(&mut random));
        let mut case = Case::new(rows);
        let values = normal(&mut random, rows * cols);
        let x = case.batch("x", cols, values.clone());
        let after = case.check(Op::Mixup { x }, Step { mixing, ..Step::default() }, None, device);
        let row = |x: &[f32], r: usize| x[r * cols..(r + 1) * cols].to_vec();
        for r in 0..rows {
            let other = if r ^ 1 < rows { r ^ 1 } else { r };
            match mixing {
                0.0 => assert_eq!(row(&after, r), row(&values, r)),
                1.0 => assert_eq!(row(&after, r), row(&values, other)),
                _ => {}
            }
        }
    }
}

#[test]
fn dropout_agrees() {
    let mut random = random(17);
    for rate in [0.0, 0.2, 0.5, 0.99] {
        let Some(device) = gpu("dropout") else { return };
        let (rows, cols) = (size(&mut random), size(&mut random));
        let mut case = Case::new(rows);
        let values = normal(&mut random, rows * cols);
        let x = case.batch("x", cols, values.clone());
        let dropout = Dropout { rate, key: [random.random(), random.random()] };
        let step = Step { position: random.random_range(0..1000), epoch: 3, ..Step::default() };
        let after = case.check(Op::Dropout { dropout, x }, step, None, device);
        for (before, after) in values.iter().zip(&after) {
            let kept = before * dropout.scale();
            assert!(*after == 0.0 || (after - kept).abs() <= 1e-6 * kept.abs());
        }
    }
}

#[test]
fn norms_agree_over_a_stretch_and_over_many() {
    let mut random = random(12);
    for len in [1, 63, 4096, 4097, 300_000] {
        let Some(device) = gpu("norms") else { return };
        let mut case = Case::new(1);
        let x = case.tensor("x", Extent::Fixed(1), len, normal(&mut random, len));
        let stretches = len.div_ceil(STRETCH);
        let partial = case.tensor("partial", Extent::Fixed(1), stretches, vec![]);
        let norm = case.tensor("norm", Extent::Fixed(1), 1, vec![]);
        let norm = case.check(Op::VectorNorm { x, partial, norm }, Step::default(), None, device);
        let root = (len as f32).sqrt();
        assert!(len < 4096 || (norm[0] / root - 1.0).abs() < 0.1, "{norm:?} of {len}");
    }
}

#[test]
fn weights_beyond_the_largest_norm_are_scaled_back_alike() {
    let mut random = random(18);
    for limit in [0.1, 1.0, 5.0, 1e6] {
        let Some(device) = gpu("max-norm") else { return };
        let (units, inputs) = (size(&mut random), size(&mut random));
        let mut case = Case::new(1);
        let values = normal(&mut random, units * inputs);
        let w = case.tensor("w", Extent::Fixed(units), inputs, values.clone());
        let after = case.check(Op::MaxNorm { w, limit }, Step::default(), None, device);
        let norm = |w: &[f32]| w.iter().map(|w| w * w).sum::<f32>().sqrt();
        for (before, after) in values.chunks(inputs).zip(after.chunks(inputs)) {
            let expected = norm(before).min(limit);
            assert!((norm(after) - expected).abs() <= 1e-4 * expected, "{expected}");
        }
    }
}

#[test]
fn directions_of_whole_tensors_and_steps_along_them_agree() {
    let mut random = random(14);
    for optimizer in Optimizer::ALL.into_iter().filter(|o| !o.is_element_wise()) {
        let Some(device) = gpu("directions") else { return };
        let len = 10 * size(&mut random);
        let mut case = Case::new(1);
        let mut row = |name, values| case.tensor(name, Extent::Fixed(1), len, values);
        let (w, g) = (row("w", normal(&mut random, len)), row("g", normal(&mut random, len)));
        let at = 64;
        let mut state = |name| {
            let values = normal(&mut random, at + len).iter().map(|x| x * x).collect();
            case.tensor(name, Extent::Fixed(1), at + len, values)
        };
        let state = [state("first"), state("second")];
        let u = case.tensor("u", Extent::Fixed(1), len, vec![]);
        let rule = Rule { optimizer, decay: 0.1, decayed: at + len / 2 };
        let momentum_change = -0.125;
        let corrections = optimizer.corrections(3);
        let step = Step { corrections, momentum_change, ..Step::default() };
        case.check(Op::Direction { rule, w, g, state, at, u }, step, None, device);
    }
    for round in 0..4 {
        let Some(device) = gpu("steps along directions") else { return };
        let len = 10 * size(&mut random);
        let mut case = Case::new(1);
        let mut row = |name, values| case.tensor(name, Extent::Fixed(1), len, values);
        let (x, y) = (row("x", normal(&mut random, len)), row("y", normal(&mut random, len)));
        let mut norm = |name, value| case.tensor(name, Extent::Fixed(1), 1, vec![value]);
        let norms = [norm("norm of x", [3.0, 0.0][round % 2]), norm("norm of y", 0.4)];
        let factors = match round {
            0 => Factors::Fixed([-4.775, 2.0315]),
            1 => Factors::Step { decay: 0.1, scale: 1.5 },
            _ => Factors::Trust { norms },
        };
        let step = Step { lr: 0.3, ..Step::default() };
        let found = case.check(Op::Combine { factors, x, y }, step, None, device);
        assert!(found.iter().all(|x| x.is_finite()));
    }
}

#[test]
fn the_first_values_that_are_not_finite_are_found_by_both_alike() {
    let mut random = random(12);
    for round in 0..8 {
        let Some(device) = gpu("nonfinite") else { return };
        let (rows, cols) = (size(&mut random), size(&mut random) * (1 + round % 2 * 9));
        let mut values = normal(&mut random, rows * cols);
        let mut expected = vec![-1.0; rows];
        for (row, expected) in values.chunks_exact_mut(cols).zip(&mut expected) {
            // The largest finite value and the smallest subnormal one are none.
            let fine = [f32::MAX, -f32::MAX, f32::from_bits(1), -0.0];
            row[random.random_range(0..cols)] = fine[random.random_range(0..4)];
            for _ in 0..random.random_range(0..3) {
                let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0xff80_0001)];
                row[random.random_range(0..cols)] = bad[random.random_range(0..4)];
            }
            if let Some(first) = row.iter().position(|x| !x.is_finite()) {
                *expected = first as f32;
            }
        }
        let mut case = Case::new(rows);
        let extent = if round % 3 == 0 { Extent::Batch } else { Extent::Fixed(rows) };
        let x = case.tensor("x", extent, cols, values);
        let found = case.tensor("found", extent, 1, vec![7.0; rows]);
        let step = Step { rows: rows as u32, ..Step::default() };
        assert_eq!(case.check(Op::Nonfinite { x, found }, step, None, device), expected);
    }
}

#[test]
fn averages_of_weights_agree_and_exchanges_are_exact() {
    let mut random = random(13);
    for (share, step) in [
        (Share::Constant(0.01), Step { t: 0, ..Step::default() }),
        (Share::Constant(0.01), Step { t: 9, ..Step::default() }),
        (Share::Equal(7), Step { epoch: 7, ..Step::default() }),
        (Share::Equal(7), Step { epoch: 19, ..Step::default() }),
    ] {
        let Some(device) = gpu("averages of weights") else { return };
        let len = 10 * size(&mut random);
        let mut case = Case::new(1);
        let mut row = |name| {
            let values = normal(&mut random, len);
            (case.tensor(name, Extent::Fixed(1), len, values.clone()), values)
        };
        let ((w, new), (average, old)) = (row("w"), row("average"));
        let found = case.check(Op::Average { share, w, average }, step, None, device);
        let part = share.at::<f32>(&step);
        for ((found, new), old) in found.iter().zip(&new).zip(&old) {
            assert!((found - (part * new + (1.0 - part) * old)).abs() < 1e-6);
        }

        let Some(device) = gpu("averages of weights") else { return };
        let mut case = Case::new(1);
        let a = case.tensor("a", Extent::Fixed(1), len, new.clone());
        let b = case.tensor("b", Extent::Fixed(1), len, old);
        assert_eq!(case.check(Op::Swap { a, b }, step, None, device), new);
    }
}

#[test]
fn gathered_rows_are_bit_equal_from_bytes_and_from_floats() {
    let mut random = random(8);
    for round in 0..6 {
        let Some(device) = gpu("gather") else { return };
        let (all, cols) = (size(&mut random).max(2), size(&mut random));
        let rows = random.random_range(1..=all);
        let features = if round % 2 == 0 {
            Features::U8(Matrix::from_fn(all, cols, |_, _| random.random_range(0..=255)))
        } else {
            Features::F32(Matrix::from_fn(all, cols, |_, _| random.normal() as f32))
        };
        let affine = Affine { shift: normal(&mut random, cols), scale: normal(&mut random, cols) };
        let classes = round % 3 == 0;
        let targets = if classes {
            let labels = (0..all).map(|_| random.random_range(0..cols as u32)).collect();
            Targets::Classes { labels, names: (0..cols).map(|c| c.to_string()).collect() }
        } else {
            Targets::Numbers(Matrix::from_fn(all, cols, |_, _| random.normal() as f32))
        };
        let samples =
            Samples { features: Arc::new(features), affine, targets: Some(targets), weights: None };
        let order =
            Permutation::new(all as u32, Some(stream_key(3, Stream::Shuffle, round))).words();
        let step = Step { first: (all - rows) as u32, order, ..Step::default() };
        let mut case = Case::new(rows);
        let x = case.batch("x", cols, vec![]);
        case.check(Op::Gather { x }, step, Some(samples.clone()), device);
        let Some(device) = gpu("gather") else { return };
        let mut case = Case::new(rows);
        let t = case.batch("t", cols, vec![]);
        case.check(Op::Targets { t }, step, Some(samples), device);
    }
}

#[test]
fn random_numbers_and_permutations_are_bit_equal() {
    let mut random = random(9);
    for round in 0..4 {
        let Some(device) = gpu("random numbers") else { return };
        let (rows, cols) = (size(&mut random), size(&mut random));
        let key = stream_key(round, Stream::Check, 0);
        let mut case = Case::new(rows);
        let out = case.batch("out", cols, vec![]);
        let step = Step { first: 17, ..Step::default() };
        let numbers = case.check(Op::Uniform { key, out }, step, None, device);
        assert!(numbers.iter().all(|x| (0.0..1.0).contains(x)));

        let Some(device) = gpu("random numbers") else { return };
        let n = [rows as u32, 60_000, 1617, 9_999_991][round as usize].max(rows as u32);
        let mut case = Case::new(rows);
        let out = case.batch("out", 1, vec![]);
        let order = Permutation::new(n, Some(key)).words();
        case.check(Op::Permutation { out }, Step { order, ..Step::default() }, None, device);
    }
}

/// Whole programs of nets drawn at random, replayed op by op.
#[test]
fn steps_of_random_nets_agree_op_by_op() {
    let mut random = random(10);
    for round in 0..14 {
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
        let report = wgrad::parity::verify(&spec, &preprocessing, &data, device).unwrap();
        let failed: Vec<_> = report.ops.iter().filter(|op| !op.passed).collect();
        assert!(report.passed, "{spec:?}\n{failed:#?}");
    }
}

/// Each element against f64 by its own size, where the function has no zero that rounding of z
/// moves: what a bound by the largest element of a tensor would let pass.
#[test]
fn elementary_functions_are_right_in_every_digit() {
    use Activation::{Elu, Sigmoid, Softplus, Tanh};
    let z: Vec<f32> = (-200..=60)
        .flat_map(|i| [1.0, -1.0].map(|sign| sign * 1.1f32.powi(i)))
        .filter(|z| z.abs() < 80.0)
        .collect();
    for activation in [Tanh, Sigmoid, Softplus, Elu(1.0), Activation::Sine] {
        let Some(mut device) = gpu("elementary functions") else { return };
        let mut program = Program::new(1);
        let mut add = |name| program.add(name, Role::Transient, Extent::Batch, z.len());
        let (from, to) = (add("z"), add("a"));
        let functions = UnitFunctions::Same(activation);
        program.ops.push(Op::Activation { functions, z: from, a: to });
        device.load(Arc::new(program)).unwrap();
        let features = Arc::new(Features::U8(Matrix::new(1, 1, vec![0]).unwrap()));
        let samples =
            Samples { features, affine: Affine::identity(1), targets: None, weights: None };
        let data = device.upload(Arc::new(samples)).unwrap();
        device.write(from, Values::F32(&z)).unwrap();
        device.run(0..1, data, &[Step { rows: 1, ..Step::default() }]).unwrap();
        let mut found = vec![0.0; z.len()];
        device.read(to, ValuesMut::F64(&mut found)).unwrap();
        for (&z, found) in z.iter().zip(found) {
            let exact = activation.value(f64::from(z));
            // Below this, f32 has no normal numbers.
            let tiny = exact.abs() < 1e-37 && found.abs() < 2e-37;
            assert!(
                tiny || (found - exact).abs() <= 6e-7 * exact.abs(),
                "{activation}({z}) = {found}, not {exact}"
            );
        }
    }
}

/// A device that computes NaN must not pass, wherever it stands.
#[test]
fn a_device_that_gives_nan_fails_the_comparison() {
    struct Broken(Cpu<f32>);
    impl Backend for Broken {
        fn info(&self) -> &DeviceInfo {
            self.0.info()
        }
        fn load(&mut self, program: Arc<Program>) -> wgrad::Result<()> {
            self.0.load(program)
        }
        fn upload(&mut self, samples: Arc<Samples>) -> wgrad::Result<DataId> {
            self.0.upload(samples)
        }
        fn forget(&mut self, data: DataId) {
            self.0.forget(data);
        }
        fn write(&mut self, tensor: TensorId, values: Values<'_>) -> wgrad::Result<()> {
            self.0.write(tensor, values)
        }
        fn run(
            &mut self,
            ops: std::ops::Range<usize>,
            data: DataId,
            steps: &[Step],
        ) -> wgrad::Result<()> {
            self.0.run(ops, data, steps)
        }
        fn read(&mut self, tensor: TensorId, mut values: ValuesMut<'_>) -> wgrad::Result<()> {
            if let ValuesMut::F64(values) = &mut values {
                self.0.read(tensor, ValuesMut::F64(values))?;
                // All but the last element: the worst that a maximum may forget.
                let last = values.len() - 1;
                values[..last].fill(f64::NAN);
            }
            Ok(())
        }
    }
    let data = wgrad::data::digits();
    let net = Net::new(64).layer(8, Activation::Tanh).layer(10, Activation::Identity);
    let spec = Spec::new(net, Loss::CrossEntropy);
    let preprocessing = wgrad::data::Preprocessing::none(&data);
    let broken = Box::new(Broken(Cpu::new(Some(1)).unwrap()));
    let report = wgrad::parity::verify(&spec, &preprocessing, &data, broken).unwrap();
    let failed = report.ops.iter().filter(|op| !op.passed).count();
    assert!(!report.passed && 2 * failed > report.ops.len(), "{report:#?}");
}

/// The fused program of a small net is replayed too, tensor by tensor.
#[test]
fn fused_steps_agree_tensor_by_tensor() {
    let data = wgrad::data::digits();
    let preprocessing = wgrad::data::Preprocessing::fit(&data, wgrad::data::Scaling::Minmax);
    let rules = Optimizer::ALL.into_iter().filter(|o| o.is_element_wise());
    for (round, optimizer) in rules.enumerate() {
        let Some(device) = gpu("fused steps") else { return };
        let last = [Units::Softmax, Activation::Identity.into()][round % 2].clone();
        let loss = [Loss::SquaredError, Loss::CrossEntropy][round % 2];
        let net =
            Net::new(64).layer(70, Activation::Relu).layer(33, Activation::Gelu).layer(10, last);
        let mut spec = Spec::new(net.bias(Bias::ALL[round % 3]), loss).optimizer(optimizer);
        spec.batch_size = 50;
        let report = wgrad::parity::verify(&spec, &preprocessing, &data, device).unwrap();
        let failed: Vec<_> = report.ops.iter().filter(|op| !op.passed).collect();
        assert!(report.passed, "{failed:#?}");
        assert!(report.ops.iter().any(|op| op.op.starts_with("gradient + update")));
    }
}

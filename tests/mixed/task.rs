//! The tasks: a random net with random data, and a small task that is learned quickly.

use rand::RngExt;
use wgrad::backend::Backend;
use wgrad::backend::session::LayerWeights;
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::math::matrix::Matrix;
use wgrad::math::random::{Random, Stream};
use wgrad::net::precision::{Gate, MixedPrecision, Precision};
use wgrad::net::spec::{Bias, Layer, Net, Spec, Units};
use wgrad::{Activation, Loss, Optimizer, Trainer};

/// The same spec in f16, without a measured gain.
pub fn in_f16(spec: &Spec) -> Spec {
    let mixed = MixedPrecision { gate: Gate::SelfTestOnly, ..spec.mixed };
    Spec { precision: Precision::F16, mixed, ..spec.clone() }
}

pub fn normal(random: &mut Random, rows: usize, cols: usize) -> Matrix<f32> {
    Matrix::from_fn(rows, cols, |_, _| random.normal() as f32)
}

/// A net, data for it and a run, all drawn at random; classes in even rounds, numbers in odd ones.
pub fn draw(random: &mut Random, round: usize) -> (Spec, Dataset) {
    let (rows, cols) = (random.random_range(30..200), random.random_range(1..100));
    let outputs = random.random_range(2..12);
    let mut net = Net::new(cols);
    for _ in 0..random.random_range(0..4) {
        let activation = Activation::ALL[random.random_range(0..18)];
        net.layers.push(Layer::new(random.random_range(1..90), activation));
    }
    let (last, loss): (Units, Loss) = match round % 4 {
        0 => (Units::Softmax, Loss::CrossEntropyProbabilities),
        1 => (Activation::Tanh.into(), Loss::SquaredError),
        2 => (Activation::Identity.into(), Loss::CrossEntropy),
        _ => (Activation::Identity.into(), Loss::LogCosh),
    };
    net.layers.push(Layer::new(outputs, last));
    let mut spec =
        Spec::new(net.bias(Bias::ALL[round % 3]), loss).optimizer(Optimizer::ALL[round % 5]);
    spec.batch_size = random.random_range(1..rows);
    spec.weight_decay = [0.0, 0.01][round / 2 % 2];
    spec.seed = round as u64;
    spec.mixed.scale = 256.0;
    let features = match round % 3 {
        0 => Features::U8(Matrix::from_fn(rows, cols, |_, _| random.random_range(0..3))),
        _ => Features::F32(normal(random, rows, cols)),
    };
    let targets = if round.is_multiple_of(2) {
        let labels = (0..rows).map(|_| random.random_range(0..outputs as u32)).collect();
        Targets::Classes { labels, names: (0..outputs).map(|c| c.to_string()).collect() }
    } else {
        Targets::from(normal(random, rows, outputs))
    };
    (in_f16(&spec), Dataset::new("random", features, targets).unwrap())
}

/// A smooth regression that a small net learns in some dozens of steps.
pub fn task(seed: u64) -> (Spec, Dataset) {
    let mut random = Random::new(seed, Stream::Check, 0);
    let x = normal(&mut random, 256, 8);
    let target = |r: usize, c: usize| (x.row(r)[c] + x.row(r)[c + 1]).sin() + x.row(r)[7 - c];
    let y = Matrix::from_fn(256, 3, target);
    let data = Dataset::new("sums", Features::F32(x), Targets::from(y)).unwrap();
    let net = Net::new(8)
        .layer(33, Activation::Relu)
        .layer(20, Activation::Tanh)
        .layer(3, Activation::Identity);
    let mut spec = Spec::new(net, Loss::SquaredError).epochs(8);
    spec.lr = 0.01;
    spec.batch_size = 30;
    spec.seed = seed;
    (spec, data)
}

pub fn trainer(spec: &Spec, data: &Dataset, backend: Box<dyn Backend>) -> Trainer {
    Trainer::new(spec, data, Preprocessing::none(data), backend).unwrap()
}

/// The loss over all rows and the weights after training.
pub fn train(spec: &Spec, data: &Dataset, backend: Box<dyn Backend>) -> (f64, Vec<LayerWeights>) {
    let mut trainer = trainer(spec, data, backend);
    trainer.fit(None, &mut ()).unwrap();
    (trainer.evaluate(data).unwrap().loss, trainer.weights().unwrap())
}

//! Embeddings: against PyTorch (`tests/golden/make_embeddings.py`), gradients, bits, files, tables.

use crate::cli_support::Place;
use crate::common::{
    self, Shared, cpu32, cpu64, gpu, largest, largest_error, random_weights, unscaled,
};
use crate::ten_steps::{Golden, devices, load, matrix, parts};
use pollster::FutureExt as _;
use serde::Deserialize;
use wgrad::backend::{Backend, Values, ValuesMut};
use wgrad::data::{Affine, Dataset, Features, Preprocessing, Targets};
use wgrad::files::checkpoint::{load_model, load_weights, save_model};
use wgrad::kernels::Step;
use wgrad::kernels::inputs::embed::{self, TableGradients};
use wgrad::kernels::tensor::{Extent, Role, TensorId};
use wgrad::math::embedding::Embedding;
use wgrad::math::matrix::Matrix;
use wgrad::math::random::{Random, Stream};
use wgrad::net::spec::{Net, Norm, Spec};
use wgrad::plan::program::{Op, Program};
use wgrad::plan::{self, Purpose, Traits};
use wgrad::proof::gradcheck::{self, Options};
use wgrad::{Activation, Loss, Optimizer, Trainer};

#[derive(Deserialize)]
struct Cases {
    decay: f32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    optimizer: String,
    inputs: Vec<Vec<f32>>,
    targets: Vec<Vec<f32>>,
    #[serde(flatten)]
    golden: Golden,
}

#[test]
fn ten_steps_are_those_of_pytorch() {
    let golden: Cases = load("embeddings");
    for device in devices("ten steps of nets with embeddings") {
        for case in &golden.cases {
            let (x, t) = (matrix(&case.inputs), matrix(&case.targets));
            let tables = case.golden.tables().into_iter();
            let net = Net::new(x.cols())
                .embed(tables.map(|[values, dims]| Embedding::new(values, dims)).collect())
                .layer(case.golden.layers()[0].bias.len(), Activation::Tanh)
                .layer(t.cols(), Activation::Identity);
            let (optimizer, lr) = match case.optimizer.as_str() {
                "sgd" => (Optimizer::Sgd, 0.25),
                _ => (Optimizer::ALL.into_iter().find(|o| o.name() == "adamw").unwrap(), 0.0625),
            };
            let mut spec = Spec::new(net, Loss::SquaredError).optimizer(optimizer);
            (spec.lr, spec.weight_decay) = (lr, golden.decay);
            let data = Dataset::new("golden", Features::F32(x), Targets::from(t)).unwrap();
            device.check(&optimizer.to_string(), spec, &data, &case.golden);
        }
    }
}

/// Two columns of numbers and two of indices, some of which are invalid.
fn data(rows: usize) -> Dataset {
    let mut random = Random::new(3, Stream::Check, 0);
    let features = Matrix::from_fn(rows, 4, |row, col| match (col, row % 7) {
        (2, _) => (random.uniform() * 5.0).floor() as f32,
        (3, 0) => 1000.0,
        (3, 1) => -1.0,
        // The last row of this table is never used.
        (3, _) => (random.uniform() * 39.0).floor() as f32,
        _ => random.normal() as f32,
    });
    let targets = Matrix::from_fn(rows, 2, |_, _| random.normal() as f32);
    Dataset::new("indices", Features::F32(features), Targets::from(targets)).unwrap()
}

fn spec() -> Spec {
    let net = Net::new(4)
        .embed(vec![Embedding::new(5, 3), Embedding::new(40, 9)])
        .layer(14, Activation::Tanh)
        .layer(14, Activation::Tanh)
        .layer(2, Activation::Identity);
    let mut spec = Spec::new(net, Loss::SquaredError).epochs(3);
    (spec.batch_size, spec.seed) = (16, 4);
    spec
}

/// Nets that use every way of computing the gradient of the input.
fn variants() -> Vec<(&'static str, Spec)> {
    let dropout = Spec { net: Net { input_dropout: 0.3, ..spec().net }, ..spec() };
    let norm = Spec { net: spec().net.norm(Some(Norm::Layer)), ..spec() };
    let mixup = Spec { mixup: Some(1.0), ..spec() };
    let mut residual = spec();
    residual.net.layers[0].skip = 1;
    residual.net.layers[1].skip = 2;
    vec![
        ("plain", spec()),
        ("dropout", dropout),
        ("norm", norm),
        ("mixup", mixup),
        ("residual", residual),
    ]
}

#[test]
fn gradients_of_tables_are_those_of_differences() {
    let data = data(11);
    for (what, spec) in variants() {
        let weights = random_weights(&spec);
        let none = Preprocessing::none(&data);
        let options = Options { limit: usize::MAX, ..Options::default() };
        let report = gradcheck::check(&spec, &weights, &none, &data, &options).unwrap();
        assert!(report.passed, "{what}: {report:?}");
        assert_eq!(report.checked, spec.net.parameters(), "{what}");
        let all = common::gradients(&mut cpu64(1), &spec, &unscaled(&data), &weights);
        for (name, gradient) in all.iter().filter(|(name, _)| name.starts_with("embeddings.")) {
            assert!(largest(gradient) > 1e-3, "{what}: {name} proves nothing");
        }
    }
}

/// The gradient of a table by its definition: each row of the table searches the whole batch, and the rows
/// of a group are summed first, from the innermost group on.
fn by_definition(
    lookup: embed::Lookup,
    features: &[f32],
    gradient: &[f32],
    groups: impl Fn(&[usize]) -> Vec<Vec<Vec<usize>>>,
) -> Vec<f32> {
    let embed::Lookup { inputs, at, values, dims, .. } = lookup;
    let sum = |terms: Vec<f32>| terms.into_iter().fold(0.0, |sum: f32, x| sum + x);
    let element = |i: usize| {
        let asks = |row: &usize| {
            let index = features[row * lookup.features + lookup.column];
            let is_one = index >= 0.0 && index < values as f32;
            (if is_one { index as usize } else { 0 }) == i / dims
        };
        let rows: Vec<usize> = (0..features.len() / lookup.features).filter(asks).collect();
        let of_row = |row: usize| gradient[row * inputs + at + i % dims];
        let of_chunk = |rows: Vec<usize>| sum(rows.into_iter().map(of_row).collect());
        let of_part = |part: Vec<_>| sum(part.into_iter().map(of_chunk).collect());
        sum(groups(&rows).into_iter().map(of_part).collect())
    };
    (0..values * dims).map(element).collect()
}

/// The gradient of a table on a backend, of a batch that may be smaller than the program's.
fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn by_backend(
    backend: &mut Shared,
    lookup: embed::Lookup,
    batch: usize,
    features: &[f32],
    gradient: &[f32],
) -> Vec<f32> {
    let mut program = Program::new(batch);
    let mut add = |name, cols| program.add(name, Role::Transient, Extent::Batch, cols);
    let [of_rows, of_inputs] = [add("features", lookup.features), add("gradient", lookup.inputs)];
    // Alone, and as the last of two, of which the other has the same column.
    let buffer = program.buffers.len();
    program.buffers.push(0);
    let outs = ["alone", "other", "last"].map(|name| {
        let rows = Extent::Fixed(lookup.values);
        program.add_to(buffer, name, Role::Transient, rows, lookup.dims)
    });
    let all = program.add_whole(buffer, "all", Role::Transient);
    let of_tables = |each: &[embed::Lookup], outs: &[TensorId], within| {
        let each = each.iter().copied().zip(outs.iter().copied()).collect();
        let tables = TableGradients { each, within };
        Op::EmbedGradient { features: of_rows, gradient: of_inputs, tables }
    };
    let other = embed::Lookup { at: 0, ..lookup };
    program.ops = vec![
        of_tables(&[lookup], &outs[..1], None),
        of_tables(&[other, lookup], &outs[1..], Some(all)),
    ];
    let samples = backend.start(&program, &unscaled(&data(1)));
    backend.write(of_rows, Values::F32(features)).block_on().unwrap();
    backend.write(of_inputs, Values::F32(gradient)).block_on().unwrap();
    // What was there before counts for nothing.
    let before = vec![7.0; program.len(all)];
    backend.write(all, Values::F32(&before)).block_on().unwrap();
    let rows = (features.len() / lookup.features) as u32;
    backend.run(0..2, samples, &[Step { rows, ..Step::default() }]).block_on().unwrap();
    let [alone, last] = [outs[0], outs[2]].map(|out| {
        let mut found = vec![0.0; lookup.values * lookup.dims];
        backend.read(out, ValuesMut::F32(&mut found)).block_on().unwrap();
        found
    });
    assert_eq!(bits(&alone), bits(&last), "two tables in one launch");
    alone
}

#[test]
fn gradients_of_tables_have_the_bits_of_their_definition() {
    let mut random = Random::new(21, Stream::Check, 0);
    // Short and long batches, ragged ones, few categories and many, and one with most of the rows.
    for (rows, batch, values, dims) in [
        (1, 1, 1, 1),
        (255, 300, 40, 3),
        (700, 700, 3, 5),
        (1025, 4096, 600, 2),
        (70_001, 70_001, 9, 1),
    ] {
        let (inputs, column) = (dims + 4, 1);
        let lookup =
            embed::Lookup { features: 3, column, inputs, at: 2, values, dims, copies: true };
        let features: Vec<f32> = (0..3 * rows)
            .map(|i| match (i % 3 == column, i % 7) {
                (true, 0) => -1.0,
                (true, 1 | 2) => (values - 1) as f32,
                (true, _) => (random.uniform() * values as f64).floor() as f32,
                _ => random.normal() as f32,
            })
            .collect();
        let gradient: Vec<f32> = (0..rows * inputs).map(|_| random.normal() as f32).collect();
        let on_cpu = by_definition(lookup, &features, &gradient, |rows| {
            // 64 rows of a category at a time.
            vec![rows.chunks(64).map(<[usize]>::to_vec).collect()]
        });
        for threads in [1, 3] {
            let found = by_backend(&mut cpu32(threads), lookup, batch, &features, &gradient);
            assert_eq!(bits(&found), bits(&on_cpu), "{rows} rows on {threads} threads");
        }
        let Some(mut gpu) = gpu("bits of the gradients of tables") else { continue };
        let on_gpu = by_definition(lookup, &features, &gradient, |rows| {
            // Those among 256 rows of the batch at a time, and these among 32,768.
            let part = |rows: &[usize]| {
                rows.chunk_by(|a, b| a / 256 == b / 256).map(<[usize]>::to_vec).collect()
            };
            rows.chunk_by(|a, b| a >> 15 == b >> 15).map(part).collect()
        });
        let found = by_backend(&mut gpu, lookup, batch, &features, &gradient);
        assert_eq!(bits(&found), bits(&on_gpu), "{rows} rows on the GPU");
    }
}

#[test]
fn the_work_of_a_table_grows_with_the_batch_and_with_the_table() {
    let mut spec = spec();
    spec.net.embeddings[1] = Embedding::new(100_000, 50);
    let work = |batch: usize| -> f64 {
        let program = plan::plain(&spec, batch, Purpose::Train).program;
        let of_tables = |op: &&Op| matches!(op, Op::EmbedGradient { .. });
        program.ops.iter().filter(of_tables).map(|op| program.flops(op, batch)).sum()
    };
    let (table, row) = (5e6, 50.0);
    assert!(work(1024) > table && work(1024) < table + 1024.0 * 2.0 * row);
    assert!(work(1 << 16) - table < 1.5 * 64.0 * (work(1024) - table));
}

#[test]
fn a_table_of_the_wrong_place_is_caught() {
    let (spec, data) = (spec(), data(11));
    let mut plan = plan::plain(&spec, 11, Purpose::Train);
    for op in &mut plan.program.ops {
        if let Op::EmbedGradient { tables, .. } = op {
            tables.each[0].0.at -= 1;
        }
    }
    let weights = random_weights(&spec);
    let options = Options { limit: usize::MAX, ..Options::default() };
    let report = gradcheck::check_plan(&spec, &plan, &weights, unscaled(&data), &options).unwrap();
    assert!(!report.passed && report.worst.unwrap().tensor.starts_with("embeddings."));
}

#[test]
fn whole_steps_keep_the_parity_rule() {
    let data = data(41);
    for (what, spec) in variants() {
        let Some(device) = gpu("steps of nets with embeddings") else { return };
        let none = Preprocessing::none(&data);
        let report = wgrad::proof::parity::verify(&spec, &none, &data, device.boxed()).unwrap();
        let failed: Vec<_> = report.ops.iter().filter(|op| !op.passed).collect();
        assert!(report.passed, "{what}: {failed:#?}");
        assert!(report.ops.iter().any(|op| op.op.starts_with("embed gradient")));
    }
}

fn train(spec: &Spec, data: &Dataset, backend: &Shared) -> Vec<u64> {
    let none = Preprocessing::none(data);
    let mut trainer = Trainer::new(spec, data, none, backend.boxed()).unwrap();
    trainer.fit(None, &mut ()).unwrap();
    let weights = trainer.weights().unwrap();
    parts(&weights).concat().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    // A table so large that the CPU cuts it into several pieces of work.
    let mut spec = spec();
    spec.net.embeddings[1] = Embedding::new(3000, 9);
    let data = data(50);
    let first = train(&spec, &data, &cpu32(1));
    assert_eq!(first, train(&spec, &data, &cpu32(3)));
    if let Some(gpu) = gpu("bits of nets with embeddings") {
        assert_eq!(train(&spec, &data, &gpu), train(&spec, &data, &gpu));
    }
}

#[test]
fn parts_of_a_batch_give_the_gradient_of_the_whole() {
    let data = data(48);
    let whole = train(&spec(), &data, &cpu64(1));
    let parts = train(&Spec { micro_batch: Some(5), ..spec() }, &data, &cpu64(1));
    let number = |bits: &[u64]| bits.iter().map(|&x| f64::from_bits(x)).collect::<Vec<_>>();
    assert!(largest_error(&number(&whole), &number(&parts)) < 1e-6);
}

#[test]
fn tables_are_not_decayed_unless_all_is() {
    let data = data(20);
    let spec = Spec { weight_decay: 0.1, epochs: 1, ..spec() }
        .optimizer(Optimizer::ALL.into_iter().find(|o| o.name() == "adamw").unwrap());
    // Only weight decay could change unused rows.
    let last = |spec: &Spec| {
        let none = Preprocessing::none(&data);
        let mut trainer = Trainer::new(spec, &data, none, cpu32(1).boxed()).unwrap();
        trainer.fit(None, &mut ()).unwrap();
        trainer.weights().unwrap()[0].embeddings[1].row(39).to_vec()
    };
    let drawn = spec.net.embeddings[1].draw(spec.seed, 1).row(39).to_vec();
    assert_eq!(last(&spec), drawn);
    assert_ne!(last(&Spec { decay_all: true, ..spec }), drawn);
}

#[test]
fn a_saved_model_predicts_the_same_and_its_weights_can_be_begun_with() {
    let (spec, data) = (spec(), data(30));
    let none = Preprocessing::none(&data);
    let mut trainer = Trainer::new(&spec, &data, none, cpu32(1).boxed()).unwrap();
    trainer.fit(None, &mut ()).unwrap();
    let model = trainer.model().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    save_model(&model, &path).unwrap();
    let loaded = load_model(&path).unwrap();
    assert_eq!(loaded, model);
    let predict =
        |model: &wgrad::Model| model.predict(data.features_shared(), cpu32(1).boxed()).unwrap();
    assert_eq!(predict(&loaded), predict(&model));
    assert_eq!(load_weights(&path, &spec.net).unwrap(), model.members[0]);
    let none = Net { inputs: 14, embeddings: vec![], ..spec.net.clone() };
    let error = load_weights(&path, &none).unwrap_err().to_string();
    assert!(error.contains("embeddings.0.weight"), "{error}");
    let mut other = spec.net.clone();
    other.embeddings[1].values = 41;
    let error = load_weights(&path, &other).unwrap_err().to_string();
    assert!(error.contains("embeddings.1.weight is [40, 9]"), "{error}");
}

#[test]
fn nets_with_embeddings_are_fused_and_scaled_indices_are_refused() {
    for offered in [Traits::GPU, Traits::LAYERS] {
        let plan = plan::plan(&spec(), 20, Purpose::Train, offered);
        assert!(plan.is_fused());
        assert_eq!(plan.has_whole_net(), offered == Traits::GPU);
    }
    assert!(plan::plan(&spec(), 20, Purpose::Train, Traits::Cpu).has_whole_net());
    let data = data(20);
    let mut scaled = Preprocessing::none(&data);
    let Affine { scale, .. } = &mut scaled.features;
    scale[3] = 0.5;
    let error = Trainer::new(&spec(), &data, scaled, cpu32(1).boxed()).err().unwrap().to_string();
    assert!(error.contains("embedding is scaled"), "{error}");
}

/// 1,200 rows of a price that depends on one of 150 towns, of which every tenth is missing.
fn towns() -> String {
    let mut random = Random::new(8, Stream::Check, 1);
    let worth: Vec<f64> = (0..150).map(|_| random.normal()).collect();
    let mut text = "town,area,floor,price\n".to_string();
    for row in 0..1200 {
        let town = (random.uniform() * 150.0) as usize;
        let (area, floor) = (random.uniform(), row % 5);
        let name = if row % 10 == 0 { String::new() } else { format!("town {town}") };
        text += &format!("{name},{area:.3},{floor},{:.4}\n", 2.0 * worth[town] + area);
    }
    text
}

#[test]
fn a_column_of_many_categories_is_embedded_saved_resumed_and_predicted() {
    let place = Place::new();
    place.write("towns.csv", towns());
    let plan = place.ok("train towns.csv --dry-run --embed floor --json --device cpu").json();
    let encoding = |name: &str| {
        let columns = plan[0]["columns"].as_array().unwrap();
        let column = columns.iter().find(|c| c["name"] == name).unwrap();
        column["encoding"].as_str().unwrap().to_string()
    };
    assert!(encoding("town").starts_with("embedded: 15"), "{}", encoding("town"));
    assert!(encoding("town").ends_with("one of them missing"), "{}", encoding("town"));
    assert_eq!(encoding("floor"), "embedded: 5 in 5 dimensions");

    let train = "train towns.csv --embed floor --device cpu --json --epochs 40 --seed 2 --out run";
    let end = place.ok(train).json();
    let r2 = end.last().unwrap()["valid"]["r2"].as_f64().unwrap();
    assert!(r2 > 0.5, "{r2}");
    let model = place.model("run");
    assert_eq!(model.net.embeddings.len(), 2);
    assert_eq!(model.members[0][0].embeddings.len(), 2);
    place.ok("verify --data towns.csv --embed floor --resume --device cpu");
    place.ok("check-gradients run");
    assert!(place.ok("inspect run").stdout.contains("embeddings.1.weight"));

    place.write(
        "new.csv",
        "floor,area,town\n1,0.5,town 3\n1,0.5,Atlantis\n1,0.5,El Dorado\n1,0.5,\n",
    );
    let out = place.ok("predict run new.csv --device cpu").stdout;
    let values: Vec<&str> = out.lines().skip(1).collect();
    assert_eq!(values[1], values[2], "what was never seen is all the same");
    assert_ne!(values[0], values[1]);
    assert_ne!(values[3], values[1], "what is missing has an index of its own");

    let hashed = "train towns.csv --embedding-dims 0 --device cpu --quiet --epochs 1 --out hashed";
    place.ok(hashed);
    assert!(place.model("hashed").net.embeddings.is_empty());
    let refused = place.run("train towns.csv --embed twon --device cpu");
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("town"), "{}", refused.stderr);
    let refused = place.run("train towns.csv --embed floor --embedding-dims 0 --device cpu");
    assert_eq!(refused.code, 2, "{}", refused.stderr);
}

#[test]
fn folds_embed_by_their_own_training_rows() {
    let place = Place::new();
    place.write("towns.csv", towns());
    place.ok(
        "train towns.csv --folds 3 --epochs 2 --embedding-dims 3 --device cpu --quiet --out run",
    );
    for run in ["run", "run/fold-1", "run/fold-3"] {
        let embeddings = place.model(run).net.embeddings;
        assert!(embeddings.len() == 1 && embeddings[0].dims == 3, "{run}: {embeddings:?}");
    }
}

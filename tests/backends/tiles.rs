//! Every tile gives the bits of every other, whichever is measured to be the fastest.

use crate::adapter::has_gpu;
use crate::layers::{draw, run};
use pollster::FutureExt as _;
use std::sync::Arc;
use wgrad::backend::gpu::Gpu;
use wgrad::backend::{Backend, Values, ValuesMut};
use wgrad::data::{Affine, Features, Samples};
use wgrad::kernels::Step;
use wgrad::kernels::products::matmul::Form;
use wgrad::kernels::products::tile::{TILES, Tuning, choices};
use wgrad::math::matrix::Matrix;
use wgrad::math::random::{Random, Stream};
use wgrad::net::spec::{Layer, PlanKind};
use wgrad::plan::{Purpose, Traits};
use wgrad::train::bench::ceilings::product_program;
use wgrad::{Activation, plan};

/// The choice of tiles, which may be measured, must not change results.
#[test]
fn every_tile_gives_the_same_bits() {
    if !has_gpu("tiles") {
        return;
    }
    let mut random = Random::new(23, Stream::Check, 0);
    for (round, wide) in [(0, 0), (2, 0), (3, 750)] {
        let (mut spec, data) = draw(&mut random, round, false);
        if wide > 0 {
            // Elements enough for the long segments.
            spec.net.layers.insert(0, Layer::new(wide, Activation::Relu));
            spec.net.layers.insert(1, Layer::new(wide, Activation::Relu));
            spec.batch_size = 4;
            spec.epochs = 1;
        } else if round == 2 {
            // Rows that may be read four elements at a time.
            let hidden = spec.net.layers.len() - 1;
            let hidden = spec.net.layers[..hidden].iter_mut();
            hidden.for_each(|layer| layer.units = layer.units.next_multiple_of(4));
            spec.net.layers.insert(0, Layer::new(68, Activation::Relu));
        }
        let rows = data.rows().min(if wide > 0 { 12 } else { 90 });
        let data = data.select(&(0..rows).collect::<Vec<_>>());
        let program =
            plan::plan(&spec, spec.batch_size.min(data.rows()), Purpose::Train, Traits::LAYERS);
        let batch = program.program.batch;
        // The trainer's program may hold more rows than a batch has, for evaluation.
        let batches = [batch, plan::evaluation_rows(&spec.net, data.rows().min(256)).max(batch)];
        let all: Vec<_> = batches
            .iter()
            .flat_map(|&batch| {
                let program = plan::plan(&spec, batch, Purpose::Train, Traits::LAYERS).program;
                program.ops.iter().map(|op| program.products(op)).collect::<Vec<_>>()
            })
            .filter(|products| !products.is_empty())
            .collect();
        let runs: Vec<_> = (0..TILES.len())
            .map(|tile| {
                let allowed = all.iter().filter(|products| choices(products, None).contains(&tile));
                let choices = allowed.map(|products| (products.clone(), tile)).collect();
                let mut gpu = Gpu::open(0).unwrap();
                gpu.set_tuning(Tuning { choices, ..Tuning::default() });
                run(Box::new(gpu), &spec, &data, PlanKind::Fused).0
            })
            .collect();
        for (tile, weights) in TILES.iter().zip(&runs) {
            assert!(*weights == runs[0], "round {round}: {tile} differs from {}", TILES[0]);
        }
    }
}

/// The same of the plain program's products, in all forms, with rows of lengths that are multiples
/// of four and that aren't.
#[test]
fn every_tile_gives_the_same_product() {
    if !has_gpu("tiled products") {
        return;
    }
    let mut random = Random::new(25, Stream::Check, 0);
    for (round, [m, n, k]) in
        [[5, 7, 3], [33, 70, 130], [64, 36, 68], [130, 12, 300], [728, 724, 12]]
            .into_iter()
            .enumerate()
    {
        for form in [Form::Nn, Form::Nt, Form::Tn] {
            let (program, [a, b, c]) = product_program(form, [m, n, k]);
            let products = program.products(&program.ops[0]);
            let program = Arc::new(program);
            let mut values = |len: usize| (0..len).map(|_| random.normal() as f32).collect();
            let (x, y): (Vec<f32>, Vec<f32>) = (values(m * k), values(k * n));
            let run = |tile: usize| {
                let mut gpu = Gpu::open_with(0, round % 2 == 0).unwrap();
                let choices = [(products.clone(), tile)].into();
                gpu.set_tuning(Tuning { choices, ..Tuning::default() });
                gpu.load(program.clone()).block_on().unwrap();
                let features = Arc::new(Features::F32(Matrix::from_fn(1, 1, |_, _| 0.0)));
                let affine = Affine::identity(1);
                let rows = Samples { features, affine, targets: None, weights: None };
                let data = gpu.upload(Arc::new(rows)).block_on().unwrap();
                gpu.write(a, Values::F32(&x)).block_on().unwrap();
                gpu.write(b, Values::F32(&y)).block_on().unwrap();
                gpu.run(0..1, data, &[Step { rows: 1, ..Step::default() }]).block_on().unwrap();
                let mut found = vec![0.0; m * n];
                gpu.read(c, ValuesMut::F32(&mut found)).block_on().unwrap();
                found
            };
            let first = run(0);
            assert!(first.iter().any(|&x| x != 0.0));
            for (choice, tile) in TILES.iter().enumerate().skip(1) {
                assert!(run(choice) == first, "{form:?} {m} {n} {k}: {tile} differs");
            }
        }
    }
}

/// Measuring changes only which tiles are used.
#[test]
fn measured_tiles_give_the_bits_of_the_default_ones() {
    if !has_gpu("measured tiles") {
        return;
    }
    let mut random = Random::new(24, Stream::Check, 0);
    let (mut spec, data) = draw(&mut random, 1, false);
    spec.epochs = 1;
    let default = || {
        let mut gpu = Gpu::open(0).unwrap();
        gpu.set_tuning(Tuning::default());
        gpu
    };
    let mut measuring = default();
    measuring.measure_tiles();
    let program = plan::plan(&spec, spec.batch_size, Purpose::Train, Traits::LAYERS).program;
    measuring.load(Arc::new(program)).block_on().unwrap();
    assert!(!measuring.tuning().choices.is_empty(), "something was measured");
    let found = run(Box::new(measuring), &spec, &data, PlanKind::Fused).0;
    assert!(found == run(Box::new(default()), &spec, &data, PlanKind::Fused).0);
}

//! The inputs of a net: gathered rows, random numbers, embeddings, augmentation, mixup, dropout.

use super::case::{Case, gpu, normal, random, rounds, size};
use rand::RngExt;
use std::sync::Arc;
use wgrad::data::{Affine, Features, Samples, Targets};
use wgrad::kernels::Step;
use wgrad::kernels::inputs::embed::{Lookup, TableGradients};
use wgrad::kernels::layers::dropout::Dropout;
use wgrad::kernels::tensor::Extent;
use wgrad::math::matrix::Matrix;
use wgrad::math::random::{Permutation, Random, Stream, stream_key};
use wgrad::net::augment::Augmentation;
use wgrad::plan::program::Op;

#[test]
fn gathered_rows_are_bit_equal_from_bytes_and_from_floats() {
    let mut random = random(8);
    for round in rounds(6, &[0, 1]) {
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
            Targets::from(Matrix::from_fn(all, cols, |_, _| random.normal() as f32))
        };
        let samples =
            Samples { features: Arc::new(features), affine, targets: Some(targets), weights: None };
        let order =
            Permutation::new(all as u32, Some(stream_key(3, Stream::Shuffle, round as u64)))
                .words();
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

/// An embedding at a random column, and features whose indices repeat or are invalid.
fn embedding(random: &mut Random, rows: usize) -> (Lookup, Vec<f32>) {
    let (copied, others) = (random.random_range(0..20), random.random_range(0..3));
    let (values, dims) = (size(random), size(random));
    let features = copied + 1 + others;
    let lookup = Lookup {
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
    (lookup, all)
}

#[test]
fn embeddings_are_bit_equal_and_their_gradients_agree() {
    let mut random = random(22);
    for round in rounds(16, &[0, 15]) {
        let Some(device) = gpu("embeddings") else { return };
        let rows = if round == 15 { 0 } else { 12 * size(&mut random) };
        let (lookup, features) = embedding(&mut random, rows);
        let Lookup { values, dims, inputs, .. } = lookup;
        let mut case = Case::new(rows);
        let from = case.batch("features", lookup.features, features.clone());
        let table = normal(&mut random, values * dims);
        let table = case.tensor("table", Extent::Fixed(values), dims, table);
        let x = case.batch("x", inputs, normal(&mut random, rows * inputs));
        let op = Op::Embed { lookup, features: from, table, x };
        case.check(op, Step::default(), None, device);

        let Some(device) = gpu("embeddings") else { return };
        let mut case = Case::new(rows);
        let from = case.batch("features", lookup.features, features);
        let gradient = case.batch("gradient", inputs, normal(&mut random, rows * inputs));
        let out = case.tensor("out", Extent::Fixed(values), dims, vec![7.0; values * dims]);
        let tables = TableGradients { each: vec![(lookup, out)], within: None };
        let op = Op::EmbedGradient { features: from, gradient, tables };
        case.check(op, Step::default(), None, device);
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

//! Products, and sums over many terms.

use super::case::{Case, gpu, normal, random, rounds, size};
use wgrad::kernels::Step;
use wgrad::kernels::inputs::embed::{Lookup, TableGradients};
use wgrad::kernels::optim::vector_norm::CHUNK;
use wgrad::kernels::products::matmul::Form;
use wgrad::kernels::tensor::Extent;
use wgrad::plan::program::Op;

#[test]
fn matrix_products_of_every_form_agree() {
    let mut random = random(1);
    for round in rounds(24, &[0, 1, 7]) {
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

/// Mesa's llvmpipe silently ends loops after 65,535 iterations; sums over that many terms must
/// not be truncated, nor lose digits when all terms have one sign.
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
    let lookup =
        Lookup { features: 1, column: 0, inputs: 1, at: 0, values: 2, dims: 1, copies: true };
    let tables = TableGradients { each: vec![(lookup, out)], within: None };
    let op = Op::EmbedGradient { features, gradient, tables };
    case.check(op, Step::default(), None, device);
    let rows = 4_300_000;
    let Some(device) = gpu("very long sums") else { return };
    let mut case = Case::new(rows);
    let scores = case.batch("scores", 4, positive(4 * rows));
    let sums = case.tensor("sums", Extent::Fixed(1), 4, vec![7.0; 4]);
    case.check(Op::Accumulate { scores, sums }, Step::default(), None, device);
}

#[test]
fn sums_over_rows_agree() {
    let mut random = random(6);
    for round in rounds(8, &[0, 7]) {
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

#[test]
fn norms_agree_over_a_chunk_and_over_many() {
    let mut random = random(12);
    for len in [1, 63, 4096, 4097, 300_000] {
        let Some(device) = gpu("norms") else { return };
        let mut case = Case::new(1);
        let x = case.tensor("x", Extent::Fixed(1), len, normal(&mut random, len));
        let chunks = len.div_ceil(CHUNK);
        let partial = case.tensor("partial", Extent::Fixed(1), chunks, vec![]);
        let norm = case.tensor("norm", Extent::Fixed(1), 1, vec![]);
        let norm = case.check(Op::VectorNorm { x, partial, norm }, Step::default(), None, device);
        let root = (len as f32).sqrt();
        assert!(len < 4096 || (norm[0] / root - 1.0).abs() < 0.1, "{norm:?} of {len}");
    }
}

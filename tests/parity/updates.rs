//! Processing of gradients and weights: edits, optimizers, averages, and the search for NaN.

use super::case::{Case, gpu, normal, random, rounds, size};
use rand::RngExt;
use wgrad::kernels::Step;
use wgrad::kernels::optim::average::Share;
use wgrad::kernels::optim::combine::Factors;
use wgrad::kernels::optim::edits::Edit;
use wgrad::kernels::tensor::Extent;
use wgrad::math::optim::{Optimizer, UpdateRule};
use wgrad::plan::program::Op;

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
            let rule = UpdateRule { optimizer, decay, decayed: len / 2 };
            // From the middle of the row on, too.
            let range = if decay > 0.0 { 64 } else { 0 }..len;
            case.check(Op::Update { rule, w, g, state, range }, step, None, device);
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
        let rule = UpdateRule { optimizer, decay: 0.1, decayed: at + len / 2 };
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
fn edits_of_the_gradient_agree() {
    let mut random = random(11);
    for round in rounds(10, &[0, 1, 2, 3, 4]) {
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
fn the_first_values_that_are_not_finite_are_found_by_both_alike() {
    let mut random = random(12);
    for round in rounds(8, &[0, 1]) {
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

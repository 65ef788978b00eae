use super::rules::{self, Scalars};
use super::*;

/// The place after so many steps from (−1, 2), at a learning rate that falls to 0.
fn minimise(
    optimizer: Optimizer,
    lr: f64,
    steps: u64,
    slope: impl Fn([f64; 2]) -> [f64; 2],
) -> [f64; 2] {
    let (mut w, mut state) = ([-1.0, 2.0], [[0.0; 2]; 3]);
    for t in 1..=steps {
        let g = slope(w);
        let scalars = Scalars {
            lr: lr * (1.0 - t as f64 / (steps + 1) as f64),
            decay: 0.0,
            constants: optimizer.constants().map(f64::from),
            corrections: optimizer.corrections(t).map(f64::from),
        };
        let [a, b, c] = &mut state;
        rules::step(optimizer, &scalars, &mut w, &g, [a, b, c]);
    }
    w
}

#[test]
fn every_optimizer_finds_the_bottom_of_a_parabola_and_of_rosenbrock() {
    for optimizer in Optimizer::ALL.into_iter().filter(|o| o.is_element_wise()) {
        // Adagrad's steps shrink by themselves.
        let adagrad = matches!(optimizer, Optimizer::Adagrad { .. });
        let lr = if adagrad { 1.0 } else { 0.02 };
        let w = minimise(optimizer, lr, 3000, |[x, y]| [2.0 * (x - 3.0), 20.0 * (y + 1.0)]);
        assert!((w[0] - 3.0).abs() < 1e-3 && (w[1] + 1.0).abs() < 1e-3, "{optimizer}: {w:?}");
        let lr = match optimizer {
            // RAdam's first steps are as long as the gradient.
            Optimizer::Sgd
            | Optimizer::Momentum { .. }
            | Optimizer::Nesterov { .. }
            | Optimizer::RAdam { .. } => 5e-4,
            Optimizer::Adagrad { .. } => 1.0,
            _ => 0.02,
        };
        let w = minimise(optimizer, lr, 60_000, |[x, y]| {
            [-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)]
        });
        assert!((w[0] - 1.0).abs() < 1e-2 && (w[1] - 1.0).abs() < 1e-2, "{optimizer}: {w:?}");
    }
}

/// The place after so many steps of L-BFGS from (−1, 2), and the points that were looked at.
fn minimise_by_lbfgs(
    steps: usize,
    function: impl Fn(f64, f64) -> (f64, [f64; 2]),
) -> (Vec<f64>, usize) {
    use super::lbfgs::{HISTORY, Pair, Point, direction, first_length, search};
    let mut looks = 0;
    let mut evaluate = |w: &[f64]| {
        looks += 1;
        let (loss, g) = function(w[0], w[1]);
        Ok(Point { w: w.to_vec(), loss, g: g.to_vec() })
    };
    let mut point: Point = evaluate(&[-1.0, 2.0]).unwrap();
    let mut pairs: Vec<Pair> = Vec::new();
    for _ in 0..steps {
        let d = direction(&point.g, &pairs);
        let first = first_length(1.0, &point.g, &pairs);
        let Some(next) = search(&point, &d, first, &mut evaluate).unwrap() else { break };
        assert!(next.loss < point.loss, "a step goes down");
        pairs.extend(Pair::between(&point, &next));
        let old = pairs.len().saturating_sub(HISTORY);
        pairs.drain(..old);
        point = next;
    }
    (point.w, looks)
}

#[test]
fn lbfgs_finds_the_bottom_of_a_parabola_and_of_rosenbrock() {
    let (w, looks) = minimise_by_lbfgs(20, |x, y| {
        ((x - 3.0).powi(2) + 10.0 * (y + 1.0).powi(2), [2.0 * (x - 3.0), 20.0 * (y + 1.0)])
    });
    assert!((w[0] - 3.0).abs() < 1e-6 && (w[1] + 1.0).abs() < 1e-6 && looks < 40, "{w:?}, {looks}");
    let (w, looks) = minimise_by_lbfgs(60, |x, y| {
        let loss = (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
        (loss, [-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)])
    });
    let near = (w[0] - 1.0).abs() < 1e-6 && (w[1] - 1.0).abs() < 1e-6;
    assert!(near && looks < 100, "{w:?}, {looks}");
}

#[test]
fn every_name_reads_back() {
    for optimizer in Optimizer::ALL {
        assert_eq!(optimizer.name().parse(), Ok(optimizer));
        assert_eq!(Optimizer::ALL[optimizer.code() as usize], optimizer);
    }
}

#[test]
fn constants_are_set_where_a_rule_has_them_and_refused_elsewhere() {
    let set = |o: Optimizer| [o.with_momentum(0.25), o.with_beta2(0.5), o.with_epsilon(0.125)];
    let has = |o: Optimizer| set(o).map(|changed| changed.is_ok());
    for optimizer in Optimizer::ALL {
        for (changed, value) in set(optimizer).into_iter().zip([0.25, 0.5, 0.125]) {
            let Ok(changed) = changed else { continue };
            let constants = changed.constants();
            assert!(constants.contains(&value), "{optimizer}: {constants:?}");
            assert_eq!(changed.name(), optimizer.name());
        }
    }
    assert_eq!(has(Optimizer::Sgd), [false; 3]);
    assert_eq!(has(Optimizer::ALL[1]), [true, false, false]);
    assert_eq!(has(Optimizer::ALL[3]), [true; 3]);
    for wrong in [-0.1, 1.0, f32::NAN] {
        let adam = Optimizer::ALL[3];
        assert!(adam.with_momentum(wrong).is_err() && adam.with_beta2(wrong).is_err());
    }
    assert!(Optimizer::ALL[3].with_epsilon(0.0).is_err());
}

/// The product over 10⁹ steps must not be multiplied out.
#[test]
fn corrections_of_late_steps_are_those_in_the_limit() {
    let nadam = Optimizer::NAdam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    let [of_m, of_g, second, _] = nadam.corrections(1_000_000_000);
    assert!((of_m - 0.9).abs() < 1e-6 && (of_g - 0.1).abs() < 1e-6 && second == 1.0);
    let radam = Optimizer::RAdam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    assert_eq!(radam.corrections(1_000_000_000), [1.0, 0.0, 1.0, 1.0]);
    assert_eq!(radam.corrections(1)[0], 0.0);
}

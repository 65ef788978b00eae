//! Losses and weights of rows on the command line.

use crate::cli_support::Place;
use serde_json::Value;

/// y = 3x + noise whose deviation grows with x from 0.1 to 2.1; z is −y. Fractions a and b add up to 1.
fn noisy(rows: u32) -> String {
    let mut text = String::from("x,kind,count,a,b,y,z\n");
    let hash = |i: u32, salt: u32| {
        let x = i.wrapping_mul(2_654_435_761).wrapping_add(salt.wrapping_mul(40_503));
        f64::from((x ^ (x >> 15)).wrapping_mul(2_246_822_519) >> 8) / f64::from(1u32 << 24)
    };
    for i in 0..rows {
        let x = f64::from(i % 101) / 100.0;
        // Twelve uniform numbers are nearly normal.
        let normal = (0..12).map(|salt| hash(i, salt)).sum::<f64>() - 6.0;
        let y = 3.0 * x + (0.1 + 2.0 * x) * normal;
        let kind = if x > 0.9 { "rare" } else { "usual" };
        let share = (0.2 + 0.6 * x) as f32;
        let count = (3.0 * x) as u32;
        text += &format!("{x},{kind},{count},{share},{},{y:.4},{:.4}\n", 1.0 - share, -y);
    }
    text
}

fn valid(events: &[Value]) -> &Value {
    &events.last().unwrap()["valid"]
}

const COMMON: &str = "--device cpu --epochs 15 --layers 16:tanh --scaling standard --json";

#[test]
fn gaussian_nll_predicts_deviations_that_hold_what_they_say() {
    let place = Place::new();
    place.write("noisy.csv", noisy(4000));
    let line = "train noisy.csv --target y,z --columns x --loss gaussian-nll --out run";
    let events = place.ok(&format!("{line} {COMMON}")).json();
    let coverage = valid(&events)["coverage_95"].as_f64().unwrap();
    assert!((0.9..0.99).contains(&coverage), "{coverage}");
    assert!(valid(&events)["nll"].is_number() && valid(&events)["r2"].as_f64().unwrap() > 0.1);

    place.write("new.csv", "x\n0.2\n0.9\n");
    let predicted = place.ok("predict run new.csv --device cpu").stdout;
    let mut lines = predicted.lines();
    assert_eq!(lines.next(), Some("y,z,y_std,z_std"));
    let rows: Vec<Vec<f64>> =
        lines.map(|line| line.split(',').map(|x| x.parse().unwrap()).collect()).collect();
    for (row, (mean, deviation)) in rows.iter().zip([(0.6, 0.5), (2.7, 1.9)]) {
        let expected = [mean, -mean, deviation, deviation];
        let near = row.iter().zip(expected).all(|(x, e)| (x - e).abs() < 0.15 + 0.2 * e.abs());
        assert!(near, "{row:?}, not {expected:?}");
    }
    let shown = place.ok("evaluate run noisy.csv --device cpu").stdout;
    assert!(shown.contains("within 95% interval"), "{shown}");
    assert!(place.ok("evaluate run noisy.csv --device cpu --json").json()[0]["nll"].is_number());
}

#[test]
fn a_quantile_has_its_share_of_the_rows_below_it() {
    let place = Place::new();
    place.write("noisy.csv", noisy(4000));
    let line = "train noisy.csv --target y --columns x --loss quantile(0.9) --out run";
    place.ok(&format!("{line} {COMMON}"));
    let predicted = place.ok("predict run noisy.csv --device cpu").stdout;
    let table = place.read("noisy.csv");
    let truth = table.lines().skip(1).map(|line| line.split(',').nth(5).unwrap());
    let pairs = truth.zip(predicted.lines().skip(1));
    let number = |text: &str| text.parse::<f64>().unwrap();
    let below = pairs.filter(|(t, p)| number(t) < number(p)).count();
    assert!((3480..3720).contains(&below), "{below} of 4000 below the 90% quantile");
}

#[test]
fn losses_of_classes_learn_them() {
    let place = Place::new();
    place.write("noisy.csv", noisy(1500));
    for loss in ["focal(2)", "binary-focal(1.5)", "hinge", "kl-divergence", "cross-entropy"] {
        let out = loss.split('(').next().unwrap();
        let line = format!("train noisy.csv --target kind --columns x --loss {loss} --out {out}");
        let smooth = if out == "cross-entropy" { "--label-smoothing 0.1" } else { "" };
        let events = place.ok(&format!("{line} {smooth} --lr 0.03 {COMMON}")).json();
        let accuracy = valid(&events)["accuracy"].as_f64().unwrap();
        assert!(accuracy > 0.97, "{loss}: {accuracy}");
        // Probabilities of the two classes, from however many outputs.
        let predicted = place.ok(&format!("predict {out} noisy.csv --device cpu")).stdout;
        assert!(predicted.starts_with("class,p_rare,p_usual\nusual,"), "{predicted}");
    }
    let config = place.read("cross-entropy/config.toml");
    assert!(config.contains("label-smoothing = 0.1\n"), "{config}");
}

#[test]
fn losses_of_numbers_keep_what_the_numbers_mean() {
    let place = Place::new();
    place.write("noisy.csv", noisy(1500));
    let train = |target: &str, loss: &str, out: &str| {
        let line = format!("train noisy.csv --target {target} --columns x --loss {loss}");
        place.ok(&format!("{line} --out {out} {COMMON}")).json()
    };
    // Shares: the last epoch's metrics and the report agree that they are learned.
    let events = train("a,b", "kl-divergence", "shares");
    let epoch = events.iter().rfind(|e| e["event"] == "epoch").unwrap();
    for rmse in [&valid(&events)["rmse"], &epoch["rmse"]] {
        assert!(rmse.as_f64().unwrap() < 0.02, "{rmse}");
    }
    let predicted = place.ok("predict shares noisy.csv --device cpu").stdout;
    let last = predicted.lines().last().unwrap();
    let sum: f64 = last.split(',').map(|x| x.parse::<f64>().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{last}");
    // Counts: rates, not their logarithms.
    let events = train("count", "poisson", "counts --task regression");
    let epoch = events.iter().rfind(|e| e["event"] == "epoch").unwrap();
    let (found, shown) = (valid(&events)["rmse"].as_f64(), epoch["rmse"].as_f64());
    assert!((found.unwrap() - shown.unwrap()).abs() < 1e-4, "{found:?} {shown:?}");
    // A direction of two numbers.
    let events = train("y,z", "cosine", "directions");
    assert!(valid(&events)["loss"].as_f64().unwrap() < 0.3);
}

#[test]
fn balanced_classes_find_the_rare_one_and_a_column_of_weights_counts() {
    let place = Place::new();
    // Rare rows lie among usual ones: 1 in 10 where x is large.
    let mut text = String::from("x,w,kind\n");
    for i in 0..3000u32 {
        let x = f64::from(i * 37 % 1000) / 1000.0;
        let rare = x > 0.5 && i % 10 == 0;
        let (kind, weight) = if rare { ("rare", 9) } else { ("usual", 1) };
        text += &format!("{x},{weight},{kind}\n");
    }
    place.write("rare.csv", text);
    let recall = |options: &str| {
        let line = format!("train rare.csv --target kind {options} {COMMON} --force --out run");
        let events = place.ok(&line).json();
        let found = valid(&events)["balanced_accuracy"].as_f64().unwrap();
        // What is frequent doesn't depend on what is to be learned.
        let majority = &events.last().unwrap()["baselines"]["majority_class"];
        assert!(options.contains("sample") || majority["accuracy"].as_f64().unwrap() > 0.9);
        found
    };
    assert!(recall("--columns x") < 0.55);
    assert!(recall("--columns x --class-weight balanced") > 0.65);
    assert!(recall("--columns x --class-weight rare=20") > 0.65);
    assert!(recall("--columns x --sample-weight w") > 0.65);
}

/// Squared error on one-hot classes with sigmoid outputs is the classical net; without sigmoids there are no
/// probabilities to evaluate.
#[test]
fn losses_of_numbers_learn_classes_where_outputs_are_from_0_to_1() {
    let place = Place::new();
    place.write("noisy.csv", noisy(1500));
    for loss in ["squared-error", "absolute-error", "huber", "log-cosh", "quantile", "cosine"] {
        let line = format!("train noisy.csv --target kind --columns x --loss {loss}");
        let refused = place.run(&format!("{line} --out {loss} {COMMON}"));
        assert_eq!(refused.code, 2, "{loss}: {}", refused.stderr);
        assert!(refused.stderr.contains("--output-activation sigmoid"), "{}", refused.stderr);
        assert!(!place.path(loss).exists(), "{loss}: nothing was trained");
        for output in ["sigmoid", "softmax"] {
            let options = format!("--output-activation {output} --lr 0.03 --out {loss}-{output}");
            let events = place.ok(&format!("{line} {options} {COMMON}")).json();
            let valid = valid(&events);
            assert!(valid["accuracy"].as_f64().unwrap() > 0.85, "{loss}, {output}: {valid}");
            assert!(valid["brier"].is_number(), "{loss}, {output}: {valid}");
        }
    }
}

#[test]
fn losses_that_make_no_sense_are_refused() {
    let place = Place::new();
    place.write("noisy.csv", noisy(300));
    let cases = [
        ("noisy.csv --target y --loss hinge", 2, "hinge cannot be used with a regression target"),
        (
            "noisy.csv --target kind --loss gaussian-nll",
            2,
            "gaussian-nll cannot be used with classes",
        ),
        ("noisy.csv --target y --loss quantile(1.5)", 2, "not between 0 and 1"),
        ("noisy.csv --target y --loss mse", 2, "unknown loss"),
        (
            "noisy.csv --target y --label-smoothing 0.1",
            2,
            "label smoothing cannot be used with the loss squared",
        ),
        ("noisy.csv --target kind --label-smoothing 1", 2, "invalid label smoothing: 1"),
        ("noisy.csv --target y,z --loss kl-divergence", 3, "the target -"),
        ("noisy.csv --target x --loss kl-divergence", 2, "a single number is constant"),
        ("noisy.csv --target y --loss cosine", 2, "a single number is constant"),
        ("noisy.csv --target kind --loss poisson", 2, "poisson cannot be used with classes"),
        ("noisy.csv --target kind --loss squared-error", 2, "needs outputs that are probabilities"),
        (
            "noisy.csv --target kind --loss cosine --output-activation tanh",
            2,
            "needs outputs that are probabilities",
        ),
    ];
    for (args, code, text) in cases {
        let ran = place.run(&format!("train {args} --device cpu"));
        assert!(ran.code == code && ran.stderr.contains(text), "{args}: {}", ran.stderr);
    }
}

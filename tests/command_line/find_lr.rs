//! The learning-rate range test on the command line.

use crate::cli_support::{Place, plane};

#[test]
fn a_rate_is_suggested_and_nothing_is_written() {
    let place = Place::new();
    place.write("plane.csv", plane());
    place.write("run/config.toml", "kept");
    for (data, options) in [
        ("digits", ""),
        ("digits", "--optimizer sgd --batch-size 32"),
        ("plane.csv", "--optimizer momentum --layers 16:tanh"),
        ("moons", "--loss focal"),
    ] {
        let line = format!("train {data} --find-lr --device cpu --out run {options}");
        let found = place.ok(&format!("{line} --json")).json();
        assert_eq!((found.len(), &found[0]["event"]), (1, &"find_lr".into()));
        let rate = |name: &str| found[0][name].as_f64().unwrap();
        // The whole ramp goes from 10⁻⁶ to 10.
        assert!((1e-5..1.0).contains(&rate("suggested")), "{line}: {}", found[0]["suggested"]);
        assert!(rate("suggested") < rate("lowest_at"), "{line}");
        let points = found[0]["points"].as_array().unwrap();
        let loss = |i: usize| points[i]["smoothed"].as_f64().unwrap();
        let lowest = (0..points.len()).map(loss).fold(f64::INFINITY, f64::min);
        assert!(lowest < 0.8 * loss(0), "{line}: the loss fell from {} to {lowest}", loss(0));

        let shown = place.ok(&line).stdout;
        let last = shown.lines().last().unwrap();
        let suggested = format!("suggested  --lr {}", found[0]["suggested"]);
        assert!(last.starts_with(&suggested), "{last}, not {suggested}");
        assert_eq!(shown.matches("← suggested").count(), 1, "{shown}");
    }
    assert_eq!(place.run("train digits --find-lr --folds 3").code, 2);
    assert_eq!(place.names(""), ["plane.csv", "run"]);
    assert_eq!(
        (place.names("run"), place.read("run/config.toml")),
        (vec!["config.toml".into()], "kept".into())
    );
}

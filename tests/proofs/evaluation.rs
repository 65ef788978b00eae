//! Every metric against scikit-learn's (see `tests/golden/README.md`).

use proptest::prelude::*;
use serde::Deserialize;
use std::collections::HashMap;
use wgrad::math::matrix::Matrix;
use wgrad::train::evaluation::{ClassReport, ClassScores, LabelReport, NumberReport};

/// All sums are in f64 over at most 80 rows, of inputs that f32 holds exactly. Measured: 2e-15.
const TOLERANCE: f64 = 1e-13;

#[derive(Deserialize)]
struct Golden {
    classes: Vec<ClassesCase>,
    numbers: Vec<NumbersCase>,
    labels: Vec<LabelsCase>,
}

type Values = HashMap<String, Option<f64>>;

#[derive(Deserialize)]
struct ClassesCase {
    case: String,
    probabilities: Vec<Vec<f32>>,
    labels: Vec<u32>,
    weights: Option<Vec<f32>>,
    values: Values,
    per_class: HashMap<String, Vec<Option<f64>>>,
    confusion: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct NumbersCase {
    case: String,
    predictions: Vec<Vec<f32>>,
    targets: Vec<Vec<f32>>,
    weights: Option<Vec<f32>>,
    values: Values,
    rmse_of_each: Vec<f64>,
    zero_targets: usize,
}

#[derive(Deserialize)]
struct LabelsCase {
    case: String,
    probabilities: Vec<Vec<f32>>,
    truth: Vec<Vec<f32>>,
    weights: Option<Vec<f32>>,
    values: Values,
    roc_auc_of_each: Vec<Option<f64>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/evaluation.json")).unwrap()
}

fn matrix(rows: &[Vec<f32>]) -> Matrix<f32> {
    Matrix::new(rows.len(), rows[0].len(), rows.concat()).unwrap()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
}

/// The values by name: the same names, none missing, and each number.
fn assert_values(case: &str, found: &[(&'static str, f64)], expected: &Values) {
    for (name, expected) in expected {
        let found = found.iter().find(|(n, _)| n == name).map(|(_, x)| *x);
        match (found, *expected) {
            (Some(found), Some(expected)) => {
                assert!(close(found, expected), "{case}: {name} is {found}, not {expected}");
            }
            (found, expected) => assert_eq!(found, expected, "{case}: {name}"),
        }
    }
    for (name, _) in found {
        assert!(expected.contains_key(*name), "{case}: nothing to hold {name} against");
    }
}

fn assert_each(case: &str, name: &str, found: Vec<Option<f64>>, expected: &[Option<f64>]) {
    let alike = found.len() == expected.len()
        && found.iter().zip(expected).all(|pair| match pair {
            (Some(found), Some(expected)) => close(*found, *expected),
            (found, expected) => found == expected,
        });
    assert!(alike, "{case}: {name} are {found:?}, not {expected:?}");
}

#[test]
fn classes_are_judged_as_by_scikit_learn() {
    for case in golden().classes {
        let p = matrix(&case.probabilities);
        let report = ClassReport::new(&p, &case.labels, case.weights.as_deref()).unwrap();
        assert_values(&case.case, &report.values(), &case.values);
        for (name, expected) in &case.per_class {
            let of = |c: &ClassScores| match name.as_str() {
                "precision" => Some(c.precision),
                "recall" => Some(c.recall),
                "f1" => Some(c.f1),
                "support" => Some(c.support),
                "roc_auc" => c.roc_auc,
                other => panic!("{other}"),
            };
            assert_each(&case.case, name, report.classes.iter().map(of).collect(), expected);
        }
        assert_eq!(report.confusion.dense(), case.confusion, "{}", case.case);
    }
}

#[test]
fn numbers_are_judged_as_by_scikit_learn() {
    for case in golden().numbers {
        let (predictions, targets) = (matrix(&case.predictions), matrix(&case.targets));
        let report = NumberReport::new(&predictions, &targets, case.weights.as_deref()).unwrap();
        assert_values(&case.case, &report.values(), &case.values);
        let each = report.outputs.iter().map(|o| Some(o.rmse)).collect();
        let expected: Vec<_> = case.rmse_of_each.into_iter().map(Some).collect();
        assert_each(&case.case, "rmse", each, &expected);
        assert_eq!(report.zero_targets, case.zero_targets, "{}", case.case);
    }
}

#[test]
fn several_labels_are_judged_as_by_scikit_learn() {
    for case in golden().labels {
        let (p, truth) = (matrix(&case.probabilities), matrix(&case.truth));
        let report = LabelReport::new(&p, &truth, case.weights.as_deref()).unwrap();
        assert_values(&case.case, &report.values(), &case.values);
        let each = report.labels.iter().map(|l| l.roc_auc).collect();
        assert_each(&case.case, "roc_auc", each, &case.roc_auc_of_each);
    }
}

#[test]
fn what_cannot_be_measured_is_refused_with_its_row() {
    let p = |rows: &[[f32; 2]]| Matrix::new(rows.len(), 2, rows.concat()).unwrap();
    let good = p(&[[0.5, 0.5], [0.25, 0.75]]);
    let class = |p: &Matrix<f32>, labels: &[u32], weights: Option<&[f32]>| {
        ClassReport::new(p, labels, weights).unwrap_err().to_string()
    };
    let nan = class(&p(&[[0.5, 0.5], [f32::NAN, 0.5]]), &[0, 1], None);
    assert!(nan.contains("is NaN") && nan.contains("row 2, column 1"), "{nan}");
    assert!(class(&p(&[[-0.5, 1.5]]), &[0], None).contains("row 1, column 1"));
    assert!(class(&good, &[0, 2], None).contains("row 2"));
    assert!(class(&good, &[0], None).contains("(2, 2) for (1, 2)"));
    assert!(class(&good, &[0, 1], Some(&[1.0, -1.0])).contains("row 2"));
    assert!(class(&good, &[0, 1], Some(&[0.0, 0.0])).contains("all weights are 0"));
    assert!(class(&Matrix::default(), &[], None).contains("no rows"));
    let column = |x: f32| Matrix::new(1, 1, vec![x]).unwrap();
    assert!(NumberReport::new(&column(f32::INFINITY), &column(1.0), None).is_err());
    assert!(NumberReport::new(&column(1.0), &column(f32::NAN), None).is_err());
    assert!(LabelReport::new(&column(f32::NAN), &column(1.0), None).is_err());
}

#[test]
fn the_worst_mistakes_come_first_and_a_report_is_one_json_object() {
    let p = Matrix::from_fn(6, 3, |r, c| if c == [1, 1, 2, 0, 0, 2][r] { 0.75 } else { 0.125 });
    let report = ClassReport::new(&p, &[0, 0, 1, 0, 0, 2], None).unwrap();
    assert_eq!(report.confusion.most_confused(9), [(0, 1, 2.0), (1, 2, 1.0)]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(
        json["confusion"],
        serde_json::json!([[2.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    );
    assert_eq!(json["classes"][0]["recall"], 0.5);
    let many = Matrix::from_fn(2, 200, |r, c| f32::from(u8::from(c == 199 * r)));
    let json = serde_json::to_value(ClassReport::new(&many, &[199, 199], None).unwrap()).unwrap();
    assert_eq!(
        json["confusion"],
        serde_json::json!([{"actual": 199, "predicted": 0, "weight": 1.0}])
    );
}

proptest! {
    /// What the metrics must not depend on: the order of the rows, and a weight of 2 being another
    /// thing than the row twice.
    #[test]
    fn a_row_of_weight_two_is_that_row_twice(
        rows in prop::collection::vec((0u32..3, 1u8..64, 1u8..64, 1u8..64, 0u8..3), 2..40),
    ) {
        prop_assume!(rows.iter().any(|row| row.4 > 0));
        let p = |row: &(u32, u8, u8, u8, u8)| {
            let values = [row.1, row.2, row.3].map(f32::from);
            values.map(|x| x / values.iter().sum::<f32>())
        };
        let all: Vec<f32> = rows.iter().flat_map(p).collect();
        let weights: Vec<f32> = rows.iter().map(|row| row.4.into()).collect();
        let labels: Vec<u32> = rows.iter().map(|row| row.0).collect();
        let weighted =
            ClassReport::new(&Matrix::new(rows.len(), 3, all).unwrap(), &labels, Some(&weights));
        let copies: Vec<_> =
            rows.iter().rev().flat_map(|row| vec![*row; row.4.into()]).collect();
        let all: Vec<f32> = copies.iter().flat_map(p).collect();
        let labels: Vec<u32> = copies.iter().map(|row| row.0).collect();
        let repeated = ClassReport::new(&Matrix::new(copies.len(), 3, all).unwrap(), &labels, None);
        let (weighted, repeated) = (weighted.unwrap().values(), repeated.unwrap().values());
        prop_assert_eq!(weighted.len(), repeated.len());
        for ((name, a), (_, b)) in weighted.into_iter().zip(repeated) {
            prop_assert!((a - b).abs() < 1e-12, "{name}: {a} and {b}");
        }
    }
}

//! Display names of metrics and baselines, and formats of their values.

pub use crate::base::words::count;
use crate::base::words::{short, thousands};
use crate::train::evaluation::Value;

/// The display name of a metric, and whether it is shown as a percentage.
#[must_use]
pub fn shown(name: &str) -> (&str, bool) {
    match name {
        "accuracy" => ("accuracy", true),
        "balanced_accuracy" => ("balanced accuracy", true),
        "precision" => ("precision, macro", true),
        "recall" => ("recall, macro", true),
        "f1" => ("F1, macro", true),
        "precision_weighted" => ("precision, weighted", true),
        "recall_weighted" => ("recall, weighted", true),
        "f1_weighted" => ("F1, weighted", true),
        "precision_micro" => ("precision, micro", true),
        "recall_micro" => ("recall, micro", true),
        "f1_micro" => ("F1, micro", true),
        "subset_accuracy" => ("all labels correct", true),
        "hamming_loss" => ("labels wrong", true),
        "calibration_error" => ("calibration error", true),
        "mape" => ("MAPE", true),
        "coverage_95" => ("within 95% interval", true),
        "nll" => ("neg. log-likelihood", false),
        "roc_auc" => ("ROC AUC", false),
        "log_loss" => ("log loss", false),
        "brier" => ("Brier score", false),
        "rmse" => ("RMSE", false),
        "mae" => ("MAE", false),
        "median_absolute_error" => ("median error", false),
        "r2" => ("R²", false),
        "majority_class" => ("majority class", false),
        "label_shares" => ("frequent labels", false),
        "linear_model" => ("linear model", false),
        other => (other, false),
    }
}

/// The value of a metric: a fraction as percent.
#[must_use]
pub fn value((name, x): Value) -> String {
    of_name(name, x)
}

/// As [`value`], for a metric whose name was read from a file.
#[must_use]
pub fn of_name(name: &str, x: f64) -> String {
    match shown(name).1 {
        true if x < 10.0 => percent(x),
        true => format!("{}%", thousands(x * 100.0)),
        // Scores without a unit, whose fourth digit is noise. Adding 0 turns −0 into 0.
        false if matches!(name, "roc_auc" | "r2" | "brier") && x.abs() < 1000.0 => {
            format!("{:.4}", (x * 1e4).round() / 1e4 + 0.0)
        }
        false => short(x),
    }
}

/// A number in up to four significant digits, without trailing zeros.
#[must_use]
pub fn tidy(x: f64) -> String {
    let text = short(x);
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

/// A fraction as percent, with more digits if it is close to 1: 99.97% is not 100%.
#[must_use]
pub fn percent(x: f64) -> String {
    let decimals = if (0.99..1.0).contains(&x) { 2 } else { 1 };
    format!("{:.decimals$}%", x * 100.0)
}

/// The metrics that are shown first, for each kind of target.
#[must_use]
pub fn first_metrics(kind: super::TargetKind) -> &'static [&'static str] {
    match kind {
        super::TargetKind::Classes => &["accuracy", "balanced_accuracy", "roc_auc", "log_loss"],
        super::TargetKind::Labels => &["f1_micro", "subset_accuracy", "hamming_loss", "roc_auc"],
        super::TargetKind::Numbers => &["rmse", "mae", "r2", "coverage_95"],
    }
}

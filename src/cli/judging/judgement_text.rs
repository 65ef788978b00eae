//! Evaluations as text: a few lines at the end of training, tables for `evaluate`.

use super::judgement::Judgement;
use crate::base::words::{short, thousands};
use crate::cli::arguments::terminal::{count, plural};
use crate::cli::nets::fold_judgement::{Folds, Spread};
use crate::data::Preprocessing;
use crate::net::metrics::Metrics;
use crate::report::interval;
use crate::report::words::{percent, shown, value};
use crate::train::evaluation::{
    ClassReport, ClassScores, LabelReport, NumberReport, Report, Value,
};

/// The assumed width of a terminal.
const WIDTH: usize = 80;
/// With more classes only the worst are shown.
const CLASSES: usize = 20;
/// The longest name of a class in a table.
const NAME: usize = 24;

fn find(values: &[Value], name: &str) -> Option<f64> {
    values.iter().find(|v| v.0 == name).map(|v| v.1)
}

/// The summary of one data set at the end of training: the first metric with those of the baselines, then some
/// others.
pub(in crate::cli) fn brief(name: &str, judged: &Judgement) -> String {
    let (first, others): (&'static str, &[&str]) = match judged.report {
        Report::Classes(_) => ("accuracy", &["balanced_accuracy", "roc_auc", "log_loss"]),
        Report::Labels(_) => ("f1_micro", &["subset_accuracy", "hamming_loss", "roc_auc"]),
        Report::Numbers(_) => {
            ("rmse", &["mae", "median_absolute_error", "r2", "mape", "nll", "coverage_95"])
        }
    };
    let values = judged.report.values();
    let of = |values: &[Value], name: &'static str| find(values, name).map(|x| value((name, x)));
    let beside: Vec<String> = judged
        .baselines
        .iter()
        .filter(|b| b.name != "median")
        .filter_map(|b| Some(format!("{} {}", shown(b.name).0, of(&b.values, first)?)))
        .collect();
    let beside = match beside.is_empty() {
        true => String::new(),
        false => format!("  ({})", beside.join(", ")),
    };
    let found = of(&values, first).unwrap_or_default();
    let mut text = format!("{name:<11} {} {found}{beside}\n", shown(first).0);
    let more: Vec<String> = values
        .iter()
        .filter(|v| others.contains(&v.0))
        .map(|&v| format!("{} {}", shown(v.0).0, value(v)))
        .collect();
    text += &format!("{:<11} {}  ({})\n", "", more.join("  "), count(judged.report.rows(), "row"));
    text
}

/// The result of a fold, while others are trained.
pub(in crate::cli) fn fold_line(fold: usize, folds: usize, judged: &Judgement) -> String {
    let text = brief(&format!("fold {fold}/{folds}"), judged);
    text.lines().next().unwrap_or_default().to_string()
}

/// All metrics over the folds, then the first ones of each fold.
pub(in crate::cli) fn fold_tables(folds: &Folds) -> String {
    let baselines: Vec<_> = folds.baselines.iter().filter(|b| b.0 != "median").collect();
    let mut text = format!("{:<19}{:>9}{:>11}{:>12}", "", "mean", "deviation", "all rows");
    baselines.iter().for_each(|b| text += &format!(" {:>13}", shown(b.0).0));
    text.push('\n');
    let whole = folds.whole.values();
    for &Spread { name, mean, deviation } in &folds.net {
        if name == "recall_weighted" {
            continue;
        }
        let all = find(&whole, name).map(|x| value((name, x))).unwrap_or_default();
        text += &format!(
            "{:<19}{:>9}{:>11}{all:>12}",
            shown(name).0,
            value((name, mean)),
            format!("± {}", value((name, deviation)))
        );
        for (_, spreads) in &baselines {
            let found = spreads.iter().find(|s| s.name == name);
            let found = found.map(|s| value((name, s.mean))).unwrap_or_default();
            text += &format!(" {found:>13}");
        }
        text.push('\n');
    }
    let metrics: [&'static str; 4] = match folds.whole {
        Report::Classes(_) => ["accuracy", "f1", "roc_auc", "log_loss"],
        Report::Labels(_) => ["f1_micro", "subset_accuracy", "roc_auc", "log_loss"],
        Report::Numbers(_) => ["rmse", "mae", "r2", "mape"],
    };
    text += &format!("\n{:<6}{:>9}", "fold", "rows");
    metrics.iter().for_each(|m| text += &format!(" {:>15}", shown(m).0));
    text.push('\n');
    for (i, judged) in folds.each.iter().enumerate() {
        text += &format!("{:<6}{:>9}", i + 1, thousands(judged.report.rows() as f64));
        let values = judged.report.values();
        for name in metrics {
            let found = find(&values, name).map(|x| value((name, x))).unwrap_or_default();
            text += &format!(" {found:>15}");
        }
        text.push('\n');
    }
    text + "all rows: each row predicted by the net that held it out\n"
}

/// Says if a baseline is better than the net by more than chance: by the metric `by` that chose its weights, or
/// else the log loss or RMSE, and beyond the 95% interval of the net's.
pub(in crate::cli) fn not_worth_it(judged: &Judgement, by: Option<&str>) -> Option<String> {
    let values = judged.report.values();
    let usual = match judged.report {
        Report::Classes(_) | Report::Labels(_) => "log_loss",
        Report::Numbers(_) => "rmse",
    };
    // `loss` isn't among the metrics.
    let name = values.iter().map(|v| v.0).find(|name| Some(*name) == by).unwrap_or(usual);
    let of = |values: &[Value]| find(values, name).filter(|x| !x.is_nan());
    let net = of(&values)?;
    // Larger is better.
    let height = |x: f64| if Metrics::larger_is_better(name) { x } else { -x };
    let others = judged.baselines.iter().filter_map(|b| Some((b.name, of(&b.values)?)));
    // Among equals the last: the linear model.
    let (best, x) = others.max_by(|a, b| height(a.1).total_cmp(&height(b.1)))?;
    if height(x) <= height(net) {
        return None;
    }
    let Judgement { predictions, truth, weights, report, .. } = judged;
    let interval = interval(name, predictions, truth, weights.as_deref(), report).ok()??;
    if (interval[0]..=interval[1]).contains(&x) {
        return None;
    }
    let (metric, found, own) = (shown(name).0, value((name, x)), value((name, net)));
    let (what, next) = match best {
        "linear_model" => ("a linear model".to_string(), "--layers none trains one"),
        best => (
            format!("always predicting the {}", shown(best).0),
            "the columns may say little about the target",
        ),
    };
    Some(format!("{what} is better ({metric} {found}, the net's {own}): {next}"))
}

/// The whole report as tables of at most 80 columns.
pub(in crate::cli) fn tables(judged: &Judgement, preprocessing: &Preprocessing) -> String {
    let mut text = metrics_table(judged);
    let names = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
    match &judged.report {
        Report::Classes(report) => {
            let names = names(&preprocessing.classes);
            text += &class_table(&report.classes, &names, "class");
            text += &confusion(report, &names);
        }
        Report::Labels(LabelReport { labels, .. }) => {
            text += &class_table(labels, &names(&preprocessing.labels), "label");
        }
        Report::Numbers(report) => {
            let names = preprocessing.encoding.as_ref().map_or(&[][..], |e| &e.targets);
            text += &outputs_table(report, names);
        }
    }
    text
}

/// All metrics, a column for the net and one for each baseline.
fn metrics_table(judged: &Judgement) -> String {
    let values = judged.report.values();
    let mut text = format!("{:<20} {:>11}", "", "net");
    for baseline in &judged.baselines {
        text += &format!(" {:>14}", shown(baseline.name).0);
    }
    text.push('\n');
    for &(name, x) in &values {
        // Weighted recall is the accuracy.
        if name == "recall_weighted" {
            continue;
        }
        text += &format!("{:<20} {:>11}", shown(name).0, value((name, x)));
        for baseline in &judged.baselines {
            let found = find(&baseline.values, name).map(|x| value((name, x)));
            text += &format!(" {:>14}", found.unwrap_or_default());
        }
        text.push('\n');
    }
    if let Report::Numbers(NumberReport { zero_targets: n @ 1.., .. }) = &judged.report {
        text += &format!("MAPE excludes {} with target 0\n", count(*n, "value"));
    }
    text
}

/// A name cut to at most `width` characters.
fn cut(name: &str, width: usize) -> String {
    match name.chars().count() > width {
        true => name.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        false => name.to_string(),
    }
}

/// The scores of each class; with more than 20, of those with the lowest F₁.
fn class_table(scores: &[ClassScores], names: &[String], what: &str) -> String {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let (mut heading, mut rest) = (what.to_string(), String::new());
    if order.len() > CLASSES {
        order.retain(|&k| scores[k].support > 0.0);
        order.sort_by(|&a, &b| scores[a].f1.total_cmp(&scores[b].f1));
        order.truncate(CLASSES);
        heading = format!("worst {}", plural(what));
        rest = format!("all {} are in --json\n", count(scores.len(), what));
    }
    let name = |k: usize| cut(names.get(k).map_or("?", String::as_str), NAME);
    let width = order.iter().map(|&k| name(k).chars().count()).max().unwrap_or(0);
    let width = width.max(heading.len());
    let mut text = format!(
        "\n{heading:<width$} {:>9} {:>10} {:>9} {:>9} {:>9}\n",
        "rows", "precision", "recall", "F1", "ROC AUC"
    );
    for k in order {
        let ClassScores { support, precision, recall, f1, roc_auc, .. } = &scores[k];
        text += &format!(
            "{:<width$} {:>9} {:>10} {:>9} {:>9} {:>9}\n",
            name(k),
            weight(*support),
            percent(*precision),
            percent(*recall),
            percent(*f1),
            roc_auc.map(short).unwrap_or_default()
        );
    }
    text + &rest
}

/// A number of rows, or the sum of their weights.
fn weight(x: f64) -> String {
    if x.fract() == 0.0 { thousands(x) } else { short(x) }
}

/// The confusion matrix if it fits, else the most frequent confusions.
fn confusion(report: &ClassReport, names: &[String]) -> String {
    matrix(report, names).unwrap_or_else(|| mistakes(report, names))
}

fn matrix(report: &ClassReport, names: &[String]) -> Option<String> {
    let dense = (names.len() <= CLASSES).then(|| report.confusion.dense())?;
    let cell = |x: f64| if x == 0.0 { "·".to_string() } else { weight(x) };
    let longest = |cells: &mut dyn Iterator<Item = String>| {
        cells.map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let label = longest(&mut names.iter().map(|n| cut(n, NAME))).max("actual".len());
    let numbers = longest(&mut dense.iter().flatten().map(|&x| cell(x)));
    let room = (WIDTH.checked_sub(label)? / names.len()).checked_sub(1)?;
    if numbers > room {
        return None;
    }
    let headings = longest(&mut names.iter().cloned());
    let width = headings.clamp(numbers, room);
    let mut text = format!("\n{:<label$} predicted\n{:<label$}", "", "actual");
    for name in names {
        text += &format!(" {:>width$}", cut(name, width));
    }
    text.push('\n');
    for (name, row) in names.iter().zip(&dense) {
        text += &format!("{:<label$}", cut(name, NAME));
        row.iter().for_each(|&x| text += &format!(" {:>width$}", cell(x)));
        text.push('\n');
    }
    Some(text)
}

fn mistakes(report: &ClassReport, names: &[String]) -> String {
    let worst = report.confusion.most_confused(10);
    if worst.is_empty() {
        return "\nno class was confused with another\n".into();
    }
    let name = |k: usize| cut(names.get(k).map_or("?", String::as_str), NAME);
    let mut text =
        format!("\n{:<NAME$} {:<NAME$} {:>9}\n", "most confused: actual", "predicted", "rows");
    for (actual, predicted, x) in worst {
        text += &format!("{:<NAME$} {:<NAME$} {:>9}\n", name(actual), name(predicted), weight(x));
    }
    text
}

/// The scores of each output, if there are several.
fn outputs_table(report: &NumberReport, names: &[String]) -> String {
    if report.outputs.len() < 2 {
        return String::new();
    }
    let mut text = format!(
        "\n{:<NAME$} {:>10} {:>10} {:>12} {:>8} {:>8}\n",
        "output", "RMSE", "MAE", "median error", "R²", "MAPE"
    );
    for (i, output) in report.outputs.iter().enumerate() {
        let name = names.get(i).map_or_else(|| (i + 1).to_string(), |n| cut(n, NAME));
        text += &format!(
            "{name:<NAME$} {:>10} {:>10} {:>12} {:>8} {:>8}\n",
            short(output.rmse),
            short(output.mae),
            short(output.median_absolute_error),
            output.r2.map(short).unwrap_or_default(),
            output.mape.map(|x| value(("mape", x))).unwrap_or_default(),
        );
    }
    text
}

//! The figures of a report: each a drawing with its name, caption and legend.

use super::plots::{Bar, Chart, Drawing, Heat, Mark, Scale, bars, cut, plane};
use super::words::{count, of_name, percent, shown, tidy};
use super::{
    Curve, Dependence, Distribution, Evaluation, Influence, LayerHistogram, RankingCurves, Regions,
    Residuals, RunReport, TargetKind,
};
use crate::base::words::short;

/// The columns whose importance is drawn.
const IMPORTANCES: usize = 15;

/// A figure.
pub(super) struct Figure {
    /// Its name in files: lowercase letters, digits and hyphens.
    pub name: String,
    /// What it shows, below it.
    pub caption: String,
    /// What each series is.
    pub legend: Vec<String>,
    /// The drawing.
    pub drawing: Drawing,
}

impl Figure {
    fn new(name: &str, caption: String, legend: Vec<String>, drawing: Drawing) -> Self {
        let keep = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = name.chars().take(60).map(keep).collect();
        Figure { name, caption, legend, drawing }
    }
}

/// The losses of a net, and the metrics that were followed.
pub(super) fn training(curve: &Curve, kind: TargetKind) -> Vec<Figure> {
    let of = curve.net.as_ref().map_or(String::new(), |net| format!(" of {net}"));
    let watched = curve.watched.as_deref().unwrap_or("held-out");
    let points = |value: &dyn Fn(&super::EpochPoint) -> Option<f64>| -> Vec<[f64; 2]> {
        curve.points.iter().filter_map(|p| Some([p.epoch as f64, value(p)?])).collect()
    };
    let train = points(&|p| p.train_loss);
    let held = points(&|p| p.held_out_loss);
    let epochs = Scale::exact(
        curve.points.first().map_or(1.0, |p| p.epoch as f64),
        curve.points.last().map_or(1.0, |p| p.epoch as f64),
    );
    let last = |points: &[[f64; 2]]| points.last().map_or("none".into(), |p| short(p[1]));
    let mark = |chart: Chart| match curve.kept {
        Some(kept) => chart.mark_x(kept as f64, "kept"),
        None => chart,
    };
    let scale = Scale::of_losses(train.iter().chain(&held).map(|p| p[1]));
    let about = format!(
        "Loss{of} over {}: training loss ends at {}, {watched} loss at {}{}",
        count(curve.points.last().map_or(0, |p| p.epoch), "epoch"),
        last(&train),
        last(&held),
        curve.kept.map_or(String::new(), |kept| format!("; epoch {kept} was kept"))
    );
    let label = if scale.is_log() { "loss (logarithmic)" } else { "loss" };
    let chart =
        Chart::new(&format!("Loss{of} by epoch"), &about, (epochs, "epoch"), (scale, label));
    let mut legend = vec!["training".to_string()];
    if !held.is_empty() {
        legend.push(watched.to_string());
    }
    let caption = match curve.kept {
        Some(kept) => format!("Loss{of}. The weights of epoch {kept} were kept."),
        None => format!("Loss{of}."),
    };
    let drawing = mark(chart.line(0, &train).line(1, &held)).draw();
    let name = |what: &str| format!("{what}{}", of.replace(' ', "-"));
    let mut all = vec![Figure::new(&name("loss"), caption, legend, drawing)];
    let first = super::words::first_metrics(kind);
    let followed = |name: &&&str| curve.points.iter().any(|p| p.metrics.contains_key(**name));
    if let Some(metric) = first.iter().find(followed) {
        let values = points(&|p| p.metrics.get(*metric).copied());
        let (words, is_share) = shown(metric);
        let scale = Scale::around(values.iter().map(|p| p[1]));
        let scale = if is_share { scale.percent() } else { scale };
        let about = format!(
            "The {words}{of} on the {watched} rows, from {} to {}",
            values.first().map_or("none".into(), |p| of_name(metric, p[1])),
            values.last().map_or("none".into(), |p| of_name(metric, p[1]))
        );
        let title = format!("{words}{of} by epoch");
        let chart = Chart::new(&title, &about, (epochs, "epoch"), (scale, words));
        let caption = format!("The {words}{of} on the {watched} rows.");
        let drawing = mark(chart.line(1, &values)).draw();
        all.push(Figure::new(&name(metric), caption, Vec::new(), drawing));
    }
    let rates = points(&|p| p.lr);
    if of.is_empty() && rates.windows(2).any(|pair| pair[0][1] != pair[1][1]) {
        let scale = Scale::from_zero(rates.iter().map(|p| p[1]));
        let about =
            format!("The learning rate of each epoch's last step, at the end {}", last(&rates));
        let chart = Chart::new(
            "Learning rate by epoch",
            &about,
            (epochs, "epoch"),
            (scale, "learning rate"),
        );
        let caption = "The learning rate of each epoch's last step.".into();
        all.push(Figure::new("learning-rate", caption, Vec::new(), chart.line(0, &rates).draw()));
    }
    all
}

/// The plots of a model on held-out rows.
pub(super) fn evaluation(all: &Evaluation, kind: TargetKind) -> Vec<Figure> {
    let part = &all.part;
    let mut figures = Vec::new();
    if !all.confusion.is_empty() {
        figures.push(confusion(all));
    }
    if let Some(ranking) = &all.ranking {
        figures.extend(ranked(ranking, part, all));
    }
    if !all.calibration.is_empty() {
        figures.push(calibration(all, kind));
    }
    for residuals in &all.residuals {
        figures.extend(residual(residuals, part));
    }
    figures
}

fn confusion(all: &Evaluation) -> Figure {
    let part = &all.part;
    let names: Vec<String> = all.classes.iter().map(|class| class.name.clone()).collect();
    let worst = all.mistakes.first().map_or("No row is predicted wrongly".into(), |mistake| {
        format!(
            "The most frequent mistake: {} rows of {} predicted as {}",
            short_count(mistake.weight),
            cut(&mistake.actual, 40),
            cut(&mistake.predicted, 40)
        )
    });
    let heat = Heat {
        title: &format!("Confusion matrix of the {part} rows"),
        about: &worst,
        names: &names,
        axes: ["actual class", "predicted class"],
        values: &all.confusion,
    };
    let caption = format!("Number of {part} rows by actual and predicted class. {worst}.");
    Figure::new(&format!("confusion-{part}"), caption, Vec::new(), heat.draw())
}

fn ranked(ranking: &RankingCurves, part: &str, all: &Evaluation) -> [Figure; 2] {
    let positive = cut(&ranking.positive, 40);
    let auc = all.metrics.iter().find(|m| m.name == "roc_auc").and_then(|m| m.value);
    let auc = auc.map_or("unknown".into(), |x| of_name("roc_auc", x));
    let share = || Scale::share();
    let about = format!("The area under the curve is {auc}; guessing gives the diagonal, 0.5");
    let roc = Chart::new(
        &format!("ROC curve of {positive}, {part} rows"),
        &about,
        (share(), "false positive rate"),
        (share(), "true positive rate"),
    );
    let roc = roc.guide([0.0, 0.0], [1.0, 1.0]).line(0, &ranking.roc).draw();
    let caption =
        format!("ROC curve of the class {positive}: area {auc}. The dashed line is guessing.");
    let roc = Figure::new(&format!("roc-{part}"), caption, Vec::new(), roc);
    let average = of_name("roc_auc", ranking.average_precision);
    let about = format!(
        "The average precision is {average}; guessing has the share of the class, {}",
        percent(ranking.share)
    );
    let chart = Chart::new(
        &format!("Precision and recall of {positive}, {part} rows"),
        &about,
        (share(), "recall"),
        (share(), "precision"),
    );
    let chart = chart.guide([0.0, ranking.share], [1.0, ranking.share]);
    let drawing = chart.line(0, &ranking.precision_recall).draw();
    let caption = format!(
        "Precision and recall of the class {positive}: average precision {average}. The dashed line is guessing."
    );
    [roc, Figure::new(&format!("precision-recall-{part}"), caption, Vec::new(), drawing)]
}

fn calibration(all: &Evaluation, kind: TargetKind) -> Figure {
    let part = &all.part;
    let points: Vec<[f64; 2]> =
        all.calibration.iter().map(|bin| [bin.confidence, bin.accuracy]).collect();
    let (x, y, what) = match kind {
        TargetKind::Labels => ("predicted probability", "share with the label", "labels"),
        _ => ("confidence", "share that is right", "predictions"),
    };
    let error = all.metrics.iter().find(|m| m.name == "calibration_error").and_then(|m| m.value);
    let error = error.map_or(String::new(), |x| {
        format!(" On average they differ by {}.", of_name("calibration_error", x))
    });
    let about = format!(
        "How often {what} of each {x} are right; on the diagonal, as often as predicted.{error}"
    );
    let chart = Chart::new(
        &format!("Calibration on the {part} rows"),
        &about,
        (Scale::share(), x),
        (Scale::share(), y),
    );
    let chart = chart.guide([0.0, 0.0], [1.0, 1.0]).line(0, &points);
    let drawing = chart.points_of(0, Mark::Dot, &points).draw();
    let caption =
        format!("Calibration: on the dashed line, {what} are right as often as predicted.{error}");
    Figure::new(&format!("calibration-{part}"), caption, Vec::new(), drawing)
}

fn residual(residuals: &Residuals, part: &str) -> Vec<Figure> {
    let target = cut(&residuals.target, 40);
    let both = Scale::around(residuals.points.iter().flatten().copied());
    let [low, high] = residuals
        .points
        .iter()
        .flatten()
        .fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], &x| [a.min(x), b.max(x)]);
    let mut all = Vec::new();
    if !residuals.points.is_empty() {
        let rows = count(residuals.points.len(), "row");
        let about = format!("{rows}; on the diagonal the prediction is correct");
        let title = format!("Predictions of {target} and true values, {part} rows");
        let chart = Chart::new(&title, &about, (both, "truth"), (both, "prediction"));
        let chart = chart.points_of(0, Mark::Dot, &residuals.points);
        let drawing = chart.guide([low, low], [high, high]).draw();
        let caption =
            format!("Predictions of {target} for {rows}; on the dashed line they are correct.");
        all.push(Figure::new(
            &format!("predictions-{part}-{target}"),
            caption,
            Vec::new(),
            drawing,
        ));
    }
    if let Some(errors) = &residuals.errors {
        let title = format!("Errors of {target}, {part} rows");
        let drawing = histogram(&title, errors, "prediction − truth", "rows");
        let caption = format!("Errors of the predictions of {target}: prediction − truth.");
        all.extend(drawing.map(|drawing| {
            Figure::new(&format!("errors-{part}-{target}"), caption, Vec::new(), drawing)
        }));
    }
    all
}

/// The histogram of numbers.
pub(super) fn histogram(
    title: &str,
    distribution: &Distribution,
    x: &str,
    y: &str,
) -> Option<Drawing> {
    let Distribution::Numbers { min, median, max, range, counts, .. } = distribution else {
        return None;
    };
    let heights: Vec<f64> = counts.iter().map(|&n| n as f64).collect();
    let about = format!("From {} to {}, the median is {}", tidy(*min), tidy(*max), tidy(*median));
    let scale = Scale::from_zero(heights.iter().copied());
    let along = Scale::exact(range[0], range[1]);
    let range = if range[1] > range[0] { *range } else { [range[0] - 0.5, range[1] + 0.5] };
    Some(Chart::new(title, &about, (along, x), (scale, y)).bars(range, &heights).draw())
}

/// The importance of the columns.
pub(super) fn importance(influence: &Influence) -> Option<Figure> {
    if influence.columns.is_empty() {
        return None;
    }
    let bar = |one: &super::Importance| Bar {
        name: one.column.clone(),
        value: one.increase,
        deviation: one.deviation,
        text: short(one.increase),
    };
    let all: Vec<Bar> = influence.columns.iter().take(IMPORTANCES).map(bar).collect();
    let words = shown(&influence.metric).0;
    let about = format!(
        "The {words} of {} rows increases most if {} is permuted, by {}",
        influence.part,
        cut(&influence.columns[0].column, 40),
        short(influence.columns[0].increase)
    );
    let drawing = bars(&format!("Increase of the {words} without each column"), &about, &all);
    let caption = format!(
        "Increase of the {words} of {} {} rows from {} if the values of one column are shuffled among them; the mean of {}, with its standard deviation as a line.",
        influence.rows,
        influence.part,
        short(influence.base),
        count(influence.repeats, "shuffle"),
    );
    Some(Figure::new("importance", caption, Vec::new(), drawing))
}

/// The mean prediction as a function of a column.
pub(super) fn dependence(one: &Dependence, kind: TargetKind) -> Figure {
    let column = cut(&one.column, 40);
    let values = one.means.iter().flatten().copied();
    let (scale, label) = match kind {
        TargetKind::Numbers => (Scale::around(values.clone()), "mean prediction"),
        _ => (Scale::from_zero(values.clone()).percent(), "mean probability"),
    };
    let places: Vec<f64> = match one.numbers.len() == one.values.len() {
        true => one.numbers.clone(),
        false => (0..one.values.len()).map(|i| i as f64).collect(),
    };
    let is_named = one.numbers.is_empty();
    let x = match is_named {
        true => Scale::exact(-0.4, places.len() as f64 - 0.6),
        false => Scale::exact(places[0], places[places.len() - 1]),
    };
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    let about = format!("The {label} lies between {} and {}", short(low), short(high));
    let title = format!("Predictions by {column}");
    let mut chart = Chart::new(&title, &about, (x, &one.column), (scale, label));
    if is_named {
        chart = chart.named(places.iter().copied().zip(one.values.iter().cloned()).collect());
    }
    for (series, means) in one.means.iter().enumerate() {
        let points: Vec<[f64; 2]> = places.iter().zip(means).map(|(x, y)| [*x, *y]).collect();
        if one.is_ordered {
            chart = chart.line(series, &points);
        }
        chart = chart.points_of(series, Mark::BySeries, &points);
    }
    let of = match (kind, one.outputs.len()) {
        (TargetKind::Numbers, 1) => String::new(),
        (_, 1) => format!(" of {}", cut(&one.outputs[0], 40)),
        _ => String::new(),
    };
    let caption = format!(
        "The {label}{of} if {column} has each of these values in {}.",
        count(one.rows, "training row")
    );
    let legend = match one.outputs.len() {
        1 => Vec::new(),
        _ => one.outputs.iter().map(|name| cut(name, 24)).collect(),
    };
    Figure::new(&format!("dependence-{column}"), caption, legend, chart.draw())
}

/// What is predicted over the plane of two inputs.
pub(super) fn regions(regions: &Regions, report: &RunReport) -> Figure {
    let is_class = report.target.kind == TargetKind::Classes;
    let [x, y] = [0, 1].map(|axis| cut(&regions.columns[axis], 40));
    let title = format!("Predictions over {x} and {y}");
    let (about, caption, legend) = match is_class {
        true => (
            format!("Which of {} is predicted", count(report.target.names.len(), "class")),
            "Filled: the predicted class. Points: training rows and their class.".to_string(),
            report.target.names.iter().take(4).map(|name| cut(name, 24)).collect(),
        ),
        false => (
            "The predicted value in eight bands".to_string(),
            "The predicted value, from low (light) to high (deep) in eight bands. Points: training rows."
                .to_string(),
            Vec::new(),
        ),
    };
    let drawing = plane(regions, is_class, &title, &about);
    Figure::new("regions", caption, legend, drawing)
}

/// The weights of a layer.
pub(super) fn layer(one: &LayerHistogram) -> Option<Figure> {
    let title = format!("Weights of layer {}", one.layer);
    let drawing = histogram(&title, one.distribution.as_ref()?, "weight", "weights")?;
    let zeros =
        if one.zeros > 0.0 { format!(", {} of them 0", percent(one.zeros)) } else { String::new() };
    let caption = format!(
        "Layer {}: {} → {} {}, {}{zeros}.",
        one.layer,
        one.shape[0],
        one.shape[1],
        one.activation,
        count(one.weights, "weight")
    );
    Some(Figure::new(&format!("weights-{}", one.layer), caption, Vec::new(), drawing))
}

/// A weight of rows, which is a number of rows where all count alike.
pub(super) fn short_count(x: f64) -> String {
    if x.fract() == 0.0 { crate::base::words::thousands(x) } else { short(x) }
}

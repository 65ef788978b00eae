//! A report as one HTML file: no script, no external resources, for screens of any width, dark mode, and print.

mod data;
mod explained;
mod parts;
mod quality;
mod style;
pub(super) use parts::{document, figures, note, scroll};

use super::words::{count, of_name, shown};
use super::{Evaluation, RunReport, TargetKind, figures as all_figures};
use crate::base::words::duration;
use crate::report::page::parts::{Detail, first};
use maud::{Markup, html};
use parts::section;

/// The largest a page may be, in bytes.
pub(super) const LARGEST: usize = 2_000_000;
/// The number of metrics at the top.
const TILES: usize = 4;
/// The most nets of an ensemble whose curves are shown.
const CURVES: usize = 10;

/// Levels of detail, from the usual one to one that is always small.
const DETAILS: [Detail; 3] = [
    Detail { rows: 60, figures: 12, name: 80 },
    Detail { rows: 30, figures: 6, name: 40 },
    Detail { rows: 10, figures: 3, name: 24 },
];

/// The page of a report, below 2 MB.
#[must_use]
pub fn page(report: &RunReport) -> String {
    let mut made = String::new();
    for detail in DETAILS {
        made = with(report, detail).into_string();
        if made.len() < LARGEST {
            break;
        }
    }
    made
}

fn with(report: &RunReport, detail: Detail) -> Markup {
    let sections: Vec<(&str, &str, Markup)> = [
        ("quality", "How good it is", quality::quality(report, detail)),
        ("training", "How training went", training(report, detail)),
        ("data", "What it was trained on", data::data(report, detail)),
        ("columns", "What predictions depend on", explained::explained(report, detail)),
        ("mistakes", "Where it is most wrong", quality::mistakes(report, detail)),
        ("net", "The net", explained::net(report, detail)),
        ("doubts", "What to keep in mind", doubts(report, detail)),
        ("again", "How to repeat it", again(report)),
    ]
    .into_iter()
    .filter(|(_, _, content)| !content.0.is_empty())
    .collect();
    let title = parts::cut(&report.run, 60);
    let content = html! {
        header {
            p class="over" { "wgrad report" }
            h1 { (title) }
            p class="lead" { (lead(report, detail)) }
            (tiles(report))
            nav aria-label="Sections" {
                ul { @for (id, name, _) in &sections { li { a href={ "#" (id) } { (name) } } } }
            }
        }
        main id="content" {
            @for (id, name, content) in &sections { (section(id, name, content)) }
        }
        footer { p { "Made by wgrad " (report.version) " from report.json, which is in the same folder." } }
    };
    document(&format!("{title} – wgrad report"), &content)
}

/// The net and its data, in a sentence.
fn lead(report: &RunReport, detail: Detail) -> Markup {
    let target = &report.target;
    let what = match (&target.columns[..], target.kind) {
        ([one], _) => parts::cut(one, detail.name),
        (all, _) if all.len() > 1 => count(all.len(), "target"),
        (_, TargetKind::Classes) => "a class".into(),
        (_, TargetKind::Labels) => "labels".into(),
        _ => "a number".into(),
    };
    let kind = match target.kind {
        TargetKind::Classes => format!(", one of {}", count(target.names.len(), "class")),
        TargetKind::Labels => format!(", any of {}", count(target.names.len(), "label")),
        TargetKind::Numbers => String::new(),
    };
    let nets = match report.net.nets {
        1 => "A net".to_string(),
        nets => format!("An ensemble of {nets} nets"),
    };
    html! {
        (nets) " that predicts " strong { (what) } (kind)
        @if let Some(data) = &report.data { ", trained on " strong { (parts::cut(data, detail.name)) } }
        @if let Some(rows) = report.rows { " (" (count(rows.training, "row")) ")" }
        "."
        @if let Some(seconds) = report.net.seconds {
            " Training took " (duration(seconds))
            @if let Some(device) = &report.net.device { " on " (parts::cut(device, 80)) }
            "."
        }
        @if let Some(epochs) = report.net.interrupted_after {
            " " strong { "It was interrupted after " (count(epochs, "epoch")) ":" }
            " this is the model at that point."
        }
    }
}

/// The most important metrics, large.
fn tiles(report: &RunReport) -> Markup {
    let Some(judged) = first(report) else { return html! {} };
    let wanted = super::words::first_metrics(report.target.kind);
    let find = |name: &&str| judged.metrics.iter().find(|metric| metric.name == **name);
    let metrics = wanted.iter().filter_map(find).filter(|m| m.value.is_some()).take(TILES);
    html! {
        dl class="tiles" {
            @for metric in metrics {
                div {
                    dt { (shown(&metric.name).0) }
                    dd class="big" { (of_name(&metric.name, metric.value.unwrap_or_default())) }
                    @if let Some([low, high]) = metric.interval {
                        dd { "95% interval " (of_name(&metric.name, low)) " to " (of_name(&metric.name, high)) }
                    }
                    @for (name, value) in beside(judged, &metric.name) {
                        dd { (name) " " (of_name(&metric.name, value)) }
                    }
                }
            }
        }
        p class="soft" {
            "On " @if let Some(rows) = judged.rows { (count(rows, &format!("{} row", judged.part))) } @else { "the " (judged.part) " rows" }
            @if judged.out_of_fold { ", each predicted by the net that was not trained on it" } "."
        }
    }
}

/// A metric of the baselines.
fn beside<'a>(judged: &'a Evaluation, metric: &str) -> Vec<(&'a str, f64)> {
    let all = judged.baselines.iter().filter(|baseline| baseline.name != "median");
    all.filter_map(|b| Some((shown(&b.name).0, *b.values.get(metric)?))).collect()
}

fn training(report: &RunReport, detail: Detail) -> Markup {
    let most = CURVES.min(detail.figures);
    let of = |curve: &super::Curve| all_figures::training(curve, report.target.kind);
    let all: Vec<_> = report.curves.iter().take(most).flat_map(of).collect();
    if all.is_empty() {
        return html! {};
    }
    let watched = report.curves.iter().find_map(|curve| curve.watched.as_deref());
    html! {
        p {
            "The training loss is the mean over each epoch while it runs, with dropout and augmentation where they are used"
            @match watched {
                Some(part) => { "; the " (part) " loss is measured after the epoch." },
                None => { "; no rows were held out for evaluation." },
            }
            @if let Some(kept) = &report.net.kept {
                " The weights of epoch " (kept.epoch) " were kept, the best by " (shown(&kept.metric).0) "."
            }
            @if let Some(ending) = &report.net.ending { " Training ended because " (ending) "." }
        }
        (figures(&all))
        @if report.curves.len() > most { (note(&format!("The curves of {most} of {} nets are shown.", report.curves.len()))) }
    }
}

fn doubts(report: &RunReport, detail: Detail) -> Markup {
    let list = |title: &str, all: &[String]| {
        html! {
            @if !all.is_empty() {
                h3 { (title) }
                ul {
                    @for text in all.iter().take(detail.rows) { li { (parts::cut(text, 600)) } }
                    @if all.len() > detail.rows { li { "and " (all.len() - detail.rows) " more" } }
                }
            }
        }
    };
    let left_out: Vec<String> =
        report.not_computed.iter().map(|one| format!("{}: {}", one.part, one.why)).collect();
    if report.warnings.is_empty() && report.findings.is_empty() && left_out.is_empty() {
        return html! {};
    }
    html! {
        (list("Warnings about the data and settings", &report.warnings))
        (list("Findings from the weights", &report.findings))
        (list("Not in this report", &left_out))
    }
}

fn again(report: &RunReport) -> Markup {
    html! {
        p { "This command trains the same model again, on the same device and data:" }
        (scroll("The command", &html! { pre { code { (report.settings.command) } } }))
        @if let Some(config) = &report.settings.config {
            h3 { "config.toml" }
            (scroll("The settings in config.toml", &html! { pre { code { (parts::long(config, 20_000)) } } }))
        }
    }
}

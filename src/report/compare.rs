//! Several runs on one page.

use super::figures::Figure;
use super::page::{document, figures, note, scroll};
use super::plots::{Chart, Scale, cut};
use super::words::{count, of_name, shown};
use super::{Evaluation, RunReport};
use crate::base::words::duration;
use crate::net::metrics::Metrics;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// The most runs with curves in one plot.
const CURVES: usize = 4;
/// The most settings that are listed.
const SETTINGS: usize = 60;

/// A page that compares runs: metrics, curves, and the settings in which they differ.
#[must_use]
pub fn comparison(reports: &[RunReport]) -> String {
    let content = html! {
        header {
            p class="over" { "wgrad report" }
            h1 { "Comparison of " (count(reports.len(), "run")) }
        }
        main {
            (section("Runs", &runs(reports)))
            @for part in ["validation", "test"] {
                @let judged: Vec<Option<&Evaluation>> = reports.iter().map(|r| r.evaluations.iter().find(|e| e.part == part)).collect();
                @if judged.iter().any(Option::is_some) {
                    (section(&format!("Metrics on the {part} rows"), &metrics(reports, &judged, part)))
                }
            }
            (section("Loss by epoch", &curves(reports)))
            (section("Settings that differ", &settings(reports)))
        }
    };
    document("Comparison of runs – wgrad report", &content).into_string()
}

fn section(name: &str, content: &Markup) -> Markup {
    html! { @if !content.0.is_empty() { section { h2 { (name) } (content) } } }
}

/// The name of a run, with its number if several have the same name.
fn name(reports: &[RunReport], i: usize) -> String {
    let own = &reports[i].run;
    match reports.iter().filter(|report| report.run == *own).count() {
        1 => cut(own, 40),
        _ => format!("{} ({})", cut(own, 36), i + 1),
    }
}

fn runs(reports: &[RunReport]) -> Markup {
    scroll(
        "The runs",
        &html! {
            table {
                caption { "The net and data of each run" }
                thead {
                    tr {
                        @for title in ["run", "data", "net", "device"] { th scope="col" { (title) } }
                        @for title in ["training rows", "nets", "parameters", "time"] { th scope="col" class="n" { (title) } }
                    }
                }
                tbody {
                    @for (i, report) in reports.iter().enumerate() {
                        tr {
                            th scope="row" { (name(reports, i)) }
                            td { (report.data.as_deref().map_or(String::new(), |data| cut(data, 40))) }
                            td class="wide" { (cut(&report.net.layers, 120)) }
                            td { (report.net.device.as_deref().map_or(String::new(), |device| cut(device, 60))) }
                            td class="n" { (report.rows.map_or(String::new(), |rows| crate::base::words::thousands(rows.training as f64))) }
                            td class="n" { (report.net.nets) }
                            td class="n" { (crate::base::words::thousands(report.net.parameters as f64)) }
                            td class="n" { (report.net.seconds.map_or(String::new(), duration)) }
                        }
                    }
                }
            }
        },
    )
}

fn metrics(reports: &[RunReport], judged: &[Option<&Evaluation>], part: &str) -> Markup {
    let mut names: Vec<&str> = Vec::new();
    for metric in judged.iter().flatten().flat_map(|judged| &judged.metrics) {
        if !names.contains(&metric.name.as_str()) {
            names.push(&metric.name);
        }
    }
    let find = |judged: &Option<&Evaluation>, name: &str| {
        let metric = judged.as_ref()?.metrics.iter().find(|metric| metric.name == name)?;
        Some((metric.value?, metric.interval))
    };
    let best = |name: &str| -> Option<f64> {
        let values = judged.iter().filter_map(|one| Some(find(one, name)?.0));
        let better =
            |a: f64, b: f64| if Metrics::larger_is_better(name) { a.max(b) } else { a.min(b) };
        let is_contest = values.clone().count() > 1 && name != "coverage_95";
        values.reduce(better).filter(|_| is_contest)
    };
    let rows: Vec<Option<usize>> = judged.iter().flatten().map(|one| one.rows).collect();
    let caption = format!(
        "Metrics on the {part} rows, with 95% intervals; the best value of each is in bold and marked ★"
    );
    html! {
        (scroll(&caption, &html! {
            table {
                caption { (caption) }
                thead { tr { th scope="col" { "metric" } @for i in 0..reports.len() { th scope="col" class="n" { (name(reports, i)) } } } }
                tbody {
                    @for metric in &names {
                        tr {
                            th scope="row" { (shown(metric).0) }
                            @for one in judged {
                                td class="n" {
                                    @if let Some((value, interval)) = find(one, metric) {
                                        @if best(metric) == Some(value) { strong { (of_name(metric, value)) " ★" } } @else { (of_name(metric, value)) }
                                        @if let Some([low, high]) = interval {
                                            br; span class="soft" { (of_name(metric, low)) " – " (of_name(metric, high)) }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }))
        @if rows.windows(2).any(|pair| pair[0] != pair[1]) {
            (note("The runs were evaluated on different numbers of rows: their metrics are not comparable."))
        }
    }
}

fn curves(reports: &[RunReport]) -> Markup {
    let drawn: Vec<(String, Vec<[f64; 2]>)> = reports
        .iter()
        .enumerate()
        .filter_map(|(i, report)| {
            let curve = report.curves.first()?;
            let points = curve.points.iter();
            let points =
                points.filter_map(|p| Some([p.epoch as f64, p.held_out_loss.or(p.train_loss)?]));
            let net = curve.net.as_ref().map_or(String::new(), |net| format!(", {net}"));
            Some((format!("{}{net}", name(reports, i)), points.collect()))
        })
        .collect();
    let all = drawn.chunks(CURVES).enumerate().map(|(i, chunk)| {
        let points = || chunk.iter().flat_map(|(_, points)| points);
        let last = points().fold(1.0f64, |a, p| a.max(p[0]));
        let scale = Scale::of_losses(points().map(|p| p[1]).collect::<Vec<_>>().into_iter());
        let about = format!("The curves of {}", count(chunk.len(), "run"));
        let title = format!("Loss by epoch, plot {}", i + 1);
        let mut chart = Chart::new(&title, &about, (Scale::exact(1.0, last), "epoch"), (scale, "loss"));
        for (series, (_, points)) in chunk.iter().enumerate() {
            chart = chart.line(series, points);
        }
        Figure {
            name: format!("loss-{}", i + 1),
            caption: "Loss on the held-out rows, or on the training rows where none were held out; for an ensemble, of its first net. Losses are comparable only between runs that minimize the same objective.".into(),
            legend: chunk.iter().map(|(name, _)| name.clone()).collect(),
            drawing: chart.draw(),
        }
    });
    figures(&all.collect::<Vec<_>>())
}

fn settings(reports: &[RunReport]) -> Markup {
    let table = |report: &RunReport| -> BTreeMap<String, String> {
        let table: toml::Table =
            toml::from_str(report.settings.config.as_deref().unwrap_or("")).unwrap_or_default();
        table.into_iter().map(|(name, value)| (name, value.to_string())).collect()
    };
    let all: Vec<BTreeMap<String, String>> = reports.iter().map(table).collect();
    let mut names: Vec<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| all.windows(2).any(|pair| pair[0].get(*name) != pair[1].get(*name)));
    if names.is_empty() {
        return html! { p { "None: the runs have the same settings." } };
    }
    let caption = "The options of config.toml in which the runs differ";
    html! {
        (scroll(caption, &html! {
            table {
                caption { (caption) }
                thead { tr { th scope="col" { "option" } @for i in 0..reports.len() { th scope="col" { (name(reports, i)) } } } }
                tbody {
                    @for option in names.iter().take(SETTINGS) {
                        tr {
                            th scope="row" { (cut(option, 40)) }
                            @for one in &all { td { (one.get(*option).map_or("–".into(), |value| cut(value, 80))) } }
                        }
                    }
                }
            }
        }))
    }
}

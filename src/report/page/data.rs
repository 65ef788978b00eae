//! The section about the data: columns with their distributions, columns that were left out, the target.

use super::parts::Detail;
use super::parts::{cut, figures, note, scroll};
use crate::base::words::thousands;
use crate::report::figures::histogram;
use crate::report::plots::small_histogram;
use crate::report::words::{count, percent, tidy};
use crate::report::{ColumnSummary, Distribution, RunReport, Share};
use maud::{Markup, html};

pub(super) fn data(report: &RunReport, detail: Detail) -> Markup {
    let rows = report.rows.map(|rows| {
        let mut parts = vec![format!("{} were trained on", count(rows.training, "row"))];
        if rows.validation > 0 {
            parts.push(format!("{} held out for validation", thousands(rows.validation as f64)));
        }
        if rows.test > 0 {
            parts.push(format!("{} used for testing", thousands(rows.test as f64)));
        }
        parts.join(", ")
    });
    let target = target(report, detail);
    if rows.is_none() && report.columns.is_none() && target.0.is_empty() {
        return html! {};
    }
    html! {
        @if let Some(rows) = rows {
            p {
                (rows) "."
                @if report.net.nets > 1 && report.evaluations.iter().any(|judged| judged.out_of_fold) {
                    " Each net was trained on all of them but its own fold, and evaluated on that fold."
                }
            }
        }
        (target)
        @if let Some(columns) = &report.columns {
            h3 { "Columns" }
            (columns_table(&columns.columns, columns.total, detail))
            (note(&format!(
                "Distributions of {}. A histogram with long tails ends at the 1st and 99th percentiles.",
                count(columns.sampled_rows, "training row")
            )))
            (left_out(&columns.columns, detail))
        }
    }
}

/// The frequency of classes, or the distribution of targets.
fn target(report: &RunReport, detail: Detail) -> Markup {
    let target = &report.target;
    let shares = &target.shares;
    let total = report.rows.map_or(0, |rows| rows.training).max(1) as f64;
    // For a table that is only sampled, the sample.
    let seen: usize = shares.iter().map(|share| share.rows).sum();
    let is_class = target.kind == crate::report::TargetKind::Classes;
    let total = if is_class && seen > 0 { seen as f64 } else { total };
    let mut order: Vec<&Share> = shares.iter().collect();
    order.sort_by_key(|share| std::cmp::Reverse(share.rows));
    let what = if is_class { "class" } else { "label" };
    let caption = format!("Training rows of each {what}, the most frequent first");
    let histograms: Vec<_> = target
        .names
        .iter()
        .zip(&target.distributions)
        .take(detail.figures)
        .filter_map(|(name, distribution)| {
            let name = cut(name, detail.name);
            let drawing =
                histogram(&format!("Distribution of {name}"), distribution, &name, "rows")?;
            let Distribution::Numbers { min, median, max, .. } = distribution else { return None };
            let caption = format!(
                "{name} in the training rows: from {} to {}, the median is {}.",
                tidy(*min),
                tidy(*max),
                tidy(*median)
            );
            Some(crate::report::figures::Figure {
                name: "target".into(),
                caption,
                legend: Vec::new(),
                drawing,
            })
        })
        .collect();
    html! {
        @if !order.is_empty() {
            (scroll(&caption, &html! {
                table {
                    caption { (caption) }
                    thead { tr { th scope="col" { (what) } th scope="col" class="n" { "rows" } th scope="col" class="n" { "share" } } }
                    tbody {
                        @for share in order.iter().take(detail.rows) {
                            tr {
                                th scope="row" { (cut(&share.name, detail.name)) }
                                td class="n" { (thousands(share.rows as f64)) }
                                td class="n" { (percent(share.rows as f64 / total)) }
                            }
                        }
                    }
                }
            }))
            @if order.len() > detail.rows { (note(&format!("and {} more", order.len() - detail.rows))) }
        }
        (figures(&histograms))
    }
}

fn columns_table(columns: &[ColumnSummary], total: usize, detail: Detail) -> Markup {
    let used: Vec<&ColumnSummary> =
        columns.iter().filter(|column| column.left_out.is_none()).collect();
    let caption = "The values and the encoding of each column";
    html! {
        (scroll(caption, &html! {
            table {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" { "column" }
                        th scope="col" { "holds" }
                        th scope="col" { "values (least … median … largest)" }
                        th scope="col" class="n" { "missing" }
                        th scope="col" { "becomes" }
                    }
                }
                tbody {
                    @for column in used.iter().take(detail.rows) {
                        tr {
                            th scope="row" { (cut(&column.name, detail.name)) }
                            td { (column.kind.as_deref().unwrap_or("")) @if column.role == "target" { " (target)" } }
                            td { (values(column, detail)) }
                            td class="n" { @if column.missing > 0 { (thousands(column.missing as f64)) } @else { "0" } }
                            td class="wide" { (column.input.as_deref().unwrap_or("")) @if column.inputs > 1 { " (" (column.inputs) " inputs)" } }
                        }
                    }
                }
            }
        }))
        @if used.len() > detail.rows || columns.len() < total {
            (note(&format!("{} of {} are shown.", detail.rows.min(used.len()), count(total, "column"))))
        }
    }
}

/// The values of a column in small form.
fn values(column: &ColumnSummary, detail: Detail) -> Markup {
    match &column.distribution {
        Some(Distribution::Numbers { is_time, min, median, max, .. }) => {
            let text = |x: f64| if *is_time { date(x) } else { tidy(x) };
            let title = format!(
                "Histogram of {}: {} to {}",
                cut(&column.name, detail.name),
                text(*min),
                text(*max)
            );
            html! {
                @if let Some(distribution) = &column.distribution {
                    @if let Some(drawing) = small_histogram(&title, distribution) { (drawing) }
                }
                span class="soft" { (text(*min)) " … " (text(*median)) " … " (text(*max)) }
            }
        }
        Some(Distribution::Shares { shares, distinct, rows }) => html! {
            ul class="shares" {
                @for share in shares.iter().take(3) {
                    li { span { (cut(&share.name, detail.name.min(28))) } span { (percent(share.rows as f64 / (*rows).max(1) as f64)) } }
                }
                @if *distinct > 3 { li { span { "and " (thousands((distinct - 3) as f64)) " more" } span {} } }
            }
        },
        None => html! {},
    }
}

/// The day of seconds since 1970.
fn date(seconds: f64) -> String {
    let moment = chrono::DateTime::from_timestamp(seconds as i64, 0);
    moment.map_or_else(|| tidy(seconds), |moment| moment.format("%Y-%m-%d").to_string())
}

fn left_out(columns: &[ColumnSummary], detail: Detail) -> Markup {
    let all: Vec<(&ColumnSummary, &String)> =
        columns.iter().filter_map(|column| Some((column, column.left_out.as_ref()?))).collect();
    html! {
        @if !all.is_empty() {
            h3 { "Left out" }
            ul {
                @for (column, why) in all.iter().take(detail.rows) {
                    li { strong { (cut(&column.name, detail.name)) } ": " (cut(why, 200)) }
                }
                @if all.len() > detail.rows { li { "and " (all.len() - detail.rows) " more" } }
            }
        }
    }
}

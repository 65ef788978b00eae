//! The sections about held-out rows: metrics beside baselines, plots, classes, the worst rows.

use super::parts::Detail;
use super::parts::{cut, figures, note, scroll};
use crate::base::words::short;
use crate::report::figures::{evaluation, short_count};
use crate::report::words::{count, of_name, percent, shown};
use crate::report::{ClassRow, Evaluation, RunReport, TargetKind, WrongRow};
use maud::{Markup, html};

pub(super) fn quality(report: &RunReport, detail: Detail) -> Markup {
    html! {
        @for judged in &report.evaluations {
            h3 { (title(judged)) }
            (metrics(judged, report.net.nets))
            @let all = evaluation(judged, report.target.kind);
            (figures(&all[..all.len().min(detail.figures)]))
            (classes(judged, report.target.kind, detail))
            (frequent_mistakes(judged, detail))
        }
    }
}

/// `Validation: 206 rows`.
fn title(judged: &Evaluation) -> String {
    let name = match judged.part.as_str() {
        "validation" => "Validation",
        "test" => "Test",
        other => other,
    };
    let rows = judged.rows.map_or(String::new(), |rows| format!(": {}", count(rows, "row")));
    format!("{name}{rows}")
}

/// Metrics with their intervals, beside those of baselines.
fn metrics(judged: &Evaluation, nets: usize) -> Markup {
    let caption = format!("Metrics on the {} rows, compared with the baselines", judged.part);
    let has_intervals = judged.metrics.iter().any(|metric| metric.interval.is_some());
    html! {
        (scroll(&caption, &html! {
            table {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" { "metric" }
                        th scope="col" class="n" { "this model" }
                        @if has_intervals { th scope="col" class="n" { "95% interval" } }
                        @for baseline in &judged.baselines { th scope="col" class="n" { (shown(&baseline.name).0) } }
                    }
                }
                tbody {
                    @if let Some(loss) = judged.loss {
                        tr {
                            th scope="row" { "loss" }
                            td class="n" { (short(loss)) }
                            @if has_intervals { td class="n" {} }
                            @for _ in &judged.baselines { td class="n" {} }
                        }
                    }
                    @for metric in &judged.metrics {
                        tr {
                            th scope="row" { (shown(&metric.name).0) }
                            td class="n" { strong { (metric.value.map_or(String::new(), |x| of_name(&metric.name, x))) } }
                            @if has_intervals {
                                td class="n" {
                                    @if let Some([low, high]) = metric.interval {
                                        (of_name(&metric.name, low)) " – " (of_name(&metric.name, high))
                                    }
                                }
                            }
                            @for baseline in &judged.baselines {
                                td class="n" { (baseline.values.get(&metric.name).map_or(String::new(), |x| of_name(&metric.name, *x))) }
                            }
                        }
                    }
                }
            }
        }))
        @if judged.out_of_fold {
            @if nets > 1 {
                (note("Each row is predicted by the one net that was not trained on it; the model averages all nets, which is usually better."))
            } @else {
                (note("Each row is predicted by the net of the fold that was not trained on it; the model itself was trained on all rows."))
            }
        }
        @match judged.resamples {
            Some([times, rows]) if Some(rows) != judged.rows => {
                (note(&format!("Intervals by {times} bootstrap resamples of {}, scaled to all rows.", count(rows, "row"))))
            },
            Some([times, _]) => { (note(&format!("Intervals by {times} bootstrap resamples of these rows."))) },
            None if judged.rows.is_some() => { (note("No intervals: there are too few rows, or too many classes.")) },
            None => {},
        }
    }
}

/// Each class; of many the worst.
fn classes(judged: &Evaluation, kind: TargetKind, detail: Detail) -> Markup {
    let what = if kind == TargetKind::Labels { "label" } else { "class" };
    let all = judged.classes.len();
    let mut shown: Vec<&ClassRow> = judged.classes.iter().collect();
    if all > detail.rows {
        shown.sort_by(|a, b| a.f1.total_cmp(&b.f1));
        shown.truncate(detail.rows);
    }
    let caption = match all > detail.rows {
        true => {
            format!("The {} with the lowest F1 of {}", count(detail.rows, what), count(all, what))
        }
        false => format!("Each {what} on the {} rows", judged.part),
    };
    html! {
        @if !shown.is_empty() {
            (scroll(&caption, &html! {
                table {
                    caption { (caption) }
                    thead {
                        tr {
                            th scope="col" { (what) }
                            @for name in ["rows", "predicted", "precision", "recall", "F1", "ROC AUC"] { th scope="col" class="n" { (name) } }
                        }
                    }
                    tbody {
                        @for class in shown {
                            tr {
                                th scope="row" { (cut(&class.name, detail.name)) }
                                td class="n" { (short_count(class.support)) }
                                td class="n" { (short_count(class.predicted)) }
                                td class="n" { (percent(class.precision)) }
                                td class="n" { (percent(class.recall)) }
                                td class="n" { (percent(class.f1)) }
                                td class="n" { (class.roc_auc.map_or(String::new(), |x| of_name("roc_auc", x))) }
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn frequent_mistakes(judged: &Evaluation, detail: Detail) -> Markup {
    // For two classes the matrix suffices.
    if judged.mistakes.is_empty() || judged.classes.len() < 3 {
        return html! {};
    }
    let caption = "The most frequent confusions";
    scroll(
        caption,
        &html! {
            table {
                caption { (caption) }
                thead { tr { th scope="col" { "actual class" } th scope="col" { "predicted as" } th scope="col" class="n" { "rows" } } }
                tbody {
                    @for mistake in judged.mistakes.iter().take(detail.rows.min(10)) {
                        tr {
                            th scope="row" { (cut(&mistake.actual, detail.name)) }
                            td { (cut(&mistake.predicted, detail.name)) }
                            td class="n" { (short_count(mistake.weight)) }
                        }
                    }
                }
            }
        },
    )
}

/// The rows that are predicted worst, of the part that comes first.
pub(super) fn mistakes(report: &RunReport, detail: Detail) -> Markup {
    let Some(judged) = super::parts::first(report).filter(|judged| !judged.wrong_rows.is_empty())
    else {
        return html! {};
    };
    let what = match report.target.kind {
        TargetKind::Numbers => "The largest errors",
        _ => "The rows whose true outcome got the lowest probability",
    };
    let rows: Vec<&WrongRow> = judged.wrong_rows.iter().take(detail.rows).collect();
    let has_images = rows.iter().any(|row| row.picture.is_some());
    html! {
        p { (what) " among the " (judged.part) " rows: mislabeled or unusual rows are often found here." }
        @if has_images {
            ul class="images" {
                @for row in rows {
                    li {
                        @if let Some(picture) = &row.picture {
                            img class="pixels" src=(picture.uri) width="96" height="96" alt=(format!("{}: {}", row.row, cut(&row.truth, detail.name)));
                        }
                        strong { (cut(&row.truth, detail.name)) } br;
                        "predicted " (cut(&row.predicted, detail.name)) br;
                        span class="soft" { (row.row) }
                    }
                }
            }
        } @else {
            (worst_table(&rows, report.target.kind, detail))
        }
    }
}

fn worst_table(rows: &[&WrongRow], kind: TargetKind, detail: Detail) -> Markup {
    let caption = "The worst predictions, with the first columns of each row";
    let columns: Vec<&String> =
        rows.first().map_or(Vec::new(), |row| row.values.iter().map(|(name, _)| name).collect());
    let error = if kind == TargetKind::Numbers { "error" } else { "log loss" };
    scroll(
        caption,
        &html! {
            table {
                caption { (caption) }
                thead {
                    tr {
                        @for name in ["row", "truth", "predicted"] { th scope="col" { (name) } }
                        th scope="col" class="n" { (error) }
                        @for name in &columns { th scope="col" { (cut(name, detail.name.min(24))) } }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { (row.row) }
                            td { (cut(&row.truth, detail.name)) }
                            td { (cut(&row.predicted, detail.name)) }
                            td class="n" { (short(row.error)) }
                            @for (_, value) in &row.values { td class="one" { (cut(value, detail.name.min(32))) } }
                        }
                    }
                }
            }
        },
    )
}

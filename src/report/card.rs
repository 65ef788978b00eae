//! The model card: `README.md` in the form that the Hugging Face Hub reads, a YAML head and then text.

use super::words::{count, of_name, shown, tidy};
use super::{ColumnSummary, Distribution, Evaluation, Rows, RunReport, TargetKind};
use crate::base::atomic::write_atomically;
use crate::base::error::Result;
use crate::base::words::thousands;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::Path;

/// The file of the card in a run directory.
pub const CARD: &str = "README.md";
/// The start of the last line, which holds the digest of all before it: an edited card is thus
/// distinguished from one that may be replaced.
const MARK: &str = "<!-- made by wgrad, and replaced by it as long as nobody edits it: ";
const END: &str = " -->";
/// The most columns whose ranges are listed.
const COLUMNS: usize = 60;
/// The most classes that are named.
const CLASSES: usize = 60;
/// The longest name, in characters.
const NAME: usize = 80;

/// Writes the card of a run into its directory. A file that was edited or written by something else is kept.
///
/// # Errors
/// When it can't be written.
pub fn write(directory: &Path, report: &RunReport) -> Result<()> {
    let path = directory.join(CARD);
    if path.symlink_metadata().is_ok() && !is_own(&path) {
        return Ok(());
    }
    let text = card(report);
    let digest = digest(&text);
    write_atomically(&path, |out| writeln!(out, "{text}{MARK}{digest}{END}"))
}

/// Whether the card at `path` is unchanged since wgrad wrote it.
#[must_use]
pub fn is_own(path: &Path) -> bool {
    let is_file = path.symlink_metadata().is_ok_and(|file| file.is_file());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let Some((body, rest)) = text.rsplit_once(MARK) else { return false };
    is_file && rest.strip_suffix('\n').and_then(|r| r.strip_suffix(END)) == Some(&digest(body))
}

fn digest(text: &str) -> String {
    let bytes = Sha256::digest(text.as_bytes());
    bytes.iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A text as a double-quoted scalar of YAML, which JSON strings are, except for unprintable characters.
fn quoted(text: &str) -> String {
    let printable = |c: char| match c {
        '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    let text: String = super::plots::cut(text, NAME).chars().map(printable).collect();
    serde_json::to_string(&text).unwrap_or_else(|_| "\"\"".into())
}

/// A text within a line of Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in super::plots::cut(text, NAME).chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// The text of the card.
fn card(report: &RunReport) -> String {
    let mut text = head(report);
    let _ = writeln!(text, "# {}\n", escaped(&report.run));
    text += &about(report);
    text += &data(report);
    text += &metrics(report);
    text += &limits(report);
    text += &usage(report);
    text
}

/// The task as the Hub calls it.
fn task(report: &RunReport) -> (&'static str, &'static str) {
    let is_table = report.columns.is_some();
    match (report.target.kind, is_table, report.first_layer.is_some()) {
        (TargetKind::Numbers, ..) => ("tabular-regression", "Tabular Regression"),
        (_, false, true) => ("image-classification", "Image Classification"),
        _ => ("tabular-classification", "Tabular Classification"),
    }
}

fn head(report: &RunReport) -> String {
    let (task, task_name) = task(report);
    let mut text =
        String::from("---\n# license: fill in the license under which you distribute the model\n");
    text += "library_name: wgrad\n";
    let _ = writeln!(text, "pipeline_tag: {task}");
    text += "tags:\n- wgrad\n- feed-forward\n";
    let _ = writeln!(text, "- {task}");
    let data = report.data.as_deref().unwrap_or("unknown");
    let _ = writeln!(text, "datasets:\n- {}", quoted(data));
    if report.evaluations.is_empty() {
        return text + "---\n\n";
    }
    let mut names: Vec<&str> = Vec::new();
    for metric in report.evaluations.iter().flat_map(|judged| &judged.metrics) {
        if !names.contains(&metric.name.as_str()) {
            names.push(&metric.name);
        }
    }
    text += "metrics:\n";
    names.iter().for_each(|name| text += &format!("- {name}\n"));
    let _ = writeln!(text, "model-index:\n- name: {}\n  results:", quoted(&report.run));
    for judged in &report.evaluations {
        let _ = writeln!(text, "  - task:\n      type: {task}\n      name: {task_name}");
        let data = quoted(data);
        let _ = writeln!(
            text,
            "    dataset:\n      name: {data}\n      type: {data}\n      split: {}\n    metrics:",
            judged.part
        );
        for metric in &judged.metrics {
            let Some(value) = metric.value else { continue };
            // A float of YAML 1.1 has a point, also before an exponent.
            let value = format!("{value:?}");
            let value = match value.split_once('e') {
                Some((digits, power)) if !digits.contains('.') => format!("{digits}.0e{power}"),
                _ => value,
            };
            let name = shown(&metric.name).0;
            let _ = writeln!(
                text,
                "    - type: {}\n      value: {value}\n      name: {}",
                metric.name,
                quoted(name)
            );
        }
    }
    text + "---\n\n"
}

fn about(report: &RunReport) -> String {
    let target = &report.target;
    let what = match target.kind {
        TargetKind::Classes => format!("one of {}", count(target.names.len(), "class")),
        TargetKind::Labels => format!("any of {}", count(target.names.len(), "label")),
        TargetKind::Numbers => count(target.names.len(), "number"),
    };
    let of: Vec<String> = target.columns.iter().take(8).map(|name| escaped(name)).collect();
    let of = if of.is_empty() { String::new() } else { format!(" ({})", of.join(", ")) };
    let nets = match report.net.nets {
        1 => "A feed-forward net".to_string(),
        nets => format!("An ensemble of {nets} feed-forward nets"),
    };
    format!(
        "{nets} that predicts {what}{of}, trained by wgrad {}. Layers: {}; {}{}, trained to minimize {}.\n\n",
        report.version,
        escaped(&report.net.layers),
        count(report.net.parameters, "parameter"),
        if report.net.nets > 1 { " in each" } else { "" },
        escaped(&report.net.loss)
    )
}

fn data(report: &RunReport) -> String {
    let mut text = String::from("## Data\n\n");
    let name = report.data.as_deref().map_or("unknown data".into(), escaped);
    let _ = match report.rows {
        Some(rows) => writeln!(text, "{name}: {}\n", parts(report, rows)),
        None => writeln!(text, "{name}; the rows could not be counted when this card was made.\n"),
    };
    let Some(columns) = &report.columns else { return text };
    let used = columns.columns.iter().filter(|column| column.left_out.is_none());
    text += "| column | holds | training rows | missing |\n| --- | --- | --- | ---: |\n";
    for column in used.clone().take(COLUMNS) {
        let _ = writeln!(
            text,
            "| {}{} | {} | {} | {} |",
            escaped(&column.name),
            if column.role == "target" { " (target)" } else { "" },
            column.kind.as_deref().unwrap_or(""),
            range(column),
            thousands(column.missing as f64)
        );
    }
    text.push('\n');
    if used.count() > COLUMNS || columns.columns.len() < columns.total {
        let _ =
            writeln!(text, "Only the first of {} are listed.\n", count(columns.total, "column"));
    }
    text
}

/// The rows of each part, in a sentence or two.
fn parts(report: &RunReport, rows: Rows) -> String {
    let mut parts = vec![format!("{} to train on", count(rows.training, "row"))];
    for (rows, what) in [(rows.validation, "for validation"), (rows.test, "for testing")] {
        if rows > 0 {
            parts.push(format!("{} {what}", thousands(rows as f64)));
        }
    }
    let is_by_folds = report.evaluations.iter().any(|judged| judged.out_of_fold);
    let folds = match report.net.nets {
        _ if !is_by_folds && parts.len() == 1 => ", none held out.",
        _ if !is_by_folds => ".",
        1 => {
            ". For validation, one net per fold was trained on the rows outside of the fold; this net was then trained in the same way on all rows."
        }
        _ => {
            ". Each net was trained on all of them except its own fold, which is its validation set."
        }
    };
    format!("{}{folds}", parts.join(", "))
}

fn range(column: &ColumnSummary) -> String {
    match &column.distribution {
        Some(Distribution::Numbers { is_time: true, .. }) => "times".into(),
        Some(Distribution::Numbers { min, max, .. }) => {
            format!("{} to {}", tidy(*min), tidy(*max))
        }
        Some(Distribution::Shares { distinct, shares, .. }) => {
            let names: Vec<String> =
                shares.iter().take(3).map(|s| escaped(&super::plots::cut(&s.name, 24))).collect();
            let more =
                if *distinct > 3 { format!(" and {} more", distinct - 3) } else { String::new() };
            format!("{}{more}", names.join(", "))
        }
        None => String::new(),
    }
}

fn metrics(report: &RunReport) -> String {
    let mut text = String::from("## Metrics\n\n");
    for judged in &report.evaluations {
        text += &table(judged);
    }
    if report.evaluations.is_empty() {
        text += "None: no rows were held out.\n\n";
    }
    text
}

fn table(judged: &Evaluation) -> String {
    let rows = judged.rows.map_or(String::new(), |rows| format!(" ({})", count(rows, "row")));
    let by = match judged.out_of_fold {
        true => ", each row predicted by the one net that was not trained on it",
        false => "",
    };
    let mut text =
        format!("On the {} data{rows}{by}:\n\n| metric | model | 95% interval |", judged.part);
    for baseline in &judged.baselines {
        let _ = write!(text, " {} |", shown(&baseline.name).0);
    }
    text += "\n| --- | ---: | ---: |";
    judged.baselines.iter().for_each(|_| text += " ---: |");
    text.push('\n');
    for metric in &judged.metrics {
        let name = &metric.name;
        let value = metric.value.map_or(String::new(), |x| of_name(name, x));
        let interval = metric.interval.map_or(String::new(), |[low, high]| {
            format!("{} to {}", of_name(name, low), of_name(name, high))
        });
        let _ = write!(text, "| {} | {value} | {interval} |", shown(name).0);
        for baseline in &judged.baselines {
            let value = baseline.values.get(name).map_or(String::new(), |x| of_name(name, *x));
            let _ = write!(text, " {value} |");
        }
        text.push('\n');
    }
    text + "\n"
}

fn limits(report: &RunReport) -> String {
    let mut all: Vec<String> = Vec::new();
    let target = &report.target;
    match target.kind {
        TargetKind::Numbers => {
            for (name, distribution) in target.names.iter().zip(&target.distributions) {
                if let Distribution::Numbers { min, max, .. } = distribution {
                    all.push(format!(
                        "{} was between {} and {} in training; predictions far outside this range are unlikely.",
                        escaped(name),
                        tidy(*min),
                        tidy(*max)
                    ));
                }
            }
        }
        kind => {
            let names: Vec<String> =
                target.names.iter().take(CLASSES).map(|name| escaped(name)).collect();
            let more = target.names.len().saturating_sub(CLASSES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let what = if kind == TargetKind::Labels { "labels" } else { "classes" };
            all.push(format!("It knows these {what} and no others: {}{more}.", names.join(", ")));
        }
    }
    if report.columns.is_some() {
        all.push("Values outside the ranges above, and categories that are not in the training data, are accepted without an error: predictions for them are less reliable than the metrics suggest.".into());
    }
    if let Some(epochs) = report.net.interrupted_after {
        let after = count(epochs, "epoch");
        all.push(format!(
            "Training was interrupted after {after}: this is the model at that point."
        ));
    }
    all.push("The metrics are on rows from the same source. The performance on data from another time, place or group is unknown.".into());
    all.push("The fairness of its predictions to groups of people was not measured.".into());
    all.extend(report.warnings.iter().map(|warning| escaped(&super::plots::cut(warning, 400))));
    format!(
        "## Limits\n\n{}\n",
        all.iter().fold(String::new(), |text, one| format!("{text}- {one}\n"))
    )
}

fn usage(report: &RunReport) -> String {
    let run = super::plots::cut(&report.run, NAME).replace('`', "'");
    format!(
        "## Use\n\nWith this directory as `{run}`:\n\n```\nwgrad predict {run} new.csv -o predictions.csv\nwgrad evaluate {run} labeled.csv\n```\n\nThe columns are found by their names, and are prepared as in training. `report.html` shows more of the model; `config.toml` trains it again.\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_within_their_quotes() {
        assert_eq!(quoted("a: \"b\"\n- c\u{85}"), "\"a: \\\"b\\\" - c \"");
        assert_eq!(escaped("<b>|*x*"), "&lt;b&gt;\\|\\*x\\*");
    }

    #[test]
    fn an_edited_card_is_no_longer_own() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(CARD);
        let text = "text\n";
        let whole = format!("{text}{MARK}{}{END}\n", digest(text));
        std::fs::write(&path, &whole).unwrap();
        assert!(is_own(&path));
        for changed in [format!("more {whole}"), format!("{whole}more"), text.into()] {
            std::fs::write(&path, changed).unwrap();
            assert!(!is_own(&path));
        }
    }
}

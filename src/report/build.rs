//! Makes the report of a subject.

use super::influence::Inputs;
use super::subject::Predictor;
use super::{
    Curve, Evaluation, Kept, NetSummary, NotComputed, RunReport, Settings, Subject, TargetKind,
    TargetSummary, columns, curves, dependence, influence, judged, regions, weights,
};
use crate::backend::session::Session;
use crate::base::error::Result;
use crate::data::{Data, Preprocessing};
use crate::train::event::Ending;
use serde_json::Value;

/// Makes the report of a run from the files in its directory and, if available, the data.
/// `session` holds the model's net, with the weights of a model of a single net; without it only the
/// predictions of the evaluation are used.
///
/// Parts that can't be made are listed in [`RunReport::not_computed`].
pub fn build(subject: &Subject<'_>, session: Option<&mut Session>) -> RunReport {
    let own = curves::events(subject.directory);
    let end = curves::end(&own);
    let target = target(subject);
    let mut missing = subject.not_computed.clone();
    let mut evaluations: Vec<Evaluation> = Vec::new();
    for held in &subject.held_out {
        let part = format!("metrics on the {} rows", held.part);
        let judged = judged::judged(held, subject, &target.names);
        evaluations.extend(noted(&mut missing, &part, judged));
    }
    if evaluations.is_empty() {
        let of_end = |part| judged::of_event(end?, part);
        evaluations.extend(["validation", "test"].into_iter().filter_map(of_end));
    }
    let mut report = RunReport {
        version: env!("CARGO_PKG_VERSION").into(),
        run: run_name(subject),
        data: subject.data_name.map(String::from),
        rows: subject.rows,
        columns: columns_of(subject),
        net: net_summary(subject, end),
        curves: curves_of(subject),
        evaluations,
        influence: None,
        dependence: Vec::new(),
        regions: None,
        layers: weights::histograms(subject),
        first_layer: weights::first_layer(subject),
        settings: Settings {
            command: format!(
                "wgrad train --config {}",
                quoted(&subject.directory.join("config.toml").to_string_lossy())
            ),
            config: subject.config.map(String::from),
        },
        warnings: subject.warnings.to_vec(),
        findings: texts(end, "findings"),
        not_computed: Vec::new(),
        target,
    };
    if report.warnings.is_empty() {
        report.warnings = texts(end, "warnings");
    }
    if let (Some(rows), Some(Data::Table(_))) = (subject.rows, subject.data) {
        missing.extend(columns::sampled(subject.training_rows.len(), rows));
    }
    if let Some(session) = session {
        explain(subject, session, &mut report, &mut missing);
    }
    report.not_computed = missing;
    report
}

/// Importance, partial dependence and regions, if their inputs are available.
fn explain(
    subject: &Subject<'_>,
    session: &mut Session,
    report: &mut RunReport,
    missing: &mut Vec<NotComputed>,
) {
    let mut say = |part: &str, why: &str| {
        missing.push(NotComputed { part: part.into(), why: why.into() });
    };
    let Some(inputs) = Inputs::of(subject) else {
        say(
            "importance and partial dependence of columns",
            "the inputs are pixels of images, which have no meaning individually",
        );
        return;
    };
    let Some(training) = subject.training else { return };
    let mut predictor = Predictor::new(subject.model, session);
    match subject.held_out.iter().find(|held| held.at_hand().is_some()) {
        None if report.not_computed.is_empty() => say(
            "importance of columns",
            "no rows were held out: importance is measured on rows that the net wasn't trained on",
        ),
        None => {}
        Some(held) => match influence::influence(held, &inputs, &mut predictor) {
            Ok(Some(found)) => report.influence = Some(found),
            Ok(None) => {
                say("importance of columns", "the net is so large that it would take too long")
            }
            Err(error) => say("importance of columns", &error.to_string()),
        },
    }
    let target = &report.target;
    let influence = report.influence.as_ref();
    let found =
        dependence::dependence(subject, training, &inputs, influence, target, &mut predictor);
    match found {
        Ok(None) => say("partial dependence", "the model is so large that it would take too long"),
        Ok(Some(found)) if found.is_empty() => {
            say("partial dependence", "no column has two values to compare");
        }
        Ok(Some(found)) => report.dependence = found,
        Err(error) => say("partial dependence", &error.to_string()),
    }
    match regions::regions(subject, training, &inputs, &report.target, &mut predictor) {
        Ok(found) => report.regions = found,
        Err(error) => say("decision regions", &error.to_string()),
    }
}

/// The part, or a note of why it couldn't be made.
fn noted<T>(missing: &mut Vec<NotComputed>, part: &str, made: Result<T>) -> Option<T> {
    made.map_err(|e| missing.push(NotComputed { part: part.into(), why: e.to_string() })).ok()
}

/// The last part of the run directory's path.
fn run_name(subject: &Subject<'_>) -> String {
    let whole = std::path::absolute(subject.directory).unwrap_or_default();
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| subject.directory.display().to_string());
    // For a part of a run, the run too: `houses-1/net-2`.
    let parent = whole.parent().filter(|_| name.starts_with("net-") || name.starts_with("fold-"));
    match parent.and_then(|parent| parent.file_name()) {
        Some(parent) => format!("{}/{name}", parent.to_string_lossy()),
        None => name,
    }
}

/// A path, quoted for a shell.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@,".contains(c);
    match !path.is_empty() && path.chars().all(is_plain) {
        true => path.into(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

fn texts(end: Option<&Value>, key: &str) -> Vec<String> {
    let all = end.and_then(|end| end.get(key)).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|text| Some(text.as_str()?.to_string())).collect()
}

fn columns_of(subject: &Subject<'_>) -> Option<super::Columns> {
    let table = subject.data?.table().filter(|table| !table.pixels())?;
    let encoding = subject.model.preprocessing.encoding.as_ref();
    Some(columns::columns(table, encoding, subject.training_rows))
}

fn curves_of(subject: &Subject<'_>) -> Vec<Curve> {
    let of = |(net, directory): &(Option<String>, std::path::PathBuf)| {
        curves::curve(&curves::events(directory), net.clone())
    };
    subject.nets.iter().filter_map(of).collect()
}

/// The targets, from the model and its training rows.
fn target(subject: &Subject<'_>) -> TargetSummary {
    let Preprocessing { classes, labels, encoding, targets, .. } = &subject.model.preprocessing;
    let columns = encoding.as_ref().filter(|e| e.header.named).map(|e| e.targets.clone());
    let (kind, names) = match (classes, labels) {
        (Some(names), _) => (TargetKind::Classes, names.clone()),
        (None, Some(names)) => (TargetKind::Labels, names.clone()),
        (None, None) => {
            let count = targets.cols();
            let named = columns.clone().filter(|columns| columns.len() == count);
            let numbered = || match count {
                1 => vec!["target".to_string()],
                _ => (1..=count).map(|n| format!("target {n}")).collect(),
            };
            (TargetKind::Numbers, named.unwrap_or_else(numbered))
        }
    };
    let of_training = subject.training.map(|data| data.targets());
    TargetSummary {
        kind,
        columns: columns.unwrap_or_default(),
        names,
        shares: of_training.map(columns::shares).unwrap_or_default(),
        distributions: of_training.map(columns::distributions).unwrap_or_default(),
    }
}

fn net_summary(subject: &Subject<'_>, end: Option<&Value>) -> NetSummary {
    let model = subject.model;
    let text = |key: &str| end.and_then(|end| Some(end[key].as_str()?.to_string()));
    let kept = || {
        let best = &end?["best"];
        let metric = best["metric"].as_str()?.to_string();
        Some(Kept { epoch: best["epoch"].as_u64()? as usize, metric })
    };
    // The word of `metrics.jsonl`, for people.
    let found = end.and_then(|end| serde_json::from_value(end["ending"].clone()).ok());
    let ending = found.map(|ending| match ending {
        Ending::Done => "all epochs are done",
        Ending::Stopped => "the value of --stop-at was reached",
        Ending::Patience => "no epoch improved for the number of epochs given by --patience",
        Ending::TimeLimit => "the time limit was reached",
        Ending::Interrupted => "it was interrupted",
    });
    let epochs = || end?["epochs"].as_u64().map(|epochs| epochs as usize);
    NetSummary {
        layers: subject.layers.clone(),
        parameters: model.net.parameters(),
        nets: model.members.len(),
        loss: model.objective.to_string(),
        temperature: subject.temperature.and_then(super::finite),
        device: text("device"),
        seconds: end.and_then(|end| end["seconds"].as_f64()),
        kept: kept(),
        ending: ending.map(String::from),
        interrupted_after: epochs().filter(|_| found == Some(Ending::Interrupted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("runs/digits-1/config.toml"), "runs/digits-1/config.toml");
        assert_eq!(quoted("my runs/it's"), r"'my runs/it'\''s'");
    }
}

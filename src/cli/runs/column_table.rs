//! The columns of a table as recognized: the role, content and encoding of each.

use super::names::COLUMNS;
use super::run_directory::RunDirectory;
use crate::base::atomic::write_atomically;
use crate::base::error::Result;
use crate::cli::arguments::terminal::count;
use crate::cli::setup::job::Job;
use crate::data::{Column, Feature, Kind, Role, Table, Targets};
use serde::Serialize;
use std::collections::HashMap;

/// A column as recognized.
#[derive(Serialize)]
pub(in crate::cli) struct ColumnReport {
    pub name: String,
    pub role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    pub why: String,
    /// The fraction of rows in which it is missing.
    missing: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
    pub inputs: usize,
}

impl ColumnReport {
    /// The report of a column and of the `feature` made from it, if any.
    fn new(column: &Column, table: &Table, feature: Option<&Feature>) -> Self {
        let feature = feature.filter(|_| column.role == Role::Feature);
        ColumnReport {
            name: column.name.clone(),
            role: match (column.role, feature) {
                (Role::Feature, Some(_)) => "learned from",
                (Role::Feature, None) => "left out",
                (Role::Target(_), _) => "target",
                (Role::Weight, _) => "weight",
                (Role::Reserved, _) => "for the split",
                (Role::Ignored, _) => "ignored",
            },
            kind: column.kind.map(|k| k.to_string()),
            why: column.why.clone(),
            missing: column.missing as f64 / table.rows() as f64,
            encoding: feature.map(|f| f.encoder.describe()),
            inputs: feature.map_or(0, |f| f.encoder.width()),
        }
    }
}

/// The columns of a table.
pub(in crate::cli) fn columns(job: &Job) -> Option<Vec<ColumnReport>> {
    let (table, encoding) = (job.data.table()?, job.preprocessing.encoding.as_ref()?);
    let features: HashMap<&str, &Feature> =
        encoding.features.iter().map(|feature| (feature.column.as_str(), feature)).collect();
    let report = |column: &Column| {
        ColumnReport::new(column, table, features.get(column.name.as_str()).copied())
    };
    Some(table.columns().iter().map(report).collect())
}

/// The columns as text; empty if the data aren't a table.
pub(in crate::cli) fn describe_columns(job: &Job, columns: &Option<Vec<ColumnReport>>) -> String {
    let Some(columns) = columns else { return String::new() };
    if job.preprocessing.encoding.as_ref().is_some_and(|e| e.pixels) {
        let others = columns.iter().filter(|c| c.inputs == 0).map(|c| c.name.as_str());
        return format!(
            "columns    {} of bytes, treated as the pixels of an image and scaled together; also {}",
            columns.iter().filter(|c| c.inputs > 0).count(),
            others.collect::<Vec<_>>().join(", ")
        );
    }
    let widest = |text: fn(&ColumnReport) -> &str| {
        columns.iter().map(|c| text(c).chars().count()).max().unwrap_or(0).min(40)
    };
    let (name, why) = (widest(|c| &c.name), widest(|c| &c.why));
    let line = |c: &ColumnReport| {
        let missing = match c.missing {
            0.0 => String::new(),
            share => format!("{:.1} % missing", (share * 100.0).max(0.1)),
        };
        let becomes = c.encoding.as_deref().unwrap_or(c.role);
        let kind = c.kind.as_deref().unwrap_or("");
        let line = format!(
            "           {:<name$}  {kind:<8}  {:<why$}  {missing:<14}  {becomes}",
            c.name, c.why
        );
        line.trim_end().to_string()
    };
    let inputs = columns.iter().map(|c| c.inputs).sum();
    let first = format!(
        "columns    {}, {} of them used as {}",
        columns.len(),
        columns.iter().filter(|c| c.inputs > 0).count(),
        count(inputs, "input")
    );
    std::iter::once(first).chain(columns.iter().map(line)).collect::<Vec<_>>().join("\n")
}

/// Writes the columns of a table into the directory of its run.
///
/// # Errors
/// When that fails.
pub(in crate::cli) fn write(job: &Job, directory: &RunDirectory) -> Result<()> {
    let text = describe_columns(job, &columns(job));
    if text.is_empty() {
        return Ok(());
    }
    write_atomically(&directory.path().join(COLUMNS), |out| writeln!(out, "{text}"))
}

/// The most columns that are named in a line.
const NAMED: usize = 9;

/// The columns used as features, in a line; none if the data aren't a table with named columns.
pub(in crate::cli) fn learned_from(job: &Job) -> Option<String> {
    let table = job.data.table().filter(|table| !table.pixels())?;
    let all = columns(job)?;
    let learned: Vec<&str> = all.iter().filter(|c| c.inputs > 0).map(|c| c.name.as_str()).collect();
    let inputs: usize = all.iter().map(|c| c.inputs).sum();
    let more = match learned.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "{} of {} used, as {}: {}{more}",
        learned.len(),
        table.columns().len(),
        count(inputs, "input"),
        learned[..learned.len().min(NAMED)].join(", ")
    ))
}

/// The columns that are left out by default or decide the split, and why.
pub(in crate::cli) fn left_out(job: &Job) -> Option<String> {
    let table = job.data.table().filter(|table| !table.pixels())?;
    let is_out = |c: &&Column| match c.role {
        Role::Feature => matches!(c.kind, Some(Kind::Text | Kind::Constant)),
        role => role == Role::Reserved,
    };
    let columns: Vec<&Column> = table.columns().iter().filter(is_out).collect();
    let name = |c: &&Column| {
        // The conclusion of "300 different texts in 300 rows: an identifier".
        let why = match c.role {
            Role::Reserved => "determines the split",
            _ => c.why.rsplit(": ").next().unwrap_or_default(),
        };
        format!("{} ({why})", c.name)
    };
    let named: Vec<String> = columns.iter().take(NAMED).map(name).collect();
    let more = match columns.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more, which --dry-run lists"),
    };
    (!columns.is_empty()).then(|| named.join(", ") + &more)
}

/// The target and the task, with the reason for the task.
pub(in crate::cli) fn task(job: &Job) -> Option<String> {
    let table = job.data.table()?;
    let target = |c: &&Column| matches!(c.role, Role::Target(_));
    let targets: Vec<&Column> = table.columns().iter().filter(target).collect();
    let options = &job.config.data;
    let task = match job.training.targets() {
        Targets::Classes { .. } => "classification",
        Targets::Numbers(_) => "regression",
        Targets::Labels { .. } => "multilabel",
    };
    let holds = match (job.training.targets(), &targets[..]) {
        (Targets::Classes { names, .. }, [column]) if column.kind == Some(Kind::Number) => {
            format!("{} different whole numbers", names.len())
        }
        (_, [column]) => column.why.clone(),
        _ => "several columns".into(),
    };
    let because = match options.task {
        Some(_) => "as --task says".to_string(),
        None => format!("the target holds {holds}"),
    };
    let place = if options.target.is_none() { " (the last column)" } else { "" };
    let names: Vec<&str> = targets.iter().map(|c| c.name.as_str()).collect();
    Some(format!("{task} of {}{place}: {because}", names.join(", ")))
}

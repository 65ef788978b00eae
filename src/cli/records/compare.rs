//! `wgrad compare`: the differences between runs, in their settings and results.

use super::grid::Grid;
use super::paired::{Paired, paired, show};
use super::record::{Record, State};
use crate::base::error::{Error, Result};
use crate::base::words::{duration, thousands};
use crate::cli::arguments::run_args::CompareArgs;
use crate::cli::arguments::terminal::{count, print, print_json, say};
use crate::cli::setup::open::Trained;
use crate::net::metrics::Metrics;
use crate::report::words;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

/// Options that decide which rows a run is evaluated on.
const HELD_OUT: [&str; 9] =
    ["data", "target", "validation", "test", "split", "folds", "fold", "ensemble", "seed"];
/// The mark of the best of several metrics.
const BEST: &str = " *";

/// A value for each run; none where a run has none.
type Row<T> = Vec<Option<T>>;

#[derive(Serialize)]
struct Comparison<'a> {
    event: &'static str,
    runs: &'a [Record],
    /// The options that differ, by name, with a value for each run.
    settings: BTreeMap<&'a str, Row<&'a str>>,
    valid: BTreeMap<&'a str, Row<f64>>,
    test: BTreeMap<&'a str, Row<f64>>,
    /// Each further run compared with the first one, on the rows that both hold out.
    differences: &'a [Paired<'a>],
}

pub(in crate::cli) fn compare(args: &CompareArgs) -> Result<ExitCode> {
    if args.runs.len() < 2 {
        return Err(Error::usage("there is only one run to compare")
            .help("name two runs or more; wgrad inspect RUN shows one"));
    }
    let mut records: Vec<Record> =
        args.runs.iter().map(|run| Record::open(run)).collect::<Result<_>>()?;
    name_targets(&mut records);
    let records = records;
    let all = options(&records);
    let settings: BTreeMap<&str, Row<&str>> = all
        .iter()
        .filter(|(_, row)| differs(row))
        .map(|(name, row)| (*name, row.clone()))
        .collect();
    let alike = all.len() - settings.len();
    let (valid, test) = (metrics(&records, |r| &r.valid), metrics(&records, |r| &r.test));
    let differences = paired(&records);
    if args.json {
        let (event, runs, differences) = ("compare", &records[..], &differences[..]);
        print_json(&Comparison { event, runs, settings, valid, test, differences })?;
        return Ok(ExitCode::SUCCESS);
    }
    let other: Vec<&str> =
        HELD_OUT.into_iter().filter(|name| settings.contains_key(name)).collect();
    if !other.is_empty() && !valid.is_empty() {
        say(format_args!(
            "note: the runs differ in {}, so their validation rows may differ",
            other.join(", ")
        ));
    }
    let name = |first: &str| {
        let runs = records.iter().map(|r| r.run.display().to_string());
        std::iter::once(first.to_string()).chain(runs).collect::<Vec<_>>()
    };
    let named = |name: &str, cells: Vec<String>| {
        std::iter::once(name.to_string()).chain(cells).collect::<Vec<_>>()
    };
    let option = |(name, row): (&&str, &Row<&str>)| {
        named(name, row.iter().map(|value| value.unwrap_or("–").to_string()).collect())
    };
    match settings.is_empty() {
        true => print("settings: none differ\n")?,
        false => {
            Grid { names: name("setting"), rows: settings.iter().map(option).collect() }.print()?;
            print(&format!("{} alike\n", count(alike, "other setting")))?;
        }
    }
    print("\n")?;
    let metric = |part: &str, values: &BTreeMap<&str, Row<f64>>| -> Vec<Vec<String>> {
        let shown = |(name, row): (&&str, &Row<f64>)| {
            named(&format!("{}{part}", words::shown(name).0), marked(name, row))
        };
        values.iter().map(shown).collect()
    };
    let mut rows = metric("", &valid);
    rows.extend(metric(" (test)", &test));
    let mut add = |name: &str, of: &dyn Fn(&Record) -> Option<String>| {
        let cells: Vec<Option<String>> = records.iter().map(of).collect();
        if cells.iter().any(Option::is_some) {
            let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "–".into()));
            rows.push(named(name, cells.collect()));
        }
    };
    let number = |n: Option<u64>| n.map(|n| thousands(n as f64));
    add("rows", &|r| number(r.judged_rows));
    add("state", &|r| Some(r.state.name().into()));
    add("nets", &|r| number(r.nets));
    add("epochs", &|r| number(r.epochs));
    add("kept epoch", &|r| number(r.best_epoch));
    add("steps", &|r| number(r.steps));
    add("time", &|r| r.seconds.map(duration));
    add("device", &|r| r.device.clone());
    add("version", &|r| r.version.clone());
    let is_marked = rows.iter().flatten().any(|cell| cell.ends_with(BEST));
    Grid { names: name("result"), rows }.print()?;
    if is_marked {
        print("* the best of these runs\n")?;
    }
    show(&differences)?;
    for record in records.iter().filter(|r| r.state == State::Failed) {
        let error = record.error.as_deref().unwrap_or("without a message");
        let first = error.lines().next().unwrap_or_default();
        say(format_args!("note: {} failed: {first}", record.run.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Where some runs name their target, adds the target of the others, which was chosen for them: the same column
/// isn't a difference.
fn name_targets(records: &mut [Record]) {
    const TARGET: &str = "target";
    let is_named = |record: &Record| record.options.contains_key(TARGET);
    if !records.iter().any(is_named) {
        return;
    }
    for record in records.iter_mut().filter(|record| !is_named(record)) {
        // A run without a model stays without.
        let Ok(trained) = Trained::open(&record.run) else { continue };
        let encoding = trained.model.preprocessing.encoding.filter(|e| e.header.named);
        if let Some(encoding) = encoding {
            let names = encoding.targets.into_iter().map(toml::Value::String).collect();
            record.options.insert(TARGET.into(), toml::Value::Array(names).to_string());
        }
    }
}

/// The options of all runs by name.
fn options(records: &[Record]) -> BTreeMap<&str, Row<&str>> {
    let names: BTreeSet<&str> =
        records.iter().flat_map(|r| r.options.keys().map(String::as_str)).collect();
    let row =
        |name: &str| records.iter().map(|r| r.options.get(name).map(String::as_str)).collect();
    names.into_iter().map(|name| (name, row(name))).collect()
}

fn differs(row: &Row<&str>) -> bool {
    row.iter().any(|value| *value != row[0])
}

/// The metrics that any run has.
fn metrics(
    records: &[Record],
    of: fn(&Record) -> &BTreeMap<String, f64>,
) -> BTreeMap<&str, Row<f64>> {
    let names: BTreeSet<&str> =
        records.iter().flat_map(|r| of(r).keys().map(String::as_str)).collect();
    let row = |name: &str| records.iter().map(|r| of(r).get(name).copied()).collect();
    names.into_iter().map(|name| (name, row(name))).collect()
}

/// The values of a metric, the best of them marked.
fn marked(name: &str, row: &Row<f64>) -> Vec<String> {
    // Larger is better.
    let height = |x: f64| if Metrics::larger_is_better(name) { x } else { -x };
    let best = row.iter().flatten().map(|&x| height(x)).fold(f64::NEG_INFINITY, f64::max);
    let is_alone = row.iter().flatten().any(|&x| height(x) < best);
    let cell = |x: &Option<f64>| match *x {
        None => "–".to_string(),
        Some(x) => {
            let mark = if is_alone && height(x) == best { BEST } else { "" };
            format!("{}{mark}", words::of_name(name, x))
        }
    };
    row.iter().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_a_metric_is_marked_in_its_own_direction() {
        let shown = |name, row: [Option<f64>; 3]| marked(name, &row.to_vec());
        assert_eq!(shown("accuracy", [Some(0.5), Some(0.75), None]), ["50.0%", "75.0% *", "–"]);
        assert_eq!(shown("rmse", [Some(5.0), Some(7.0), Some(5.0)])[1], "7.0000");
        assert!(shown("rmse", [Some(5.0), Some(7.0), Some(5.0)])[2].ends_with(BEST));
        assert_eq!(shown("rmse", [Some(5.0), Some(5.0), None])[0], "5.0000");
    }
}

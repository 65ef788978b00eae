//! `wgrad runs`: lists runs, newest first.

use super::grid::Grid;
use super::record::{Record, State, now};
use crate::base::error::{Error, Result};
use crate::base::words::{duration, thousands};
use crate::cli::arguments::run_args::RunsArgs;
use crate::cli::arguments::terminal::{print_json, say};
use crate::cli::runs::names::{CONFIG, RUNS};
use crate::report::words;
use serde::Serialize;
use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The metric shown: the first of these that a run has.
const FIRST: [&str; 4] = ["f1_micro", "accuracy", "rmse", "loss"];

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    record: &'a Record,
}

pub(in crate::cli) fn runs(args: &RunsArgs) -> Result<ExitCode> {
    let mut records = match &args.directory {
        Some(directory) => {
            if !directory.is_dir() {
                let what = format!("there is no directory {}", directory.display());
                return Err(
                    Error::data(what).help("name a directory that holds runs, such as runs")
                );
            }
            in_directory(directory)?
        }
        // Runs made with --out are beside the directory of the others.
        None => {
            let mut found = in_directory(Path::new("."))?;
            if Path::new(RUNS).is_dir() {
                found.extend(in_directory(Path::new(RUNS))?);
            }
            found
        }
    };
    records.sort_by_cached_key(|r| Reverse((r.modified, name_and_number(&r.run))));
    if args.json {
        for record in &records {
            print_json(&Line { event: "run", record })?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if records.is_empty() {
        let place = args.directory.as_deref().unwrap_or(Path::new(RUNS)).display();
        say(format_args!("no runs in {place}: wgrad train creates one"));
        return Ok(ExitCode::SUCCESS);
    }
    let names = ["run", "state", "data", "net", "metric", "rows", "time", "device", "age"];
    let rows = records.iter().map(row).collect();
    Grid { names: names.map(str::to_string).to_vec(), rows }.print()?;
    Ok(ExitCode::SUCCESS)
}

/// The runs in a directory; if it is a run itself, this run and its folds or nets.
fn in_directory(directory: &Path) -> Result<Vec<Record>> {
    let entries = fs::read_dir(directory).map_err(|e| Error::io("read", directory, &e))?;
    let named = |path: PathBuf| path.strip_prefix(".").map(Path::to_path_buf).unwrap_or(path);
    let paths = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let mut found: Vec<Record> =
        paths.filter_map(|path| Record::of_directory(&named(path))).collect();
    if directory.join(CONFIG).is_file() {
        found.extend(Record::of_directory(directory));
    }
    Ok(found)
}

/// The sort key of runs of the same second: `digits-10` comes after `digits-9`.
fn name_and_number(run: &Path) -> (String, u64) {
    let name = run.to_string_lossy();
    match name.rsplit_once('-') {
        Some((name, number)) if number.parse::<u64>().is_ok() => {
            (name.into(), number.parse().unwrap_or(0))
        }
        _ => (name.into(), 0),
    }
}

fn row(record: &Record) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let net = match record.nets {
        Some(nets) => format!("{nets} × {}", text(&record.net)),
        None => text(&record.net),
    };
    vec![
        record.run.display().to_string(),
        state(record),
        text(&record.data),
        net,
        metric(record),
        record.judged_rows.map_or(String::new(), |rows| thousands(rows as f64)),
        record.seconds.map_or(String::new(), duration),
        // Of `CPU (cpu, f32, 2 threads)` the name.
        text(&record.device).split(" (").next().unwrap_or_default().to_string(),
        age(now().saturating_sub(record.modified)),
    ]
}

fn state(record: &Record) -> String {
    match (record.state, record.epochs) {
        (State::Running | State::Unfinished | State::Interrupted, Some(epochs)) => {
            format!("{}, epoch {epochs}", record.state.name())
        }
        (state, _) => state.name().into(),
    }
}

/// The first metric on the validation rows, else on the test rows.
fn metric(record: &Record) -> String {
    let of = |values: &std::collections::BTreeMap<String, f64>, part: &str| {
        let (name, value) = FIRST.iter().find_map(|name| Some((*name, *values.get(*name)?)))?;
        Some(format!("{} {}{part}", words::shown(name).0, words::of_name(name, value)))
    };
    of(&record.valid, "").or_else(|| of(&record.test, " (test)")).unwrap_or_default()
}

/// How long ago something was, in the largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_as_numbers_and_ages_are_short() {
        let keys = ["runs/a-9", "runs/a-10", "here"].map(|run| name_and_number(Path::new(run)));
        assert!(keys[0] < keys[1], "{keys:?}");
        assert_eq!(keys[2], ("here".into(), 0));
        assert_eq!([5, 150, 7300, 200_000].map(age), ["5 s", "2 min", "2 h", "2 d"]);
    }
}

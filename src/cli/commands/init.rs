//! `wgrad init`: a commented file of options for data, for `wgrad train --config`.

use crate::base::atomic::write_atomically;
use crate::base::error::{Error, Result};
use crate::cli::arguments::environment::command;
use crate::cli::arguments::run_args::InitArgs;
use crate::cli::arguments::terminal::{print, say};
use crate::cli::arguments::train_args::chosen_data;
use crate::cli::runs::column_table::{self, columns, describe_columns};
use crate::cli::runs::plan_ahead::describe_data;
use crate::cli::setup::job::Job;
use crate::cli::setup::members::Nets;
use crate::cli::setup::open;
use crate::data::{Column, Role};
use crate::files::config::{ColumnNames, TrainConfig};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

/// The options that correct how columns were recognized.
const OF_COLUMNS: [&str; 7] =
    ["columns", "ignore", "categorical", "numeric", "log-transform", "one-hot", "embed"];
/// The most used options, besides those that were chosen for the data.
const COMMON: [&str; 14] = [
    "preset",
    "epochs",
    "lr",
    "batch-size",
    "layers",
    "dropout",
    "optimizer",
    "schedule",
    "weight-decay",
    "validation",
    "ensemble",
    "patience",
    "seed",
    "device",
];

pub(in crate::cli) fn init(args: InitArgs) -> Result<ExitCode> {
    let mut data = args.data;
    data.data = chosen_data(args.source.as_ref(), data.data)?;
    let Some(name) = data.data.clone() else {
        return Err(
            Error::usage("missing: DATA").help("name a data set or a file: wgrad init houses.csv")
        );
    };
    if let Some(file) = &args.out {
        check_file(file, args.force)?;
    }
    if name == "-" {
        return Err(Error::usage("a config file can't refer to standard input")
            .help("name a file: training reads the data again"));
    }
    let given = TrainConfig { data, text: args.text, ..TrainConfig::default() };
    let mut source = open::source(given.clone())?;
    let is_many = source.config.run.ensemble.is_some_and(|ensemble| ensemble.nets > 1);
    let job = match is_many {
        true => Nets::new(&mut source)?.whole,
        false => Job::of(&mut source)?,
    };
    let text = config(&job, given, args.out.as_deref())?;
    match &args.out {
        None => print(&text)?,
        Some(file) => {
            write_atomically(file, |out| out.write_all(text.as_bytes()))?;
            say(format_args!("next        wgrad train --config {}", file.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a name that isn't that of a TOML file, and an existing file.
fn check_file(file: &Path, force: bool) -> Result<()> {
    if file.symlink_metadata().is_ok() && !force {
        return Err(Error::usage(format!("{} already exists", file.display()))
            .help("choose another file with -o, or replace it with --force"));
    }
    match file.extension().is_some_and(|extension| extension == "toml") {
        true => Ok(()),
        false => {
            Err(Error::usage(format!("{} is not a valid name for a config file", file.display()))
                .help("use the extension .toml"))
        }
    }
}

/// The text of the file: options in effect, and others as comments.
fn config(job: &Job, mut given: TrainConfig, file: Option<&Path>) -> Result<String> {
    // Absolute, as in the directory of a run.
    given.data.data = job.config.data.data.clone();
    let table = job.data.table();
    if let (Some(table), None) = (table, &given.data.target) {
        // Columns without names are called by their numbers.
        let is_named = table.frame().header.named;
        let name = |(place, column): (usize, &Column)| match is_named {
            true => column.name.clone(),
            false => (place + 1).to_string(),
        };
        let target = |(_, column): &(usize, &Column)| matches!(column.role, Role::Target(_));
        let targets = table.columns().iter().enumerate().filter(target).map(name);
        given.data.target = Some(vec![ColumnNames::new(targets.collect())]);
    }
    let mut text = format!(
        "# Options of wgrad {} for {}: {}.\n# wgrad train --config {} trains with them.\n#\n\
         # Lines without # are in effect. To change an option, remove the # before it. The command line\n\
         # overrides this file. wgrad train --help lists all options; each can be a line here, under its\n\
         # name without dashes.\n\n",
        env!("CARGO_PKG_VERSION"),
        job.training.name(),
        describe_data(&job.training),
        file.map_or("FILE.toml".into(), |file| file.display().to_string()),
    );
    let held = given.to_table()?;
    for (name, value) in &held {
        text += &format!("{name} = {value}\n");
    }
    if let Some(task) = column_table::task(job) {
        text += &format!("\n# Task: {task}\n");
    }
    let understood = describe_columns(job, &columns(job));
    if !understood.is_empty() {
        text += "\n# The columns as they were recognized:\n#\n";
        for line in understood.lines() {
            let line = line
                .strip_prefix("columns    ")
                .or(line.strip_prefix("           "))
                .unwrap_or(line);
            text += format!("#   {line}").trim_end();
            text.push('\n');
        }
        text += "#\n# Correct them with a list of columns, by name or number:\n";
        for name in OF_COLUMNS.into_iter().filter(|name| !held.contains_key(*name)) {
            text += &format!("\n{}#{name} = [\"COLUMN\"]\n", help(name));
        }
    }
    text += "\n# The most common options, with the values chosen for these data:\n";
    let resolved = job.config.to_table()?;
    let chosen: BTreeMap<&str, [&str; 2]> = job
        .choices
        .iter()
        .map(|choice| {
            let [name, value, why] = choice.parts();
            (name, [value, why])
        })
        .collect();
    let others = chosen.keys().copied().filter(|name| !COMMON.contains(name));
    for name in COMMON.into_iter().chain(others).filter(|name| !held.contains_key(*name)) {
        let value = match (resolved.get(name), chosen.get(name)) {
            (Some(value), _) => value.to_string(),
            // The metric that selects a net's epoch isn't an option of the ensemble.
            (None, Some([value, _])) => toml::Value::String((*value).into()).to_string(),
            (None, None) => example(name).to_string(),
        };
        let reason = chosen.get(name).map_or(String::new(), |[_, why]| format!("  # {why}"));
        text += &format!("\n{}#{name} = {value}{reason}\n", help(name));
    }
    Ok(text)
}

/// An example value of an option that the data don't determine.
fn example(name: &str) -> &'static str {
    match name {
        "preset" => "\"strong\"",
        "validation" => "0.1",
        "patience" => "5",
        "device" => "\"auto\"",
        "ensemble" => "1",
        _ => "0",
    }
}

/// The help text of an option, as comments.
fn help(name: &str) -> String {
    const WIDTH: usize = 100;
    let command = command();
    let train = command.find_subcommand("train");
    let argument = train.and_then(|t| t.get_arguments().find(|a| a.get_long() == Some(name)));
    let Some(help) = argument.and_then(|a| a.get_help()) else { return String::new() };
    let options = textwrap::Options::new(WIDTH).initial_indent("# ").subsequent_indent("# ");
    textwrap::fill(&help.to_string(), options) + "\n"
}

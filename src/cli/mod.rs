//! The command line: raw arguments, then resolved ones, once; results to standard output, all else
//! to standard error.

mod args;
mod bench;
mod check_gradients;
mod choices;
mod completions;
mod devices;
mod ensemble;
mod ensemble_judgement;
mod ensemble_report;
mod environment;
mod evaluate;
mod export;
#[cfg(feature = "tract")]
mod export_check;
mod find_lr;
mod fold_judgement;
mod folds;
mod import;
mod inspect;
mod job;
mod judgement;
mod judgement_text;
mod memory;
mod open;
mod origins;
mod own_files;
mod plan_ahead;
mod predict;
mod presets;
mod rates;
mod report;
mod report_files;
mod resume;
mod run;
mod run_directory;
mod settings;
mod splitting;
mod streaming;
mod tensorboard;
mod train;
mod usage;
mod verify;
mod verify_resume;
mod warnings;

use crate::error::{Error, Result};
use crate::observe::{Interrupt, columns, wrap};
use args::{Cli, Command};
use clap::{CommandFactory, FromArgMatches};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::panic;
use std::process::ExitCode;
use std::time::Instant;

/// Runs the command that the arguments of the process name: its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let begin = Instant::now();
    // What a decoder panics about is an error like others, and said once.
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !crate::data::is_decoding() {
            usual(info);
        }
    }));
    let done = Interrupt::handle().and_then(|()| {
        let parsed = command().try_get_matches().and_then(|found| Cli::from_arg_matches(&found));
        // A help text or a version is no error: clap prints it and ends the process.
        let cli = parsed.map_err(|other| usage::error(&other).unwrap_or_else(|| other.exit()))?;
        environment::mistakes().iter().for_each(|mistake| say(format_args!("warning: {mistake}")));
        run(cli.command, begin)
    });
    done.unwrap_or_else(|error| {
        say(format_args!("error: {error}"));
        if usage::wants_json() {
            // Who reads no more learns it by the exit code.
            let line = serde_json::to_string(&Event { event: "error", body: Failure::of(&error) });
            let _ = writeln!(io::stdout().lock(), "{}", line.unwrap_or_default());
        }
        ExitCode::from(error.kind().exit_code())
    })
}

/// What went wrong, as the last event of a run and the last line of `--json`.
#[derive(Serialize)]
struct Failure {
    error: String,
    exit_code: u8,
}

impl Failure {
    fn of(error: &Error) -> Self {
        Failure { error: error.to_string(), exit_code: error.kind().exit_code() }
    }
}

#[derive(Serialize)]
struct Event<T> {
    event: &'static str,
    #[serde(flatten)]
    body: T,
}

/// The command line as clap takes it. That options may stand in the environment is said once, not
/// at each of them; what begins with a minus and is a number is a value.
fn command() -> clap::Command {
    Cli::command().mut_subcommands(|c| {
        c.mut_args(|argument| {
            let takes_value = argument.get_action().takes_values();
            environment::prepare(argument).allow_negative_numbers(takes_value)
        })
    })
}

fn run(command: Command, begin: Instant) -> Result<ExitCode> {
    match command {
        Command::Train(args) => train::train(args),
        Command::Evaluate(args) => evaluate::evaluate(&args),
        Command::Predict(args) => predict::predict(&args),
        Command::Export(args) => export::export(&args),
        Command::Import(args) => import::import(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::CheckGradients(args) => check_gradients::check_gradients(args),
        Command::Verify(args) => verify::verify(args),
        Command::Bench(args) => bench::bench(args, begin),
        Command::Report(args) => report::report(&args),
        Command::Devices(args) => devices::devices(&args),
        Command::Completions(args) => completions::completions(&args),
    }
}

/// Writes a line to standard error, or to the dashboard that is there. Where nobody reads it any more, the work goes on.
fn say(message: impl Display) {
    let message = message.to_string();
    if crate::observe::take_message(&message) {
        return;
    }
    let message = match io::stderr().is_terminal().then(columns).flatten() {
        Some(width) => wrap(&message, width),
        None => message,
    };
    let _ = writeln!(io::stderr().lock(), "{message}");
}

/// As [`print()`], what a person reads: on a narrow terminal wrapped at words.
fn print_text(text: &str) -> Result<()> {
    match io::stdout().is_terminal().then(columns).flatten() {
        Some(width) => print(&wrap(text, width)),
        None => print(text),
    }
}

/// Writes results to standard output. Where nobody reads them any more, the process ends.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// As [`print()`], a value as a line of JSON.
fn print_json(value: &impl Serialize) -> Result<()> {
    match serde_json::to_string(value) {
        Ok(line) => print(&format!("{line}\n")),
        Err(e) => Err(Error::failed(format!("cannot write the result as JSON: {e}"))),
    }
}

/// What came of writing to standard output.
fn printed<T>(written: io::Result<T>) -> Result<T> {
    written.map_err(|e| match e.kind() {
        ErrorKind::BrokenPipe => std::process::exit(0),
        _ => Error::failed(format!("cannot write to standard output: {e}")),
    })
}

/// The value of an option that is a number above 0.
fn positive(option: &str, value: f64) -> Result<f64> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(Error::usage(format!("{option} {value}")).help("it must be a number above 0"))
}

/// `1 row`, `2 rows`.
fn count(n: usize, what: &str) -> String {
    let what = if n == 1 { what.to_string() } else { plural(what) };
    format!("{} {what}", crate::observe::thousands(n as f64))
}

/// `rows`, `classes`.
fn plural(what: &str) -> String {
    format!("{what}{}", if what.ends_with("ss") { "es" } else { "s" })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_are_well_formed() {
        super::command().debug_assert();
    }
}

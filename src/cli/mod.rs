//! The command line: raw arguments are resolved once; results go to standard output, everything else
//! to standard error.

mod arguments;
mod commands;
mod judging;
mod nets;
mod ranks;
mod records;
mod runs;
mod setup;

use crate::base::error::{Error, Result};
use crate::cli::arguments::environment::command;
use crate::cli::arguments::terminal::{Failure, say};
use crate::observe::Interrupt;
use arguments::args::{Cli, Command};
use clap::FromArgMatches;
use serde::Serialize;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;
use std::{io, panic};

/// Runs the command in the arguments of the process; returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let begin = Instant::now();
    // A panic of a decoder becomes an ordinary error, reported once.
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !crate::data::is_decoding() {
            usual(info);
        }
    }));
    let done = Interrupt::handle().and_then(|()| {
        let parsed = command().try_get_matches().and_then(|found| {
            let times = found.subcommand().map_or(0, |(_, found)| found.get_count("verbose"));
            Ok((Cli::from_arg_matches(&found)?, times))
        });
        // A help text or a version isn't an error: clap prints it and ends the process.
        let (cli, verbose) = parsed
            .map_err(|other| arguments::usage::error(&other).unwrap_or_else(|| other.exit()))?;
        arguments::logging::start(verbose);
        if matches!(cli.command, Command::Train(_)) {
            ranks::start()?;
        }
        arguments::environment::mistakes()
            .iter()
            .for_each(|mistake| say(format_args!("warning: {mistake}")));
        run(cli.command, begin)
    });
    let code = done.unwrap_or_else(|error| {
        ranks::fail(&error, report);
        report(&error);
        ExitCode::from(error.kind().exit_code())
    });
    ranks::finish();
    code
}

/// Reports an error, to people and to programs.
fn report(error: &Error) {
    say(format_args!("error: {error}"));
    if arguments::usage::wants_json() {
        // If standard output is closed, the exit code still tells.
        let line = serde_json::to_string(&Event { event: "error", body: Failure::of(error) });
        let _ = writeln!(io::stdout().lock(), "{}", line.unwrap_or_default());
    }
}

#[derive(Serialize)]
struct Event<T> {
    event: &'static str,
    #[serde(flatten)]
    body: T,
}

fn run(command: Command, begin: Instant) -> Result<ExitCode> {
    match command {
        Command::Train(args) => commands::train::train(args),
        Command::Evaluate(args) => commands::evaluate::evaluate(&args),
        Command::Predict(args) => commands::predict::predict(&args),
        Command::Runs(args) => records::runs::runs(&args),
        Command::Compare(args) => records::compare::compare(&args),
        Command::Init(args) => commands::init::init(*args),
        Command::Export(args) => commands::export::export(&args),
        Command::Import(args) => commands::import::import(&args),
        Command::Inspect(args) => commands::inspect::inspect(&args),
        Command::CheckGradients(args) => commands::check_gradients::check_gradients(args),
        Command::Verify(args) => commands::verify::verify(args),
        Command::Bench(args) => commands::bench::bench(args, begin),
        Command::Report(args) => commands::report::report(&args),
        Command::Devices(args) => commands::devices::devices(&args),
        Command::Completions(args) => commands::completions::completions(&args),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_are_well_formed() {
        super::arguments::environment::command().debug_assert();
    }
}

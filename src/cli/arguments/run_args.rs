//! The arguments of commands that list and compare runs, and of small commands.

use super::texts::{DATA_HELP, INIT_HELP};
use crate::cli::runs::names::named_run;
use crate::files::config::{DataConfig, TextConfig};
use clap::builder::{BoolishValueParser, PathBufValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// The parser of an argument that names a run.
pub(super) fn run_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(named_run)
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RunsArgs {
    /// Directory of runs, or a run whose folds or nets to list [default: runs and the current directory]
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Write one JSON line per run
    #[arg(long, env = "WGRAD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "A * marks the best run for each metric.")]
pub(in crate::cli) struct CompareArgs {
    /// Two or more run directories or model files
    #[arg(value_name = "RUN", required = true, value_parser = run_path())]
    pub runs: Vec<PathBuf>,
    /// Write one JSON object
    #[arg(long, env = "WGRAD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = INIT_HELP)]
pub(in crate::cli) struct InitArgs {
    #[arg(value_name = "DATA", help = DATA_HELP)]
    pub source: Option<String>,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE.toml")]
    pub out: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub data: DataConfig,
    #[command(flatten)]
    pub text: TextConfig,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DevicesArgs {
    /// Write one JSON object
    #[arg(long, env = "WGRAD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsArgs {
    /// Shell to print completions for, or man for man pages
    #[arg(value_name = "SHELL|man")]
    pub what: Completed,
    /// Directory for man pages, one per command [default: print wgrad(1)]
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// The output of `wgrad completions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Completed {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
    Zsh,
    Man,
}

impl Completed {
    /// The shell; none for man pages.
    pub fn shell(self) -> Option<Shell> {
        Some(match self {
            Completed::Bash => Shell::Bash,
            Completed::Elvish => Shell::Elvish,
            Completed::Fish => Shell::Fish,
            Completed::PowerShell => Shell::PowerShell,
            Completed::Zsh => Shell::Zsh,
            Completed::Man => return None,
        })
    }
}

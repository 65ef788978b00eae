//! The arguments of `wgrad train`, and how its options are completed by a file.

use super::run_args::run_path;
use super::texts::{DATA_HELP, TRAIN_HELP};
use super::typed::is_flag;
use crate::base::error::{Error, Result};
use crate::cli::ranks;
use crate::files::config::TrainConfig;
use crate::observe::Screen;
use clap::Args;
use clap::builder::BoolishValueParser;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = TRAIN_HELP)]
pub(in crate::cli) struct TrainArgs {
    #[arg(value_name = "DATA", help = format!("{DATA_HELP} [default: digits]"))]
    pub source: Option<String>,
    /// TOML file of options, such as another run's config.toml or a file written by wgrad init
    #[arg(long, env = "WGRAD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Show the columns, the net, the settings and the estimated training time, and exit
    #[arg(long)]
    pub dry_run: bool,
    /// Find a learning rate: increase it over a few hundred steps, plot the loss, suggest a rate, and exit
    #[arg(long, conflicts_with_all = ["dry_run", "folds"])]
    pub find_lr: bool,
    /// Resume an interrupted run from its last checkpoint; --epochs, --device, --threads and the stopping
    /// options may be changed
    #[arg(
        long, value_name = "RUN", value_parser = run_path(),
        conflicts_with_all = ["force", "dry_run", "find_lr", "config"],
    )]
    pub resume: Option<PathBuf>,
    /// Replace the run directory given by --out if it exists
    #[arg(long)]
    pub force: bool,
    /// Write events as JSON lines to standard output
    #[arg(long, env = "WGRAD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Don't show progress
    #[arg(short, long, env = "WGRAD_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,
    /// Show full-screen curves, layers and throughput, with keys to pause, save and stop
    #[arg(
        long, env = "WGRAD_DASHBOARD", value_parser = BoolishValueParser::new(),
        conflicts_with_all = ["dry_run", "find_lr"],
    )]
    pub dashboard: bool,
    /// Don't write report.html, report.json and README.md into the run directory
    #[arg(long, env = "WGRAD_NO_REPORT", value_parser = BoolishValueParser::new())]
    pub no_report: bool,
    #[command(flatten)]
    pub options: TrainConfig,
}

impl TrainArgs {
    /// Opens the dashboard, if it is asked for.
    ///
    /// # Errors
    /// When standard error isn't a terminal that can show it.
    pub fn screen(&self, title: impl FnOnce() -> String) -> Result<Option<Screen>> {
        let is_shown = self.dashboard && !ranks::follows();
        is_shown.then(|| Screen::open(title())).transpose()
    }

    /// The options, completed by those of the file.
    pub fn resolve(&self) -> Result<TrainConfig> {
        let mut options = self.options.clone();
        options.data.data = chosen_data(self.source.as_ref(), options.data.data)?;
        if self.dashboard && (self.json || self.quiet) {
            let other = if self.json { "--json" } else { "--quiet" };
            return Err(Error::usage(format!("--dashboard cannot be used with {other}"))
                .help("omit one of them"));
        }
        with_file(options, self.config.as_deref())
    }
}

/// The data of the argument DATA, else of `--data` or the environment.
///
/// # Errors
/// When both an argument and `--data` are given.
pub(in crate::cli) fn chosen_data(
    argument: Option<&String>,
    option: Option<String>,
) -> Result<Option<String>> {
    match (argument, option) {
        (Some(argument), Some(option)) if is_flag("--data") => {
            Err(Error::usage(format!("two data sets: {argument} and --data {option}"))
                .help("omit one of them"))
        }
        (argument, option) => Ok(argument.cloned().or(option)),
    }
}

/// Options, completed by those of a file.
pub(super) fn with_file(options: TrainConfig, file: Option<&Path>) -> Result<TrainConfig> {
    Ok(match file {
        Some(path) => options.or(TrainConfig::read(path)?),
        None => options,
    })
}

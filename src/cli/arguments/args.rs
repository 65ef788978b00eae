//! The commands, and the arguments of those that take a run.

use super::check_args::{BenchArgs, CheckGradientsArgs, VerifyArgs};
use super::run_args::{CompareArgs, CompletionsArgs, DevicesArgs, InitArgs, RunsArgs, run_path};
use super::texts::{DATA_HELP, EXPORT_HELP, HELP};
use super::train_args::TrainArgs;
use crate::data::{MissingTarget, OnError, OnUnknown};
use crate::files::config::{ColumnNames, DeviceConfig, TextConfig};
use crate::files::predictions::Format;
use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Trains feed-forward neural nets on any GPU or CPU, and verifies the results on your machine.
#[derive(Debug, Parser)]
#[command(
    name = "wgrad",
    bin_name = "wgrad",
    version,
    max_term_width = 100,
    after_help = HELP,
)]
pub(in crate::cli) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Train a net
    Train(Box<TrainArgs>),
    /// Evaluate a trained net on data
    Evaluate(EvaluateArgs),
    /// Write predictions, one line per row of data
    Predict(PredictArgs),
    /// List runs, newest first
    Runs(RunsArgs),
    /// Compare the settings and results of runs
    Compare(CompareArgs),
    /// Show a trained net: layers, parameters, settings, training step, origin
    Inspect(InspectArgs),
    /// Rebuild the report of a run, or write a page that compares several runs
    Report(ReportArgs),
    /// Write a commented config file for a data set
    Init(Box<InitArgs>),
    /// Export a trained net to ONNX, PyTorch, C, Rust or WGSL
    Export(ExportArgs),
    /// Import a net of dense layers from an ONNX or safetensors file
    Import(ImportArgs),
    /// Verify every kernel of a training step on this device against the CPU
    Verify(Box<VerifyArgs>),
    /// Compare a net's gradients with numerical gradients; exit code 1 if they differ
    CheckGradients(Box<CheckGradientsArgs>),
    /// Measure how fast a net trains, and what limits it
    Bench(Box<BenchArgs>),
    /// List the devices available for training
    Devices(DevicesArgs),
    /// Print shell completions or man pages
    Completions(CompletionsArgs),
}

/// A trained net, the data for it, and the device.
#[derive(Debug, Args)]
pub(in crate::cli) struct ModelArgs {
    /// Run directory or model file
    #[arg(value_name = "RUN", value_parser = run_path())]
    pub run: PathBuf,
    #[arg(help = format!("{DATA_HELP}; if it has a test set, only that is used"))]
    pub data: String,
    /// Directory to search for (Fashion-)MNIST before downloading it
    #[arg(long, env = "WGRAD_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Random seed for generated data sets [default: 0, as for train]
    #[arg(long, env = "WGRAD_SEED", value_name = "N", value_parser = crate::files::config::seed)]
    pub seed: Option<u64>,
    /// Unknown categories: warn, or stop with an error (exit code 3)
    #[arg(long, value_name = "warn|error", default_value = "warn")]
    pub unknown: OnUnknown,
    #[command(flatten)]
    pub text: TextConfig,
    #[command(flatten)]
    pub device: DeviceConfig,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct EvaluateArgs {
    /// Write the metrics as one JSON object
    #[arg(long, env = "WGRAD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Target columns, by name or 1-based number [default: as in training]
    #[arg(long, env = "WGRAD_TARGET", value_name = "COLS")]
    pub target: Vec<ColumnNames>,
    /// Rows without a target: drop them, or stop with an error [default: as in training]
    #[arg(long, env = "WGRAD_MISSING_TARGET", value_name = "drop|error")]
    pub missing_target: Option<MissingTarget>,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReportArgs {
    /// Run whose report to rebuild, or several runs to compare on one page
    #[arg(value_name = "RUN", required = true, value_parser = run_path())]
    pub runs: Vec<PathBuf>,
    /// File for the comparison of several runs [default: comparison.html]
    #[arg(short, long, value_name = "FILE", alias = "output")]
    pub out: Option<PathBuf>,
    /// Also write each plot as SVG and PNG into this directory (for a single run)
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
    #[command(flatten)]
    pub device: DeviceConfig,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PredictArgs {
    /// Output file; its extension selects the format [default: standard output]
    #[arg(short, long, value_name = "FILE", alias = "output")]
    pub out: Option<PathBuf>,
    /// csv, tsv, jsonl, parquet or npy (numbers only) [default: from the extension]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Input columns to write left of the predictions, by name or number (images: `file` only)
    #[arg(long, value_name = "COLS", alias = "keep")]
    pub keep_columns: Vec<ColumnNames>,
    /// Unreadable rows: stop with exit code 3, or skip and count them
    #[arg(long, value_name = "ACTION", default_value = "stop")]
    pub on_error: OnError,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub(in crate::cli) struct ExportArgs {
    /// Run directory or model file
    #[arg(value_name = "RUN", value_parser = run_path())]
    pub run: PathBuf,
    /// File to write; its extension selects the format
    #[arg(short, long, value_name = "FILE", alias = "output")]
    pub out: PathBuf,
    /// Format [default: from the file's extension]
    #[arg(long, value_name = "onnx|pytorch|rust|c|wgsl")]
    pub format: Option<crate::files::export::Format>,
    /// Export the net alone, which then takes preprocessed features
    #[arg(long)]
    pub bare: bool,
    /// Directory of (Fashion-)MNIST, whose rows test an ONNX file
    #[arg(long, env = "WGRAD_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    /// ONNX file, or a PyTorch state dict as safetensors
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Run directory to create
    #[arg(short, long, value_name = "DIR", alias = "output")]
    pub out: PathBuf,
    /// Activation between layers (safetensors files hold only weights)
    #[arg(long, value_name = "NAME", default_value = "relu")]
    pub activation: crate::Activation,
    /// Whether outputs are class logits or numbers [default: from an ONNX file's last operation, else
    /// regression]
    #[arg(long, value_name = "classification|regression")]
    pub task: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct InspectArgs {
    /// Run directory or model file
    #[arg(value_name = "RUN", value_parser = run_path())]
    pub run: PathBuf,
    /// Write one JSON object
    #[arg(long, env = "WGRAD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

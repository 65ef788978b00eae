//! The arguments as they are given.

use crate::base::error::{Error, Result, unknown};
use crate::cli::ranks;
use crate::data::{MissingTarget, OnUnknown};
use crate::files::config::{
    ColumnNames, DataConfig, DeviceConfig, NetConfig, RunConfig, StepConfig, TextConfig,
    TrainConfig, double, whole,
};
use crate::files::predictions::Format;
use crate::observe::Screen;
use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Trains feed-forward neural nets on any GPU, and on the CPU, and proves that both are right.
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

const HELP: &str = "wgrad COMMAND --help lists the options of a command.\n\nExamples:\n  \
    wgrad train                                       the bundled digits\n  \
    wgrad train houses.csv --target price --dry-run   what would be trained\n  \
    wgrad train houses.csv --target price\n  \
    wgrad predict runs/houses-1 new.csv -o prices.csv";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Train a net
    Train(Box<TrainArgs>),
    /// Measure a trained net on data
    Evaluate(EvaluateArgs),
    /// Predict, one line for each row of the data
    Predict(PredictArgs),
    /// Write a trained model for other programs: ONNX, PyTorch, C, Rust or WGSL
    Export(ExportArgs),
    /// Take a net of dense layers from an ONNX or safetensors file into a run directory
    Import(ImportArgs),
    /// Show a trained net: layers, parameters, settings, the training step, where it came from
    Inspect(InspectArgs),
    /// Make the report of a run again, or compare several runs
    Report(ReportArgs),
    /// Compare a net's gradients with numerical ones; exit code 1 if they differ
    CheckGradients(Box<CheckGradientsArgs>),
    /// Run every kernel of a training step on this device and compare it with the CPU
    Verify(Box<VerifyArgs>),
    /// Measure how fast a net trains, and what bounds it
    Bench(Box<BenchArgs>),
    /// List the devices to train on
    Devices(DevicesArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

const DATA_HELP: &str = "digits, spiral, moons, xor, mnist, fashion-mnist, or the path of a CSV, TSV, \
    JSON lines, Parquet, Arrow, NPY, NPZ or IDX file (.gz, .zst and .zip too), of a directory of IDX files or of folders \
    of images, or - for standard input";

const TRAIN_HELP: &str = "Every option may also stand in the environment, as WGRAD_BATCH_SIZE for \
    --batch-size, or in the file of --config. A flag goes before the environment, that before the \
    file.\n\nExamples:\n  wgrad train\n  wgrad train mnist --layers 128:relu --epochs 5\n  \
    wgrad train houses.csv --target price --layers 64,32 --lr 0.003\n  \
    wgrad train houses.csv --target price --preset strong";

#[derive(Debug, Args)]
#[command(after_help = TRAIN_HELP)]
pub(in crate::cli) struct TrainArgs {
    #[arg(env = "WGRAD_DATA", help = format!("{DATA_HELP} [default: digits]"))]
    pub data: Option<String>,
    /// Take options from a TOML file, such as config.toml of another run
    #[arg(long, env = "WGRAD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Replace the run directory of --out if it exists
    #[arg(long)]
    pub force: bool,
    /// Go on with an interrupted run, exactly where its last checkpoint was taken; --epochs,
    /// --device, --threads and what ends a run early may be others than before. Under a schedule that
    /// is as long as the run, such as cosine, other --epochs end at another model than a run of that
    /// length from the start
    #[arg(long, value_name = "RUN", conflicts_with_all = ["force", "dry_run", "find_lr", "config"])]
    pub resume: Option<PathBuf>,
    /// Show what would be trained, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Try ever larger learning rates over some hundreds of steps, show the loss, suggest one, and stop
    #[arg(long, conflicts_with_all = ["dry_run", "folds"])]
    pub find_lr: bool,
    /// Write events as JSON lines to standard output
    #[arg(long, env = "WGRAD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    /// Show curves, layers and throughput on the whole terminal while training, with keys to pause, save,
    /// stop, and change the learning rate
    #[arg(
        long, env = "WGRAD_DASHBOARD", value_parser = BoolishValueParser::new(),
        conflicts_with_all = ["dry_run", "find_lr"],
    )]
    pub dashboard: bool,
    /// Show no progress
    #[arg(long, env = "WGRAD_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,
    /// Make no report.html, report.json and README.md in the run directory
    #[arg(long, env = "WGRAD_NO_REPORT", value_parser = BoolishValueParser::new())]
    pub no_report: bool,
    #[command(flatten)]
    pub options: TrainConfig,
}

impl TrainArgs {
    /// Takes the terminal for a dashboard, where one is asked for.
    ///
    /// # Errors
    /// When there is no terminal for it.
    pub fn screen(&self, title: impl FnOnce() -> String) -> Result<Option<Screen>> {
        let is_shown = self.dashboard && !ranks::follows();
        is_shown.then(|| Screen::open(title())).transpose()
    }

    /// The options, with those of the file behind them.
    pub fn resolve(&self) -> Result<TrainConfig> {
        let mut options = self.options.clone();
        options.data.data = self.data.clone();
        if self.dashboard && (self.json || self.quiet) {
            let other = if self.json { "--json" } else { "--quiet" };
            return Err(
                Error::usage(format!("--dashboard beside {other}")).help("leave one of them out")
            );
        }
        with_file(options, self.config.as_deref())
    }
}

fn with_file(options: TrainConfig, file: Option<&Path>) -> Result<TrainConfig> {
    Ok(match file {
        Some(path) => options.or(TrainConfig::read(path)?),
        None => options,
    })
}

/// A trained net, the data for it, and the device.
#[derive(Debug, Args)]
pub(in crate::cli) struct ModelArgs {
    /// A run directory or a model file
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    #[arg(help = format!("{DATA_HELP}; of a set with a test part that is taken"))]
    pub data: String,
    /// Where the files of known sets are looked for first
    #[arg(long, env = "WGRAD_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The seed of generated sets [default: 0, the rows that are trained on by default]
    #[arg(long, env = "WGRAD_SEED", value_parser = crate::files::config::seed)]
    pub seed: Option<u64>,
    /// What becomes of rows with a category that the model doesn't know: take them, say how many there
    /// are and give examples, or refuse them with exit code 3
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
    /// The target columns, by name or number from 1 on [default: as in training]
    #[arg(long, env = "WGRAD_TARGET", value_name = "NAME[,NAME…]")]
    pub target: Vec<ColumnNames>,
    /// What becomes of rows whose target is missing: error refuses them, drop leaves them out
    /// [default: as in training]
    #[arg(long, env = "WGRAD_MISSING_TARGET", value_name = "drop|error")]
    pub missing_target: Option<MissingTarget>,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReportArgs {
    /// Run directories: report.html, report.json and README.md are made again in that of one run; several
    /// are compared on one page
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// Where the comparison of several runs goes [default: comparison.html]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write each plot of one run as SVG and PNG into this directory too
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
    #[command(flatten)]
    pub device: DeviceConfig,
}

/// What becomes of a row that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum OnError {
    Stop,
    Skip,
}

impl FromStr for OnError {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "stop" => Ok(OnError::Stop),
            "skip" => Ok(OnError::Skip),
            _ => Err(unknown("way with errors", text, &["stop", "skip"])),
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PredictArgs {
    /// Where the predictions go; its extension says the format [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The format: CSV, TSV, JSON lines, Parquet, or a NumPy array of the probabilities or values
    /// alone [default: as the file's extension says, else csv]
    #[arg(long, value_name = "csv|tsv|jsonl|parquet|npy")]
    pub format: Option<Format>,
    /// Columns of the data, by name or number, that are carried along as they stand, before the predictions; of
    /// folders of images the column file. Parquet and JSON lines have them as numbers or booleans where
    /// all their values are. A prediction of the same name becomes predicted_NAME
    #[arg(long, value_name = "NAME[,NAME…]")]
    pub keep: Vec<ColumnNames>,
    /// What becomes of a row that can't be read: stop with exit code 3, or pass over it, say so
    /// and count it
    #[arg(long, value_name = "stop|skip", default_value = "stop")]
    pub on_error: OnError,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub(in crate::cli) struct ExportArgs {
    /// A run directory or a model file
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Where it goes; its extension says the format
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// The format [default: as the file's extension says]
    #[arg(long, value_name = "onnx|pytorch|rust|c|wgsl")]
    pub format: Option<crate::files::export::Format>,
    /// The net alone: prepared features in, its outputs out
    #[arg(long)]
    pub bare: bool,
    /// Where the files of known sets are looked for, whose rows the file is tried on
    #[arg(long, env = "WGRAD_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

const EXPORT_HELP: &str = "An ONNX file takes the columns of the data by name, numbers as double and texts as string, \
    (N, 1) each, and gives probabilities and label, or value. Before it is written another runtime, tract, \
    runs it, and its predictions are compared with those of wgrad predict.\n\nExamples:\n  \
    wgrad export runs/houses-1 -o houses.onnx\n  \
    wgrad export runs/houses-1 -o houses.c";

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    /// An ONNX file, or a PyTorch state dict as safetensors
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The run directory that is made
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What stands between the layers of a safetensors file, which holds weights only
    #[arg(long, value_name = "NAME", default_value = "relu")]
    pub activation: crate::Activation,
    /// What the outputs are: logits of classes, or numbers [default: as an ONNX file's last operation
    /// says, else regression]
    #[arg(long, value_name = "classification|regression")]
    pub task: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct InspectArgs {
    /// A run directory or a model file
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Write one JSON object
    #[arg(long, env = "WGRAD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckGradientsArgs {
    /// A run directory or a model file whose weights are taken [default: drawn ones]
    #[arg(value_name = "RUN")]
    pub run: Option<PathBuf>,
    /// The largest relative error that passes
    #[arg(
        long,
        default_value_t = crate::proof::gradcheck::Options::default().threshold,
        value_parser = double("1e-5"),
    )]
    pub threshold: f64,
    /// The step of the differences, relative to max(1, |parameter|)
    #[arg(
        long,
        default_value_t = crate::proof::gradcheck::Options::default().step,
        value_parser = double("1e-5"),
    )]
    pub step: f64,
    /// The most parameters that are checked
    #[arg(
        long,
        default_value_t = crate::proof::gradcheck::Options::default().limit,
        value_parser = whole("2000"),
        value_name = "N",
    )]
    pub limit: usize,
    /// Rows of the batch
    #[arg(
        long,
        default_value_t = crate::proof::gradcheck::Options::default().rows,
        value_parser = whole("16"),
        value_name = "N",
    )]
    pub rows: usize,
    #[command(flatten)]
    pub common: CheckArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    /// Hold a run that is interrupted and gone on with against one that isn't, instead of the kernels
    #[arg(long)]
    pub resume: bool,
    #[command(flatten)]
    pub common: CheckArgs,
    #[command(flatten)]
    pub step: StepConfig,
    #[command(flatten)]
    pub device: DeviceConfig,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    /// A run directory or a model file whose net and data are taken [default: those of the options]
    #[arg(value_name = "RUN", conflicts_with = "case")]
    pub run: Option<PathBuf>,
    /// A net of this project's own measurements, with random data; product is none, but the best
    /// matrix product
    #[arg(long, value_name = "S64|S128|M|T|H|L|product")]
    pub case: Option<String>,
    /// Measure once for each line of standard input, after writing "ready": to take turns with
    /// other programs
    #[arg(long, hide = true)]
    pub serve: bool,
    /// How long to measure
    #[arg(long, default_value_t = 2.0, value_parser = double("5"))]
    pub seconds: f64,
    /// The program that the net is turned into [default: fused]
    #[arg(long, value_name = "fused|plain")]
    pub plan: Option<crate::net::spec::PlanKind>,
    #[command(flatten)]
    pub common: CheckArgs,
    #[command(flatten)]
    pub step: StepConfig,
    #[command(flatten)]
    pub device: DeviceConfig,
}

/// The options of a net and its data, for checks.
#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    #[arg(long, env = "WGRAD_DATA", help = format!("{DATA_HELP} [default: digits]"))]
    pub data: Option<String>,
    /// Take options from a TOML file, such as config.toml of a run
    #[arg(long, env = "WGRAD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write one JSON object
    #[arg(long, env = "WGRAD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
    #[command(flatten)]
    pub options: DataConfig,
    #[command(flatten)]
    pub text: TextConfig,
    #[command(flatten)]
    pub net: NetConfig,
}

impl CheckArgs {
    /// The options of a run without held-out data, with those of the file behind them.
    pub fn resolve(&self, step: StepConfig, device: DeviceConfig) -> Result<TrainConfig> {
        let data = DataConfig { data: self.data.clone(), ..self.options.clone() };
        let run = RunConfig::default();
        let options =
            TrainConfig { data, text: self.text.clone(), net: self.net.clone(), step, run, device };
        let options = with_file(options, self.config.as_deref())?;
        let run = RunConfig {
            validation: Some(crate::files::config::Validation::Fraction(0.0)),
            ..RunConfig::default()
        };
        Ok(TrainConfig { run, ..options })
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DevicesArgs {
    /// Write one JSON object
    #[arg(long, env = "WGRAD_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

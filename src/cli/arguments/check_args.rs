//! The arguments of commands that check or measure a net.

use super::train_args::{chosen_data, with_file};
use crate::base::error::Result;
use crate::cli::runs::names::{CONFIG, MODEL, named_run};
use crate::data::NAMES;
use crate::files::config::{
    DataConfig, DeviceConfig, HeldOutData, NetConfig, RunConfig, StepConfig, TextConfig,
    TrainConfig, double, whole,
};
use clap::Args;
use clap::builder::BoolishValueParser;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckGradientsArgs {
    /// Run directory or model file that provides weights and data; or a data set or file, for a net with
    /// random weights [default: digits]
    #[arg(value_name = "RUN|DATA")]
    pub subject: Option<String>,
    /// Maximum relative error
    #[arg(
        long,
        default_value_t = crate::proof::gradcheck::Options::default().threshold,
        value_parser = double("1e-5"),
    )]
    pub threshold: f64,
    /// Step size of central differences, relative to max(1, |parameter|)
    #[arg(
        long,
        default_value_t = crate::proof::gradcheck::Options::default().step,
        value_parser = double("1e-5"),
    )]
    pub step: f64,
    /// Maximum number of parameters to check
    #[arg(
        long,
        default_value_t = crate::proof::gradcheck::Options::default().limit,
        value_parser = whole("2000"),
        value_name = "N",
    )]
    pub limit: usize,
    /// Batch size
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
    /// Data set, file or directory that determines the shapes to verify [default: digits]
    #[arg(value_name = "DATA")]
    pub source: Option<String>,
    /// Verify checkpoints instead of kernels: an interrupted and resumed run must reproduce the weights of
    /// an uninterrupted one, bit for bit
    #[arg(long, alias = "resume")]
    pub checkpoints: bool,
    /// Print all results instead of the worst three
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub common: CheckArgs,
    #[command(flatten)]
    pub step: StepConfig,
    #[command(flatten)]
    pub device: DeviceConfig,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BenchArgs {
    /// Run directory or model file that provides net and data; or a data set or file [default: digits]
    #[arg(value_name = "RUN|DATA", conflicts_with = "case")]
    pub subject: Option<String>,
    /// Case from benches/peers/README.md, on random data: S64, S128, M, T, H, L, or product
    #[arg(long, value_name = "CASE")]
    pub case: Option<String>,
    /// Write "ready", then measure once for each line of standard input: to take turns with other
    /// programs
    #[arg(long, hide = true)]
    pub serve: bool,
    /// Duration of the measurement in seconds
    #[arg(long, default_value_t = 2.0, value_parser = double("5"))]
    pub seconds: f64,
    /// Kernels of a training step: fused, or plain (one per operation) [default: fused]
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
    /// TOML file of options, such as a run's config.toml
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
    /// The options of a run without held-out data, completed by those of the file; `argument` is the
    /// data named without an option.
    pub fn resolve(
        &self,
        argument: Option<&String>,
        step: StepConfig,
        device: DeviceConfig,
    ) -> Result<TrainConfig> {
        let mut data = self.options.clone();
        data.data = chosen_data(argument, data.data)?;
        let run = RunConfig::default();
        let options =
            TrainConfig { data, text: self.text.clone(), net: self.net.clone(), step, run, device };
        let options = with_file(options, self.config.as_deref())?;
        let run =
            RunConfig { validation: Some(HeldOutData::Fraction(0.0)), ..RunConfig::default() };
        Ok(TrainConfig { run, ..options })
    }
}

/// The subject of an argument `RUN|DATA`.
#[derive(Debug, Default)]
pub(in crate::cli) struct Subject {
    pub run: Option<PathBuf>,
    pub data: Option<String>,
}

impl Subject {
    /// A run directory or a model file, or else data.
    pub fn of(argument: Option<&String>) -> Self {
        let Some(name) = argument else { return Subject::default() };
        let path = named_run(PathBuf::from(name));
        let is_run = [CONFIG, MODEL].iter().any(|file| path.join(file).is_file())
            || path.extension().is_some_and(|extension| extension == "safetensors");
        match is_run && !NAMES.contains(&name.as_str()) {
            true => Subject { run: Some(path), data: None },
            false => Subject { run: None, data: Some(name.clone()) },
        }
    }
}

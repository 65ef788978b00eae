//! Opening what a command names: the device, a trained model, data for it.

use super::job::Job;
use super::members::Nets;
use super::settings::check_threads;
use super::source::Source;
use crate::backend::device::{self, Opened};
use crate::base::error::{Error, Result};
use crate::cli::arguments::args::ModelArgs;
use crate::cli::arguments::origins::Origins;
use crate::cli::arguments::terminal::say;
use crate::cli::ranks;
use crate::cli::runs::names::{CONFIG, MODEL, looked_for};
use crate::data::{ColumnOptions, DataOptions, UnknownCategories, UnknownColumn, is_generated};
use crate::files::checkpoint::{Provenance, load_model_with};
use crate::files::config::{DataConfig, DeviceConfig, TrainConfig};
use crate::front::setup::hooks::Hooks;
use crate::train::choose::{self, Work};
use crate::train::model::Model;
use std::path::{Path, absolute};
use std::time::Instant;

/// Opens the device for some work, and prints which it is and why.
pub(in crate::cli) fn open_device(config: &DeviceConfig, work: &Work<'_>) -> Result<Opened> {
    check_threads(config.threads)?;
    let choice = ranks::device(config.device.clone().unwrap_or_default());
    let begin = Instant::now();
    let opened = choose::open(&choice, ranks::threads(config.threads), work)?;
    log::debug!("device chosen and opened in {:.3} s", begin.elapsed().as_secs_f64());
    opened.passed_over.iter().for_each(|line| say(format_args!("warning: {line}")));
    say(format_args!("device: {}: {}", opened.backend.info(), opened.why));
    Ok(opened)
}

/// Prints notes on a run's data, and adds the origin of options to errors.
const HOOKS: Hooks = Hooks {
    notify: Some(|message| say(message)),
    explain: Some(|given, completed, error| Origins::of_completed(given, completed).explain(error)),
};

/// The data that the options name.
pub(in crate::cli) fn source(given: TrainConfig) -> Result<Source> {
    Source::open(given, HOOKS)
}

/// The run of the options.
pub(in crate::cli) fn job(given: TrainConfig) -> Result<Job> {
    Job::new(given, HOOKS)
}

/// As [`open_device`], for the nets of an ensemble.
pub(in crate::cli) fn open_for_nets(nets: &Nets) -> Result<Opened> {
    open_device(&nets.whole.config.device, &nets.work())
}

/// As [`open_device`], for the training of a run.
pub(in crate::cli) fn open_for(job: &Job) -> Result<Opened> {
    open_device(&job.config.device, &job.work())
}

/// As [`open_device`], if the device is known and wasn't chosen by the user; `why` is the reason.
pub(in crate::cli) fn open_device_as(config: &DeviceConfig, why: &str) -> Result<Opened> {
    check_threads(config.threads)?;
    let threads = ranks::threads(config.threads);
    let choice = ranks::device(config.device.clone().unwrap_or_default());
    let opened = device::open(&choice, threads)?;
    opened.passed_over.iter().for_each(|line| say(format_args!("warning: {line}")));
    say(format_args!("device: {}: {why}", opened.backend.info()));
    Ok(opened)
}

/// A trained model, with the provenance in its file.
pub(in crate::cli) struct Trained {
    pub model: Model,
    pub provenance: Provenance,
}

impl Trained {
    /// Reads the model of a run directory, or a model file.
    pub fn open(run: &Path) -> Result<Self> {
        let file = if run.is_dir() { run.join(MODEL) } else { run.to_path_buf() };
        if !file.exists() {
            let error =
                Error::data(format!("there is no model {}{}", file.display(), looked_for(&file)));
            return Err(error.help(match (run.is_dir(), run.join(CONFIG).exists()) {
                (true, true) => format!(
                    "a model is written when a run ends, unless it diverged in its first steps: resume it with wgrad train --resume {}",
                    run.display()
                ),
                (true, false) => "this is not a run directory: wgrad runs lists them".into(),
                (false, _) => "name a run directory, such as runs/digits-1, or a model file".into(),
            }));
        }
        if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
            let what = format!("{} is an ONNX file, not a run of wgrad", file.display());
            return Err(Error::data(what).help(format!(
                "name the run that it was exported from; onnxruntime runs the file, and wgrad import {} --out DIR imports a net of dense layers",
                file.display()
            )));
        }
        let (model, provenance) = load_model_with(&file)?;
        Ok(Trained { model, provenance })
    }

    /// The options of the run that made the model, if its file contains them.
    pub fn config(&self) -> Result<Option<TrainConfig>> {
        let config = self.provenance.config.as_deref().map(TrainConfig::from_toml).transpose();
        config.map_err(|e| e.at("wgrad.config in the metadata"))
    }

    /// Whether the model was trained on the data that `args` name.
    pub fn is_of(&self, args: &ModelArgs) -> bool {
        let Ok(Some(DataConfig { data: Some(data), seed, .. })) =
            self.config().map(|c| c.map(|c| c.data))
        else {
            return false;
        };
        let same_path = absolute(&args.data).is_ok_and(|path| path == Path::new(&data));
        // A generated set depends on the seed.
        let same_seed = seed == args.seed.or(Some(0)) || !is_generated(&args.data);
        (data == args.data && same_seed) || same_path
    }

    /// Warns of unknown categories, and missing numbers of which the training data had none; returns the columns of the
    /// categories.
    pub fn warn_of_unknown(&self, unknown: &UnknownCategories) -> Vec<UnknownColumn> {
        let encoding = self.model.preprocessing.encoding.as_ref();
        let columns = encoding.map(|encoding| unknown.columns(encoding)).unwrap_or_default();
        columns.iter().for_each(|column| say(format_args!("warning: {column}")));
        unknown.filled().for_each(|filled| say(format_args!("warning: {filled}")));
        let untold = unknown.untold();
        if !untold.is_empty() {
            say(format_args!(
                "note: the model file doesn't list the categories of {}: unknown ones are not counted there",
                untold.join(", ")
            ));
        }
        columns
    }

    /// The options with which data for the model are opened.
    pub fn data_options(&self, args: &ModelArgs, columns: ColumnOptions) -> DataOptions {
        DataOptions {
            data_dir: args.data_dir.clone().or_else(|| self.config().ok()??.data.data_dir),
            columns,
            seed: args.seed.unwrap_or(0),
            text: args.text.options(),
            unknown: args.unknown,
            notify: Some(|message| say(message)),
            ..DataOptions::default()
        }
    }
}

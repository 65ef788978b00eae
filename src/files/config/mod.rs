//! The options of a training run: from flags, the environment and a TOML file, in this order of
//! precedence. Flags and the environment are read by clap; names are the same everywhere
//! (`--batch-size`, `WGRAD_BATCH_SIZE`, `batch-size`).

mod declare;
mod events;
#[cfg(feature = "cli")]
mod file;
#[cfg(feature = "cli")]
mod numbers;
mod options;
mod reproducible;
mod shard;
mod text;
mod training;
mod values;
pub use events::{EventsDirectory, IN_RUN};
#[cfg(feature = "cli")]
pub(crate) use numbers::{double, seed, whole};
pub use options::{DataConfig, NetConfig};
pub use reproducible::Reproducible;
pub use shard::Shard;
pub use text::TextConfig;
pub use training::{DeviceConfig, RunConfig, StepConfig};
pub use values::{Calibration, ColumnNames, Ensemble, HeldOutData, HiddenLayers, Preset};

use crate::base::error::{Error, Result};
use crate::data::{ColumnOptions, DataOptions, ImageOptions};
use serde::de::DeserializeOwned;

/// All options of a training run; those that aren't given are chosen by the data.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct TrainConfig {
    /// The data.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub data: DataConfig,
    /// The options of text files.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub text: TextConfig,
    /// The net.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub net: NetConfig,
    /// The steps.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub step: StepConfig,
    /// The run.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub run: RunConfig,
    /// The device.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub device: DeviceConfig,
}

impl DataConfig {
    /// The options of opening the data, without those of text files.
    #[must_use]
    pub fn options(&self) -> DataOptions {
        let names = |names: &Option<Vec<ColumnNames>>| {
            ColumnNames::join(names.as_deref().unwrap_or_default())
        };
        DataOptions {
            data_dir: self.data_dir.clone(),
            columns: ColumnOptions {
                target: names(&self.target),
                columns: names(&self.columns),
                ignore: names(&self.ignore),
                // A column that is encoded as categories is categorical, whatever its values.
                categorical: [&self.categorical, &self.one_hot, &self.hash, &self.embed]
                    .map(names)
                    .concat(),
                numeric: names(&self.numeric),
                sample_weight: self.sample_weight.clone(),
                reserved: Vec::new(),
                missing_target: self.missing_target.unwrap_or_default(),
            },
            task: self.task.unwrap_or_default(),
            image: ImageOptions { size: self.image_size, colour: self.image_color },
            seed: self.seed.unwrap_or_default(),
            on_error: self.on_error.unwrap_or_default(),
            ..DataOptions::default()
        }
    }
}

impl TrainConfig {
    /// These options, completed by those of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        TrainConfig {
            data: self.data.or(other.data),
            text: self.text.or(other.text),
            net: self.net.or(other.net),
            step: self.step.or(other.step),
            run: self.run.or(other.run),
            device: self.device.or(other.device),
        }
    }

    /// The options of opening the data.
    #[must_use]
    pub fn data_options(&self) -> DataOptions {
        DataOptions { text: self.text.options(), ..self.data.options() }
    }

    /// Options in lines such as `lr = 0.003` and `layers = "128:relu"`, with values as in JSON.
    ///
    /// # Errors
    /// For lines of another form, and invalid values.
    pub(crate) fn from_lines(text: &str) -> Result<Self> {
        let mut options = serde_json::Map::new();
        let fault = |line: &str| Error::failed(format!("{line:?} is not a setting"));
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once('=').ok_or_else(|| fault(line))?;
            let value = serde_json::from_str(value.trim()).map_err(|_| fault(line))?;
            options.insert(name.trim().into(), value);
        }
        let options = serde_json::Value::Object(options);
        fn part<T: DeserializeOwned>(options: &serde_json::Value) -> Result<T> {
            T::deserialize(options).map_err(|e| Error::failed(format!("settings: {e}")))
        }
        Ok(TrainConfig {
            data: part(&options)?,
            text: part(&options)?,
            net: part(&options)?,
            step: part(&options)?,
            run: part(&options)?,
            device: part(&options)?,
        })
    }
}

//! The file of a run's resolved options.

use super::choices;
use super::job::Job;
use crate::backend::DeviceInfo;
use crate::backend::device::Device;
use crate::base::error::Result;
use crate::files::config::TrainConfig;

impl Job {
    /// The file of the resolved options.
    pub fn config_text(&self, device: &DeviceInfo) -> Result<String> {
        self.config_text_with(device, &self.history)
    }

    /// The same, where `history` describes the origin of the run, a line for each fact that isn't in the
    /// options.
    pub fn config_text_with(&self, device: &DeviceInfo, history: &[String]) -> Result<String> {
        let choice = match device.backend == "cpu" {
            true => Device::Cpu,
            false => Device::Name(device.name.clone()),
        };
        let what = match history.is_empty() {
            true => "trains the same model again".to_string(),
            false => format!(
                "may train a different model: this run deviated from its options\n{}",
                history.join("\n")
            ),
        };
        Ok(format!(
            "# wgrad {}: `wgrad train --config` with this file {what}\n{}",
            env!("CARGO_PKG_VERSION"),
            self.resolved(choice).to_toml()?
        ))
    }

    /// [`Job::config_text`] for people: with the options that were chosen for the data, and the reasons.
    pub fn explained(&self, config: &str) -> String {
        let chosen = choices::block(&self.choices).replace('\n', "\n#   ");
        match self.choices.is_empty() {
            true => config.into(),
            false => format!("{config}\n# chosen for these data:\n#   {chosen}\n"),
        }
    }

    /// The resolved options for writing: training again with them gives the same model,
    /// in a new run directory.
    fn resolved(&self, device: Device) -> TrainConfig {
        let mut config = self.config.clone();
        config.run.out = None;
        config.device.device = Some(device);
        config
    }
}

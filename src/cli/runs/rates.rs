//! Learning rates that were changed by hand, in the configurations of runs.

use super::run_directory::RunDirectory;
use crate::backend::DeviceInfo;
use crate::base::error::Result;
use crate::cli::setup::job::Job;
use crate::train::event::{Observer, RateChange};
use crate::train::snapshot::RateFactor;

/// Writes each manual change of the learning rate into the run's configuration when it is made, so that it is
/// kept however the run ends.
pub(in crate::cli) struct RatesByHand<'a> {
    job: &'a Job,
    device: &'a DeviceInfo,
    directory: &'a RunDirectory,
    rates: Vec<RateFactor>,
}

impl<'a> RatesByHand<'a> {
    pub fn new(job: &'a Job, device: &'a DeviceInfo, directory: &'a RunDirectory) -> Self {
        RatesByHand { job, device, directory, rates: Vec::new() }
    }
}

impl Observer for RatesByHand<'_> {
    fn rate_changed(&mut self, change: &RateChange) -> Result<()> {
        let &RateChange { step, factor, .. } = change;
        self.rates.push(RateFactor { step, factor });
        write(self.job, self.device, self.directory, &self.rates).map(|_| ())
    }
}

/// Writes the configuration of a run with these changes of the learning rate: the text without the comments on
/// its options.
pub(in crate::cli) fn write(
    job: &Job,
    device: &DeviceInfo,
    directory: &RunDirectory,
    rates: &[RateFactor],
) -> Result<String> {
    let config = job.config_text_with(device, &with_rates(&job.history, rates))?;
    directory.write_config(&job.explained(&config))?;
    Ok(config)
}

/// The history of a run with manual changes of the learning rate.
pub(in crate::cli) fn with_rates(history: &[String], rates: &[RateFactor]) -> Vec<String> {
    let mut all = history.to_vec();
    for RateFactor { step, factor } in rates {
        let line = format!(
            "{HISTORY}from step {} on the learning rate was {factor} times the scheduled one, by hand",
            step + 1
        );
        if !all.contains(&line) {
            all.push(line);
        }
    }
    all
}

/// The prefix of history lines in the configuration.
pub(in crate::cli) const HISTORY: &str = "# history: ";

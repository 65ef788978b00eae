//! Learning rates that were changed by hand, in the configurations of runs.

use super::ensemble::Trained;
use super::job::Job;
use super::resume::HISTORY;
use super::run_directory::RunDirectory;
use crate::backend::DeviceInfo;
use crate::error::Result;
use crate::event::{Observer, RateChange};
use crate::snapshot::RateFactor;

/// Writes each change of the learning rate by hand into the run's configuration when it is made: it stands there
/// however the run ends.
pub(super) struct RatesByHand<'a> {
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

/// Writes the configuration of a run with these changes of the learning rate: the text without what explains
/// its options.
pub(super) fn write(
    job: &Job,
    device: &DeviceInfo,
    directory: &RunDirectory,
    rates: &[RateFactor],
) -> Result<String> {
    let config = job.config_text_with(device, &with_rates(&job.history, rates))?;
    directory.write_config(&job.explained(&config))?;
    Ok(config)
}

/// The history of a run whose learning rate was changed by hand too.
pub(super) fn with_rates(history: &[String], rates: &[RateFactor]) -> Vec<String> {
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

/// The lines about rates in the configurations of an ensemble's nets, each with the net's number.
pub(super) fn of_nets(trained: &[Trained]) -> Vec<String> {
    let mut all = Vec::new();
    for (i, net) in trained.iter().enumerate() {
        for line in with_rates(&[], &net.rates) {
            let what = line.strip_prefix(HISTORY).unwrap_or_default();
            all.push(format!("{HISTORY}net {}: {what}", i + 1));
        }
    }
    all
}

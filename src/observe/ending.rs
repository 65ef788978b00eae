//! Ends a run when a metric reaches its target value.

use crate::base::error::Result;
use crate::net::stopping::StopAt;
use crate::train::event::{Epoch, Flow, Observer};

/// Ends a run when a metric is good enough.
#[derive(Debug)]
pub struct StopWhen(pub StopAt);

impl Observer for StopWhen {
    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        let StopAt { metric, .. } = &self.0;
        let found = match metric.as_str() {
            "loss" => epoch.valid_loss,
            name => epoch.metrics.iter().find(|(n, _)| *n == name).map(|(_, value)| *value),
        };
        Ok(if found.is_some_and(|x| self.0.is_met(x)) { Flow::Stop } else { Flow::Continue })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::tests::epoch;

    #[test]
    fn a_run_stops_when_its_metric_is_good_enough() {
        let flow = |text: &str| StopWhen(text.parse().unwrap()).epoch(&epoch()).unwrap();
        assert_eq!(flow("accuracy=0.75"), Flow::Stop);
        assert_eq!(flow("accuracy=0.76"), Flow::Continue);
        assert_eq!(flow("loss=0.5"), Flow::Stop);
        assert_eq!(flow("loss=0.4"), Flow::Continue);
        assert_eq!(flow("rmse=9"), Flow::Continue, "not among the metrics of this run");
    }
}

//! What ends a run before its last epoch.

use crate::config::StopAt;
use crate::error::{Error, Result};
use crate::event::{Epoch, Flow, Observer, Progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Ends a run on Ctrl-C after the step at hand. A second Ctrl-C ends the process at once, with
/// exit code 130.
#[derive(Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Watches for Ctrl-C and for being asked to terminate; calls `say` at the first one.
    ///
    /// # Errors
    /// When something watches already: it can be done once in a process.
    pub fn watch(say: impl Fn() + Send + 'static) -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let flag = asked.clone();
        let handler = move || {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            say();
        };
        ctrlc::set_handler(handler)
            .map_err(|e| Error::failed(format!("cannot watch for Ctrl-C: {e}")))?;
        Ok(Interrupt(asked))
    }

    fn flow(&self) -> Flow {
        if self.0.load(Ordering::SeqCst) { Flow::Interrupt } else { Flow::Continue }
    }
}

impl Observer for Interrupt {
    fn progress(&mut self, _: &Progress) -> Flow {
        self.flow()
    }

    fn epoch(&mut self, _: &Epoch) -> Result<Flow> {
        Ok(self.flow())
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

//! Observers of a run: progress displays, machine-readable records, and early stopping.

#[cfg(feature = "cli")]
mod bar;
mod checkpoints;
#[cfg(feature = "cli")]
mod dashboard;
#[cfg(feature = "cli")]
mod display;
mod ending;
#[cfg(feature = "cli")]
mod interrupt;
mod lines;
mod metrics_csv;
mod narrow;
mod record;
pub mod tensorboard;
pub use crate::base::every::{Every, TimeSpan};
#[cfg(feature = "cli")]
pub use bar::{Bar, Common, can_redraw};
pub use checkpoints::Checkpoints;
#[cfg(feature = "cli")]
pub use dashboard::{Dashboard, Screen, end_pause, restore, take_message};
#[cfg(feature = "cli")]
pub use display::Display;
pub use ending::StopWhen;
#[cfg(feature = "cli")]
pub use interrupt::Interrupt;
pub use lines::Lines;
pub use metrics_csv::{KeptRows, MetricsCsv, Restart};
#[cfg(feature = "cli")]
pub use narrow::{columns, wrap};
pub use record::{HeldOut, Record};
pub use tensorboard::TensorBoard;

use crate::base::error::Result;
use crate::train::event::{
    Diverged, Epoch, Flow, Observer, Progress, RateChange, Start, StepSample,
};
use crate::train::snapshot::{Checkpoint, Position};
use std::sync::Arc;

/// Several observers as one; an interruption by one of them takes precedence over a stop by another.
pub struct Together<'a>(pub Vec<&'a mut dyn Observer>);

impl Observer for Together<'_> {
    fn start(&mut self, start: &Start) -> Result<()> {
        self.0.iter_mut().try_for_each(|o| o.start(start))
    }

    fn progress(&mut self, progress: &Progress) -> Flow {
        let flows = self.0.iter_mut().map(|o| o.progress(progress));
        flows.fold(Flow::Continue, stronger)
    }

    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        let mut flow = Flow::Continue;
        for observer in &mut self.0 {
            flow = stronger(flow, observer.epoch(epoch)?);
        }
        Ok(flow)
    }

    fn diverged(&mut self, diverged: &Diverged) -> Result<()> {
        self.0.iter_mut().try_for_each(|o| o.diverged(diverged))
    }

    fn steps_to_sample(&mut self, position: &Position) -> Option<usize> {
        self.0.iter_mut().filter_map(|o| o.steps_to_sample(position)).min()
    }

    fn sample(&mut self, sample: &StepSample) -> Result<()> {
        self.0.iter_mut().try_for_each(|o| o.sample(sample))
    }

    fn rate_factor(&mut self) -> Option<f32> {
        self.0.iter_mut().filter_map(|o| o.rate_factor()).reduce(|a, b| a * b)
    }

    fn rate_changed(&mut self, change: &RateChange) -> Result<()> {
        self.0.iter_mut().try_for_each(|o| o.rate_changed(change))
    }

    fn wants_checkpoint(&mut self, position: &Position) -> bool {
        // All are called: each keeps its own time.
        self.0.iter_mut().fold(false, |wanted, o| o.wants_checkpoint(position) | wanted)
    }

    fn checkpoint(&mut self, checkpoint: &Arc<Checkpoint>) -> Result<()> {
        self.0.iter_mut().try_for_each(|o| o.checkpoint(checkpoint))
    }
}

fn stronger(a: Flow, b: Flow) -> Flow {
    match (a, b) {
        (Flow::Interrupt, _) | (_, Flow::Interrupt) => Flow::Interrupt,
        (Flow::Stop, _) | (_, Flow::Stop) => Flow::Stop,
        _ => Flow::Continue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_goes_before_a_stop() {
        struct Says(Flow);
        impl Observer for Says {
            fn epoch(&mut self, _: &Epoch) -> Result<Flow> {
                Ok(self.0)
            }
        }
        let mut all = [Flow::Stop, Flow::Interrupt, Flow::Continue].map(Says);
        let epoch = record::tests::epoch();
        let mut together = Together(all.iter_mut().map(|o| o as &mut dyn Observer).collect());
        assert_eq!(together.epoch(&epoch), Ok(Flow::Interrupt));
    }
}

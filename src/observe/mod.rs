//! Observers of a run: progress for people, records for programs, and what ends it early.

#[cfg(feature = "cli")]
mod bar;
mod checkpoints;
#[cfg(feature = "cli")]
mod dashboard;
#[cfg(feature = "cli")]
mod display;
mod ending;
mod every;
#[cfg(feature = "cli")]
mod interrupt;
mod lines;
mod metrics_csv;
mod narrow;
mod record;
pub mod tensorboard;
#[cfg(feature = "cli")]
pub use bar::Bar;
pub use checkpoints::Checkpoints;
#[cfg(feature = "cli")]
pub use dashboard::{Dashboard, Screen, end_pause, restore, take_message};
#[cfg(feature = "cli")]
pub use display::{Display, can_redraw};
pub use ending::StopWhen;
pub use every::{Every, TimeSpan};
#[cfg(feature = "cli")]
pub use interrupt::Interrupt;
pub use lines::Lines;
pub use metrics_csv::{KeptRows, MetricsCsv, Restart};
#[cfg(feature = "cli")]
pub use narrow::{columns, wrap};
pub use record::{HeldOut, Record};
pub use tensorboard::TensorBoard;

use crate::error::Result;
use crate::event::{Diverged, Epoch, Flow, Observer, Progress, RateChange, Start, StepSample};
use crate::snapshot::{Checkpoint, Position};
use std::sync::Arc;

/// Several observers as one; an interruption by one of them goes before a stop by another.
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
        // All are asked: each keeps its own time.
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

/// A number in four significant digits.
#[must_use]
pub fn short(x: f64) -> String {
    if x != 0.0 && x.is_finite() && !(1e-3..1e6).contains(&x.abs()) {
        return format!("{x:.3e}");
    }
    let before_point = x.abs().max(1.0).log10() as usize + 1;
    format!("{x:.*}", 5usize.saturating_sub(before_point))
}

/// A whole number with its thousands apart.
#[must_use]
pub fn thousands(n: f64) -> String {
    let digits = format!("{:.0}", n.max(0.0));
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in seconds, as people read it.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let whole = seconds.clamp(0.0, 1e9).round() as u64;
    match seconds {
        s if s.is_nan() => "?".into(),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3600.0 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.97777, 12.3456, 54321.6, 0.000_123_4, 1.5e9, -2.5, f64::NAN].map(short);
        assert_eq!(
            all,
            ["0.0000", "0.9778", "12.346", "54322", "1.234e-4", "1.500e9", "-2.5000", "NaN"]
        );
        assert_eq!([0.0, 999.6, 1234567.0].map(thousands), ["0", "1,000", "1,234,567"]);
        assert_eq!(
            [0.25, 42.0, 61.0, 7320.0, f64::INFINITY].map(duration)[..4],
            ["0.2 s", "42 s", "1m01s", "2h02m"]
        );
    }

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

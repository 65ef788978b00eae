//! The state of a dashboard and the actions of its keys, without terminal or thread.

use crate::train::event::{Diverged, Epoch, LayerSample, Progress, RateChange, Start, StepSample};
use std::collections::VecDeque;

/// A key halves or doubles the learning rate.
const RATE_STEP: f32 = 2.0;
/// The most points of a curve; from longer ones every other point is removed.
const POINTS: usize = 2000;
/// The number of messages that are kept.
const MESSAGES: usize = 100;

/// The action of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Pause between two steps until pressed again.
    Pause,
    /// Write a checkpoint now.
    Save,
    /// Finish the step, save, and end.
    Stop,
    /// Halve the learning rate.
    Lower,
    /// Double the learning rate.
    Raise,
    /// Show the next of several nets.
    Next,
}

/// A value as a function of the step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve(Vec<(f64, f64)>);

impl Curve {
    /// Its points, in ascending order of steps.
    #[must_use]
    pub fn points(&self) -> &[(f64, f64)] {
        &self.0
    }

    /// The last value.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        self.0.last().map(|point| point.1)
    }

    fn push(&mut self, step: u64, value: f64) {
        if !value.is_finite() {
            return;
        }
        if self.0.len() >= POINTS {
            let mut i = 0;
            self.0.retain(|_| {
                i += 1;
                i % 2 == 1
            });
        }
        self.0.push((step as f64, value));
    }

    /// Removes the points after a step to which a run returns.
    fn cut(&mut self, step: u64) {
        self.0.retain(|point| point.0 <= step as f64);
    }
}

/// One net and its run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NetBoard {
    /// `net 2`, `fold 1`; empty for a single net.
    pub name: String,
    /// The start event of the run.
    pub start: Option<Start>,
    /// Its progress.
    pub progress: Option<Progress>,
    /// The training loss of epochs; before the end of the first, its running value.
    pub train_loss: Curve,
    /// The loss on held-out rows.
    pub valid_loss: Curve,
    /// The first metric on held-out rows.
    pub metric: Curve,
    /// Its name.
    pub metric_name: Option<&'static str>,
    /// The learning rate.
    pub lr: Curve,
    /// Training rows per second.
    pub throughput: Curve,
    /// The layers at the last sampled step.
    pub layers: Vec<LayerSample>,
    /// That step, and the number of rows of its gradients.
    pub sampled: Option<(u64, usize)>,
    /// The manual factor on the learning rate.
    pub rate_factor: Option<f32>,
    epochs: usize,
    wanted_rate: Option<f32>,
    wants_checkpoint: bool,
    /// Whether its run has ended.
    pub has_ended: bool,
}

/// The whole dashboard.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Board {
    /// The first line: what is trained.
    pub title: String,
    /// The nets, in the order in which they began.
    pub nets: Vec<NetBoard>,
    /// The one that is shown.
    pub selected: usize,
    /// Whether training is paused.
    pub is_paused: bool,
    /// Whether it was asked to end.
    pub is_stopping: bool,
    /// The messages, oldest first.
    pub messages: VecDeque<String>,
    /// Bytes of memory of the process, now and at most so far.
    pub memory: Option<[u64; 2]>,
}

impl Board {
    /// A dashboard without nets.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Board { title: title.into(), ..Board::default() }
    }

    /// Adds a net; returns its index.
    pub fn add(&mut self, name: impl Into<String>) -> usize {
        self.nets.push(NetBoard { name: name.into(), ..NetBoard::default() });
        // With sequential nets, the one in training is shown.
        if self.nets.get(self.selected).is_none_or(|net| net.has_ended) {
            self.selected = self.nets.len() - 1;
        }
        self.nets.len() - 1
    }

    /// Adds a message of one or more lines.
    pub fn say(&mut self, message: &str) {
        self.messages.extend(message.lines().map(str::to_string));
        let surplus = self.messages.len().saturating_sub(MESSAGES);
        self.messages.drain(..surplus);
    }

    /// Records the memory of the process.
    pub fn holds(&mut self, bytes: u64) {
        let most = self.memory.map_or(bytes, |[_, most]| most.max(bytes));
        self.memory = Some([bytes, most]);
    }

    /// Performs the action of a key.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Pause => self.is_paused = !self.is_paused && !self.is_stopping,
            Action::Stop => {
                (self.is_stopping, self.is_paused) = (true, false);
                self.say("stopping: finishing the step and saving (again to exit at once)");
            }
            Action::Save => {
                for net in self.nets.iter_mut().filter(|net| !net.has_ended) {
                    net.wants_checkpoint = true;
                }
                if self.is_paused {
                    self.say("the checkpoint is written when the run continues");
                }
            }
            Action::Lower => self.change_rate(1.0 / RATE_STEP),
            Action::Raise => self.change_rate(RATE_STEP),
            Action::Next => {
                self.selected = (self.selected + 1).checked_rem(self.nets.len()).unwrap_or(0);
            }
        }
    }

    fn change_rate(&mut self, factor: f32) {
        for net in self.nets.iter_mut().filter(|net| !net.has_ended) {
            net.wanted_rate = Some(net.wanted_rate.unwrap_or(1.0) * factor);
        }
    }
}

impl NetBoard {
    /// The factor on the learning rate requested since the last call.
    pub fn take_rate(&mut self) -> Option<f32> {
        self.wanted_rate.take()
    }

    /// Whether a checkpoint was requested since the last call.
    pub fn take_save(&mut self) -> bool {
        std::mem::take(&mut self.wants_checkpoint)
    }

    /// Handles an event.
    pub fn started(&mut self, start: &Start) {
        self.start = Some(start.clone());
    }

    /// Handles an event.
    pub fn progressed(&mut self, progress: &Progress) {
        if let (Some(loss), 0) = (progress.loss, self.epochs) {
            self.train_loss.push(progress.step, loss);
        }
        self.progress = Some(*progress);
    }

    /// Handles an event.
    pub fn epoch_ended(&mut self, epoch: &Epoch) {
        if self.epochs == 0 {
            self.train_loss = Curve::default();
        }
        self.epochs += 1;
        self.train_loss.push(epoch.step, epoch.train_loss);
        epoch.valid_loss.into_iter().for_each(|loss| self.valid_loss.push(epoch.step, loss));
        if let Some((name, value)) = epoch.metrics.first() {
            self.metric_name = Some(name);
            self.metric.push(epoch.step, *value);
        }
        self.lr.push(epoch.step, f64::from(epoch.lr));
        self.throughput.push(epoch.step, epoch.samples_per_second);
    }

    /// Handles an event.
    pub fn sampled(&mut self, sample: &StepSample) {
        self.layers.clone_from(&sample.layers);
        self.sampled = Some((sample.step, sample.gradient_rows));
    }

    /// Handles an event.
    pub fn rate_changed(&mut self, change: &RateChange) {
        self.rate_factor = Some(change.factor);
        self.lr.push(change.step, f64::from(change.lr));
    }

    /// Handles an event.
    pub fn diverged(&mut self, diverged: &Diverged, steps_per_epoch: usize) {
        let start = (diverged.epoch.saturating_sub(1) * steps_per_epoch) as u64;
        for curve in [&mut self.train_loss, &mut self.lr] {
            curve.cut(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::tests::epoch;

    #[test]
    fn keys_ask_all_nets_that_are_at_work() {
        let mut board = Board::new("x");
        for name in ["net 1", "net 2", "net 3"] {
            board.add(name);
        }
        board.nets[1].has_ended = true;
        board.act(Action::Lower);
        board.act(Action::Lower);
        board.act(Action::Raise);
        board.act(Action::Save);
        let asked = |net: &mut NetBoard| (net.take_rate(), net.take_save());
        let found: Vec<_> = board.nets.iter_mut().map(asked).collect();
        assert_eq!(found, [(Some(0.5), true), (None, false), (Some(0.5), true)]);
        assert_eq!(asked(&mut board.nets[0]), (None, false), "once");
        board.act(Action::Pause);
        assert!(board.is_paused);
        board.act(Action::Stop);
        assert!(board.is_stopping && !board.is_paused, "who stops goes on to the end of the step");
        board.act(Action::Pause);
        assert!(!board.is_paused);
        let shown: Vec<usize> = (0..3)
            .map(|_| {
                board.act(Action::Next);
                board.selected
            })
            .collect();
        assert_eq!(shown, [1, 2, 0]);
        Board::default().act(Action::Next);
    }

    #[test]
    fn curves_stay_short_and_finite() {
        let mut curve = Curve::default();
        (0..10_000).for_each(|step| curve.push(step, step as f64));
        curve.push(10_000, f64::NAN);
        assert!(curve.points().len() <= POINTS && curve.last() == Some(9999.0));
        assert!(curve.points().windows(2).all(|pair| pair[0].0 < pair[1].0));
        curve.cut(5000);
        assert!(curve.last().unwrap() <= 5000.0);
    }

    #[test]
    fn what_was_read_in_the_first_epoch_gives_way_to_its_result() {
        let mut net = NetBoard::default();
        let progress = Progress {
            epoch: 1,
            epochs: 4,
            step: 3,
            steps: 80,
            loss: Some(2.0),
            samples_per_second: 1.0,
            seconds_left: 1.0,
        };
        net.progressed(&progress);
        assert_eq!(net.train_loss.points(), [(3.0, 2.0)]);
        net.epoch_ended(&epoch());
        net.progressed(&progress);
        assert_eq!(net.train_loss.points(), [(20.0, 0.25)]);
        assert_eq!((net.metric_name, net.metric.last()), (Some("accuracy"), Some(0.75)));
    }
}

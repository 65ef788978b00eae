//! Monitoring and ending training: callbacks, and tokens that cancel it from another thread.

use crate::base::error::Result;
use crate::train::event::{Epoch, Flow, Observer, Progress};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Cancels training from another thread. Clones share their state.
///
/// ```
/// # let rows: Vec<[f32; 1]> = (0..60).map(|i| [i as f32]).collect();
/// # let y: Vec<f32> = rows.iter().map(|x| x[0] * 0.5).collect();
/// use wgrad::{CancelToken, ErrorKind, Regressor};
///
/// let cancel = CancelToken::new();
/// let token = cancel.clone();
/// let training = std::thread::spawn(move || {
///     Regressor::builder().epochs(1_000_000).cancel(token).fit(&rows, &y)
/// });
/// cancel.cancel();
/// let error = training.join().unwrap().err().unwrap();
/// assert_eq!(error.kind(), ErrorKind::Interrupted);
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that isn't canceled.
    #[must_use]
    pub fn new() -> Self {
        CancelToken::default()
    }

    /// Cancels: training that has this token ends after the current step, with an error of the kind
    /// [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted).
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is canceled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a callback receives after each epoch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EpochReport {
    /// The number of the net, from 1. The nets of an ensemble may train at the same time.
    pub net: usize,
    /// The number of nets that are trained.
    pub nets: usize,
    /// The epoch, from 1.
    pub epoch: usize,
    /// The number of epochs of the net, unless it ends early.
    pub epochs: usize,
    /// The number of steps that the net has taken.
    pub step: u64,
    /// The mean loss over the batches of the epoch, with dropout and class weights. Cross-entropies are in nats.
    /// Regression losses are in units of the standardized targets: a squared error of 1 is the variance of the
    /// training targets (with [`Scaling::None`](crate::Scaling::None) and the losses Poisson, KL divergence and
    /// cosine, the caller's units).
    pub training_loss: f64,
    /// The loss on the validation rows at the end of the epoch, in the same units; none if no rows are held out.
    pub validation_loss: Option<f64>,
    /// Metrics on the validation rows by name: `accuracy` for classes; `rmse`, `mae` and `r2` for numbers, the first
    /// two in the caller's units; and the metric by which epochs are compared, if a different one is set.
    pub metrics: Vec<(&'static str, f64)>,
    /// Whether it is the best epoch of its net, whose weights the model has. This is known only after training: it is
    /// false in a callback, and also if no rows are held out, as the last weights are then kept.
    pub is_best: bool,
    /// The learning rate of the last step.
    pub learning_rate: f32,
    /// Seconds since the start of the net's training.
    pub seconds: f64,
}

impl EpochReport {
    /// A metric on the validation rows by name; none if it wasn't measured.
    ///
    /// | targets | names |
    /// | --- | --- |
    /// | all | `loss` |
    /// | classes | `accuracy`, `balanced_accuracy`, `f1`, `f1_weighted`, `precision`, `precision_weighted`, `recall`, `recall_weighted`, `roc_auc`, `log_loss`, `brier`, `calibration_error`: see [`ClassReport`](crate::ClassReport) |
    /// | numbers | `rmse`, `mae`, `r2`, `median_absolute_error`, `mape`, `nll`: see [`NumberReport`](crate::NumberReport) |
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        match name {
            "loss" => self.validation_loss,
            _ => self.metrics.iter().find(|(known, _)| *known == name).map(|(_, value)| *value),
        }
    }
}

/// A callback after each epoch, which determines whether the training of the net continues.
pub(super) type Callback = Box<dyn FnMut(&EpochReport) -> Flow + Send>;

/// The callbacks and tokens of a training.
#[derive(Default)]
pub(super) struct Control {
    pub callback: Option<Callback>,
    /// Tokens that each cancel it.
    pub cancel: Vec<CancelToken>,
}

/// The history of the nets of a training, epoch by epoch, and their observers.
pub(super) struct Watched {
    callback: Mutex<Option<Callback>>,
    cancel: Vec<CancelToken>,
    history: Mutex<Vec<EpochReport>>,
    /// The best epochs, each with its net.
    best: Mutex<Vec<(usize, usize)>>,
}

impl Watched {
    pub(super) fn new(control: Control) -> Self {
        let Control { callback, cancel } = control;
        Watched {
            callback: Mutex::new(callback),
            cancel,
            history: Mutex::default(),
            best: Mutex::default(),
        }
    }

    /// The observer of a net, counted from 1, that is trained for `epochs` epochs.
    pub(super) fn net(&self, net: usize, nets: usize, epochs: usize) -> Watch<'_> {
        Watch { watched: self, net, nets, epochs }
    }

    /// Takes the best epoch of a net, whose weights are kept.
    pub(super) fn best(&self, net: usize, epoch: usize) {
        self.best.lock().unwrap_or_else(PoisonError::into_inner).push((net, epoch));
    }

    /// All epochs, those of the first net first.
    pub(super) fn into_history(self) -> Vec<EpochReport> {
        let mut history = self.history.into_inner().unwrap_or_else(PoisonError::into_inner);
        let best = self.best.into_inner().unwrap_or_else(PoisonError::into_inner);
        history.iter_mut().for_each(|at| at.is_best = best.contains(&(at.net, at.epoch)));
        history.sort_by_key(|report| (report.net, report.epoch));
        history
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.iter().any(CancelToken::is_cancelled)
    }
}

/// The observer of one net.
pub(super) struct Watch<'a> {
    watched: &'a Watched,
    net: usize,
    nets: usize,
    epochs: usize,
}

impl Observer for Watch<'_> {
    fn progress(&mut self, _: &Progress) -> Flow {
        match self.watched.is_cancelled() {
            true => Flow::Interrupt,
            false => Flow::Continue,
        }
    }

    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        let report = EpochReport {
            net: self.net,
            nets: self.nets,
            epoch: epoch.epoch,
            epochs: self.epochs,
            step: epoch.step,
            training_loss: epoch.train_loss,
            validation_loss: epoch.valid_loss,
            metrics: epoch.metrics.clone(),
            is_best: false,
            learning_rate: epoch.lr,
            seconds: epoch.seconds,
        };
        let flow = {
            let mut callback = self.watched.callback.lock().unwrap_or_else(PoisonError::into_inner);
            callback.as_mut().map_or(Flow::Continue, |callback| callback(&report))
        };
        self.watched.history.lock().unwrap_or_else(PoisonError::into_inner).push(report);
        Ok(if self.watched.is_cancelled() { Flow::Interrupt } else { flow })
    }
}

#[cfg(test)]
mod tests {
    use crate::data::Targets;
    use crate::math::matrix::Matrix;
    use crate::net::metrics::Metrics;

    #[test]
    fn the_documentation_lists_every_metric() {
        let documentation = include_str!("control.rs");
        let classes = Targets::Classes { labels: vec![0], names: vec!["a".into()] };
        let numbers = Targets::Numbers(Matrix::from_fn(1, 1, |_, _| 0.0));
        for (targets, kind) in [(classes, "classes"), (numbers, "numbers")] {
            let start = format!("/// | {kind} |");
            let line = documentation.lines().find(|line| line.trim().starts_with(&start)).unwrap();
            let listed: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
            let names = Metrics::names(&targets);
            assert_eq!(listed[..names.len()], *names);
            assert_eq!(listed.len(), names.len() + 1, "and the report: {listed:?}");
        }
    }
}

//! When a run ends before its last epoch, what it keeps, and what it does when it diverges.

use crate::base::error::{Error, Result, serde_as_text, unknown};
use crate::base::names::names;
use crate::net::metrics::Metrics;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Which weights a run keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Those of the last step.
    #[default]
    Last,
    /// Those of the epoch with the best metric on the validation rows.
    Best,
}

/// What to do when the loss becomes NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDivergence {
    /// The run ends with an error that names step, layer, op and rows.
    #[default]
    Stop,
    /// It returns to the start of the epoch, and continues with half the learning rate.
    LowerLr,
    /// It returns to the step before, and continues without the batch.
    SkipBatch,
}

/// A metric, and the value at which a run may end.
#[derive(Debug, Clone, PartialEq)]
pub struct StopAt {
    /// The name of the metric, which may be `loss`.
    pub metric: String,
    /// The value that is good enough.
    pub value: f64,
}

impl StopAt {
    /// Whether a metric of `found` is good enough.
    #[must_use]
    pub fn is_met(&self, found: f64) -> bool {
        match Metrics::larger_is_better(&self.metric) {
            true => found >= self.value,
            false => found <= self.value,
        }
    }

    /// Refuses a value that the metric never reaches: above 1 for fractions and R², below 0 for errors.
    ///
    /// # Errors
    /// For such a value.
    pub fn check(&self) -> Result<()> {
        let StopAt { metric, value } = self;
        let help = match Metrics::larger_is_better(metric) {
            true if *value > 100.0 => "its best value is 1".into(),
            true if *value > 1.0 => {
                format!("its best value is 1: write {metric}={}", value / 100.0)
            }
            // A log density may have either sign, and so may a loss that is one.
            false if *value < 0.0 && !["loss", "nll"].contains(&metric.as_str()) => {
                "its best value is 0".into()
            }
            _ => return Ok(()),
        };
        Err(Error::usage(format!("{metric} is never as good as {value}")).help(help))
    }
}

impl fmt::Display for StopAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.metric, self.value)
    }
}

impl FromStr for StopAt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let help = "write for example accuracy=0.98";
        let (metric, value) = text
            .split_once('=')
            .ok_or_else(|| Error::usage(format!("{text:?} is not METRIC=VALUE")).help(help))?;
        let metric = metric.trim();
        if Metrics::all_names().all(|known| known != metric) {
            let known: BTreeSet<&str> = Metrics::all_names().collect();
            return Err(unknown("metric", metric, &known.into_iter().collect::<Vec<_>>()));
        }
        match value.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(StopAt { metric: metric.into(), value }),
            _ => Err(Error::usage(format!("{value:?} is not a number")).help(help)),
        }
    }
}

/// What ends a run early, and what it keeps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stopping {
    /// Which weights are kept.
    pub keep: Keep,
    /// The metric on the validation rows by which epochs are compared, which may be `loss`; none is
    /// accuracy for classes and the loss for all else.
    ///
    /// Accuracy, because classifiers are reported by it: the kept epoch is never worse in it
    /// than the last one. Of equal accuracies the one with the lower loss is better.
    pub metric: Option<String>,
    /// Metrics that are measured after each epoch from the predictions for all validation rows, as
    /// in [`crate::train::evaluation`], besides those that the device sums.
    pub measured: Vec<String>,
    /// Early stopping: the run ends after this many epochs without a better one (Prechelt 1998, "Early
    /// Stopping, but when?", the criterion UP with strips of one epoch).
    pub patience: Option<usize>,
    /// The run ends after this many seconds, at the next step.
    pub time_limit: Option<f64>,
    /// What to do when it diverges.
    pub on_divergence: OnDivergence,
}

impl Stopping {
    /// The name of the metric by which epochs with these metrics are compared.
    ///
    /// # Errors
    /// When they don't have the requested metric.
    pub fn metric(&self, metrics: &Metrics) -> Result<String> {
        match &self.metric {
            None if metrics.get("accuracy").is_some() => Ok("accuracy".into()),
            None => Ok("loss".into()),
            Some(name) if metrics.get(name).is_some() => Ok(name.clone()),
            Some(name) => {
                let mut known = vec!["loss"];
                known.extend(metrics.values.iter().map(|(name, _)| *name));
                Err(unknown("metric", name, &known))
            }
        }
    }

    /// Compares epochs by the metric `name`, which is then measured.
    pub fn compare_by(&mut self, name: &str) {
        self.metric = Some(name.into());
        if !Metrics::is_summed(name) && !self.measured.iter().any(|known| known == name) {
            self.measured.push(name.into());
        }
    }

    /// Whether epochs are compared.
    #[must_use]
    pub fn compares(&self) -> bool {
        self.keep == Keep::Best || self.patience.is_some()
    }

    /// Checks what can be checked without data.
    ///
    /// # Errors
    /// For a patience of 0, and a time limit that isn't a positive number.
    pub fn check(&self) -> Result<()> {
        if self.patience == Some(0) {
            return Err(Error::usage("invalid patience: 0").help("--patience must be at least 1"));
        }
        match self.time_limit {
            Some(seconds) if seconds.is_nan() || seconds <= 0.0 => {
                Err(Error::usage(format!("invalid time limit: {seconds} s"))
                    .help("--time-limit must be a time such as 90s, 10m or 2h"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether `new` is better than `old` by `metric` or, if they are equal, by the loss. NaN is worse
/// than any value.
#[must_use]
pub fn is_better(metric: &str, new: &Metrics, old: &Metrics) -> bool {
    let value = |m: &Metrics| m.get(metric).filter(|x| !x.is_nan());
    match (value(new), value(old)) {
        (Some(new), Some(old)) if new != old => (new > old) == Metrics::larger_is_better(metric),
        (Some(_), Some(_)) => new.loss < old.loss,
        (new, old) => new.is_some() && old.is_none(),
    }
}

names!(Keep, "choice of weights": Last "last", Best "best");
names!(OnDivergence, "value of --on-divergence": Stop "stop", LowerLr "lower-lr", SkipBatch "skip-batch");
serde_as_text!(Keep, OnDivergence, StopAt);

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(loss: f64, accuracy: f64) -> Metrics {
        Metrics { loss, values: vec![("accuracy", accuracy)] }
    }

    #[test]
    fn an_epoch_is_better_by_its_metric_and_then_by_its_loss() {
        let old = metrics(0.5, 0.9);
        assert!(is_better("accuracy", &metrics(0.9, 0.91), &old));
        assert!(!is_better("accuracy", &metrics(0.1, 0.89), &old));
        assert!(is_better("accuracy", &metrics(0.4, 0.9), &old));
        assert!(!is_better("accuracy", &old, &old));
        assert!(is_better("loss", &metrics(0.4, 0.1), &old));
        assert!(!is_better("loss", &metrics(f64::NAN, 0.9), &old));
        assert!(is_better("loss", &old, &metrics(f64::NAN, 0.9)));
    }

    #[test]
    fn classes_are_compared_by_accuracy_and_numbers_by_the_loss() {
        let numbers = Metrics { loss: 1.0, values: vec![("rmse", 2.0)] };
        let any = Stopping::default();
        assert_eq!(any.metric(&metrics(1.0, 0.5)).unwrap(), "accuracy");
        assert_eq!(any.metric(&numbers).unwrap(), "loss");
        let named = Stopping { metric: Some("accuracy".into()), ..Stopping::default() };
        let error = named.metric(&numbers).unwrap_err().to_string();
        assert!(error.contains("loss, rmse"), "{error}");
    }
}

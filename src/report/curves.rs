//! Learning curves, from the events of a run.

use super::finite;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The most points of a curve.
const POINTS: usize = 400;
/// The entries of an `epoch` event that aren't metrics.
const OTHERS: [&str; 10] = [
    "event",
    "epoch",
    "step",
    "train_loss",
    "valid_loss",
    "test_loss",
    "lr",
    "seconds",
    "samples_per_second",
    "loss_scale",
];

/// The training of one net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Its name in an ensemble.
    pub net: Option<String>,
    /// The data it was evaluated on during training: `validation` or `test`; none if nothing was held out.
    pub watched: Option<String>,
    /// Its epochs; a subset if there are very many.
    pub points: Vec<EpochPoint>,
    /// The epoch whose weights were kept as the best one.
    pub kept: Option<usize>,
    /// The metric that was best in it.
    pub metric: Option<String>,
    /// Why training ended.
    pub ending: Option<String>,
}

/// One epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochPoint {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The mean training loss over the epoch.
    pub train_loss: Option<f64>,
    /// The loss on the held-out rows.
    pub held_out_loss: Option<f64>,
    /// The learning rate of its last step.
    pub lr: Option<f64>,
    /// The metrics by name.
    pub metrics: BTreeMap<String, f64>,
}

/// The events of a run, as far as they can be read.
pub(super) fn events(directory: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(directory.join("metrics.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The last event `end`.
pub(super) fn end(events: &[Value]) -> Option<&Value> {
    events.iter().rev().find(|event| event["event"] == "end")
}

/// The curve of some events; none without an epoch.
pub(super) fn curve(events: &[Value], net: Option<String>) -> Option<Curve> {
    // If a run was resumed, the last event of an epoch counts.
    let mut epochs: BTreeMap<usize, &Value> = BTreeMap::new();
    for event in events.iter().filter(|event| event["event"] == "epoch") {
        epochs.insert(event["epoch"].as_u64()? as usize, event);
    }
    let watched = match epochs.values().next()? {
        event if event.get("valid_loss").is_some() => Some("validation".to_string()),
        event if event.get("test_loss").is_some() => Some("test".to_string()),
        _ => None,
    };
    let best = end(events).map(|end| &end["best"]);
    let kept = best.and_then(|best| Some(best["epoch"].as_u64()? as usize));
    let step = epochs.len().div_ceil(POINTS);
    let last = epochs.len() - 1;
    let is_shown = |(i, (epoch, _)): &(usize, (usize, &Value))| {
        i % step == 0 || *i == last || Some(*epoch) == kept
    };
    let shown = epochs.into_iter().enumerate().filter(is_shown);
    Some(Curve {
        net,
        watched,
        points: shown.map(|(_, (epoch, event))| point(epoch, event)).collect(),
        kept,
        metric: best.and_then(|best| Some(best["metric"].as_str()?.to_string())),
        ending: end(events).and_then(|end| Some(end["ending"].as_str()?.to_string())),
    })
}

fn point(epoch: usize, event: &Value) -> EpochPoint {
    let number = |name: &str| event[name].as_f64().and_then(finite);
    let entries = event.as_object().into_iter().flatten();
    let metrics = entries
        .filter(|(name, _)| !OTHERS.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
    EpochPoint {
        epoch,
        train_loss: number("train_loss"),
        held_out_loss: number("valid_loss").or_else(|| number("test_loss")),
        lr: number("lr"),
        metrics: metrics.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn epoch(n: usize) -> Value {
        json!({"event": "epoch", "epoch": n, "train_loss": 1.0 / n as f64, "valid_loss": 0.5,
            "accuracy": 0.9, "lr": 0.001, "seconds": 1.0})
    }

    #[test]
    fn the_kept_epoch_and_the_last_are_among_the_points_of_a_long_curve() {
        let mut events: Vec<Value> = (1..=1003).map(epoch).collect();
        events.push(
            json!({"event": "end", "ending": "done", "best": {"epoch": 8, "metric": "loss"}}),
        );
        let curve = curve(&events, None).unwrap();
        assert!(curve.points.len() <= POINTS + 2, "{}", curve.points.len());
        let has = |n: usize| curve.points.iter().any(|point| point.epoch == n);
        assert!(has(1) && has(8) && has(1003));
        assert_eq!((curve.kept, curve.watched.as_deref()), (Some(8), Some("validation")));
        assert_eq!(curve.points[0].metrics["accuracy"], 0.9);
        assert_eq!(curve.points[0].metrics.len(), 1);
    }

    #[test]
    fn a_run_without_epochs_has_no_curve_and_a_repeated_epoch_counts_once() {
        assert_eq!(curve(&[json!({"event": "start"})], None), None);
        let events = [epoch(1), json!({"event": "epoch", "epoch": 1, "train_loss": 9.0})];
        let curve = curve(&events, None).unwrap();
        assert_eq!((curve.points.len(), curve.points[0].train_loss), (1, Some(9.0)));
    }
}

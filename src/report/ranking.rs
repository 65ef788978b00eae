//! The ROC and precision-recall curves of two classes.

use serde::{Deserialize, Serialize};

/// The most points of a curve.
const POINTS: usize = 200;

/// The receiver operating characteristic and the precision-recall curve of scores of the positive class:
/// `rows` gives (score, whether it is positive, weight). None if one of the classes has no weight.
///
/// A point for each threshold, from the highest score down; equal scores make one point. The average
/// precision is Σ (R_i − R_{i−1}) P_i over them, without interpolation, as in scikit-learn.
pub(super) fn ranking(
    rows: impl Iterator<Item = (f32, bool, f64)>,
    positive: String,
) -> Option<RankingCurves> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let weigh = |wanted: bool| rows.iter().filter(|r| r.1 == wanted).map(|r| r.2).sum::<f64>();
    let (positives, negatives) = (weigh(true), weigh(false));
    if !(positives > 0.0 && negatives > 0.0) {
        return None;
    }
    let (mut roc, mut precision_recall) = (vec![[0.0, 0.0]], Vec::new());
    let (mut right, mut wrong, mut average) = (0.0, 0.0, 0.0);
    for tied in rows.chunk_by(|a, b| a.0 == b.0) {
        let before = right;
        for row in tied {
            if row.1 { right += row.2 } else { wrong += row.2 }
        }
        if right + wrong > 0.0 {
            let precision = right / (right + wrong);
            average += (right - before) / positives * precision;
            roc.push([wrong / negatives, right / positives]);
            precision_recall.push([right / positives, precision]);
        }
    }
    Some(RankingCurves {
        positive,
        roc: thinned(roc),
        precision_recall: thinned(precision_recall),
        average_precision: average,
        share: positives / (positives + negatives),
    })
}

/// Some of the points of a curve, the first and the last among them, evenly spaced along it.
fn thinned(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    if points.len() <= POINTS {
        return points;
    }
    let step =
        |pair: &[[f64; 2]]| (pair[1][0] - pair[0][0]).abs() + (pair[1][1] - pair[0][1]).abs();
    let length: f64 = points.windows(2).map(step).sum();
    let (mut kept, mut since) = (vec![points[0]], 0.0);
    for pair in points.windows(2) {
        since += step(pair);
        if since >= length / (POINTS - 2) as f64 {
            kept.push(pair[1]);
            since = 0.0;
        }
    }
    if let Some(&last) = points.last().filter(|last| kept.last() != Some(last)) {
        kept.push(last);
    }
    kept
}

/// The ranking of two classes by their score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankingCurves {
    /// The positive class, whose score it is: the second.
    pub positive: String,
    /// (False positive rate, true positive rate).
    pub roc: Vec<[f64; 2]>,
    /// (Recall, precision).
    pub precision_recall: Vec<[f64; 2]>,
    /// The area under the latter, without interpolation.
    pub average_precision: f64,
    /// The fraction of the positive class: the precision of random guessing.
    pub share: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curves_are_those_of_the_thresholds() {
        // scikit-learn: roc_curve and average_precision_score of these four give the same.
        let rows = [(0.1, false), (0.4, false), (0.35, true), (0.8, true)];
        let curves = ranking(rows.into_iter().map(|(s, y)| (s, y, 1.0)), "b".into()).unwrap();
        assert_eq!(curves.roc, [[0.0, 0.0], [0.0, 0.5], [0.5, 0.5], [0.5, 1.0], [1.0, 1.0]]);
        assert!((curves.average_precision - 0.833_333_333_333).abs() < 1e-9);
        assert_eq!((curves.share, curves.precision_recall[0]), (0.5, [0.5, 1.0]));
        assert!(ranking([(0.5, true, 1.0)].into_iter(), "b".into()).is_none());
        // All tied: a coin.
        let tied = ranking([(0.5, true, 1.0), (0.5, false, 3.0)].into_iter(), "b".into()).unwrap();
        assert_eq!((tied.roc, tied.average_precision), (vec![[0.0, 0.0], [1.0, 1.0]], 0.25));
    }

    #[test]
    fn a_long_curve_keeps_its_ends_and_few_points() {
        let rows = (0..5000).map(|i| (i as f32, i % 3 == 0, 1.0));
        let curves = ranking(rows, "b".into()).unwrap();
        assert!(curves.roc.len() <= POINTS, "{}", curves.roc.len());
        assert_eq!((curves.roc[0], curves.roc.last()), ([0.0, 0.0], Some(&[1.0, 1.0])));
    }
}

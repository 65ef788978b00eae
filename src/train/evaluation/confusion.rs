//! The confusion matrix.

use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// The most classes for which the full matrix is written.
const DENSE: usize = 100;

/// The confusion matrix: the weight of the rows of each actual class that were predicted as each
/// class. Only nonzero entries are stored, so that many classes take little memory.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Confusion {
    classes: usize,
    cells: BTreeMap<(u32, u32), f64>,
}

impl Confusion {
    /// A matrix of `classes` classes from (actual, predicted, weight).
    #[must_use]
    pub fn new(classes: usize, rows: impl IntoIterator<Item = (u32, u32, f64)>) -> Self {
        let mut cells = BTreeMap::new();
        for (actual, predicted, weight) in rows {
            *cells.entry((actual, predicted)).or_insert(0.0) += weight;
        }
        Confusion { classes, cells }
    }

    /// The number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The weight of the rows of class `actual` that were predicted as `predicted`.
    #[must_use]
    pub fn get(&self, actual: usize, predicted: usize) -> f64 {
        self.cells.get(&(actual as u32, predicted as u32)).copied().unwrap_or(0.0)
    }

    /// The full matrix: (actual classes, predicted classes).
    #[must_use]
    pub fn dense(&self) -> Vec<Vec<f64>> {
        let row = |actual| (0..self.classes).map(|p| self.get(actual, p)).collect();
        (0..self.classes).map(row).collect()
    }

    /// The most frequent confusions, (actual, predicted, weight), the worst first.
    #[must_use]
    pub fn most_confused(&self, count: usize) -> Vec<(usize, usize, f64)> {
        let mut wrong: Vec<_> = self
            .cells
            .iter()
            .filter(|((actual, predicted), weight)| actual != predicted && **weight > 0.0)
            .map(|(&(actual, predicted), &weight)| (actual as usize, predicted as usize, weight))
            .collect();
        wrong.sort_by(|a, b| b.2.total_cmp(&a.2));
        wrong.truncate(count);
        wrong
    }

    /// For each class: (correct, predicted, actual).
    pub(super) fn sums(&self) -> Vec<(f64, f64, f64)> {
        let mut sums = vec![(0.0, 0.0, 0.0); self.classes];
        for (&(actual, predicted), &weight) in &self.cells {
            if actual == predicted {
                sums[actual as usize].0 += weight;
            }
            sums[predicted as usize].1 += weight;
            sums[actual as usize].2 += weight;
        }
        sums
    }
}

/// A matrix of numbers, rows by actual class; for more than 100 classes the 100 worst confusions
/// instead, as objects with `actual`, `predicted` and `weight`.
impl Serialize for Confusion {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Mistake {
            actual: usize,
            predicted: usize,
            weight: f64,
        }
        if self.classes <= DENSE {
            return s.collect_seq(self.dense());
        }
        let mistakes = self.most_confused(DENSE).into_iter();
        s.collect_seq(mistakes.map(|(actual, predicted, weight)| Mistake {
            actual,
            predicted,
            weight,
        }))
    }
}

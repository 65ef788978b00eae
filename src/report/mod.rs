//! The report of a finished run: one struct ([`RunReport`]), written as `report.json`, from
//! which the page `report.html` and the model card are made, so that no number is computed twice.
//!
//! ```text
//! Subject ─ build ─▶ RunReport ─ report.json ─▶ RunReport ─ page ─▶ report.html
//!                                                         └ card ─▶ README.md
//! ```
//!
//! Its cost is bounded for any data: rows are sampled with a fixed seed, and the number of
//! additional predictions is limited by a budget of multiply-adds (`influence.rs`).
//! [`RunReport::not_computed`] lists what is left out.

mod build;
pub mod card;
mod columns;
mod compare;

mod contents;
mod curves;
mod dependence;
mod examples;
mod figures;
mod influence;
mod intervals;
mod judged;
mod page;
mod pictures;
mod plots;
mod ranking;
mod regions;
mod standalone;
mod subject;
mod weights;
pub mod words;
pub use build::build;
pub use columns::{ColumnSummary, Distribution, Share};

pub use columns::{Columns, TargetKind, TargetSummary};
pub use compare::comparison;
pub use contents::{Kept, NetSummary, RunReport, Settings};
pub use curves::{Curve, EpochPoint};
pub use dependence::Dependence;
pub use examples::WrongRow;
pub use influence::{Importance, Influence, rows_to_sample};
pub(crate) use intervals::{Difference, LEAST as LEAST_ROWS, differences, interval};
pub use judged::{
    BaselineValues, CalibrationPoint, ClassRow, Evaluation, Metric, Mistake, Residuals,
};
pub use page::page;
pub use pictures::Picture;
pub use ranking::RankingCurves;
pub use regions::Regions;
pub use standalone::{Plot, plots};
pub use subject::{HeldOut, Predictor, Subject};
pub use subject::{NotComputed, Rows};
pub use weights::LayerHistogram;

use crate::base::error::{Error, Result};
use crate::math::random::{Random, Stream};

/// The file of a report's numbers in a run directory.
pub const JSON: &str = "report.json";
/// The file of its page.
pub const HTML: &str = "report.html";

impl RunReport {
    /// The report as JSON.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|e| Error::failed(format!("cannot write the report as JSON: {e}")))
    }

    /// Reads a report from JSON.
    ///
    /// # Errors
    /// When the text isn't a report.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| {
            Error::data(format!("not a report: {e}")).help("rebuild it: wgrad report RUN")
        })
    }
}

/// Up to `most` of `rows` rows, in ascending order: all of them, or as many drawn with a fixed seed;
/// `what` distinguishes draws.
fn sample(rows: usize, most: usize, what: u64) -> Vec<usize> {
    if rows <= most {
        return (0..rows).collect();
    }
    // Selection sampling (Knuth, "The Art of Computer Programming" 2, 3.4.2, algorithm S).
    let mut random = Random::new(0, Stream::Report, what);
    let mut chosen = Vec::with_capacity(most);
    for row in 0..rows {
        let (left, needed) = ((rows - row) as f64, (most - chosen.len()) as f64);
        if random.uniform() * left < needed {
            chosen.push(row);
        }
    }
    chosen
}

/// The number, if it is finite: JSON has no other numbers.
fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_as_large_as_asked_for_and_always_the_same() {
        assert_eq!(sample(3, 5, 0), [0, 1, 2]);
        let drawn = sample(1000, 100, 1);
        assert_eq!((drawn.len(), drawn == sample(1000, 100, 1)), (100, true));
        assert!(drawn.is_sorted() && drawn.iter().all(|&row| row < 1000));
        assert_ne!(drawn, sample(1000, 100, 2));
    }
}

//! Whether the metrics of runs differ by more than chance, on the rows that they both hold out.

use super::grid::Grid;
use super::record::{Record, State};
use crate::base::error::Result;
use crate::base::words::count;
use crate::cli::arguments::terminal::print;
use crate::cli::nets::held_out::HeldOutRows;
use crate::net::metrics::Metrics;
use crate::report::words::{of_name, shown};
use crate::report::{Difference, LEAST_ROWS, differences};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The metrics whose differences are printed, of those that the runs have.
const SHOWN: [&str; 8] = ["accuracy", "f1_micro", "f1", "roc_auc", "log_loss", "rmse", "mae", "r2"];

/// The comparison of a run with the first one.
#[derive(Serialize)]
pub(super) struct Paired<'a> {
    run: &'a Path,
    from: &'a Path,
    /// The number of rows that both hold out.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metrics: BTreeMap<&'static str, Difference>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// The comparison of each finished run with the first of them.
pub(super) fn paired<'a>(records: &'a [Record]) -> Vec<Paired<'a>> {
    let is_measured = |record: &&Record| record.state == State::Done && !record.valid.is_empty();
    let mut done = records.iter().filter(is_measured).map(|record| record.run.as_path());
    let Some(from) = done.next() else { return Vec::new() };
    let others: Vec<_> = done.collect();
    let of =
        |run: &Path| HeldOutRows::of(run).map_err(|e| format!("{}: {}", run.display(), e.brief()));
    let first = if others.is_empty() { Err(String::new()) } else { of(from) };
    let compared = |run: &'a Path| -> std::result::Result<_, String> {
        let first = first.as_ref().map_err(Clone::clone)?;
        both(first, &of(run)?)
    };
    let pair = |run: &'a Path| {
        let (rows, metrics, why) = match compared(run) {
            Ok((rows, metrics)) => (Some(rows), metrics, None),
            Err(why) => (None, BTreeMap::new(), Some(why)),
        };
        Paired { run, from, rows, metrics, why }
    };
    others.into_iter().map(pair).collect()
}

/// The number of rows that two runs both hold out, and the differences on these; or why there are none.
fn both(
    first: &HeldOutRows,
    second: &HeldOutRows,
) -> std::result::Result<(usize, BTreeMap<&'static str, Difference>), String> {
    if first.data != second.data {
        return Err(format!(
            "they hold out rows of different data, {} and {}",
            first.data, second.data
        ));
    }
    let places: HashMap<usize, usize> =
        second.rows.iter().enumerate().map(|(place, row)| (*row, place)).collect();
    let in_both = first.rows.iter().enumerate();
    let (here, there): (Vec<usize>, Vec<usize>) =
        in_both.filter_map(|(place, row)| Some((place, *places.get(row)?))).unzip();
    if here.len() < LEAST_ROWS {
        let rows = count(here.len(), "row");
        return Err(format!("both hold out the same {rows}, fewer than {LEAST_ROWS}"));
    }
    let truth = first.truth.select_rows(&here);
    if truth != second.truth.select_rows(&there) {
        return Err("they have different targets".into());
    }
    let weights: Option<Vec<f32>> =
        first.weights.as_ref().map(|w| here.iter().map(|&place| w[place]).collect());
    let [one, other] = [first.predictions.select(&here), second.predictions.select(&there)];
    match differences(&one, &other, &truth, weights.as_deref()) {
        Ok(Some(found)) => Ok((here.len(), found)),
        Ok(None) => Err("the rows have no weight, or there are too many classes".into()),
        Err(error) => Err(error.brief()),
    }
}

/// Prints the differences, or why there are none.
///
/// # Errors
/// When standard output can't be written.
pub(super) fn show(all: &[Paired<'_>]) -> Result<()> {
    let found: Vec<&Paired<'_>> = all.iter().filter(|pair| pair.rows.is_some()).collect();
    if let Some(Paired { from, .. }) = found.first() {
        print(&format!(
            "\ndifference from {}, with 95% intervals (paired bootstrap of the rows that both hold out)\n",
            from.display()
        ))?;
        let runs = found.iter().map(|pair| pair.run.display().to_string());
        let names = std::iter::once("difference".to_string()).chain(runs).collect();
        let mut rows = Vec::new();
        let mut add = |name: &str, cells: Vec<Option<String>>| {
            if cells.iter().any(Option::is_some) {
                let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| "–".into()));
                rows.push(std::iter::once(name.to_string()).chain(cells).collect::<Vec<_>>());
            }
        };
        for name in SHOWN {
            let cell = |pair: &&Paired<'_>| pair.metrics.get(name).map(|found| text(name, found));
            add(shown(name).0, found.iter().map(cell).collect());
        }
        add("rows", found.iter().map(|pair| Some(count(pair.rows?, "row"))).collect());
        Grid { names, rows }.print()?;
        print(
            "the intervals reflect the choice of rows; a different --seed changes the metrics too\n",
        )?;
    }
    for Paired { run, from, why, .. } in all {
        if let Some(why) = why {
            let (run, from) = (run.display(), from.display());
            print(&format!("\ndifference of {run} from {from}: not computed: {why}\n"))?;
        }
    }
    Ok(())
}

/// `−0.05 (−0.08 to −0.02): worse`.
fn text(name: &str, Difference { value, interval: [low, high] }: &Difference) -> String {
    let signed = |x: f64| {
        let size = of_name(name, x.abs());
        match x {
            x if x > 0.0 => format!("+{size}"),
            x if x < 0.0 => format!("−{size}"),
            _ => size,
        }
    };
    let verdict = match Metrics::larger_is_better(name) {
        _ if *low <= 0.0 && 0.0 <= *high => "no clear difference",
        larger if larger == (*low > 0.0) => "better",
        _ => "worse",
    };
    format!("{} ({} to {}): {verdict}", signed(*value), signed(*low), signed(*high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Predictions, Targets};
    use crate::math::matrix::Matrix;

    fn numbers(rows: std::ops::Range<usize>, error: impl Fn(usize) -> f64) -> HeldOutRows {
        let of = |error: &dyn Fn(usize) -> f64| {
            let first = rows.start;
            Matrix::from_fn(rows.len(), 1, |i, _| (first + i) as f64 + error(first + i))
        };
        HeldOutRows {
            data: "a".into(),
            predictions: Predictions::F64(of(&error)),
            truth: Targets::Numbers(of(&|_| 0.0)),
            weights: None,
            rows: rows.collect(),
        }
    }

    #[test]
    fn runs_are_compared_on_the_rows_that_both_hold_out() {
        let first = numbers(0..100, |row| if row % 2 == 0 { 1.0 } else { -1.0 });
        let better = numbers(50..200, |row| if row % 3 == 0 { 0.1 } else { -0.2 });
        let (rows, found) = both(&first, &better).unwrap();
        assert_eq!(rows, 50);
        let said = text("rmse", &found["rmse"]);
        assert!(said.starts_with('−') && said.ends_with(": better"), "{said}");
        let (_, found) = both(&better, &first).unwrap();
        assert!(text("rmse", &found["rmse"]).ends_with(": worse"));
        let (_, found) = both(&first, &first).unwrap();
        assert_eq!(text("rmse", &found["rmse"]), "0.0000 (0.0000 to 0.0000): no clear difference");
        let apart = both(&first, &numbers(95..300, |_| 0.0)).unwrap_err();
        assert_eq!(apart, "both hold out the same 5 rows, fewer than 20");
        let other = HeldOutRows { data: "b".into(), ..numbers(0..100, |_| 0.0) };
        assert_eq!(
            both(&first, &other).unwrap_err(),
            "they hold out rows of different data, a and b"
        );
        let mut changed = numbers(0..100, |_| 0.0);
        changed.truth = Targets::Numbers(Matrix::from_fn(100, 1, |_, _| 7.0));
        assert_eq!(both(&first, &changed).unwrap_err(), "they have different targets");
    }
}

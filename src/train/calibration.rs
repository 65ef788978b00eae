//! Temperature scaling of predicted probabilities: logits are divided by the number T that minimizes
//! the log loss of held-out rows (Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural
//! networks", 2017, section 4.2). The most probable class doesn't change.
//!
//! A net whose output layer is linear is calibrated by dividing the weights and biases of that layer, so
//! that any program that runs the net predicts calibrated probabilities ([`Model::divide_outputs`]).
//!
//! [`Model::divide_outputs`]: crate::Model::divide_outputs

use crate::base::error::Result;
use crate::base::parallel::*;
use crate::data::{Dataset, Targets};
use crate::math::loss::{Link, log_sum_exp};
use crate::math::matrix::Matrix;
use crate::train::model::Model;

/// The standard deviation of the normal prior on ln T, with mean 0: few
/// rows change T little.
const PRIOR: f64 = 0.3;
/// T and 1 / T are at most this.
const LARGEST: f64 = 5.0;
/// More rows than this hardly change T: evenly spaced ones are used.
const ROWS: usize = 20_000;
/// The precision of ln T.
const PRECISION: f64 = 1e-4;

/// The temperature for the outputs of one or more nets for held-out rows: outputs, (N, n_L) each,
/// are divided by it before the link, and the predictions of the nets are averaged. None if the targets or
/// the link are not those of probabilities.
#[must_use]
pub fn temperature(
    nets: &[Matrix<f32>],
    link: Link,
    targets: &Targets,
    weights: Option<&[f32]>,
) -> Option<f64> {
    let (rows, cols) = nets.first().map(|net| (net.rows(), net.cols()))?;
    let has_classes = matches!(targets, Targets::Classes { .. });
    match link {
        Link::Softmax if has_classes => {}
        Link::Sigmoid if !matches!(targets, Targets::Numbers(_)) => {}
        _ => return None,
    }
    let step = rows.div_ceil(ROWS).max(1);
    let taken: Vec<usize> = (0..rows).step_by(step).collect();
    let weight = |row: usize| weights.map_or(1.0, |weights| f64::from(weights[row]));
    let total: f64 = taken.iter().map(|&row| weight(row)).sum();
    let loss = |log_t: f64| -> f64 {
        let scale = (-log_t).exp();
        let of_row = |&row: &usize| {
            let scaled = |net: &Matrix<f32>| -> Vec<f64> {
                net.row(row).iter().map(|&y| f64::from(y) * scale).collect()
            };
            let outputs: Vec<Vec<f64>> = nets.iter().map(scaled).collect();
            let of = match targets {
                Targets::Classes { labels, .. } if cols == 1 => {
                    log_loss_of_bit(&outputs, 0, labels[row] == 1)
                }
                Targets::Classes { labels, .. } => {
                    log_loss_of_class(&outputs, labels[row] as usize)
                }
                Targets::Labels { values, .. } => {
                    (0..cols).map(|c| log_loss_of_bit(&outputs, c, values.row(row)[c] > 0.5)).sum()
                }
                Targets::Numbers(_) => 0.0,
            };
            weight(row) * of
        };
        let mean_weight = total / taken.len() as f64;
        // In order: the sum doesn't depend on the number of threads.
        let each: Vec<f64> = taken.par_iter().with_min_len(256).map(of_row).collect();
        each.iter().sum::<f64>() / mean_weight + 0.5 * (log_t / PRIOR).powi(2)
    };
    let found = least(loss, -LARGEST.ln(), LARGEST.ln()).exp();
    (total > 0.0 && found.is_finite()).then_some(found)
}

/// Divides the outputs of a model's nets by the temperature fitted to their outputs for `data`,
/// (N, n_L) each; returns the temperature, if there is one and the output layer is linear.
///
/// # Errors
/// When the data have no targets of the model.
pub fn calibrate(
    model: &mut Model,
    outputs: &[Matrix<f32>],
    data: &Dataset,
) -> Result<Option<f64>> {
    let truth = model.preprocessing.truth(data)?;
    let link = model.objective.loss.link();
    let found = temperature(outputs, link, &truth, data.weights());
    Ok(found.filter(|&temperature| model.divide_outputs(temperature as f32)))
}

/// −ln of the mean of softmax(y)_class over the nets: (nets, n_L).
fn log_loss_of_class(outputs: &[Vec<f64>], class: usize) -> f64 {
    let each: Vec<f64> = outputs.iter().map(|y| y[class] - log_sum_exp(y)).collect();
    (outputs.len() as f64).ln() - log_sum_exp(&each)
}

/// −ln of the mean over the nets of the probability of the true value of output `c`.
fn log_loss_of_bit(outputs: &[Vec<f64>], c: usize, bit: bool) -> f64 {
    let side = if bit { -1.0 } else { 1.0 };
    let each: Vec<f64> = outputs.iter().map(|y| -log_sum_exp(&[0.0, side * y[c]])).collect();
    (outputs.len() as f64).ln() - log_sum_exp(&each)
}

/// The minimum of a unimodal function by golden-section search (Kiefer 1953).
fn least(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut a, mut b) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_a, mut at_b) = (f(a), f(b));
    while high - low > PRECISION {
        if at_a <= at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - ratio * (high - low);
            at_a = f(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + ratio * (high - low);
            at_b = f(b);
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::loss::softmax;
    use crate::math::random::{Random, Stream};

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| i.to_string()).collect()
    }

    /// Rows whose classes are drawn from softmax(z), and z itself: (rows, 3).
    fn drawn(rows: usize) -> (Matrix<f32>, Targets) {
        let mut random = Random::new(7, Stream::Check, 0);
        let z = Matrix::from_fn(rows, 3, |_, _| random.normal() as f32 * 2.0);
        let labels = z.iter_rows().map(|row| {
            let mut p = row.to_vec();
            softmax(3, &mut p);
            let u = random.uniform() as f32;
            let class = if u < p[0] {
                0
            } else if u < p[0] + p[1] {
                1
            } else {
                2
            };
            class as u32
        });
        let labels = labels.collect();
        (z, Targets::Classes { labels, names: names(3) })
    }

    #[test]
    fn logits_that_are_too_large_are_divided_by_how_much() {
        let (z, targets) = drawn(20_000);
        for factor in [0.5f32, 1.0, 2.0, 3.0] {
            let net = z.map(|&y| y * factor);
            let found = temperature(&[net], Link::Softmax, &targets, None).unwrap();
            assert!((found / f64::from(factor) - 1.0).abs() < 0.05, "{factor}: {found}");
        }
    }

    #[test]
    fn two_classes_by_one_output_have_the_temperature_of_two_outputs() {
        let (z, _) = drawn(5000);
        let labels: Vec<u32> =
            (0..5000).map(|r| u32::from(z.row(r)[0] + z.row(r)[1] > 0.0)).collect();
        let targets = Targets::Classes { labels, names: names(2) };
        let one = Matrix::from_fn(5000, 1, |r, _| z.row(r)[0]);
        let two = Matrix::from_fn(5000, 2, |r, c| if c == 1 { z.row(r)[0] } else { 0.0 });
        let one = temperature(&[one], Link::Sigmoid, &targets, None).unwrap();
        let two = temperature(&[two], Link::Softmax, &targets, None).unwrap();
        assert!((one - two).abs() < 1e-3, "{one}, {two}");
    }

    #[test]
    fn few_rows_move_the_temperature_little_and_certainty_has_a_bound() {
        let of = |rows: usize| {
            let net = Matrix::from_fn(rows, 2, |_, c| [4.0, -4.0][c]);
            let labels = (0..rows).map(|r| (r % 2) as u32).collect();
            let targets = Targets::Classes { labels, names: names(2) };
            temperature(&[net], Link::Softmax, &targets, None).unwrap()
        };
        assert!(of(1) < 1.3, "{}", of(1));
        assert!(of(2) > 1.0 && of(2) < of(20) && of(20) < of(2000) && of(2000) <= LARGEST);
    }

    #[test]
    fn numbers_and_margins_have_no_temperature() {
        let net = Matrix::from_fn(2, 1, |r, _| r as f32);
        let numbers = Targets::Numbers(Matrix::from_fn(2, 1, |r, _| r as f64));
        assert_eq!(temperature(std::slice::from_ref(&net), Link::Identity, &numbers, None), None);
        let classes = Targets::Classes { labels: vec![0, 1], names: names(2) };
        assert_eq!(temperature(&[net], Link::Margin, &classes, None), None);
    }

    #[test]
    fn rows_that_count_nothing_change_nothing() {
        let (z, targets) = drawn(400);
        let half: Vec<usize> = (0..200).collect();
        let weights: Vec<f32> = (0..400).map(|r| f32::from(u8::from(r < 200))).collect();
        let some = [z.select_rows(&half)];
        let expected = temperature(&some, Link::Softmax, &targets.select_rows(&half), None);
        // The prior counts as before: weights have a mean of 1 over all rows.
        let found = temperature(&[z], Link::Softmax, &targets, Some(&weights));
        assert!((found.unwrap() - expected.unwrap()).abs() < 0.05, "{found:?}, {expected:?}");
    }
}

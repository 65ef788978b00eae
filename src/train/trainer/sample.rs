//! What observers may read and change between two steps: samples of single steps, and the learning rate.
//!
//! A sample reads the weights before and after a step, so that it is the same on every device and plan;
//! fused kernels leave no gradient in memory. The gradient is that of some training rows, computed on the
//! CPU, without affecting the training.

use super::Trainer;
use super::run::Run;
use crate::backend::session::LayerWeights;
use crate::base::clock::Instant;
use crate::base::error::Result;
use crate::kernels::tensor::HostTensor;
use crate::train::event::{LayerSample, Observer, RateChange, StepSample};
use crate::train::findings;
use crate::train::snapshot::RateFactor;

/// The largest manual factor on the learning rate; the smallest is its reciprocal.
const LARGEST_FACTOR: f32 = 1048576.0;

impl Trainer {
    /// Runs the next step of the epoch, and shows it to the observer.
    pub(super) fn run_sampled_step(
        &mut self,
        run: &Run,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let begin = Instant::now();
        self.for_training()?;
        let before = self.session.weights()?;
        let read = begin.elapsed();
        self.run_piece(run, 1)?;
        let begin = Instant::now();
        let after = self.session.weights()?;
        let gradients = findings::gradient_norms(&self.spec, &self.samples, &before)?;
        let layers =
            before.iter().zip(&after).enumerate().map(|(i, (before, after))| LayerSample {
                name: format!("layers.{i}"),
                gradient_norm: gradients.as_ref().and_then(|found| found.norms.get(i).copied()),
                update_ratio: update_ratio(before.weight.data(), after.weight.data()),
            });
        observer.sample(&StepSample {
            epoch: self.at.epoch + 1,
            step: self.at.step,
            gradient_rows: gradients.as_ref().map_or(0, |found| found.rows),
            layers: layers.collect(),
            parameters: parameters(after),
            seconds: (read + begin.elapsed()).as_secs_f64(),
        })
    }

    /// Changes the learning rate from the next step on, if the observer requests it: checkpoints record
    /// which factor applies from which step on.
    pub(super) fn change_rate(&mut self, run: &Run, observer: &mut dyn Observer) -> Result<()> {
        let [wanted] = self.as_first([observer.rate_factor().map_or(0.0, f64::from)])?;
        let wanted = wanted as f32;
        if !wanted.is_finite() || wanted <= 0.0 {
            return Ok(());
        }
        let step = self.at.step;
        let factor = self.detours.rate_factor(step) * wanted;
        let factor = factor.clamp(1.0 / LARGEST_FACTOR, LARGEST_FACTOR);
        // Later changes are dropped if the run has returned to an earlier step.
        self.detours.rates.retain(|rate| rate.step < step);
        self.detours.rates.push(RateFactor { step, factor });
        let (epoch, lr) = (self.at.epoch + 1, self.lr(run, step));
        observer.rate_changed(&RateChange { epoch, step, factor, lr })
    }

    /// The manual factors on the learning rate, with their first steps.
    #[must_use]
    pub fn rates_by_hand(&self) -> &[RateFactor] {
        &self.detours.rates
    }
}

/// ‖after − before‖₂ / ‖before‖₂.
fn update_ratio(before: &[f32], after: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let change = before.iter().zip(after).map(|(b, a)| square(f64::from(*a) - f64::from(*b)));
    let (change, size): (f64, f64) =
        (change.sum(), before.iter().map(|b| square(f64::from(*b))).sum());
    // Weights that are all 0 have no ratio; a step that changes nothing has 0.
    if change == 0.0 { 0.0 } else { (change / size).sqrt() }
}

/// All parameters, by their names in files.
fn parameters(layers: Vec<LayerWeights>) -> Vec<HostTensor> {
    let mut all = Vec::new();
    for (i, layer) in layers.into_iter().enumerate() {
        let mut add = |name: String, shape: [usize; 2], values: Vec<f32>| {
            all.push(HostTensor { name, shape, values });
        };
        for (j, table) in layer.embeddings.into_iter().enumerate() {
            add(format!("embeddings.{j}.weight"), [table.rows(), table.cols()], table.into_data());
        }
        for (name, values) in layer.norm.iter().flat_map(|norm| norm.named()) {
            add(format!("layers.{i}.norm.{name}"), [1, values.len()], values.clone());
        }
        let shape = [layer.weight.rows(), layer.weight.cols()];
        add(format!("layers.{i}.weight"), shape, layer.weight.into_data());
        if let Some(bias) = layer.bias {
            add(format!("layers.{i}.bias"), [1, bias.len()], bias);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_of_an_update_is_relative_to_the_weights_before() {
        assert_eq!(update_ratio(&[3.0, 4.0], &[3.0, 3.5]), 0.1);
        assert_eq!(update_ratio(&[0.0], &[0.0]), 0.0);
        assert_eq!(update_ratio(&[0.0], &[1.0]), f64::INFINITY);
        assert!(update_ratio(&[1.0], &[f32::NAN]).is_nan());
    }
}

//! The numerical check (source 002): analytic gradients against central differences in f64,
//! ∂E/∂w ≈ (E(w + h) − E(w − h)) / 2h.

use crate::backend::cpu::Cpu;
use crate::backend::session::LayerWeights;
use crate::backend::{Backend, DataId, Values, ValuesMut};
use crate::base::error::Result;
use crate::base::wait::BlockOn as _;
use crate::data::{Dataset, Preprocessing, Samples};
use crate::kernels::Step;
use crate::kernels::inputs::mixup::mixing;
use crate::kernels::tensor::TensorId;
use crate::math::random::{Permutation, Stream, stream_key};
use crate::net::spec::Spec;
use crate::plan::{self, Plan, Purpose};
use std::sync::Arc;

/// The options of a check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The largest relative error that passes.
    pub threshold: f64,
    /// h, relative to max(1, |w|).
    pub step: f64,
    /// The most parameters that are checked; a seeded random choice if the net has more.
    pub limit: usize,
    /// The rows of the batch, the first ones of the data.
    pub rows: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { threshold: 1e-5, step: 1e-5, limit: 2000, rows: 16 }
    }
}

/// A parameter whose two gradients differ the most.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Worst {
    /// The tensor, as in `layers.0.weight`.
    pub tensor: String,
    /// Its row.
    pub row: usize,
    /// Its column.
    pub col: usize,
    /// ∂E/∂w as the program computes it.
    pub analytic: f64,
    /// ∂E/∂w by central differences.
    pub numerical: f64,
    /// |analytic − numerical| over |analytic| + |numerical| + 10⁻⁴ · the largest gradient.
    pub difference: f64,
    /// How much of that may come from the rounding of E, in the same unit.
    pub rounding: f64,
    /// The difference less the rounding, at least 0: what is compared with the threshold.
    pub error: f64,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// Parameters that were compared.
    pub checked: usize,
    /// Parameters that were skipped because E has a kink within h of them.
    pub kinks: usize,
    /// The largest relative error that passes.
    pub threshold: f64,
    /// The worst parameter; none if no parameter could be compared.
    pub worst: Option<Worst>,
    /// Whether it passes.
    pub passed: bool,
}

/// Checks the gradients of `spec`'s net with these weights on the first rows of `data`.
///
/// # Errors
/// When spec, weights and data don't fit together.
pub fn check(
    spec: &Spec,
    weights: &[LayerWeights],
    preprocessing: &Preprocessing,
    data: &Dataset,
    options: &Options,
) -> Result<Report> {
    spec.check()?;
    let rows = options.rows.min(data.rows()).max(1);
    let plan = plan::plain(spec, rows, Purpose::Train);
    check_plan(spec, &plan, weights, preprocessing.samples(data)?, options)
}

/// As [`check`], with your own plan.
///
/// # Errors
/// As [`check`].
pub fn check_plan(
    spec: &Spec,
    plan: &Plan,
    weights: &[LayerWeights],
    samples: Samples,
    options: &Options,
) -> Result<Report> {
    let rows = plan.program.batch.min(samples.rows());
    let mut backend = Cpu::<f64>::new(Some(1))?;
    backend.load(Arc::new(plan.program.clone())).block_on()?;
    let data = backend.upload(Arc::new(samples)).block_on()?;
    let outputs = plan.program.tensor(plan.output).cols;
    let divisor = spec.objective.divisor(rows, outputs);
    let step = Step {
        rows: rows as u32,
        reduction_factor: (1.0 / divisor) as f32,
        smoothing: spec.label_smoothing,
        mixing: mixing(spec, 0),
        ..Step::default()
    };
    // E as in the backward pass: with the scale rounded to f32.
    let terms = rows as f64 * f64::from(step.reduction_factor);
    let mut error = Error { backend, data, plan: plan.clone(), step, terms };

    let mut tensors: Vec<(TensorId, TensorId, Vec<f64>)> = Vec::new();
    let double = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect();
    let tables = weights.iter().flat_map(|layer| &layer.embeddings);
    for (embedding, table) in plan.embeddings.iter().zip(tables) {
        let Some(gradient) = embedding.gradient else { continue };
        tensors.push((embedding.table, gradient, double(table.data())));
    }
    for (tensors_of, layer) in plan.layers.iter().zip(weights) {
        let Some(gradients) = tensors_of.gradients else { continue };
        tensors.push((tensors_of.weight, gradients.weight, double(layer.weight.data())));
        if let (Some(b), Some(g), Some(values)) = (tensors_of.bias, gradients.bias, &layer.bias) {
            tensors.push((b, g, double(values)));
        }
        if let Some((norm, values)) = tensors_of.norm.zip(layer.norm.as_ref())
            && let Some(gradient) = norm.backward
        {
            tensors.push((norm.forward.scale, gradient.scale, double(&values.scale)));
            tensors.push((norm.forward.shift, gradient.shift, double(&values.shift)));
        }
    }
    for (tensor, _, values) in &tensors {
        error.backend.write(*tensor, Values::F64(values)).block_on()?;
    }
    error.backend.run(plan.program.routines.gradient.clone(), data, &[step]).block_on()?;
    let mut analytic = Vec::new();
    for (_, gradient, values) in &tensors {
        let mut g = vec![0.0; values.len()];
        error.backend.read(*gradient, ValuesMut::F64(&mut g)).block_on()?;
        analytic.push(g);
    }
    let largest = analytic.iter().flatten().fold(0.0, |m: f64, g| m.max(g.abs()));

    let total: usize = analytic.iter().map(Vec::len).sum();
    let order = Permutation::new(total as u32, Some(stream_key(spec.seed, Stream::Check, 0)));
    let mut report =
        Report { checked: 0, kinks: 0, threshold: options.threshold, worst: None, passed: true };
    for i in 0..total.min(options.limit) {
        let mut index = order.at(i as u32) as usize;
        let mut t = 0;
        while index >= analytic[t].len() {
            index -= analytic[t].len();
            t += 1;
        }
        let analytic = analytic[t][index];
        let (tensor, _, values) = &mut tensors[t];
        let h = options.step * values[index].abs().max(1.0);
        let size = |a: f64, b: f64| a.abs() + b.abs() + 1e-4 * largest + f64::MIN_POSITIVE;
        let relative = |a: f64, b: f64, noise: f64| {
            let error = ((a - b).abs() - noise).max(0.0) / size(a, b);
            if a.is_nan() || b.is_nan() { f64::INFINITY } else { error }
        };
        let slopes = error.slopes(*tensor, values, index, h)?;
        let (numerical, noise) = (slopes.central, slopes.noise);
        let agrees = relative(analytic, numerical, noise) <= options.threshold;
        if !agrees {
            // At a kink the difference of the slopes to the two sides doesn't shrink with h, and the
            // numerical gradient lies between them; for a smooth E they converge.
            let finer = error.slopes(*tensor, values, index, h / 8.0)?;
            let (gap, finer_gap) = (slopes.above - slopes.below, finer.above - finer.below);
            let stays = finer_gap.abs() > 0.5 * gap.abs() && gap.abs() > 4.0 * finer.noise;
            let explains = (analytic - numerical).abs() <= gap.abs();
            // Near a kink, the kink is within h but not within h / 8.
            let passes = relative(analytic, finer.central, finer.noise) <= options.threshold;
            if (stays && explains) || passes {
                report.kinks += 1;
                continue;
            }
        }
        report.checked += 1;
        report.passed &= agrees;
        let rank = |w: &Worst| (w.error, w.difference);
        let here = (relative(analytic, numerical, noise), relative(analytic, numerical, 0.0));
        if report.worst.as_ref().is_none_or(|w| here > rank(w)) {
            let cols = plan.program.tensor(*tensor).cols;
            report.worst = Some(Worst {
                tensor: plan.program.tensor(*tensor).name.clone(),
                row: index / cols,
                col: index % cols,
                analytic,
                numerical,
                difference: here.1,
                rounding: noise / size(analytic, numerical),
                error: here.0,
            });
        }
    }
    // A check that could compare hardly anything doesn't pass.
    report.passed &= report.checked > report.kinks;
    Ok(report)
}

/// E as a function of the parameters.
struct Error {
    backend: Cpu<f64>,
    data: DataId,
    plan: Plan,
    step: Step,
    /// The value of E if every row had a loss of 1.
    terms: f64,
}

impl Error {
    /// The slopes at element `index` of `tensor`, which holds `values`, over a step of h.
    fn slopes(
        &mut self,
        tensor: TensorId,
        values: &mut [f64],
        index: usize,
        h: f64,
    ) -> Result<Slopes> {
        let w = values[index];
        let mut at = |x: f64| -> Result<f64> {
            values[index] = x;
            self.backend.write(tensor, Values::F64(values)).block_on()?;
            self.backend.write(self.plan.sums, Values::F64(&[0.0; 4])).block_on()?;
            self.backend
                .run(self.plan.program.routines.forward.clone(), self.data, &[self.step])
                .block_on()?;
            let mut sums = [0.0; 4];
            self.backend.read(self.plan.sums, ValuesMut::F64(&mut sums)).block_on()?;
            Ok(sums[0] * f64::from(self.step.reduction_factor))
        };
        let (right, left, here) = (at(w + h)?, at(w - h)?, at(w)?);
        Ok(Slopes {
            central: (right - left) / (2.0 * h),
            above: (right - here) / h,
            below: (here - left) / h,
            // E is a sum over rows of differences of numbers of the order of 1 and more.
            noise: 4.0 * f64::EPSILON * (right.abs() + left.abs() + self.terms) / h,
        })
    }
}

/// The slopes of E around a parameter.
struct Slopes {
    /// (E(w + h) − E(w − h)) / 2h.
    central: f64,
    /// (E(w + h) − E(w)) / h.
    above: f64,
    /// (E(w) − E(w − h)) / h.
    below: f64,
    /// How much of the central slope may come from the rounding of E.
    noise: f64,
}

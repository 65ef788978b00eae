//! Findings: diagnostics of the training, from the weights of a trained net. They must be rare and
//! correct, since findings that are often wrong are ignored; the bundled data sets raise none.
//!
//! They come from a forward and backward pass over a few hundred training rows, on the CPU, with
//! the plain program.

use crate::backend::cpu::Cpu;
use crate::backend::session::{self, LayerWeights};
use crate::backend::{Backend, Values, ValuesMut};
use crate::base::error::Result;
use crate::base::wait::BlockOn as _;
use crate::data::Samples;
use crate::kernels::Step;
use crate::kernels::tensor::TensorId;
use crate::net::spec::{Spec, Units};
use crate::plan::{self, Plan, Purpose};
use std::sync::Arc;

/// The number of rows, unless the net is large.
const ROWS: usize = 256;
/// The most rows times parameters, which take a few milliseconds.
const WORK: usize = 50_000_000;
/// Nets with more parameters are skipped.
const LARGEST: usize = 20_000_000;
/// The largest |σ′| of a unit that learns nothing.
const FLAT: f64 = 1e-3;
/// The fraction of a layer's units that must learn nothing to be reported.
const PART: f64 = 0.5;
/// The ratio of the gradients of the first and the last layer from which it is reported.
const APART: f64 = 1e4;
/// The least change of the weights, relative to the initial weights.
const LEAST_CHANGE: f64 = 1e-3;
/// Scaled inputs that differ by no more than this count as equal.
const SAME: f32 = 1e-6;
/// Fewer steps can't have changed the weights much.
const FEWEST_STEPS: u64 = 20;

/// One sentence for each problem, with what to do about it. `drawn` are the initial weights, `steps` is the
/// number of steps.
///
/// # Errors
/// When the net doesn't fit the data.
pub fn findings(
    spec: &Spec,
    samples: &Samples,
    weights: &[LayerWeights],
    drawn: &[LayerWeights],
    steps: u64,
) -> Result<Vec<String>> {
    if spec.net.parameters() > LARGEST {
        return Ok(Vec::new());
    }
    let mut probe = Probe::new(spec, samples, weights)?;
    probe.run_gradient()?;
    let mut found = probe.flat_units()?;
    found.extend(probe.gradients(weights)?);
    found.extend(change(weights, drawn, steps));
    Ok(found)
}

/// The loss of the net with these weights on a few hundred of the rows.
///
/// # Errors
/// When the net doesn't fit the data.
pub fn loss(spec: &Spec, samples: &Samples, weights: &[LayerWeights]) -> Result<f64> {
    let mut probe = Probe::new(spec, samples, weights)?;
    probe.run(probe.plan.program.routines.evaluate.clone())?;
    let sums = probe.read(probe.plan.sums)?;
    let divisor = spec.objective.divisor(probe.rows, spec.net.outputs());
    Ok(sums[0] / divisor)
}

/// The norms of the gradients of a net's weights.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientNorms {
    /// The number of rows in the mean loss.
    pub rows: usize,
    /// ‖∂L/∂W‖₂ of each layer.
    pub norms: Vec<f64>,
}

/// The norm of each layer's gradient, over a few hundred of the rows; none for a net that is too large.
///
/// # Errors
/// When the net doesn't fit the data.
pub fn gradient_norms(
    spec: &Spec,
    samples: &Samples,
    weights: &[LayerWeights],
) -> Result<Option<GradientNorms>> {
    if spec.net.parameters() > LARGEST {
        return Ok(None);
    }
    let mut probe = Probe::new(spec, samples, weights)?;
    probe.run_gradient()?;
    let mut norms = Vec::with_capacity(weights.len());
    for tensors in probe.plan.layers.clone() {
        let Some(gradients) = tensors.gradients else { return Ok(None) };
        norms.push(norm(probe.read(gradients.weight)?.into_iter()));
    }
    Ok(Some(GradientNorms { rows: probe.rows, norms }))
}

/// The finding for rows whose encoded inputs are all the same, which explains any other finding. None if any
/// row differs, or there is only one row.
#[must_use]
pub fn same_inputs(samples: &Samples) -> Option<String> {
    let (features, scale) = (&samples.features, &samples.affine.scale);
    let is_same = |row: usize| {
        (0..features.cols()).all(|col| {
            let difference = features.value(row, col) - features.value(0, col);
            // There are scales for each column, or for none.
            (difference * scale.get(col).copied().unwrap_or(1.0)).abs() <= SAME
        })
    };
    (samples.rows() > 1 && (1..samples.rows()).all(is_same)).then(|| {
        format!(
            "the inputs of all {} rows are the same, so the net can only predict the same for all of them: \
             check the data, whose content was lost; no option can fix this",
            samples.rows()
        )
    })
}

/// A net over a few rows on the CPU.
struct Probe<'a> {
    spec: &'a Spec,
    plan: Plan,
    backend: Cpu<f32>,
    samples: Arc<Samples>,
    rows: usize,
}

impl<'a> Probe<'a> {
    fn new(spec: &'a Spec, samples: &Samples, weights: &[LayerWeights]) -> Result<Self> {
        let most = (WORK / spec.net.parameters().max(1)).clamp(16, ROWS);
        let stride = samples.rows().div_ceil(most);
        let samples = samples.select(&(0..samples.rows()).step_by(stride).collect::<Vec<_>>());
        let rows = samples.rows();
        let whole = Spec { micro_batch: None, ..spec.clone() };
        let plan = plan::plain(&whole, rows, Purpose::Train);
        let mut backend = Cpu::<f32>::new(Some(1))?;
        backend.load(Arc::new(plan.program.clone())).block_on()?;
        for (tensor, values) in session::tensors(&plan, weights) {
            backend.write(tensor, Values::F32(&values)).block_on()?;
        }
        Ok(Probe { spec, plan, backend, samples: Arc::new(samples), rows })
    }

    fn run(&mut self, ops: std::ops::Range<usize>) -> Result<()> {
        let data = self.backend.upload(self.samples.clone()).block_on()?;
        let divisor = self.spec.objective.divisor(self.rows, self.spec.net.outputs());
        let (rows, reduction_factor) = (self.rows as u32, (1.0 / divisor) as f32);
        let done = self
            .backend
            .run(ops, data, &[Step { rows, reduction_factor, ..Step::default() }])
            .block_on();
        self.backend.forget(data);
        done
    }

    fn run_gradient(&mut self) -> Result<()> {
        self.run(self.plan.program.routines.gradient.clone())
    }

    fn read(&mut self, tensor: TensorId) -> Result<Vec<f64>> {
        let mut values = vec![0.0; self.plan.program.range(tensor, self.rows).len()];
        self.backend.read(tensor, ValuesMut::F64(&mut values)).block_on()?;
        Ok(values)
    }

    /// Layers half of whose units have zero slope at all rows.
    fn flat_units(&mut self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let layers = self.plan.layers.clone();
        let hidden = self.spec.net.layers.len().saturating_sub(1);
        for (l, (layer, tensors)) in self.spec.net.layers.iter().zip(&layers).enumerate() {
            if matches!(layer.activation, Units::Softmax) || l == hidden {
                continue;
            }
            let of = |unit: usize| match &layer.activation {
                Units::Each(each) => each.get(unit).copied(),
                Units::Same(activation) => Some(*activation),
                Units::Softmax => None,
            };
            let z = self.read(tensors.norm.map_or(tensors.z, |norm| norm.forward.out))?;
            let is_flat = |unit: &usize| {
                let slope = |z: f64| of(*unit).map_or(1.0, |a| a.derivative(z).abs());
                z.iter().skip(*unit).step_by(layer.units).all(|&z| slope(z) < FLAT)
            };
            let flat: Vec<usize> = (0..layer.units).filter(is_flat).collect();
            if flat.is_empty() || (flat.len() as f64) < PART * layer.units as f64 {
                continue;
            }
            let dead = flat.iter().filter_map(|&u| of(u)).all(|a| a.is_rectifier());
            let (what, cure) = match dead {
                true => ("are dead: their output is the same for all rows", "leaky-relu or gelu"),
                false => ("are saturated: they hardly respond to their input", "relu"),
            };
            found.push(format!(
                "{} of the {} units of layer {} {what}, and learn nothing; try a lower --lr, another \
                 --initializer or --activation {cure}",
                flat.len(),
                layer.units,
                l + 1
            ));
        }
        Ok(found)
    }

    /// Gradients of the first layer that are far smaller or larger than those of the last, each
    /// relative to its weights.
    fn gradients(&mut self, weights: &[LayerWeights]) -> Result<Option<String>> {
        let mut ratios = Vec::new();
        for (tensors, layer) in self.plan.layers.clone().iter().zip(weights) {
            let Some(gradients) = tensors.gradients else { return Ok(None) };
            let g = self.read(gradients.weight)?;
            let w = layer.weight.data().iter().map(|&w| f64::from(w));
            ratios.push(norm(g.into_iter()) / norm(w));
        }
        let (Some(first), Some(last), true) = (ratios.first(), ratios.last(), ratios.len() > 2)
        else {
            return Ok(None);
        };
        let told = |what: &str, cure: &str| {
            Some(format!(
                "the gradients {what} in the backward pass: those of the first layer are {:.0e} of \
                 those of the last, relative to the weights; {cure}",
                first / last
            ))
        };
        // A net that fits its data has hardly any gradients.
        Ok(match () {
            () if !first.is_finite() || !last.is_finite() || *last < 1e-12 => None,
            () if *first * APART < *last => {
                told("vanish", "try --activation relu, fewer layers, or --norm batch")
            }
            () if *first > *last * APART => {
                told("explode", "try a smaller --initializer, fewer layers, or --norm batch")
            }
            () => None,
        })
    }
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

/// The finding for weights that hardly changed.
fn change(weights: &[LayerWeights], drawn: &[LayerWeights], steps: u64) -> Option<String> {
    fn all(layers: &[LayerWeights]) -> impl Iterator<Item = f64> {
        layers.iter().flat_map(|l| l.weight.data()).map(|&w| f64::from(w))
    }
    let difference = norm(all(weights).zip(all(drawn)).map(|(now, then)| now - then));
    let relative = difference / norm(all(drawn));
    (steps >= FEWEST_STEPS && relative < LEAST_CHANGE).then(|| {
        format!(
            "{steps} steps changed the weights by only {:.2e} of their size: the learning rate is far \
             too low; try ten times the --lr, or more",
            relative
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::session::initial_weights;
    use crate::data::{Dataset, Features, Preprocessing, Scaling, Targets, digits};
    use crate::math::activation::Activation;
    use crate::math::loss::Loss;
    use crate::math::matrix::Matrix;
    use crate::net::spec::Net;

    fn looked_at(spec: &Spec, change: impl Fn(&mut Vec<LayerWeights>), steps: u64) -> Vec<String> {
        let data = digits();
        let samples = Preprocessing::fit(&data, Scaling::Minmax).samples(&data).unwrap();
        let drawn = initial_weights(spec);
        let mut weights = drawn.clone();
        change(&mut weights);
        findings(spec, &samples, &weights, &drawn, steps).unwrap()
    }

    fn net(activation: Activation, depth: usize) -> Spec {
        let hidden = (0..depth).fold(Net::new(64), |net, _| net.layer(20, activation));
        Spec::new(hidden.layer(10, Activation::Identity), Loss::CrossEntropy)
    }

    fn scale(weights: &mut [LayerWeights], layer: usize, factor: f32) {
        weights[layer].weight.data_mut().iter_mut().for_each(|w| *w *= factor);
    }

    #[test]
    fn inputs_that_are_the_same_in_all_rows_are_the_cause() {
        let samples = |value: fn(usize, usize) -> f32| {
            let features = Features::F32(Matrix::from_fn(50, 3, value));
            let labels = (0..50).map(|row| row % 2).collect();
            let names = vec!["a".into(), "b".into()];
            let data = Dataset::new("same", features, Targets::Classes { labels, names }).unwrap();
            Preprocessing::fit(&data, Scaling::None).samples(&data).unwrap()
        };
        let found = same_inputs(&samples(|_, col| col as f32)).unwrap();
        assert!(found.starts_with("the inputs of all 50 rows are the same"), "{found}");
        assert!(!found.contains("learning rate") && !found.contains("--lr"), "{found}");
        assert_eq!(
            same_inputs(&samples(|row, col| (row / 49 * col) as f32)),
            None,
            "the last differs"
        );
    }

    #[test]
    fn each_sickness_is_found_and_a_healthy_net_has_none() {
        for activation in [Activation::Relu, Activation::Tanh, Activation::Sigmoid] {
            let healthy = looked_at(&net(activation, 2), |w| scale(w, 0, 1.3), 100);
            assert_eq!(healthy, Vec::<String>::new(), "{activation}");
        }
        let only = |found: Vec<String>, text: &str| {
            assert!(found.iter().any(|f| f.contains(text)), "{text}: {found:?}");
        };
        let dead = |w: &mut Vec<LayerWeights>| {
            w[0].bias.as_mut().unwrap()[..15].fill(-1e3);
        };
        only(
            looked_at(&net(Activation::Relu, 2), dead, 100),
            "15 of the 20 units of layer 1 are dead",
        );
        let saturated = |w: &mut Vec<LayerWeights>| w[1].bias.as_mut().unwrap().fill(50.0);
        only(
            looked_at(&net(Activation::Tanh, 2), saturated, 100),
            "20 of the 20 units of layer 2 are saturated",
        );
        let deep = looked_at(&net(Activation::Sigmoid, 9), |w| scale(w, 0, 1.3), 100);
        only(deep, "the gradients vanish");
        only(looked_at(&net(Activation::Tanh, 1), |_| {}, 100), "far too low");
        assert!(looked_at(&net(Activation::Tanh, 1), |_| {}, 3).is_empty());
    }
}

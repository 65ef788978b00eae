//! The parameters of a net in host memory.

use crate::base::error::{Error, Result};
use crate::base::words::count;
use crate::kernels::tensor::TensorId;
use crate::math::matrix::Matrix;
use crate::math::random::{Random, Stream};
use crate::net::spec::{Bias, Net, Norm, Spec};
use crate::plan::Plan;
use crate::plan::program::LayerTensors;
use std::borrow::Cow;

/// The parameters of a layer in host memory.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerWeights {
    /// W: (out, in).
    pub weight: Matrix<f32>,
    /// b: (out).
    pub bias: Option<Vec<f32>>,
    /// The parameters of its normalization.
    pub norm: Option<NormWeights>,
    /// The tables of the embeddings before it: (values, dims) each. Only a first layer has any.
    pub embeddings: Vec<Matrix<f32>>,
}

/// The values of each tensor of `plan` for these weights.
pub fn tensors<'a>(plan: &Plan, weights: &'a [LayerWeights]) -> Vec<(TensorId, Cow<'a, [f32]>)> {
    let tables = weights.iter().flat_map(|layer| &layer.embeddings);
    let tables = plan.embeddings.iter().zip(tables);
    let layers = plan.layers.iter().zip(weights).flat_map(|(of, layer)| layer.tensors(of));
    layers.chain(tables.map(|(of, table)| (of.table, Cow::from(table.data())))).collect()
}

impl LayerWeights {
    /// Whether all numbers are finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        let tables = self.embeddings.iter().flat_map(|table| table.data());
        let norm = self.norm.iter().flat_map(NormWeights::named).flat_map(|(_, values)| values);
        let all = self.weight.data().iter().chain(self.bias.iter().flatten());
        all.chain(tables).chain(norm).all(|x| x.is_finite())
    }

    /// The values of each tensor of the layer, without embeddings.
    fn tensors(&self, of: &LayerTensors) -> Vec<(TensorId, Cow<'_, [f32]>)> {
        let mut all = vec![(of.weight, Cow::from(self.weight.data()))];
        all.extend(of.shadow.map(|shadow| (shadow, Cow::from(self.weight.data()))));
        all.extend(of.bias.zip(self.bias.as_deref().map(Cow::from)));
        if let Some((tensors, norm)) = of.norm.zip(self.norm.as_ref()) {
            all.push((tensors.forward.scale, Cow::from(&norm.scale)));
            all.push((tensors.forward.shift, Cow::from(&norm.shift)));
            let running = norm.running.as_ref().map(|parts| Cow::from(parts.concat()));
            all.extend(tensors.running.zip(running));
        }
        all
    }
}

/// The parameters of a normalization in host memory, and the statistics for predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct NormWeights {
    /// γ: (out).
    pub scale: Vec<f32>,
    /// β: (out).
    pub shift: Vec<f32>,
    /// Running mean and variance, (out) each, of batch normalization.
    pub running: Option<[Vec<f32>; 2]>,
}

impl NormWeights {
    /// The initial parameters of a normalization of `units` units.
    #[must_use]
    pub fn new(norm: Norm, units: usize) -> Self {
        let running = (norm == Norm::Batch).then(|| [vec![0.0; units], vec![1.0; units]]);
        NormWeights { scale: vec![1.0; units], shift: vec![0.0; units], running }
    }

    /// Its tensors, by their names in files.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Vec<f32>)> {
        let own = [("weight", &self.scale), ("bias", &self.shift)];
        let running = self.running.iter();
        own.into_iter()
            .chain(running.flat_map(|[mean, var]| [("running_mean", mean), ("running_var", var)]))
    }
}

/// The dimension check (source 002): every layer's parameters against the net's shapes.
pub(super) fn check_shapes(net: &Net, weights: &[LayerWeights]) -> Result<()> {
    if weights.len() != net.layers.len() {
        return Err(Error::usage(format!(
            "the weights have {}, but the net has {}",
            count(weights.len(), "layer"),
            net.layers.len()
        ))
        .help("give as many layers with --layers as the weights have, the output layer included"));
    }
    for (l, (layer, (out, cols))) in weights.iter().zip(net.shapes()).enumerate() {
        let found = (layer.weight.rows(), layer.weight.cols());
        if found != (out, cols) {
            return Err(Error::usage(format!(
                "layers.{l}.weight is ({}, {}), but the net needs (out, in) = ({out}, {cols})",
                found.0, found.1
            ))
            .at(format!("layer {}", l + 1))
            .help("A_l = A_{l-1} Wᵀ needs as many columns in W as layer l − 1 has units"));
        }
        let biases = layer.bias.as_ref().map_or(0, Vec::len);
        let expected = if net.layers[l].bias == Bias::None { 0 } else { out };
        if biases != expected {
            return Err(Error::usage(format!(
                "layers.{l}.bias has {biases} values, but the net needs {expected}"
            ))
            .at(format!("layer {}", l + 1))
            .help("for a net without biases use --bias none"));
        }
        let tables: Vec<_> = layer.embeddings.iter().map(|t| (t.rows(), t.cols())).collect();
        let embeddings = if l == 0 { &net.embeddings[..] } else { &[] };
        let expected: Vec<_> = embeddings.iter().map(|e| (e.values, e.dims)).collect();
        if tables != expected {
            return Err(Error::usage(format!(
                "the embedding tables are {tables:?}, but the net needs {expected:?}"
            ))
            .at(format!("layer {}", l + 1))
            .help("give --embed and --embedding-dims as the weights were trained with"));
        }
        let expected = net.layers[l].norm.map(|norm| NormWeights::new(norm, out));
        let lengths = |norm: Option<&NormWeights>| -> Vec<(&str, usize)> {
            norm.into_iter().flat_map(|n| n.named().map(|(name, v)| (name, v.len()))).collect()
        };
        if lengths(layer.norm.as_ref()) != lengths(expected.as_ref()) {
            return Err(Error::usage("the weights and the net have different normalizations")
                .at(format!("layer {}", l + 1))
                .help("give --norm as the weights were trained with"));
        }
    }
    Ok(())
}

/// Random weights and biases from the spec's seed, each layer from its own stream.
#[must_use]
pub fn initial_weights(spec: &Spec) -> Vec<LayerWeights> {
    let layers = spec.net.layers.iter().zip(spec.net.shapes()).enumerate();
    layers
        .map(|(l, (layer, (out, cols)))| {
            let mut random = Random::new(spec.seed, Stream::Weights, l as u64);
            let mut drawn = layer.weight_init.draw(out, cols, &mut random).into_iter();
            let weight = Matrix::from_fn(out, cols, |_, _| drawn.next().unwrap_or_default());
            let bias =
                (layer.bias != Bias::None).then(|| layer.bias_init.draw(out, 1, &mut random));
            let norm = layer.norm.map(|norm| NormWeights::new(norm, out));
            let embeddings = if l == 0 { &spec.net.embeddings[..] } else { &[] };
            let embeddings = embeddings.iter().enumerate().map(|(i, e)| e.draw(spec.seed, i));
            LayerWeights { weight, bias, norm, embeddings: embeddings.collect() }
        })
        .collect()
}

//! The net, as plain data: layers, their units, and what is between them.

use crate::base::error::{Error, Result};
use crate::base::names::names;
use crate::math::activation::Activation;
use crate::math::embedding::Embedding;
use crate::math::init::Init;
use serde::{Deserialize, Serialize};

/// The sign with which a layer's bias enters: Z = A Wᵀ ± b.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bias {
    /// Z = A Wᵀ + b (sources 001, 002; 003 writes it as one more weight).
    #[default]
    Add,
    /// Z = A Wᵀ − b (source 004).
    Subtract,
    /// Z = A Wᵀ (source 000).
    None,
}

names!(Bias, "bias convention": Add "add", Subtract "subtract", None "none");

impl Bias {
    /// +1, −1, or 0 for no bias.
    #[must_use]
    pub fn sign(self) -> f32 {
        match self {
            Bias::Add => 1.0,
            Bias::Subtract => -1.0,
            Bias::None => 0.0,
        }
    }
}

/// The normalization of a layer's Z to mean 0 and variance 1 before its activation, followed by a
/// learned scale γ and shift β for each unit (`kernels::layers::norm` has the equations).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// Batch normalization: each unit over the batch; in predictions by running averages (Ioffe, Szegedy 2015).
    Batch,
    /// Layer normalization: each row over the layer's units (Ba, Kiros, Hinton 2016).
    Layer,
}

names!(Norm, "normalization": Batch "batch", Layer "layer");

/// The activation of a layer's units.
#[derive(Debug, Clone, PartialEq)]
pub enum Units {
    /// One function for every unit (source 002).
    Same(Activation),
    /// A function for each unit (source 004).
    Each(Vec<Activation>),
    /// Softmax over the layer: only as the output layer.
    Softmax,
}

impl Units {
    /// Whether all outputs are between 0 and 1, like probabilities.
    #[must_use]
    pub fn is_within_unit(&self) -> bool {
        match self {
            Units::Same(activation) => activation.is_within_unit(),
            Units::Each(activations) => activations.iter().all(|a| a.is_within_unit()),
            Units::Softmax => true,
        }
    }
}

impl From<Activation> for Units {
    fn from(activation: Activation) -> Self {
        Units::Same(activation)
    }
}

/// A dense layer: A_l = σ(norm(A_{l−1} Wᵀ ± b) + A_{l−skip}), W: (units, inputs); without
/// normalization and residual connection A_l = σ(A_{l−1} Wᵀ ± b).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The number of outputs, n_l.
    pub units: usize,
    /// σ.
    pub activation: Units,
    /// The bias convention.
    pub bias: Bias,
    /// The initializer of W.
    pub weight_init: Init,
    /// The initializer of b.
    pub bias_init: Init,
    /// The normalization of Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// The residual connection: how many layers back the outputs are that are added before σ (He et al. 2016),
    /// 0 for none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub skip: usize,
    /// The fraction of the outputs that dropout drops in training, in [0, 1).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f32,
}

impl Layer {
    /// Whether its outputs are W x + b and nothing else, so that they scale with W and b.
    #[must_use]
    pub fn is_linear(&self) -> bool {
        let is_plain = self.norm.is_none() && self.skip == 0;
        is_plain && self.activation == Units::Same(Activation::Identity)
    }

    /// A layer of `units` units with an added bias of zero and the default initializer for `activation`.
    pub fn new(units: usize, activation: impl Into<Units>) -> Self {
        let activation = activation.into();
        let rectifier = match &activation {
            Units::Same(a) => a.is_rectifier(),
            Units::Each(each) => each.iter().any(|a| a.is_rectifier()),
            Units::Softmax => false,
        };
        let selu = activation == Units::Same(Activation::Selu);
        Layer {
            units,
            bias: Bias::Add,
            weight_init: match () {
                () if selu => Init::LecunNormal,
                () if rectifier => Init::KaimingUniform,
                () => Init::XavierUniform,
            },
            bias_init: Init::Zeros,
            norm: None,
            skip: 0,
            dropout: 0.0,
            activation,
        }
    }
}

/// A feed-forward net: input width and layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Net {
    /// The number of feature columns: the width of the input, n_0, where there are no embeddings.
    pub inputs: usize,
    /// The embeddings of the last feature columns, one each: such a column holds indices into a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embeddings: Vec<Embedding>,
    /// The fraction of the inputs that dropout drops in training, in [0, 1).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input_dropout: f32,
    /// The layers 1…L in order; the last one is the output.
    pub layers: Vec<Layer>,
}

impl Net {
    /// A net without layers yet.
    #[must_use]
    pub fn new(inputs: usize) -> Self {
        Net { inputs, embeddings: Vec::new(), input_dropout: 0.0, layers: Vec::new() }
    }

    /// The net with one more layer at the end.
    #[must_use]
    pub fn layer(mut self, units: usize, activation: impl Into<Units>) -> Self {
        self.layers.push(Layer::new(units, activation));
        self
    }

    /// The net with its last feature columns embedded.
    #[must_use]
    pub fn embed(mut self, embeddings: Vec<Embedding>) -> Self {
        self.embeddings = embeddings;
        self
    }

    /// The net with this bias convention in every layer.
    #[must_use]
    pub fn bias(mut self, bias: Bias) -> Self {
        self.layers.iter_mut().for_each(|l| l.bias = bias);
        self
    }

    /// The net with dropout of `rate` on the outputs of every hidden layer.
    #[must_use]
    pub fn dropout(mut self, rate: f32) -> Self {
        let hidden = self.layers.len().saturating_sub(1);
        self.layers[..hidden].iter_mut().for_each(|l| l.dropout = rate);
        self
    }

    /// The net with its hidden layers normalized.
    #[must_use]
    pub fn norm(mut self, norm: Option<Norm>) -> Self {
        let hidden = self.layers.len().saturating_sub(1);
        self.layers[..hidden].iter_mut().for_each(|l| l.norm = norm);
        self
    }

    /// The net with residual blocks of `depth` hidden layers each, after the first hidden layer,
    /// which projects the inputs to their width; no blocks with 0.
    #[must_use]
    pub fn residual(mut self, depth: usize) -> Self {
        let hidden = self.layers.len().saturating_sub(1);
        for (l, layer) in self.layers[..hidden].iter_mut().enumerate() {
            layer.skip = if l > 0 && depth > 0 && l % depth == 0 { depth } else { 0 };
        }
        self
    }

    /// Whether the input is the features and every layer is σ(A Wᵀ ± b), with nothing else.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.embeddings.is_empty() && self.layers.iter().all(|l| l.norm.is_none() && l.skip == 0)
    }

    /// Whether the forward pass in training differs from that of predictions.
    #[must_use]
    pub fn differs_in_training(&self) -> bool {
        self.input_dropout > 0.0
            || self.layers.iter().any(|l| l.dropout > 0.0 || l.norm == Some(Norm::Batch))
    }

    /// The width of the input, n_0: feature columns that aren't embedded, then the dimensions of
    /// every embedding.
    #[must_use]
    pub fn input_width(&self) -> usize {
        let dims = self.embeddings.iter().map(|e| e.dims);
        dims.fold(self.copied_features(), usize::saturating_add)
    }

    /// The feature columns that aren't embedded.
    #[must_use]
    pub fn copied_features(&self) -> usize {
        self.inputs.saturating_sub(self.embeddings.len())
    }

    /// The width of the output, n_L; the input's where there are no layers.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(self.input_width(), |l| l.units)
    }

    /// (n_l, n_{l−1}) of each layer.
    pub fn shapes(&self) -> impl Iterator<Item = (usize, usize)> + Clone {
        let inputs = std::iter::once(self.input_width()).chain(self.layers.iter().map(|l| l.units));
        self.layers.iter().zip(inputs).map(|(layer, cols)| (layer.units, cols))
    }

    /// The number of all parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let tables: usize = self.embeddings.iter().map(Embedding::parameters).sum();
        let layers: usize = self
            .layers
            .iter()
            .zip(self.shapes())
            .map(|(layer, (out, cols))| {
                let bias = if layer.bias == Bias::None { 0 } else { out };
                let norm = if layer.norm.is_some() { 2 * out } else { 0 };
                out * cols + bias + norm
            })
            .sum();
        tables + layers
    }

    /// Checks everything about the net that can be checked without data.
    ///
    /// # Errors
    /// For a net without layers, a width of zero or beyond 2³¹, an embedding without a column or
    /// with an impossible table, softmax in a hidden layer, and a
    /// list of activations of another length than its layer.
    pub fn check(&self) -> Result<()> {
        if self.layers.is_empty() {
            return Err(
                Error::usage("the net has no layers").help("give it at least an output layer")
            );
        }
        if self.inputs == 0 {
            return Err(Error::usage("the net has an input width of 0")
                .help("the data need at least one feature column"));
        }
        check_rate("the input dropout", self.input_dropout)?;
        if self.embeddings.len() > self.inputs {
            let (tables, columns) = (self.embeddings.len(), self.inputs);
            return Err(Error::usage(format!("{tables} embeddings of {columns} feature columns"))
                .help("each embedding needs its own column"));
        }
        for (i, embedding) in self.embeddings.iter().enumerate() {
            embedding.check().map_err(|e| e.at(format!("embedding {}", i + 1)))?;
        }
        let last = self.layers.len() - 1;
        for (l, layer) in self.layers.iter().enumerate() {
            let fail = |what: String, help: &str| {
                Err(Error::usage(what).at(format!("layer {}", l + 1)).help(help))
            };
            if layer.units == 0 {
                return fail("a layer of width 0".into(), "every layer needs at least one unit");
            }
            if layer.units > 1 << 31 {
                return fail(
                    format!("a layer of width {}", layer.units),
                    "widths must be at most 2³¹",
                );
            }
            let place = format!("layer {}", l + 1);
            check_rate("the dropout", layer.dropout).map_err(|e| e.at(&place))?;
            if layer.dropout > 0.0 && l == last {
                return fail(
                    "dropout on the outputs of the net".into(),
                    "dropout is for hidden layers and the inputs",
                );
            }
            if layer.norm.is_some() && l == last {
                return fail(
                    "a normalized output layer".into(),
                    "normalize hidden layers only: outputs must be free to take any value",
                );
            }
            if layer.skip > 0 {
                let Some(from) = (l + 1).checked_sub(layer.skip) else {
                    return fail(
                        format!("a residual connection from {} layers below", layer.skip),
                        "it can start at the inputs at the earliest",
                    );
                };
                let width =
                    from.checked_sub(1).map_or(self.input_width(), |l| self.layers[l].units);
                if width != layer.units || layer.activation == Units::Softmax {
                    return fail(
                        format!("a residual connection from {width} units to {}", layer.units),
                        "give the layers of a residual block the same width",
                    );
                }
            }
            match &layer.activation {
                Units::Softmax if l != last => {
                    return fail(
                        "softmax in a hidden layer".into(),
                        "softmax is for the output layer; choose another activation here",
                    );
                }
                Units::Each(each) if each.len() != layer.units => {
                    return fail(
                        format!("{} activations for {} units", each.len(), layer.units),
                        "give one for each unit, as in 8:relu*4+tanh*4",
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Refuses a rate of dropout outside of [0, 1).
fn check_rate(what: &str, rate: f32) -> Result<()> {
    if (0.0..1.0).contains(&rate) {
        return Ok(());
    }
    Err(Error::usage(format!("{what} is {rate}")).help("give a fraction of at least 0 and below 1"))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(x: &f32) -> bool {
    *x == 0.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none(skip: &usize) -> bool {
    *skip == 0
}

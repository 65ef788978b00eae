//! Nets of dense layers from elsewhere: ONNX files and PyTorch's state dicts.

mod constants;
mod onnx;
mod state_dict;

use crate::activation::Activation;
use crate::data::{Affine, Preprocessing, TargetScaling};
use crate::error::{Error, Result};
use crate::loss::{Loss, Objective};
use crate::matrix::Matrix;
use crate::model::Model;
use crate::session::LayerWeights;
use crate::spec::{Layer, Net, Units};
use std::path::Path;

/// What the outputs of a net are, where its file doesn't tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// Logits of classes; a single one is that of the second of two.
    Classes,
    /// Numbers.
    Numbers,
}

/// What is said of a file beside what it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The activation between layers where a file holds weights only.
    pub activation: Activation,
    /// What the outputs are; none for what the file says, or numbers.
    pub outputs: Option<Outputs>,
}

/// A dense layer of a file.
#[derive(Debug, Clone, PartialEq)]
struct Dense {
    /// (out, in).
    weight: Matrix<f32>,
    bias: Vec<f32>,
    activation: Activation,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Default)]
struct Parts {
    layers: Vec<Dense>,
    /// The scaling of the inputs, where there is one.
    scaling: Option<Affine>,
    /// Whether the outputs are said to be probabilities, and what the classes are called.
    classes: Option<Vec<String>>,
}

/// The model of a file: ONNX by its extension, else safetensors.
///
/// # Errors
/// When it can't be read, or holds what isn't a chain of dense layers: which operation or tensor.
pub fn read(path: &Path, options: &Options) -> Result<Model> {
    if path.is_dir() {
        return Err(Error::data("it is a directory, not the file of a net")
            .at(path.display())
            .help("give an ONNX or safetensors file; a run of wgrad is used as it is, as RUN"));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, &e))?;
    let is_onnx = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
    let parts = match is_onnx {
        true => onnx::parts(&bytes),
        false => state_dict::parts(&bytes, options.activation),
    };
    parts.and_then(|parts| model(parts, options)).map_err(|e| e.at(path.display()))
}

/// A model of the parts of a file.
fn model(parts: Parts, options: &Options) -> Result<Model> {
    let Parts { layers, scaling, classes } = parts;
    let Some(inputs) = layers.first().map(|first| first.weight.cols()) else {
        return Err(
            Error::data("there are no dense layers in it").help("give a net of dense layers")
        );
    };
    let mut net = Net::new(inputs);
    let mut below = inputs;
    for (l, dense) in layers.iter().enumerate() {
        let (units, cols) = (dense.weight.rows(), dense.weight.cols());
        if cols != below {
            return Err(Error::data(format!(
                "a layer of {cols} inputs behind one of {below} outputs"
            ))
            .at(format!("layer {}", l + 1))
            .help("give a net whose layers follow each other"));
        }
        net.layers.push(Layer::new(units, Units::Same(dense.activation)));
        below = units;
    }
    let weights = layers.into_iter().map(|Dense { weight, bias, .. }| LayerWeights {
        weight,
        bias: Some(bias),
        norm: None,
        embeddings: Vec::new(),
    });
    if classes.is_some() && options.outputs == Some(Outputs::Numbers) {
        return Err(Error::usage("--task regression of a file whose outputs are probabilities")
            .help("leave out --task"));
    }
    let is_classes = classes.is_some() || options.outputs == Some(Outputs::Classes);
    let count = if below == 1 { 2 } else { below };
    let named = || (0..count).map(|class| class.to_string()).collect();
    let classes =
        is_classes.then(|| classes.filter(|names| names.len() == count).unwrap_or_else(named));
    let loss = match (&classes, below) {
        (None, _) => Loss::SquaredError,
        (Some(_), 1) => Loss::BinaryCrossEntropy,
        (Some(_), _) => Loss::CrossEntropy,
    };
    let targets = loss.targets(classes.as_ref().map_or(below, Vec::len));
    let model = Model {
        net,
        objective: Objective::from(loss),
        preprocessing: Preprocessing {
            encoding: None,
            quantiles: None,
            features: scaling.unwrap_or_else(|| Affine::identity(inputs)),
            targets: TargetScaling::identity(targets),
            bounds: None,
            classes,
            image: None,
            labels: None,
        },
        members: vec![weights.collect()],
    };
    model.check()?;
    Ok(model)
}

//! From the dense layers of a file to a model.

use crate::backend::session::LayerWeights;
use crate::base::error::{Error, Result};
use crate::data::{Affine, Preprocessing, TargetScaling};
use crate::files::import::{Dense, Options, Outputs, Parts, onnx, state_dict};
use crate::math::loss::{Loss, Objective};
use crate::net::spec::{Layer, Net, Units};
use crate::train::model::Model;
use std::path::Path;

/// The model of a file: ONNX by its extension, else safetensors.
///
/// # Errors
/// When it can't be read, or isn't a chain of dense layers, with the operation or tensor.
pub fn read(path: &Path, options: &Options) -> Result<Model> {
    if path.is_dir() {
        return Err(Error::data("it is a directory, not the file of a net")
            .at(path.display())
            .help(
                "give an ONNX or safetensors file; a run of wgrad can be used directly, as RUN",
            ));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, &e))?;
    let is_onnx = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
    let parts = match is_onnx {
        true => onnx::parts(&bytes),
        false => state_dict::parts(&bytes, options.activation),
    };
    parts.and_then(|parts| model(parts, options)).map_err(|e| e.at(path.display()))
}

/// The model of a file's parts.
fn model(parts: Parts, options: &Options) -> Result<Model> {
    let Parts { layers, scaling, classes } = parts;
    let Some(inputs) = layers.first().map(|first| first.weight.cols()) else {
        return Err(
            Error::data("the file contains no dense layers").help("give a net of dense layers")
        );
    };
    let mut net = Net::new(inputs);
    let mut below = inputs;
    for (l, dense) in layers.iter().enumerate() {
        let (units, cols) = (dense.weight.rows(), dense.weight.cols());
        if cols != below {
            return Err(Error::data(format!(
                "a layer of {cols} inputs after one of {below} outputs"
            ))
            .at(format!("layer {}", l + 1))
            .help("give a net whose layer sizes match"));
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
        return Err(Error::usage(
            "--task regression cannot be used with a file whose outputs are probabilities",
        )
        .help("omit --task"));
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

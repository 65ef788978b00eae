//! What a run begins with: drawn weights, and a spec that fits the data.

use crate::data::Preprocessing;
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::matrix::Matrix;
use crate::random::{Random, Stream};
use crate::session::{LayerWeights, NormWeights};
use crate::spec::{Bias, Spec};

/// Weights and biases drawn by the spec's seed, each layer from a stream of its own.
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
            LayerWeights { weight, bias, norm }
        })
        .collect()
}

/// One output for each class, or a single one for two classes.
fn fits_classes(outputs: usize, classes: usize) -> bool {
    if outputs == 1 { classes == 2 } else { outputs == classes }
}

/// Refuses a loss or a width of the output that doesn't fit the targets.
pub(super) fn check_task(spec: &Spec, preprocessing: &Preprocessing) -> Result<()> {
    let (loss, outputs) = (spec.objective.loss, spec.net.outputs());
    let inputs = preprocessing.features.cols();
    if spec.net.inputs != inputs {
        return Err(Error::usage(format!(
            "the net takes {} inputs, the data have {inputs} feature columns",
            spec.net.inputs
        ))
        .at("layer 1")
        .help("give the net the data's number of feature columns"));
    }
    match &preprocessing.classes {
        None if loss.is_for_classes()
            && !(preprocessing.labels.is_some() && loss == Loss::BinaryCrossEntropy) => Err(Error::usage(format!("{} on a regression target", loss.name()))
            .help("take squared-error, absolute-error, huber, log-cosh or poisson; or --task classification if the target is a class")),
        None if outputs != preprocessing.targets.cols() => {
            Err(Error::usage(format!("the net gives {outputs} outputs, the data have {} target columns", preprocessing.targets.cols()))
                .at("the output layer"))
        }
        Some(classes) if !fits_classes(outputs, classes.len()) => {
            Err(Error::usage(format!("the net gives {outputs} outputs, the data have {} classes", classes.len()))
                .at("the output layer")
                .help("one output for each class, or a single one for two classes"))
        }
        Some(_) if outputs == 1 && loss == Loss::CrossEntropy => {
            Err(Error::usage("cross-entropy over a single output is always 0")
                .at("the output layer")
                .help("take two outputs, or the loss binary-cross-entropy"))
        }
        _ => Ok(()),
    }
}

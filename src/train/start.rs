//! What a run begins with: drawn weights, and a spec that fits the data.

use crate::backend::Backend;
use crate::data::{Dataset, Features, Preprocessing, Samples, Targets};
use crate::error::{Error, ErrorKind, Result};
use crate::loss::{Link, Loss};
use crate::matrix::Matrix;
use crate::plan::{self, Purpose};
use crate::random::{Random, Stream};
use crate::session::{LayerWeights, NormWeights, Session};
use crate::spec::{Bias, Spec};
use std::sync::Arc;

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
            let embeddings = if l == 0 { &spec.net.embeddings[..] } else { &[] };
            let embeddings = embeddings.iter().enumerate().map(|(i, e)| e.draw(spec.seed, i));
            LayerWeights { weight, bias, norm, embeddings: embeddings.collect() }
        })
        .collect()
}

/// Loads the program of a spec onto `backend`. A batch that the device has no memory for is halved
/// into micro-batches until it fits, unless the spec says how large these are.
pub(super) fn load(spec: &mut Spec, mut backend: Box<dyn Backend>) -> Result<Session> {
    let chosen = spec.micro_batch.is_some();
    // Nobody has a use for what was loaded before.
    backend.unload();
    loop {
        let evaluation = plan::evaluation_rows(&spec.net, spec.batch_size.min(256));
        let batch = spec.rows_at_a_time().max(evaluation);
        let plan = plan::plan(spec, batch, Purpose::Train, backend.traits());
        match backend.load(Arc::new(plan.program.clone())) {
            Ok(()) => return Ok(Session::loaded(backend, plan, spec.objective)),
            Err(error) if error.kind() == ErrorKind::Device && !chosen && batch > evaluation => {
                // What can't go in parts is refused for its size, not for its parts.
                *spec = in_parts_of_half(spec, batch).ok_or(error)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The spec with half of `rows` rows at a time; none where its batch can't go in such parts.
pub(super) fn in_parts_of_half(spec: &Spec, rows: usize) -> Option<Spec> {
    // Of mixed rows an even number.
    let half = match spec.mixup {
        Some(_) => rows.div_ceil(2).next_multiple_of(2),
        None => rows.div_ceil(2),
    };
    let smaller = Spec { micro_batch: Some(half), ..spec.clone() };
    (half < rows && smaller.check().is_ok()).then_some(smaller)
}

/// One output for each class, or a single one for two classes.
fn fits_classes(outputs: usize, classes: usize) -> bool {
    if outputs == 1 { classes == 2 } else { outputs == classes }
}

/// Whether all outputs of the net are from 0 to 1, as probabilities are.
fn ends_within_unit(spec: &Spec) -> bool {
    spec.net.layers.last().is_some_and(|layer| layer.activation.is_within_unit())
}

/// Refuses batches of less than all rows where the optimiser can't use them.
pub(super) fn check_batch(spec: &Spec, rows: usize) -> Result<()> {
    if !spec.optimizer.needs_full_batch() || spec.batch_size >= rows {
        return Ok(());
    }
    let what = format!("{} on batches of {} of {rows} rows", spec.optimizer, spec.batch_size);
    Err(Error::usage(what).help(format!(
        "its steps follow the gradient over all rows: take --batch-size {rows}, or another --optimizer"
    )))
}

/// Refuses to augment what isn't bytes, or won't be when it is on the device.
pub(super) fn check_images(
    spec: &Spec,
    training: &Dataset,
    preprocessing: &Preprocessing,
) -> Result<()> {
    match training.features() {
        _ if spec.augment.is_some() && preprocessing.quantiles.is_some() => {
            Err(Error::usage("augmentation beside quantile scaling").at(training.name()).help(
                "pixels must stay bytes for it: choose another --scaling, or leave --augment out",
            ))
        }
        Features::F32(_) if spec.augment.is_some() => {
            Err(Error::usage("augmentation of numbers that are not bytes")
                .at(training.name())
                .help("it is for images, whose pixels are from 0 to 255: leave --augment out"))
        }
        _ => Ok(()),
    }
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
    if !preprocessing.features.keeps_last(spec.net.embeddings.len()) {
        return Err(Error::usage("the column of an embedding is scaled")
            .at("the preprocessing")
            .help(
                "indices must stay what they are: give these columns the shift 0 and the scale 1",
            ));
    }
    let targets = loss.targets(outputs);
    match &preprocessing.classes {
        None if loss.is_for_classes()
            && !(preprocessing.labels.is_some() && loss.is_for_labels()) => Err(Error::usage(format!("{} on a regression target", loss.name()))
            .help("take squared-error, absolute-error, huber, log-cosh, quantile, gaussian-nll or poisson; or --task classification if the target is a class")),
        None if targets != preprocessing.targets.cols() => {
            let needed = match loss {
                Loss::GaussianNll => "a mean and a variance for each of them",
                _ => "one for each of them",
            };
            Err(Error::usage(format!("the net gives {outputs} outputs, the data have {} target columns", preprocessing.targets.cols()))
                .at("the output layer")
                .help(needed))
        }
        None if outputs == 1 && matches!(loss, Loss::KlDivergence | Loss::Cosine) => {
            Err(Error::usage(format!("{} of a single number, which teaches nothing", loss.name()))
                .at("the output layer")
                .help("a share is one of several, and so is the direction of numbers: name several targets, or take squared-error"))
        }
        Some(_) if matches!(loss, Loss::GaussianNll | Loss::Poisson) => {
            Err(Error::usage(format!("{} on classes", loss.name()))
                .help("take cross-entropy; or --task regression if the target is a number"))
        }
        Some(classes) if !fits_classes(outputs, classes.len()) => {
            Err(Error::usage(format!("the net gives {outputs} outputs, the data have {} classes", classes.len()))
                .at("the output layer")
                .help("one output for each class, or a single one for two classes"))
        }
        Some(_) if outputs == 1 && loss.link() == Link::Softmax => {
            Err(Error::usage(format!("{} over a single output is always 0", loss.name()))
                .at("the output layer")
                .help("take two outputs, or the loss binary-cross-entropy"))
        }
        Some(_) if outputs == 1 && loss == Loss::Cosine => {
            Err(Error::usage("cosine over a single output, which teaches nothing")
                .at("the output layer")
                .help("take two outputs, or the loss binary-cross-entropy"))
        }
        Some(_) if loss.link() == Link::Identity && !ends_within_unit(spec) => {
            Err(Error::usage(format!("{} on classes, with outputs that are no probabilities", loss.name()))
                .at("the output layer")
                .help("take the loss cross-entropy; or --output-activation sigmoid or softmax, whose outputs are from 0 to 1; or --task regression if the target is a number"))
        }
        _ => Ok(()),
    }
}

/// Refuses to mix rows that count differently: a mixed row would have no weight.
pub(super) fn check_weights(spec: &Spec, samples: &Samples) -> Result<()> {
    if spec.mixup.is_none() || samples.weights.is_none() {
        return Ok(());
    }
    Err(Error::usage("mixup of rows with weights")
        .at("--mixup")
        .help("leave it out, or --class-weight and --sample-weight"))
}

/// Rows of a set with that mean weight, ready for the device.
///
/// # Errors
/// As [`Preprocessing::samples`] and [`check_targets`].
pub(crate) fn samples(
    loss: Loss,
    preprocessing: &Preprocessing,
    data: &Dataset,
    mean_weight: Option<f64>,
) -> Result<Samples> {
    let samples = preprocessing.samples_of(data, mean_weight)?;
    if let Some(targets) = &samples.targets {
        let place = |row, output| format!("row {}, target {}", row + 1, output + 1);
        check_targets(loss, targets, place).map_err(|e| e.at(data.name()))?;
    }
    Ok(samples)
}

/// Refuses numbers of which the loss can't be taken; `place` says where one stands, by its row and
/// output.
///
/// # Errors
/// For the first of them.
pub fn check_targets(
    loss: Loss,
    targets: &Targets,
    place: impl Fn(usize, usize) -> String,
) -> Result<()> {
    let Targets::Numbers(m) = targets else { return Ok(()) };
    if !matches!(loss, Loss::Poisson | Loss::KlDivergence) {
        return Ok(());
    }
    match m.data().iter().position(|&t| t < 0.0) {
        None => Ok(()),
        Some(i) => Err(Error::data(format!("the target {} under the loss {loss}", m.data()[i]))
            .at(place(i / m.cols(), i % m.cols()))
            .help("counts and shares are from 0 on: correct it, or take another loss")),
    }
}

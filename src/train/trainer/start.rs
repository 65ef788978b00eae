//! The start of a run: plans and loads the program, and checks that spec and data fit.

use crate::backend::Backend;
use crate::backend::session::Session;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::wait::BlockOn as _;
use crate::data::{Dataset, Features, Preprocessing, Samples};
use crate::math::loss::{Link, Loss};
use crate::net::spec::Spec;
use crate::plan::{self, Purpose};
use std::sync::Arc;

/// Loads the program of a spec onto `backend`. A batch that the device has no memory for is halved
/// into micro-batches until it fits, unless the spec sets their size.
pub(super) fn load(spec: &mut Spec, mut backend: Box<dyn Backend>) -> Result<Session> {
    let chosen = spec.micro_batch.is_some();
    // The previous program is no longer needed.
    backend.unload();
    loop {
        let evaluation = plan::evaluation_rows_in_training(spec);
        let batch = spec.rows_at_a_time().max(evaluation);
        let plan = plan::plan(spec, batch, Purpose::Train, backend.traits());
        match backend.load(Arc::new(plan.program.clone())).block_on() {
            Ok(()) => return Ok(Session::loaded(backend, plan, spec.objective)),
            Err(error) if error.kind() == ErrorKind::Device && !chosen && batch > evaluation => {
                // A batch that can't be split is refused for its size, not for micro-batches.
                *spec = with_half_the_micro_batch(spec, batch).ok_or(error)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The spec with half of `rows` rows at a time; none if its batch can't be split so.
pub(super) fn with_half_the_micro_batch(spec: &Spec, rows: usize) -> Option<Spec> {
    // An even number of rows, for mixup.
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

/// Whether all outputs of the net are between 0 and 1, like probabilities.
fn ends_within_unit(spec: &Spec) -> bool {
    spec.net.layers.last().is_some_and(|layer| layer.activation.is_within_unit())
}

/// Refuses batches of fewer than all rows if the optimizer can't use them.
pub(super) fn check_batch(spec: &Spec, rows: usize) -> Result<()> {
    if !spec.optimizer.needs_full_batch() || spec.batch_size >= rows {
        return Ok(());
    }
    let what = format!(
        "{} cannot be used with batches of {} of {rows} rows",
        spec.optimizer, spec.batch_size
    );
    Err(Error::usage(what).help(format!(
        "its steps need the gradient over all rows: use --batch-size {rows}, or another --optimizer"
    )))
}

/// Refuses augmentation of features that aren't bytes, or won't be on the device.
pub(super) fn check_images(
    spec: &Spec,
    training: &Dataset,
    preprocessing: &Preprocessing,
) -> Result<()> {
    match training.features() {
        _ if spec.augment.is_some() && preprocessing.quantiles.is_some() => Err(Error::usage(
            "augmentation cannot be used with quantile scaling",
        )
        .at(training.name())
        .help("augmentation needs pixels as bytes: choose another --scaling, or omit --augment")),
        Features::F32(_) if spec.augment.is_some() => {
            Err(Error::usage("augmentation needs features that are bytes")
                .at(training.name())
                .help("it is for images, whose pixels are from 0 to 255: omit --augment"))
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
            "the net takes {} inputs, but the data have {inputs} feature columns",
            spec.net.inputs
        ))
        .at("layer 1")
        .help("give the net the data's number of feature columns"));
    }
    if !preprocessing.features.keeps_last(spec.net.embeddings.len()) {
        return Err(Error::usage("the column of an embedding is scaled")
            .at("the preprocessing")
            .help("indices must not change: give these columns the shift 0 and the scale 1"));
    }
    let targets = loss.targets(outputs);
    match &preprocessing.classes {
        None if loss.is_for_classes()
            && !(preprocessing.labels.is_some() && loss.is_for_labels()) => Err(Error::usage(format!("{} cannot be used with a regression target", loss.name()))
            .help("use squared-error, absolute-error, huber, log-cosh, quantile, gaussian-nll or poisson; or --task classification if the target is a class")),
        None if targets != preprocessing.targets.cols() => {
            let needed = match loss {
                Loss::GaussianNll => "a mean and a variance for each of them",
                _ => "one for each of them",
            };
            Err(Error::usage(format!("the net has {outputs} outputs, but the data have {} target columns", preprocessing.targets.cols()))
                .at("the output layer")
                .help(needed))
        }
        None if outputs == 1 && matches!(loss, Loss::KlDivergence | Loss::Cosine) => {
            Err(Error::usage(format!("{} of a single number is constant", loss.name()))
                .at("the output layer")
                .help("a fraction or a direction needs several numbers: name several targets, or use squared-error"))
        }
        Some(_) if matches!(loss, Loss::GaussianNll | Loss::Poisson) => {
            Err(Error::usage(format!("{} cannot be used with classes", loss.name()))
                .help("use cross-entropy; or --task regression if the target is a number"))
        }
        Some(classes) if !fits_classes(outputs, classes.len()) => {
            Err(Error::usage(format!("the net has {outputs} outputs, but the data have {} classes", classes.len()))
                .at("the output layer")
                .help("give one output per class, or a single one for two classes"))
        }
        Some(_) if outputs == 1 && loss.link() == Link::Softmax => {
            Err(Error::usage(format!("{} over a single output is always 0", loss.name()))
                .at("the output layer")
                .help("use two outputs, or the loss binary-cross-entropy"))
        }
        Some(_) if outputs == 1 && loss == Loss::Cosine => {
            Err(Error::usage("cosine over a single output is constant")
                .at("the output layer")
                .help("use two outputs, or the loss binary-cross-entropy"))
        }
        Some(_) if loss.link() == Link::Identity && !ends_within_unit(spec) => {
            Err(Error::usage(format!("{} with classes needs outputs that are probabilities", loss.name()))
                .at("the output layer")
                .help("use the loss cross-entropy; or --output-activation sigmoid or softmax, whose outputs are between 0 and 1; or --task regression if the target is a number"))
        }
        _ => Ok(()),
    }
}

/// Refuses mixup of weighted rows: the weight of a mixed row is undefined.
pub(super) fn check_weights(spec: &Spec, samples: &Samples) -> Result<()> {
    if spec.mixup.is_none() || samples.weights.is_none() {
        return Ok(());
    }
    Err(Error::usage("mixup cannot be used with weighted rows")
        .at("--mixup")
        .help("omit it, or --class-weight and --sample-weight"))
}

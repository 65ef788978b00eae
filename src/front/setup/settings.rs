//! The net and the settings from the options and the data.

use crate::base::error::{Error, Result, nearest};
use crate::base::words::count;
use crate::data::{Dataset, ImageShape, Predictions, Targets};
use crate::files::config::{HiddenLayers, StepConfig, TrainConfig};
use crate::math::activation::Activation;
use crate::math::embedding::Embedding;
use crate::math::loss::{Loss, Objective};
use crate::math::matrix::Matrix;
use crate::math::optim::{Averaging, GradientEdits, Optimizer};
use crate::math::schedule::Length;
use crate::net::augment::Augment;
use crate::net::metrics::Metrics;
use crate::net::spec::{Layer, Net, Spec, Units};
use crate::net::stopping::{Keep, Stopping};
use crate::train::evaluation::Report;

/// The most threads.
const MAX_THREADS: usize = 1024;
/// The most epochs.
const MAX_EPOCHS: usize = 100_000_000;

/// The rows and properties that determine a run's metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeldOut<'a> {
    pub validation: Option<&'a Dataset>,
    pub test: Option<&'a Dataset>,
    /// Whether these are only some of the rows.
    pub is_sample: bool,
}

impl HeldOut<'_> {
    /// The rows that metrics are measured on after each epoch.
    fn judged(&self) -> Option<&Dataset> {
        self.validation.or(self.test)
    }
}

/// The spec for completed options and these data.
///
/// # Errors
/// For contradictory options, or options that don't fit the data.
pub(crate) fn resolve(
    config: &mut TrainConfig,
    training: &Dataset,
    objective: Objective,
    embeddings: Vec<Embedding>,
    held_out: HeldOut<'_>,
) -> Result<Spec> {
    let net = net(config, training, objective.loss, embeddings)?;
    config.run.epochs.get_or_insert(10);
    if config.step.optimizer.is_some_and(Optimizer::needs_full_batch) {
        config.step.batch_size.get_or_insert(training.rows());
    }
    let mut spec = spec(net, objective, config)?;
    if !(1..=MAX_EPOCHS).contains(&spec.epochs) {
        return Err(Error::usage(format!("{} epochs", spec.epochs))
            .help(format!("--epochs must be from 1 to {MAX_EPOCHS}")));
    }
    spec.augment = match config.step.augment.filter(|augment| *augment != Augment::default()) {
        Some(augment) => Some((augment, image_shape(training)?)),
        None => None,
    };
    spec.check()?;
    let judged = Judged { loss: objective.loss, training, held_out };
    check_stop_at(config, &judged)?;
    resolve_stopping(config, &mut spec, &judged)?;
    Ok(spec)
}

/// Refuses a warmup that is longer than the run.
///
/// # Errors
/// For such a warmup.
pub(super) fn check_warmup(spec: &Spec, rows: usize) -> Result<()> {
    let epoch = rows.div_ceil(spec.batch_size) as u64;
    let length = Length { total: epoch * spec.epochs as u64, epoch };
    let warmup = spec.warmup.whole_steps(length);
    if warmup <= length.total {
        return Ok(());
    }
    Err(Error::usage(format!("a warmup of {warmup} steps doesn't fit in a run of {}", length.total))
        .at(format!("--warmup {}", spec.warmup))
        .help("the learning rate would never be reached: give fewer steps, a fraction of the run such as 0.05, or more --epochs"))
}

/// Width, height and channels of the images for training.
fn image_shape(training: &Dataset) -> Result<[u32; 3]> {
    let features = training.features().cols() as u32;
    let side = features.isqrt();
    match training.shape() {
        Some(ImageShape { width, height, colour, .. }) => {
            Ok([width, height, colour.channels() as u32])
        }
        None if training.is_image() && side * side == features => Ok([side, side, 1]),
        None => Err(Error::usage("augmentation cannot be used: the data are not images")
            .at(training.name())
            .help(
                "it is for folders of images, MNIST and tables of square images: omit --augment",
            )),
    }
}

/// Refuses an invalid number of threads.
///
/// # Errors
/// For such a number.
pub(crate) fn check_threads(threads: Option<usize>) -> Result<()> {
    match threads {
        Some(threads) if !(1..=MAX_THREADS).contains(&threads) => {
            Err(Error::usage(format!("{threads} threads"))
                .help(format!("--threads must be from 1 to {MAX_THREADS}")))
        }
        _ => Ok(()),
    }
}

/// The net of the options for these data.
fn net(
    config: &mut TrainConfig,
    training: &Dataset,
    loss: Loss,
    embeddings: Vec<Embedding>,
) -> Result<Net> {
    let options = &mut config.net;
    let hidden = options.activation.take().unwrap_or(Units::Same(Activation::Relu));
    let mut layers = match &options.layers {
        Some(text) => text.layers(&hidden)?,
        None => vec![Layer::new(128, hidden)],
    };
    options.layers = Some(HiddenLayers::of(&layers));
    let one_for_two = loss.is_for_labels() || loss == Loss::Hinge;
    let outputs = match training.class_names() {
        Some(classes) if one_for_two && classes.len() == 2 => 1,
        _ => loss.outputs(training.outputs()),
    };
    let activation = options.output_activation.get_or_insert(match loss {
        Loss::CrossEntropyProbabilities => Units::Softmax,
        _ => Units::Same(Activation::Identity),
    });
    layers.push(Layer::new(outputs, activation.clone()));
    let bias = *options.bias.get_or_insert_default();
    let dropout = *options.dropout.get_or_insert(0.0);
    let input_dropout = *options.input_dropout.get_or_insert(0.0);
    let inputs = training.features().cols();
    let mut net = Net { inputs, embeddings, input_dropout, layers }
        .bias(bias)
        .dropout(dropout)
        .norm(options.norm)
        .residual(*options.residual.get_or_insert(0));
    if let Some(depth @ 1..) = options.residual
        && net.layers.iter().all(|layer| layer.skip == 0)
    {
        return Err(Error::usage(format!(
            "residual blocks of {depth} layers don't fit in a net with {}",
            count(net.layers.len() - 1, "hidden layer")
        ))
        .at("--residual")
        .help(format!(
            "blocks begin after the first hidden layer: give at least {} of the same width",
            depth + 1
        )));
    }
    if let Some(init) = options.initializer {
        net.layers.iter_mut().for_each(|layer| layer.weight_init = init);
    }
    Ok(net)
}

/// The spec of a net for completed options.
pub(crate) fn spec(net: Net, objective: Objective, config: &mut TrainConfig) -> Result<Spec> {
    let mut spec = Spec::new(net, objective);
    let StepConfig {
        optimizer,
        lr,
        schedule,
        warmup,
        momentum,
        beta1,
        cycle_momentum,
        beta2,
        epsilon,
        weight_decay,
        decay_all,
        l1,
        clip_value,
        clip_norm,
        clip_global_norm,
        gradient_noise,
        ema,
        swa,
        max_norm,
        augment: _,
        mixup,
        batch_size,
        micro_batch,
        precision,
        loss_scale,
    } = &mut config.step;
    spec.optimizer = *optimizer.get_or_insert(spec.optimizer);
    if let Some(momentum) = momentum {
        spec.optimizer = spec.optimizer.with_momentum(*momentum)?;
    }
    if let Some(beta1) = beta1 {
        if momentum.is_some() {
            return Err(
                Error::usage("--momentum cannot be used with --beta1").help("omit one of them")
            );
        }
        spec.optimizer = spec.optimizer.with_beta1(*beta1)?;
    }
    if let Some(beta2) = beta2 {
        spec.optimizer = spec.optimizer.with_beta2(*beta2)?;
    }
    if let Some(epsilon) = epsilon {
        spec.optimizer = spec.optimizer.with_epsilon(*epsilon)?;
    }
    spec.lr = *lr.get_or_insert(spec.optimizer.default_lr());
    spec.schedule = *schedule.get_or_insert_default();
    spec.warmup = *warmup.get_or_insert_default();
    spec.label_smoothing = *config.net.label_smoothing.get_or_insert(0.0);
    spec.cycle_momentum = *cycle_momentum;
    spec.mixup = *mixup;
    spec.weight_decay = *weight_decay.get_or_insert(0.0);
    spec.max_norm = *max_norm;
    spec.decay_all = *decay_all.get_or_insert(false);
    spec.edits = GradientEdits {
        l1: *l1.get_or_insert(0.0),
        clip_value: *clip_value,
        clip_norm: *clip_norm,
        clip_global_norm: *clip_global_norm,
        noise: *gradient_noise.get_or_insert(0.0),
    };
    spec.averaging = match (*ema, *swa) {
        (None, None) => Averaging::None,
        (Some(decay), None) => Averaging::Ema { decay },
        (None, Some(fraction)) => Averaging::Swa { fraction },
        (Some(_), Some(_)) => {
            return Err(Error::usage("--ema cannot be used with --swa")
                .help("use only one average of the weights"));
        }
    };
    spec.batch_size = *batch_size.get_or_insert(spec.batch_size);
    spec.micro_batch = *micro_batch;
    spec.precision = *precision.get_or_insert_default();
    spec.mixed.scale = loss_scale.unwrap_or(spec.mixed.scale);
    spec.epochs = *config.run.epochs.get_or_insert(spec.epochs);
    config.data.seed.get_or_insert(0);
    spec.seed = seed(config);
    spec.shuffle = !*config.run.no_shuffle.get_or_insert(false);
    spec.plan = *config.run.plan.get_or_insert_default();
    spec.check()?;
    Ok(spec)
}

/// The seed of the net: that of the options, or another one for the other nets of an ensemble.
pub(crate) fn seed(config: &TrainConfig) -> u64 {
    let member = config.run.member.map_or(0, |member| member as u64 - 1);
    config.data.seed.unwrap_or(0).wrapping_add(member)
}

/// The properties that determine which metrics a run has.
struct Judged<'a> {
    loss: Loss,
    training: &'a Dataset,
    held_out: HeldOut<'a>,
}

impl Judged<'_> {
    /// Refuses a metric that the run doesn't have for these targets, this loss or these
    /// held-out rows.
    fn check_metric(&self, metric: &str) -> Result<()> {
        let names = Metrics::names(self.training.targets());
        if metric != "loss" && !names.contains(&metric) {
            let near = nearest(metric, names.iter().copied());
            let hint = near.map_or(String::new(), |near| format!("did you mean {near}? "));
            return Err(Error::usage(format!("{metric} is not a metric of these data"))
                .help(format!("{hint}they have loss, {}", names.join(", "))));
        }
        if metric == "nll" && self.loss != Loss::GaussianNll {
            return Err(Error::usage(format!("the loss {} gives no nll", self.loss.name())).help(
                "use --loss gaussian-nll, which predicts standard deviations, or another metric",
            ));
        }
        // A sample may lack values that other rows have.
        match self.held_out.judged().filter(|_| !self.held_out.is_sample) {
            Some(data) if metric != "loss" && !has_metric(data, self.loss, metric) => Err(
                Error::usage(format!("the held-out rows have no {metric}")).at(data.name()).help(
                    "hold out rows of every class, or of several values; or choose another metric",
                ),
            ),
            _ => Ok(()),
        }
    }
}

/// Whether any predictions for these rows have that metric.
fn has_metric(data: &Dataset, loss: Loss, metric: &str) -> bool {
    let (rows, outputs) = (data.rows(), data.outputs());
    let predictions = match data.targets() {
        Targets::Numbers(_) => Matrix::from_fn(rows, loss.outputs(outputs), |_, _| 1.0),
        _ => Matrix::from_fn(rows, outputs, |_, _| 1.0 / outputs as f32),
    };
    let report = Report::new(&Predictions::F32(predictions), data.targets(), data.weights());
    // Errors in the rows themselves are reported when they are evaluated.
    report.map_or(true, |report| report.values().iter().any(|(name, _)| *name == metric))
}

/// Refuses a --stop-at that could never be met.
fn check_stop_at(config: &TrainConfig, judged: &Judged) -> Result<()> {
    let Some(stop_at) = &config.run.stop_at else { return Ok(()) };
    if judged.held_out.judged().is_none() {
        return Err(Error::usage("--stop-at needs validation or test data").help(
            "give --validation or --test: metrics on training rows say nothing about unseen rows",
        ));
    }
    let checked = judged.check_metric(&stop_at.metric).and_then(|()| stop_at.check());
    checked.map_err(|e| e.at(format!("--stop-at {stop_at}")))
}

/// When the run stops early and which weights it keeps. A run that stops by a metric also compares epochs by
/// it, so that the epoch that was good enough is kept.
fn resolve_stopping(config: &mut TrainConfig, spec: &mut Spec, judged: &Judged) -> Result<()> {
    let (run, has_validation) = (&mut config.run, judged.held_out.validation.is_some());
    let wants = |what: &str| {
        Err(Error::usage(format!("{what} needs validation data"))
            .help("hold some rows out with --validation"))
    };
    match (has_validation, run.patience, run.keep_weights) {
        (false, Some(_), _) => return wants("--patience"),
        (false, _, Some(Keep::Best)) => return wants("--keep-weights best"),
        _ => {}
    }
    if let Some(metric) = &run.metric {
        judged.check_metric(metric).map_err(|e| e.at(format!("--metric {metric}")))?;
    }
    let keep =
        *run.keep_weights.get_or_insert(if has_validation { Keep::Best } else { Keep::Last });
    let stop_at = run.stop_at.as_ref().map(|stop_at| stop_at.metric.clone());
    let mut measured: Vec<String> = run.metric.iter().chain(&stop_at).cloned().collect();
    measured.retain(|metric| !Metrics::is_summed(metric));
    measured.dedup();
    spec.stopping = Stopping {
        keep,
        metric: run.metric.clone().or(stop_at),
        measured,
        patience: run.patience,
        time_limit: run.time_limit.map(|span| span.0),
        on_divergence: run.on_divergence.unwrap_or_default(),
    };
    spec.stopping.check()
}

/// `64 → 128 relu → 10 identity`.
pub(crate) fn describe_net(net: &Net) -> String {
    let dropped = |rate: f32| match rate {
        0.0 => String::new(),
        rate => format!(", dropout {rate}"),
    };
    let layer = |layer: &Layer| {
        let norm = layer.norm.map_or(String::new(), |norm| format!(" {norm}-norm"));
        let skip = match layer.skip {
            0 => String::new(),
            skip => format!(" + {skip} below"),
        };
        format!(" → {}{norm}{skip} {}{}", layer.units, layer.activation, dropped(layer.dropout))
    };
    let tables = net.embeddings.iter().map(|e| format!(" + {} embedded in {}", e.values, e.dims));
    let tables: String = tables.collect();
    let inputs = format!("{}{tables}{}", net.copied_features(), dropped(net.input_dropout));
    std::iter::once(inputs).chain(net.layers.iter().map(layer)).collect()
}

//! From options to everything that a run needs, once: data, split, net and settings.

use super::presets::{self, Kind};
use super::streaming::{self, Stored, Streaming};
use super::{say, splitting};
use crate::activation::Activation;
use crate::augment::Augment;
use crate::backend::DeviceInfo;
use crate::backend::device::Choice;
use crate::checkpoint::load_weights;
use crate::config::{HiddenLayers, StepConfig, TrainConfig, Validation};
use crate::data::split::{Parts, Split};
use crate::data::{
    self, Affine, Colour, Data, DataOptions, Dataset, Fitting, ImageShape, NAMES, Preprocessing,
    Scaling, Targets, TrainTest,
};
use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::loss::{Loss, Objective};
use crate::optim::{Averaging, GradientEdits, Optimizer};
use crate::session::LayerWeights;
use crate::spec::{Layer, Net, Spec, Units};
use crate::stopping::{Keep, Stopping};
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

/// Tables with fewer training rows than this are scaled linearly: their ranks tell too little.
const LEAST_FOR_RANKS: usize = 2000;
/// More epochs than this are a mistake.
const MAX_EPOCHS: usize = 100_000_000;

/// A run, ready for a device.
pub(super) struct Job {
    /// The options, those included that were not given. The run directory and the device are left
    /// as they were.
    pub config: TrainConfig,
    pub spec: Spec,
    pub scaling: Scaling,
    pub preprocessing: Preprocessing,
    /// The training rows with all of their weights.
    pub training: Dataset,
    /// The weights of the training rows without those of their classes.
    pub sample_weights: Option<Vec<f32>>,
    pub validation: Option<Dataset>,
    pub test: Option<Dataset>,
    /// The rows of the data that are trained on, in this order.
    pub training_rows: Arc<Vec<usize>>,
    /// The data as they were read, before anything was fitted to them.
    pub data: Arc<Data>,
    /// The weights to start from instead of drawn ones.
    pub init: Option<Vec<LayerWeights>>,
    /// The table that all of the above is only a sample of, where it is larger than the memory
    /// limit.
    pub streaming: Option<Arc<Streaming>>,
    /// Its encoded rows, once [`Job::store`] made them.
    pub stored: Option<Stored>,
}

/// Options and data, before the rows are split.
pub(super) struct Source {
    pub config: TrainConfig,
    pub data: Arc<Data>,
    test: Option<Dataset>,
    options: DataOptions,
    streaming: Option<Arc<Streaming>>,
}

impl Source {
    /// Opens the data.
    ///
    /// # Errors
    /// For data that can't be read.
    pub fn open(given: TrainConfig) -> Result<Self> {
        let mut config = given;
        let source = config.data.data.get_or_insert_with(|| "digits".into()).clone();
        config.data.seed.get_or_insert(0);
        let mut options =
            DataOptions { notify: Some(|message| say(message)), ..config.data.options() };
        let key = config.run.split.as_ref().and_then(Split::column);
        options.columns.reserved.extend(key.map(str::to_string));
        if let Some(table) = streaming::open(&mut config, &source, &options)? {
            let (data, streaming) = (table.sample(), Some(Arc::new(table)));
            return Ok(Source { config, data, test: None, options, streaming });
        }
        let TrainTest { train, test } = data::open(&source, &options)?;
        Ok(Source { config, data: Arc::new(train), test, options, streaming: None })
    }

    /// The run over these parts, with all that follows from the data resolved.
    ///
    /// # Errors
    /// For options that make no sense together or with the data.
    pub fn job(&self, parts: &Parts) -> Result<Job> {
        let Source { data, options, test, .. } = self;
        let mut config = self.config.clone();
        let source = config.data.data.clone().unwrap_or_default();
        let scaling = *config.data.scaling.get_or_insert_with(|| match source.as_str() {
            "spiral" | "moons" | "xor" => Scaling::None,
            _ if data.is_image() => Scaling::Minmax,
            _ if data.table().is_some() && parts.training.len() >= LEAST_FOR_RANKS => {
                Scaling::Quantile
            }
            _ => Scaling::Standard,
        });
        let log = config.data.log.clone().unwrap_or_default();
        let embed = config.data.embed.clone().unwrap_or_default();
        let embedding_dims = config.data.embedding_dims;
        let fitting = Fitting { scaling, log, embed, embedding_dims };
        let mut preprocessing = Preprocessing::fit_rows(data, &parts.training, &fitting)?;
        let training = preprocessing.dataset(data, &parts.training)?;
        let sample_weights = training.weights().map(<[f32]>::to_vec);
        let training = match &config.data.class_weight {
            Some(weight) => {
                let weights = weight.of(training.targets())?;
                training.weighted(weights)?
            }
            None => training,
        };
        let objective = *config.net.loss.get_or_insert_with(|| {
            Objective::from(match training.targets() {
                Targets::Classes { .. } => Loss::CrossEntropy,
                Targets::Labels { .. } => Loss::BinaryCrossEntropy,
                Targets::Numbers(_) => Loss::SquaredError,
            })
        });
        if objective.loss.needs_raw_targets() {
            // Counts must stay counts, and shares shares.
            preprocessing.targets = Affine::identity(training.outputs());
        }
        let part = |rows: &[usize]| match rows {
            [] => Ok(None),
            rows => preprocessing.dataset(data, rows).map(Some),
        };
        let other = |name: &str| {
            data::open_measured(name, &preprocessing, options).map(|measured| measured.data)
        };
        let validation = match &config.run.validation {
            Some(Validation::Path(path)) => Some(other(&path.to_string_lossy())?),
            _ => part(&parts.validation)?,
        };
        let given = config.run.test.as_deref().map(other).transpose()?;
        let test = match (given.or_else(|| test.clone()), part(&parts.test)?) {
            (Some(_), Some(_)) => {
                return Err(Error::usage("test data of their own, and test rows by --split")
                    .help("leave out --test, or mark no rows as test"));
            }
            (other, marked) => other.or(marked),
        };
        let kind = match source.as_str() {
            "digits" => Kind::Digits,
            _ if data.is_image() => Kind::Images,
            _ if data.table().is_some() => Kind::Table,
            _ => Kind::Other,
        };
        config = presets::complete(config, kind)?;
        let embeddings = preprocessing.encoding.as_ref().map_or(Vec::new(), |e| e.embeddings());
        let net = net(&mut config, &training, objective.loss, embeddings)?;
        config.run.epochs.get_or_insert(10);
        if config.step.optimizer.is_some_and(Optimizer::needs_full_batch) {
            config.step.batch_size.get_or_insert(training.rows());
        }
        let mut spec = spec(net, objective, &mut config)?;
        super::memory::Estimate::new(&spec, [&training]).check()?;
        for data in validation.iter().chain(&test) {
            preprocessing.samples(data)?;
        }
        spec.augment = match config.step.augment.filter(|augment| *augment != Augment::default()) {
            Some(augment) => Some((augment, image_shape(&training)?)),
            None => None,
        };
        spec.check()?;
        let init = config.run.init.as_deref().map(|file| load_weights(file, &spec.net));
        let init = init.transpose()?;
        check_stop_at(&config, &training, validation.is_some() || test.is_some())?;
        resolve_stopping(&mut config, &mut spec, &training, validation.is_some())?;
        make_absolute(&mut config)?;
        let training_rows = Arc::new(parts.training.clone());
        Ok(Job {
            config,
            spec,
            scaling,
            preprocessing,
            training,
            training_rows,
            sample_weights,
            validation,
            test,
            data: data.clone(),
            init,
            streaming: self.streaming.clone(),
            stored: None,
        })
    }
}

impl Job {
    /// Opens the data, splits them, and resolves what follows from them.
    ///
    /// # Errors
    /// For data that can't be read and options that make no sense together.
    pub fn new(given: TrainConfig) -> Result<Self> {
        let mut source = Source::open(given)?;
        let parts = match &source.streaming {
            Some(table) => table.parts(),
            None => splitting::parts(&mut source.config, &source.data)?,
        };
        source.job(&parts)
    }

    /// Encodes the rows of a table beyond the memory limit, where it is one.
    ///
    /// # Errors
    /// As [`Streaming::store`].
    pub fn store(&mut self) -> Result<()> {
        let streaming = self.streaming.clone();
        self.stored = streaming.map(|table| table.store(self)).transpose()?;
        Ok(())
    }

    /// The rows that are trained on, and those that are held out for validation.
    pub fn rows(&self) -> (usize, usize) {
        let validation = self.validation.as_ref().map_or(0, Dataset::rows);
        match &self.streaming {
            None => (self.training.rows(), validation),
            Some(table) if table.validation_rows == 0 => (table.training_rows, validation),
            Some(table) => (table.training_rows, table.validation_rows),
        }
    }

    /// What users call a training row: its line, or its number in the data.
    pub fn row_name(&self) -> impl Fn(usize) -> String + 'static {
        let (data, rows) = (self.data.clone(), self.training_rows.clone());
        let streaming = self.streaming.clone();
        move |row| {
            if let Some(table) = &streaming {
                return format!("row {}", table.training_row(row) + 1);
            }
            let row = rows.get(row).copied().unwrap_or(row);
            match data.table() {
                Some(table) => table.frame().describe_row(row),
                None => format!("row {}", row + 1),
            }
        }
    }

    /// The file of the resolved options.
    pub fn config_text(&self, device: &DeviceInfo) -> Result<String> {
        let name = if device.backend == "cpu" { "cpu" } else { &device.name };
        Ok(format!(
            "# wgrad {}: `wgrad train --config` with this file trains the same model again\n{}",
            env!("CARGO_PKG_VERSION"),
            self.resolved(name).to_toml()?
        ))
    }

    /// The resolved options as they are written: training again from them gives the same model,
    /// in a run directory of its own.
    fn resolved(&self, device: &str) -> TrainConfig {
        let mut config = self.config.clone();
        config.run.out = None;
        config.device.device = Some(match device {
            "cpu" => Choice::Cpu,
            name => Choice::Name(name.into()),
        });
        config
    }
}

/// Width, height and colours of a pixel of the images that are trained on.
fn image_shape(training: &Dataset) -> Result<[u32; 3]> {
    let features = training.features().cols() as u32;
    let side = features.isqrt();
    match training.shape() {
        Some(ImageShape { width, height, colour }) => {
            Ok([width, height, if colour == Colour::Rgb { 3 } else { 1 }])
        }
        None if training.is_image() && side * side == features => Ok([side, side, 1]),
        None => Err(Error::usage("augmentation of data that are not images")
            .at(training.name())
            .help("it is for folders of images, MNIST and tables of square images: leave --augment out")),
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
            "residual blocks of {depth} layers in a net of {} hidden ones",
            net.layers.len() - 1
        ))
        .at("--residual")
        .help(format!(
            "a block begins behind the first hidden layer: give at least {} of one width",
            depth + 1
        )));
    }
    if let Some(init) = options.initializer {
        net.layers.iter_mut().for_each(|layer| layer.weight_init = init);
    }
    Ok(net)
}

/// The spec of a net under the options, whose settings are completed.
pub(super) fn spec(net: Net, objective: Objective, config: &mut TrainConfig) -> Result<Spec> {
    let mut spec = Spec::new(net, objective);
    let StepConfig {
        optimizer,
        lr,
        schedule,
        warmup,
        momentum,
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
    } = &mut config.step;
    spec.optimizer = *optimizer.get_or_insert(spec.optimizer);
    if let Some(momentum) = momentum {
        spec.optimizer = spec.optimizer.with_momentum(*momentum)?;
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
            return Err(
                Error::usage("both --ema and --swa").help("take one average of the weights")
            );
        }
    };
    spec.batch_size = *batch_size.get_or_insert(spec.batch_size);
    spec.micro_batch = *micro_batch;
    spec.epochs = *config.run.epochs.get_or_insert(spec.epochs);
    spec.seed = *config.data.seed.get_or_insert(0);
    spec.shuffle = !*config.run.no_shuffle.get_or_insert(false);
    spec.plan = *config.run.plan.get_or_insert_default();
    if spec.epochs > MAX_EPOCHS {
        return Err(Error::usage(format!("{} epochs", spec.epochs))
            .help(format!("--epochs is a number up to {MAX_EPOCHS}")));
    }
    spec.check()?;
    Ok(spec)
}

/// Refuses a --stop-at that could never be met.
fn check_stop_at(config: &TrainConfig, training: &Dataset, held_out: bool) -> Result<()> {
    let Some(stop_at) = &config.run.stop_at else { return Ok(()) };
    if !held_out {
        return Err(Error::usage("--stop-at without validation or test data")
            .help("give --validation or --test: what is learnt by heart proves nothing"));
    }
    check_metric(&stop_at.metric, training).map_err(|e| e.at(format!("--stop-at {stop_at}")))
}

/// Refuses a metric that the run doesn't have.
fn check_metric(metric: &str, training: &Dataset) -> Result<()> {
    let metrics: &[&str] = match training.targets() {
        Targets::Classes { .. } => &["loss", "accuracy"],
        Targets::Numbers(_) => &["loss", "rmse", "mae", "r2"],
        Targets::Labels { .. } => &["loss"],
    };
    if metrics.contains(&metric) {
        return Ok(());
    }
    Err(Error::usage(format!("{metric} is no metric of these data"))
        .help(format!("they have {}", metrics.join(", "))))
}

/// When the run ends early and what it keeps. A run that ends by a metric is compared by it too, so
/// that the epoch that was good enough is the one that is kept.
fn resolve_stopping(
    config: &mut TrainConfig,
    spec: &mut Spec,
    training: &Dataset,
    has_validation: bool,
) -> Result<()> {
    let run = &mut config.run;
    let wants = |what: &str| {
        Err(Error::usage(format!("{what} without validation data"))
            .help("hold some rows out with --validation"))
    };
    match (has_validation, run.patience, run.keep) {
        (false, Some(_), _) => return wants("--patience"),
        (false, _, Some(Keep::Best)) => return wants("--keep best"),
        _ => {}
    }
    if let Some(metric) = &run.metric {
        check_metric(metric, training).map_err(|e| e.at(format!("--metric {metric}")))?;
    }
    let keep = *run.keep.get_or_insert(if has_validation { Keep::Best } else { Keep::Last });
    spec.stopping = Stopping {
        keep,
        metric: run.metric.clone().or_else(|| Some(run.stop_at.as_ref()?.metric.clone())),
        patience: run.patience,
        time_limit: run.time_limit.map(|span| span.0),
        on_divergence: run.on_divergence.unwrap_or_default(),
    };
    spec.stopping.check()
}

/// Makes paths absolute, so that the options mean the same from everywhere.
fn make_absolute(config: &mut TrainConfig) -> Result<()> {
    let full = |path: &Path| -> Result<PathBuf> {
        absolute(path).map_err(|e| Error::io("find", path, &e))
    };
    for name in config.data.data.iter_mut().chain(&mut config.run.test) {
        if !NAMES.contains(&name.as_str()) && name != "-" {
            *name = full(Path::new(name))?.to_string_lossy().into_owned();
        }
    }
    for path in config.data.data_dir.iter_mut().chain(&mut config.run.init) {
        *path = full(path)?;
    }
    if let Some(Validation::Path(path)) = &mut config.run.validation
        && !path.to_str().is_some_and(|name| NAMES.contains(&name))
    {
        *path = full(path)?;
    }
    Ok(())
}

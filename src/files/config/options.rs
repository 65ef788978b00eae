//! The options, each under one name: as a flag, in the environment and in a file.

use super::events::EventsDirectory;
use super::numbers::{number, seed, whole};
use super::reproducible::Reproducible;
use super::values::{
    ByteSize, Calibration, ColumnNames, Ensemble, HiddenLayers, Preset, Validation, names, text,
};
use crate::backend::device::Choice;
use crate::base::every::{Every, TimeSpan};
use crate::data::split::Split;
use crate::data::{ClassWeight, Colour, ImageSize, MissingTarget, Scaling, Task};
use crate::math::init::Init;
use crate::math::loss::Objective;
use crate::math::optim::Optimizer;
use crate::math::schedule::{MomentumCycle, Schedule, Span};
use crate::net::augment::Augment;
use crate::net::precision::Precision;
use crate::net::spec::{Bias, Norm, PlanKind, Units};
use crate::net::stopping::{Keep, OnDivergence, StopAt};
use clap::Args;
use clap::builder::BoolishValueParser;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The data, and what is to be learnt from them.
#[derive(Debug, Clone, PartialEq, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Data")]
pub struct DataConfig {
    /// A set's name, a file or a directory; given as the argument DATA, or by --data.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,

    /// Where the files of known sets are looked for first
    #[arg(long, env = "WGRAD_DATA_DIR", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,

    /// The target columns of a table, by name or number from 1 on; in this list and the others a name
    /// with a comma is quoted, as in '"a, b",c' [default: the last column]
    #[arg(long, env = "WGRAD_TARGET", value_name = "NAME[,NAME…]")]
    #[serde(with = "names", default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Vec<ColumnNames>>,

    /// The only columns to learn from, by name or number [default: all but the target]
    #[arg(long, env = "WGRAD_COLUMNS", value_name = "NAME[,NAME…]")]
    #[serde(with = "names", default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<ColumnNames>>,

    /// Columns that are left out
    #[arg(long, env = "WGRAD_IGNORE", value_name = "NAME[,NAME…]")]
    #[serde(with = "names", default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<Vec<ColumnNames>>,

    /// Columns of categories, whatever they look like
    #[arg(long, env = "WGRAD_CATEGORICAL", value_name = "NAME[,NAME…]")]
    #[serde(with = "names", default, skip_serializing_if = "Option::is_none")]
    pub categorical: Option<Vec<ColumnNames>>,

    /// Columns of numbers, whatever they look like
    #[arg(long, env = "WGRAD_NUMERIC", value_name = "NAME[,NAME…]")]
    #[serde(with = "names", default, skip_serializing_if = "Option::is_none")]
    pub numeric: Option<Vec<ColumnNames>>,

    /// Columns with long tails, whose logarithms are taken: sign(x) · ln(1 + |x|)
    #[arg(long, env = "WGRAD_LOG", value_name = "NAME[,NAME…]")]
    #[serde(with = "names", default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Vec<ColumnNames>>,

    /// Columns of categories that become an input for each category; with up to 100 categories (rare
    /// ones, which share an input, not counted) columns do anyway
    #[arg(long, env = "WGRAD_ONE_HOT", value_name = "NAME[,NAME…]")]
    #[serde(with = "names", default, skip_serializing_if = "Option::is_none")]
    pub one_hot: Option<Vec<ColumnNames>>,

    /// Columns of categories that are hashed into 128 shared inputs, two for each category
    #[arg(long, env = "WGRAD_HASH", value_name = "NAME[,NAME…]")]
    #[serde(with = "names", default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Vec<ColumnNames>>,

    /// Columns of categories that the net embeds: each category becomes a vector that is learnt; with
    /// more than 100 categories columns are anyway
    #[arg(long, env = "WGRAD_EMBED", value_name = "NAME[,NAME…]")]
    #[serde(with = "names", default, skip_serializing_if = "Option::is_none")]
    pub embed: Option<Vec<ColumnNames>>,

    /// The dimensions of each embedding; 0: more than 100 categories are hashed into shared inputs, and
    /// not embedded [default: 1.6 · categories^0.56, at most 50]
    #[arg(long, env = "WGRAD_EMBEDDING_DIMS", value_name = "N", value_parser = whole("8"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_dims: Option<usize>,

    /// How much the training rows of each class count in the loss: balanced (all classes alike), or as
    /// in yes=3,no=1, 1 for the others; held-out rows are not weighted by class
    #[arg(long, env = "WGRAD_CLASS_WEIGHT", value_name = "balanced|CLASS=WEIGHT,…")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weight: Option<ClassWeight>,

    /// A column that says how much each row counts in the loss, and held-out rows in their metrics
    /// too; multiplied with --class-weight, and scaled to a mean of 1
    #[arg(long, env = "WGRAD_SAMPLE_WEIGHT", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_weight: Option<String>,

    /// classification, regression or multilabel [default: from the target]
    #[arg(long, env = "WGRAD_TASK")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,

    /// What becomes of rows whose target is missing: error refuses them, drop leaves them out of
    /// training, validation and test [default: error]
    #[arg(long, env = "WGRAD_MISSING_TARGET", value_name = "drop|error")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_target: Option<MissingTarget>,

    /// standard, minmax, robust, quantile (to normal) or none [default: quantile for tables with
    /// 2,000 training rows or more, minmax for images, none for generated sets, else standard]
    #[arg(long, env = "WGRAD_SCALING")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,

    /// Width and height to which images are resized, as in 28x28 [default: their own, or 32x32 where
    /// they differ]
    #[arg(long, env = "WGRAD_IMAGE_SIZE", value_name = "WxH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<ImageSize>,

    /// Channels of images: grey, rgb, grey-alpha or rgba; without alpha, images are composited over
    /// white [default: rgb if any has colors, with alpha if any has transparent pixels]
    #[arg(long, env = "WGRAD_IMAGE_COLOUR", value_name = "CHANNELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_colour: Option<Colour>,

    /// What weights, order, split and generated data are drawn from [default: 0]
    #[arg(long, env = "WGRAD_SEED", value_name = "N", value_parser = seed)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// The net and what is made small.
#[derive(Debug, Clone, PartialEq, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Net")]
pub struct NetConfig {
    /// The hidden layers, as in 128:relu,64:tanh, or none; 8:relu*4+tanh*4 mixes units [default: 128;
    /// 128,128 for tables]
    #[arg(long, env = "WGRAD_LAYERS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<HiddenLayers>,

    /// The activation of hidden layers that --layers gives none [default: relu]
    #[arg(long, env = "WGRAD_ACTIVATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Units>,

    /// The activation of the output layer [default: as the loss needs it, mostly identity]
    #[arg(long, env = "WGRAD_OUTPUT_ACTIVATION", value_name = "ACTIVATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_activation: Option<Units>,

    /// add, subtract or none [default: add]
    #[arg(long, env = "WGRAD_BIAS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias: Option<Bias>,

    /// batch or layer: what normalises the hidden layers before their activation [default: none]
    #[arg(long, env = "WGRAD_NORM")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,

    /// Residual blocks of so many hidden layers each, behind the first hidden layer; 0 for none
    /// [default: 0]
    #[arg(long, env = "WGRAD_RESIDUAL", value_name = "LAYERS", value_parser = whole("2"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<usize>,

    /// The fraction of each hidden layer's outputs that dropout drops in training [default: 0]
    #[arg(long, env = "WGRAD_DROPOUT", value_name = "FRACTION", value_parser = number("0.5"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f32>,

    /// The fraction of the inputs that dropout drops in training [default: 0]
    #[arg(long, env = "WGRAD_INPUT_DROPOUT", value_name = "FRACTION", value_parser = number("0.2"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_dropout: Option<f32>,

    /// How weights are drawn, as in xavier-normal or uniform(0.1) [default: as suits the activation;
    /// xavier-uniform for tables]
    #[arg(long, env = "WGRAD_INITIALIZER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initializer: Option<Init>,

    /// The loss, with :total, :mean-batch or :mean: squared-error, absolute-error, huber(δ), log-cosh,
    /// quantile(τ), gaussian-nll (a mean and a deviation), poisson, cosine; cross-entropy, focal(γ),
    /// hinge, kl-divergence, binary-cross-entropy, binary-focal(γ), cross-entropy-probabilities
    /// [default: cross-entropy for classes, binary-cross-entropy for labels, squared-error for
    /// numbers]
    #[arg(long, env = "WGRAD_LOSS", value_name = "LOSS[:REDUCTION]")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Objective>,

    /// The share ε of a class's probability that training gives to all classes alike [default: 0]
    #[arg(long, env = "WGRAD_LABEL_SMOOTHING", value_name = "SHARE", value_parser = number("0.1"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_smoothing: Option<f32>,
}

/// How the net is trained.
#[derive(Debug, Clone, PartialEq, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Training")]
pub struct StepConfig {
    /// sgd, momentum, nesterov, adam, adamw, adagrad, rmsprop, nadam, amsgrad, radam, lion, lamb,
    /// muon; rprop and lbfgs on full batches [default: adam]
    #[arg(long, env = "WGRAD_OPTIMIZER")]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Optimizer>,

    /// The learning rate [default: 0.001 for adam and most others (adam on tables: 0.007, of numbers
    /// 0.005, for one net 0.003; on digits: 0.007), 0.02 with momentum and for muon, 0.1 for sgd, 0.01 for adagrad, rprop and lamb, 0.002
    /// for nadam, 0.0001 for lion, 1 for lbfgs]
    #[arg(long, env = "WGRAD_LR", value_name = "RATE", value_parser = number("0.001"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f32>,

    /// How the learning rate changes: constant, linear, cosine, step(EVERY,FACTOR),
    /// exponential(FACTOR) or (FACTOR,EVERY), polynomial(POWER), cosine-restarts(FIRST,MULT),
    /// one-cycle(PEAK,START,END), inverse-sqrt or plateau(FACTOR,PATIENCE); a stretch is written 500
    /// (steps), 0.3 (of the run) or 2epochs [default: constant; cosine for tables]
    #[arg(long, env = "WGRAD_SCHEDULE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,

    /// The steps, share of the run or epochs over which the learning rate rises first [default: 0]
    #[arg(long, env = "WGRAD_WARMUP", value_name = "STEPS|SHARE|EPOCHS")]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Span>,

    /// The momentum; β₁ for adam, its kin and lion [default: 0.9; 0 for rmsprop]
    #[arg(long, env = "WGRAD_MOMENTUM", value_name = "FACTOR", value_parser = number("0.9"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f32>,

    /// Beside one-cycle: the momentum, or β₁, at the ends of the run and at its peak
    /// [default: what --momentum says; 0.95,0.85 without numbers]
    #[arg(
        long,
        env = "WGRAD_CYCLE_MOMENTUM",
        value_name = "HIGH,LOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0.95,0.85"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycle_momentum: Option<MomentumCycle>,

    /// β₂ of adam, its kin and lion; α of rmsprop [default: 0.999; 0.99 for lion and rmsprop]
    #[arg(long, env = "WGRAD_BETA2", value_name = "FACTOR", value_parser = number("0.999"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta2: Option<f32>,

    /// What is added to the root that a step is divided by [default: 1e-8; 1e-10 for adagrad]
    #[arg(long, env = "WGRAD_EPSILON", value_name = "NUMBER", value_parser = number("1e-8"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f32>,

    /// The weight decay, of weights but not of biases [default: 0]
    #[arg(long, env = "WGRAD_WEIGHT_DECAY", value_name = "FACTOR", value_parser = number("0.01"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f32>,

    /// Scale each unit's incoming weights back to this norm where a step takes them beyond it
    #[arg(long, env = "WGRAD_MAX_NORM", value_name = "NORM", value_parser = number("3"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_norm: Option<f32>,

    /// Decay biases and the tables of embeddings too
    #[arg(
        long, env = "WGRAD_DECAY_ALL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(),
        hide_possible_values = true,
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_all: Option<bool>,

    /// The L1 penalty, of weights but not of biases [default: 0]
    #[arg(long, env = "WGRAD_L1", value_name = "FACTOR", value_parser = number("1e-5"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l1: Option<f32>,

    /// Limit every element of the gradient to this size
    #[arg(long, env = "WGRAD_CLIP_VALUE", value_name = "LIMIT", value_parser = number("1"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f32>,

    /// Scale the gradient of each weight matrix and bias down to this norm
    #[arg(long, env = "WGRAD_CLIP_NORM", value_name = "LIMIT", value_parser = number("1"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f32>,

    /// Scale the gradient of all parameters down to this norm
    #[arg(long, env = "WGRAD_CLIP_GLOBAL_NORM", value_name = "LIMIT", value_parser = number("1"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_global_norm: Option<f32>,

    /// Add normal noise to gradients, of this variance at first [default: 0]
    #[arg(
        long,
        env = "WGRAD_GRADIENT_NOISE",
        value_name = "VARIANCE",
        value_parser = number("0.01")
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_noise: Option<f32>,

    /// Evaluate and save a moving average of the weights, of which a step keeps this part, as in 0.999
    #[arg(
        long,
        env = "WGRAD_EMA",
        value_name = "DECAY",
        conflicts_with = "swa",
        value_parser = number("0.999")
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f32>,

    /// Evaluate and save the mean of the weights over this last part of the epochs, as in 0.25
    #[arg(long, env = "WGRAD_SWA", value_name = "FRACTION", value_parser = number("0.25"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swa: Option<f32>,

    /// What happens to images in training, as in shift(2)+rotation(10)+scale(0.1)+shear(8)+elastic(3,7)
    /// +noise(10)+cutout(8): pixels, degrees, parts; or standard [default: none]
    #[arg(long, env = "WGRAD_AUGMENT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,

    /// Train on what lies between two rows of a batch, inputs and targets mixed by as much as is drawn
    /// from Beta(α, α) for each step, as in 0.2; not with weights of rows or classes [default: none]
    #[arg(long, env = "WGRAD_MIXUP", value_name = "ALPHA", value_parser = number("0.2"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f32>,

    /// Rows of a batch [default: 64; all rows for rprop and lbfgs]
    #[arg(long, env = "WGRAD_BATCH_SIZE", value_name = "ROWS", value_parser = whole("64"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,

    /// The most rows that go through the net at a time, the gradients of a batch's parts being added
    /// up [default: the whole batch, or what fits the device]
    #[arg(long, env = "WGRAD_MICRO_BATCH", value_name = "ROWS", value_parser = whole("16"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,

    /// f32, or f16: activations and a copy of the weights in half precision, on GPUs that were seen
    /// to compute right and faster so [default: f32]
    #[arg(long, env = "WGRAD_PRECISION", value_name = "f32|f16")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,

    /// What the loss is multiplied by at first in f16, a power of two; then it follows overflows
    /// [default: 65536]
    #[arg(long, env = "WGRAD_LOSS_SCALE", value_name = "SCALE", value_parser = number("65536"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f32>,
}

/// How long, where, and to what end.
#[derive(Debug, Clone, PartialEq, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Run")]
pub struct RunConfig {
    /// The part of the rows that is held out, or the path of other data; 0 for none [default: 0.1]
    #[arg(long, env = "WGRAD_VALIDATION", value_name = "FRACTION|PATH")]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,

    /// How the held-out rows are chosen: random, stratified (alike shares of classes), group:COL
    /// (equal values stay together), time:COL (the latest), column:COL (train, validation or test)
    /// [default: stratified for classes, else random; random beyond --memory-limit]
    #[arg(long, env = "WGRAD_SPLIT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,

    /// Train as many nets, each with another part held out, and judge them together
    #[arg(long, env = "WGRAD_FOLDS", value_name = "K", value_parser = whole("5"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<usize>,

    /// Train only the net of this one of the --folds, as any other run
    #[arg(long, env = "WGRAD_FOLD", value_name = "I", value_parser = whole("1"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,

    /// Train so many nets and average what they predict: of other seeds on the same rows; with
    /// :folds, as in 5:folds, each with another part of the rows held out, so that all are learned from
    /// and each row is judged by the net that didn't see it; 1 for a single net [default: 3:folds for
    /// tables of up to 30,000 rows of which nothing else is held out, 10:folds with --preset strong or
    /// best, else 1]
    #[arg(long, env = "WGRAD_ENSEMBLE", value_name = "N[:folds]")]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub ensemble: Option<Ensemble>,

    /// Train only this net of the --ensemble, as any other run
    #[arg(long, env = "WGRAD_MEMBER", value_name = "I", value_parser = whole("1"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<usize>,

    /// Whether predicted probabilities are calibrated on the held-out rows: temperature (logits are
    /// divided by the number that makes their log loss least) or none [default: none; temperature for
    /// tables]
    #[arg(long, env = "WGRAD_CALIBRATE", value_name = "temperature|none")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibrate: Option<Calibration>,

    /// quick, strong or best: settings that suit the data at hand; options that are given go before
    /// them
    #[arg(long, env = "WGRAD_PRESET", value_name = "quick|strong|best")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,

    /// Data that the trained net is measured on [default: the test part of a known set]
    #[arg(long, env = "WGRAD_TEST", value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,

    /// A safetensors file of weights to start from
    #[arg(long, env = "WGRAD_INIT", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,

    /// Number of passes over the training rows [default: 10; 30 for digits; for tables 8 to 60, about 500
    /// steps (numbers: 1,500), of one net 20 to 150, about 4,000 steps]
    #[arg(long, env = "WGRAD_EPOCHS", value_name = "N", value_parser = whole("10"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,

    /// Take the rows in the order of the data in every epoch
    #[arg(
        long, env = "WGRAD_NO_SHUFFLE", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "BOOL", value_parser = BoolishValueParser::new(),
        hide_possible_values = true,
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_shuffle: Option<bool>,

    /// End the run as soon as a metric is this good, as in accuracy=0.98
    #[arg(long, env = "WGRAD_STOP_AT", value_name = "METRIC=VALUE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_at: Option<StopAt>,

    /// The weights that the run leaves: best, of the epoch that is best on the validation rows, or
    /// last [default: best where there are validation rows]
    #[arg(long, env = "WGRAD_KEEP", value_name = "best|last")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,

    /// The metric on the validation rows by which epochs are compared: loss, accuracy, f1, roc_auc, rmse
    /// or any other of the report but coverage_95; one that isn't shown anyway is measured after each
    /// epoch [default: that of --stop-at, else accuracy for classes, but loss for those of tables, and loss
    /// for all else]
    #[arg(long, env = "WGRAD_METRIC", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,

    /// End the run after so many epochs without a better one
    #[arg(long, env = "WGRAD_PATIENCE", value_name = "EPOCHS", value_parser = whole("5"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,

    /// End the run after this time, as in 90s, 10m or 2h; with --folds the training of each net
    #[arg(long, env = "WGRAD_TIME_LIMIT", value_name = "TIME")]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<TimeSpan>,

    /// About the memory that a table may take, as in 256M or 2G: a larger one is kept encoded on
    /// disk, in WGRAD_CACHE_DIR, and trained on in parts; other data than tables, and NPZ while it is
    /// read, are held as a whole [default: any]
    #[arg(long, env = "WGRAD_MEMORY_LIMIT", value_name = "SIZE")]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<ByteSize>,

    /// What is done when the loss is no longer finite: stop and say where it began, lower-lr (back to
    /// the start of the epoch, and on with half the learning rate) or skip-batch (on without the batch)
    /// [default: stop]
    #[arg(long, env = "WGRAD_ON_DIVERGENCE", value_name = "stop|lower-lr|skip-batch")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_divergence: Option<OnDivergence>,

    /// How often a checkpoint is written, as in 60s, 10m or 5epochs; one is always written at the end
    /// [default: 60s]
    #[arg(long, env = "WGRAD_CHECKPOINT_EVERY", value_name = "TIME|EPOCHS")]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<Every>,

    /// How many checkpoints are kept; 0 for none at all [default: 2]
    #[arg(long, env = "WGRAD_KEEP_CHECKPOINTS", value_name = "N", value_parser = whole("2"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_checkpoints: Option<usize>,

    /// The run directory [default: runs/DATA-N]
    #[arg(long, env = "WGRAD_OUT", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,

    /// Write event files for TensorBoard: losses, metrics, learning rate, histograms of the weights, the
    /// confusion matrix. Into the run directory, or into a directory of the run's name in DIR
    #[arg(
        long, env = "WGRAD_TENSORBOARD", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "DIR",
    )]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub tensorboard: Option<EventsDirectory>,

    /// fused, several operations at once where the device has kernels for that, or plain, one kernel
    /// for each [default: fused]
    #[arg(long, env = "WGRAD_PLAN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanKind>,

    /// Sum the gradients of each batch over a fixed number of blocks of its rows in a fixed order: the same model, bit
    /// for bit, whatever the number of processes that mpirun or srun starts, up to the number of blocks, a power of
    /// two; no for the order that is fastest [default: no for a single process; yes, with 8 blocks, for several where
    /// it costs less than 5%]
    #[arg(
        long, env = "WGRAD_REPRODUCIBLE", num_args = 0..=1, require_equals = true,
        default_missing_value = "yes", value_name = "BLOCKS|no",
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reproducible: Option<Reproducible>,
}

/// What it runs on.
#[derive(Debug, Clone, PartialEq, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Device")]
pub struct DeviceConfig {
    /// auto, cpu, gpu, or an adapter's number or name, see wgrad devices [default: auto]
    #[arg(long, env = "WGRAD_DEVICE")]
    #[serde(with = "text", default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Choice>,

    /// Threads of the CPU backend, which change no result [default: one for each processor]
    #[arg(long, env = "WGRAD_THREADS", value_name = "N", value_parser = whole("2"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
}

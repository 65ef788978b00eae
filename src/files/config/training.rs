//! The options of training, declared as in [`super::options`].

use super::declare::options;
use super::events::EventsDirectory;
#[cfg(feature = "cli")]
use super::numbers::{number, whole};
use super::reproducible::Reproducible;
use super::shard::Shard;
use super::values::{ByteSize, Calibration, Ensemble, HeldOutData, Preset, text};
use crate::backend::device::Device;
use crate::base::every::{Every, TimeSpan};
use crate::data::split::Split;
use crate::math::optim::Optimizer;
use crate::math::schedule::{MomentumCycle, Schedule, Span};
use crate::net::augment::Augment;
use crate::net::precision::Precision;
use crate::net::spec::PlanKind;
use crate::net::stopping::{Keep, OnDivergence, StopAt};
#[cfg(feature = "cli")]
use clap::builder::BoolishValueParser;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

options! {
    /// The steps of training.
    #[command(next_help_heading = "Training")]
    StepConfig {
        /// Optimizer (see the end of train --help) [default: adam]
        #[arg(value_name = "NAME")]
        #[serde(with = "text")]
        optimizer: Optimizer,

        /// Learning rate [default: depends on optimizer and data: 0.001 for adam, 0.003 to 0.007 for tables and digits]
        #[arg(value_name = "RATE", value_parser = number("0.001"))]
        lr: f32,

        /// Learning-rate schedule (see the end of train --help) [default: constant; cosine for tables]
        #[arg(value_name = "SCHEDULE")]
        schedule: Schedule,

        /// Linear warmup, in steps (500) or epochs (2epochs), or as a fraction of the run (0.05) [default: 0]
        #[arg(value_name = "SPAN")]
        #[serde(with = "text")]
        warmup: Span,

        /// Momentum factor of momentum, nesterov, rmsprop and muon [default: 0.9; 0 for rmsprop]
        #[arg(value_name = "FACTOR", value_parser = number("0.9"))]
        momentum: f32,

        /// β₁ of adam-like optimizers and lion [default: 0.9]
        #[arg(value_name = "FACTOR", value_parser = number("0.9"))]
        beta1: f32,

        /// β₂ of adam-like optimizers and lion; α of rmsprop [default: 0.999; 0.99 for lion and rmsprop]
        #[arg(value_name = "FACTOR", value_parser = number("0.999"))]
        beta2: f32,

        /// ε: term added to the denominator for numerical stability [default: 1e-8; 1e-10 for adagrad]
        #[arg(value_name = "NUMBER", value_parser = number("1e-8"))]
        epsilon: f32,

        /// Cycle momentum or β₁ in a one-cycle schedule: HIGH at both ends, LOW at the peak of the learning
        /// rate
        #[arg(
            value_name = "HIGH,LOW", num_args = 0..=1, require_equals = true,
            default_missing_value = "0.95,0.85"
        )]
        cycle_momentum: MomentumCycle,

        /// Weight decay of the weight matrices [default: 0]
        #[arg(value_name = "FACTOR", value_parser = number("0.01"))]
        weight_decay: f32,

        /// Also decay biases, normalization parameters and embeddings
        #[arg(
            num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL",
            value_parser = BoolishValueParser::new(), hide_possible_values = true,
        )]
        decay_all: bool,

        /// Max-norm constraint on the incoming weights of each unit
        #[arg(value_name = "NORM", value_parser = number("3"))]
        max_norm: f32,

        /// L1 penalty; biases are exempt [default: 0]
        #[arg(value_name = "FACTOR", value_parser = number("1e-5"))]
        l1: f32,

        /// Gradient clipping by value
        #[arg(value_name = "LIMIT", value_parser = number("1"))]
        clip_value: f32,

        /// Gradient clipping by the norm of each weight matrix and bias
        #[arg(value_name = "LIMIT", value_parser = number("1"))]
        clip_norm: f32,

        /// Gradient clipping by the global norm
        #[arg(value_name = "LIMIT", value_parser = number("1"))]
        clip_global_norm: f32,

        /// Initial variance of Gaussian noise added to gradients [default: 0]
        #[arg(value_name = "VARIANCE", value_parser = number("0.01"))]
        gradient_noise: f32,

        /// Evaluate and save an exponential moving average of the weights, with this decay
        #[arg(value_name = "DECAY", conflicts_with = "swa", value_parser = number("0.999"))]
        ema: f32,

        /// Evaluate and save the average of the weights over the last FRACTION of the epochs
        #[arg(value_name = "FRACTION", value_parser = number("0.25"))]
        swa: f32,

        /// Image augmentation: standard, or operations (see the end of train --help) such as
        /// shift(2)+rotation(10) [default: none]
        #[arg(value_name = "OPERATIONS")]
        augment: Augment,

        /// Mixup: convex combinations of pairs of rows, with weights drawn from Beta(α, α) [default: none]
        #[arg(value_name = "ALPHA", value_parser = number("0.2"))]
        mixup: f32,

        /// Batch size [default: 64; all rows for rprop and lbfgs]
        #[arg(value_name = "ROWS", value_parser = whole("64"))]
        batch_size: usize,

        /// Largest micro-batch; gradients are accumulated up to the batch size [default: what fits on the
        /// device]
        #[arg(value_name = "ROWS", value_parser = whole("16"))]
        micro_batch: usize,

        /// f32, or f16: mixed precision on GPUs where it passes a self-test and is faster [default: f32]
        #[arg(value_name = "f32|f16")]
        precision: Precision,

        /// Initial loss scale for f16, a power of two, adjusted dynamically [default: 65536]
        #[arg(value_name = "SCALE", value_parser = number("65536"))]
        loss_scale: f32,
    }
}

options! {
    /// The length of a run, its evaluation and its directory.
    #[command(next_help_heading = "Run")]
    RunConfig {
        /// Trade-off between speed and accuracy: quick, strong or best; other options override it
        #[arg(value_name = "quick|strong|best")]
        preset: Preset,

        /// Passes over the training set [default: 10; 30 for digits; for tables, depends on the number of
        /// rows]
        #[arg(value_name = "N", value_parser = whole("10"))]
        epochs: usize,

        /// Fraction of rows held out for validation (0: none), or a file [default: 0.1; small tables: see
        /// --ensemble]
        #[arg(value_name = "FRACTION|PATH")]
        #[serde(with = "text")]
        validation: HeldOutData,

        /// Test set: a fraction of the rows, split off first, or a file [default: the data set's
        /// test set, if any]
        #[arg(value_name = "FRACTION|PATH")]
        #[serde(with = "text")]
        test: HeldOutData,

        /// Which rows are held out (see the end of train --help) [default: stratified for classes, else random]
        #[arg(value_name = "SPLIT")]
        split: Split,

        /// k-fold cross-validation, then training on all rows; each net selects its epoch on a tenth of its
        /// training rows
        #[arg(value_name = "K", value_parser = whole("5"))]
        folds: usize,

        /// Train only fold I of --folds
        #[arg(value_name = "I", value_parser = whole("1"))]
        fold: usize,

        /// Average N nets; with :folds, each holds out a different fold [default: 3:folds for tables up to
        /// 30,000 rows]
        #[arg(value_name = "N[:folds]")]
        #[serde(with = "text")]
        ensemble: Ensemble,

        /// Train only net I of --ensemble
        #[arg(value_name = "I", value_parser = whole("1"))]
        member: usize,

        /// Calibrate probabilities on held-out rows: temperature or none [default: temperature for tables]
        #[arg(value_name = "temperature|none")]
        calibrate: Calibration,

        /// Safetensors file with initial weights
        #[arg(value_name = "FILE")]
        init: PathBuf,

        /// Train on rows in their original order instead of shuffling them
        #[arg(
            num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL",
            value_parser = BoolishValueParser::new(), hide_possible_values = true,
        )]
        no_shuffle: bool,

        /// Stop once a validation metric reaches a value, such as accuracy=0.98
        #[arg(value_name = "METRIC=VALUE")]
        stop_at: StopAt,

        /// Early stopping: stop after this many epochs without improvement
        #[arg(value_name = "EPOCHS", value_parser = whole("5"))]
        patience: usize,

        /// Time limit, such as 90s, 10m or 2h; applies to each net of --folds
        #[arg(value_name = "TIME")]
        #[serde(with = "text")]
        time_limit: TimeSpan,

        /// Weights to keep: those of the best or the last epoch [default: best if there are validation rows]
        #[arg(value_name = "best|last", alias = "keep")]
        #[serde(alias = "keep")]
        keep_weights: Keep,

        /// Metric that selects the best epoch, such as f1 or rmse [default: accuracy; loss for tables and
        /// numeric targets]
        #[arg(value_name = "NAME")]
        metric: String,

        /// What to do when the loss becomes NaN or infinite: stop, lower-lr or skip-batch [default: stop]
        #[arg(value_name = "ACTION")]
        on_divergence: OnDivergence,

        /// Memory limit, such as 256M or 2G; larger tables are encoded to disk and read in parts
        #[arg(value_name = "SIZE")]
        #[serde(with = "text")]
        memory_limit: ByteSize,

        /// Checkpoint interval, such as 60s, 10m or 5epochs [default: 60s]
        #[arg(value_name = "TIME|EPOCHS")]
        #[serde(with = "text")]
        checkpoint_every: Every,

        /// Number of checkpoints to keep; 0 writes none [default: 2]
        #[arg(value_name = "N", value_parser = whole("2"))]
        keep_checkpoints: usize,

        /// Run directory [default: runs/DATA-N]
        #[arg(short = 'o', value_name = "DIR", alias = "output")]
        out: PathBuf,

        /// Write TensorBoard event files into the run directory, or under DIR
        #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "DIR")]
        #[serde(with = "text")]
        tensorboard: EventsDirectory,

        /// Kernels of a training step: fused, or plain (one per operation) [default: fused]
        #[arg(value_name = "fused|plain")]
        plan: PlanKind,

        /// Bit-identical weights for any number of processes: sum gradients in N blocks [default:
        /// for large batches; N: 8]
        #[arg(
            num_args = 0..=1, require_equals = true, default_missing_value = "yes", value_name = "N|no",
        )]
        reproducible: Reproducible,

        /// Split a table's training rows into N parts, each stored by one process [default: no; N: processes or
        /// blocks]
        #[arg(
            num_args = 0..=1, require_equals = true, default_missing_value = "yes", value_name = "N|no",
        )]
        shard: Shard,
    }
}

options! {
    /// The device.
    #[command(next_help_heading = "Device")]
    DeviceConfig {
        /// auto, cpu, gpu, or a number or name listed by wgrad devices [default: auto]
        #[arg(value_name = "DEVICE")]
        #[serde(with = "text")]
        device: Device,

        /// Number of CPU threads; doesn't affect the result [default: one per processor]
        #[arg(value_name = "N", value_parser = whole("2"))]
        threads: usize,
    }
}

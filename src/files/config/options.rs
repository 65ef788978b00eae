//! The options of data and net, each declared once: name, type and help. The flag, the
//! environment variable, the key in a file and the precedence follow from that.

use super::declare::options;
#[cfg(feature = "cli")]
use super::numbers::{number, seed, whole};
use super::values::{ColumnNames, HiddenLayers, names};
use crate::data::{ClassWeight, Colour, ImageSize, MissingTarget, OnError, Scaling, Task};
use crate::math::init::Init;
use crate::math::loss::Objective;
use crate::net::spec::{Bias, Norm, Units};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

options! {
    /// The data, and which columns are features and targets.
    #[command(next_help_heading = "Data")]
    DataConfig {
        /// Data set, file or directory; usually given as the argument DATA
        #[arg(hide = true, value_name = "DATA")]
        data: String,

        /// Directory to search for (Fashion-)MNIST before downloading it
        #[arg(value_name = "DIR")]
        data_dir: PathBuf,

        /// Target columns, by name or 1-based number; quote names with commas: '"a, b",c' [default: last]
        #[arg(value_name = "COLS")]
        #[serde(with = "names")]
        target: Vec<ColumnNames>,

        /// classification, regression or multilabel [default: inferred from the target]
        #[arg(value_name = "TASK")]
        task: Task,

        /// Use only these columns as features [default: all but the target]
        #[arg(value_name = "COLS")]
        #[serde(with = "names")]
        columns: Vec<ColumnNames>,

        /// Ignore these columns
        #[arg(value_name = "COLS")]
        #[serde(with = "names")]
        ignore: Vec<ColumnNames>,

        /// Treat these columns as categorical
        #[arg(value_name = "COLS")]
        #[serde(with = "names")]
        categorical: Vec<ColumnNames>,

        /// Treat these columns as numeric
        #[arg(value_name = "COLS")]
        #[serde(with = "names")]
        numeric: Vec<ColumnNames>,

        /// Log-transform these numeric columns: sign(x) · ln(1 + |x|)
        #[arg(value_name = "COLS", alias = "log")]
        #[serde(with = "names", alias = "log")]
        log_transform: Vec<ColumnNames>,

        /// One-hot encode these columns [default: categorical columns with up to 100 categories]
        #[arg(value_name = "COLS")]
        #[serde(with = "names")]
        one_hot: Vec<ColumnNames>,

        /// Hash these categorical columns into 128 shared inputs, two per category
        #[arg(value_name = "COLS")]
        #[serde(with = "names")]
        hash: Vec<ColumnNames>,

        /// Embed these columns [default: categorical columns with more than 100 categories]
        #[arg(value_name = "COLS")]
        #[serde(with = "names")]
        embed: Vec<ColumnNames>,

        /// Embedding dimensions; 0 hashes instead of embedding [default: 1.6 · categories^0.56, at most 50]
        #[arg(value_name = "N", value_parser = whole("8"))]
        embedding_dims: usize,

        /// Class weights in the training loss: balanced, or a list such as yes=3,no=1 (other classes: 1)
        #[arg(value_name = "WEIGHTS")]
        class_weight: ClassWeight,

        /// Column of sample weights, for the loss and all metrics; scaled to a mean of 1
        #[arg(value_name = "COL")]
        sample_weight: String,

        /// Rows without a target: drop them, or stop with an error [default: error]
        #[arg(value_name = "drop|error")]
        missing_target: MissingTarget,

        /// Unreadable rows of DATA: stop with exit code 3, or skip them, up to 5% [default: stop]
        #[arg(value_name = "stop|skip")]
        on_error: OnError,

        /// standard, minmax, robust, quantile or none [default: quantile for 2,000+ training rows,
        /// else standard; minmax for images]
        #[arg(value_name = "SCALING")]
        scaling: Scaling,

        /// Size to resize images to, such as 28x28 [default: their own size, or 32x32 if sizes differ]
        #[arg(value_name = "WxH")]
        image_size: ImageSize,

        /// Image channels: grey, rgb, grey-alpha or rgba [default: as in the images]
        #[arg(value_name = "CHANNELS", alias = "image-colour")]
        #[serde(alias = "image-colour")]
        image_color: Colour,

        /// Random seed for weights, shuffling, split and generated data [default: 0]
        #[arg(value_name = "N", value_parser = seed)]
        seed: u64,
    }
}

options! {
    /// The net and the objective.
    #[command(next_help_heading = "Net")]
    NetConfig {
        /// Hidden layers, such as 128:relu,64:tanh, or none; 8:relu*4+tanh*4 mixes activations [default: 128;
        /// 128,128 for tables]
        #[arg(value_name = "LAYERS")]
        layers: HiddenLayers,

        /// Default activation of hidden layers [default: relu]
        #[arg(value_name = "NAME")]
        activation: Units,

        /// Activation of the output layer [default: what the loss requires, usually identity]
        #[arg(value_name = "NAME")]
        output_activation: Units,

        /// Bias convention: add, subtract or none [default: add]
        #[arg(value_name = "BIAS")]
        bias: Bias,

        /// Normalization before each hidden activation: batch or layer [default: none]
        #[arg(value_name = "NORM")]
        norm: Norm,

        /// Residual connections that each skip N hidden layers, starting at the first [default: 0 (none)]
        #[arg(value_name = "N", value_parser = whole("2"))]
        residual: usize,

        /// Dropout rate of hidden layers [default: 0]
        #[arg(value_name = "RATE", value_parser = number("0.5"))]
        dropout: f32,

        /// Dropout rate of the inputs [default: 0]
        #[arg(value_name = "RATE", value_parser = number("0.2"))]
        input_dropout: f32,

        /// Weight initializer, such as xavier-normal or uniform(0.1) [default: by activation; xavier-uniform
        /// for tables]
        #[arg(value_name = "NAME")]
        initializer: Init,

        /// Loss, and its reduction: :total, :mean-batch (rows) or :mean (rows and outputs) [default:
        /// cross-entropy or squared-error]
        #[arg(value_name = "LOSS[:REDUCTION]")]
        loss: Objective,

        /// Label smoothing ε [default: 0]
        #[arg(value_name = "EPSILON", value_parser = number("0.1"))]
        label_smoothing: f32,
    }
}

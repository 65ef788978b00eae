//! Nets of dense layers from elsewhere: ONNX files and PyTorch's state dicts.

mod chain;
mod constants;
mod onnx;
mod state_dict;

use crate::data::Affine;
use crate::math::activation::Activation;

use crate::math::matrix::Matrix;
pub use chain::read;

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

//! Import of nets of dense layers, from ONNX files and PyTorch's state dicts.

mod chain;
mod constants;
mod onnx;
mod state_dict;

use crate::data::Affine;
use crate::math::activation::Activation;

use crate::math::matrix::Matrix;
pub use chain::read;

/// The kind of a net's outputs, if its file doesn't tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// Logits of classes; a single output is that of the second of two classes.
    Classes,
    /// Numbers.
    Numbers,
}

/// The options of an import.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The activation between layers, for a file that holds only weights.
    pub activation: Activation,
    /// The kind of outputs; none for that of the file, or numbers.
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

/// The contents of a file.
#[derive(Debug, Clone, PartialEq, Default)]
struct Parts {
    layers: Vec<Dense>,
    /// The scaling of the inputs, if there is one.
    scaling: Option<Affine>,
    /// The class names, if the outputs are probabilities.
    classes: Option<Vec<String>>,
}

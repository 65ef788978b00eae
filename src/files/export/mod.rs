//! A trained model for programs without this crate: ONNX, PyTorch, or one source file in C, Rust or
//! WGSL.
//!
//! Every format is written from one [`Description`], in which nothing of the preprocessing is left out;
//! what a format cannot express is an error that names the column.

pub mod code;
pub mod compare;
pub mod description;
pub mod onnx;
pub mod pytorch;
pub mod rows;
#[cfg(feature = "tract")]
pub mod runtime;
pub mod wgsl;

pub use description::Description;

use crate::base::error::{Error, Result};
use crate::base::names::names;
use crate::math::matrix::Matrix;
use std::path::Path;

/// What a file gave for some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// Numbers, (rows, columns): probabilities, values and deviations side by side.
    pub numbers: Matrix<f64>,
    /// The most probable class of each row, where there are classes.
    pub labels: Option<Vec<String>>,
}

/// Whether the net is exported alone: prepared features in, its outputs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bare(pub bool);

/// What a model is exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// ONNX, opset 17.
    Onnx,
    /// Weights as safetensors, and a README that builds the module.
    Pytorch,
    /// One file of Rust without dependencies.
    Rust,
    /// One file of C99.
    C,
    /// One compute shader.
    Wgsl,
}

names!(Format, "export format": Onnx "onnx", Pytorch "pytorch", Rust "rust", C "c", Wgsl "wgsl");

impl Format {
    /// The format that a file's extension says.
    ///
    /// # Errors
    /// For an extension that says none.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            "onnx" => Ok(Format::Onnx),
            "safetensors" => Ok(Format::Pytorch),
            "rs" => Ok(Format::Rust),
            "c" => Ok(Format::C),
            "wgsl" => Ok(Format::Wgsl),
            _ => Err(Error::usage(format!("the name {} doesn't say a format", path.display()))
                .help("end it in .onnx, .safetensors, .rs, .c or .wgsl, or give --format")),
        }
    }
}

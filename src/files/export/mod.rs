//! A trained model for programs without this crate: ONNX, PyTorch, or one source file in C, Rust or
//! WGSL.
//!
//! Every format is written from one [`Description`], which includes the whole preprocessing;
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

/// The outputs of a file for some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// Numbers, (rows, columns): probabilities, values and deviations side by side.
    pub numbers: Matrix<f64>,
    /// The most probable class of each row, if there are classes.
    pub labels: Option<Vec<String>>,
}

/// Whether the net is exported alone: prepared features in, its outputs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bare(pub bool);

/// An export format.
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
    /// The format of a file's extension.
    ///
    /// # Errors
    /// For an unknown extension.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            "onnx" => Ok(Format::Onnx),
            "safetensors" => Ok(Format::Pytorch),
            "rs" => Ok(Format::Rust),
            "c" => Ok(Format::C),
            "wgsl" => Ok(Format::Wgsl),
            _ => Err(Error::usage(format!(
                "the format can't be inferred from the name {}",
                path.display()
            ))
            .help("use the extension .onnx, .safetensors, .rs, .c or .wgsl, or give --format")),
        }
    }
}

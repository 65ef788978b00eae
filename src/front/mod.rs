//! The interface for programs: a classifier and a regressor over one engine, with the defaults that they share
//! with the command line.

mod builder;
mod classifier;
mod control;
mod fitted;
#[cfg(not(target_arch = "wasm32"))]
mod fitting;
mod labels;
mod regressor;
mod rows;
mod settings;
pub(crate) mod setup;
mod training;
mod words;

pub use classifier::{Classifier, ClassifierBuilder};
pub use control::{CancelToken, EpochReport};
#[cfg(not(target_arch = "wasm32"))]
pub use fitting::Fitting;
pub use labels::{FromLabel, Label, Labels};
pub use regressor::{Regressor, RegressorBuilder};
pub use rows::Rows;

//! The high-level library API: a classifier and a regressor on a common engine, which share their defaults
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

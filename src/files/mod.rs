//! What is kept in files besides data: models, checkpoints, options, predictions, models for and from other programs.

pub mod checkpoint;
#[cfg(feature = "cli")]
pub mod config;
pub mod export;
pub mod import;
pub mod predictions;
pub(crate) mod tensors;

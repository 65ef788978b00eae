//! What is kept in files besides data: models, checkpoints, options, predictions, models for and from other programs.

pub mod checkpoint;
pub mod config;
#[cfg(feature = "data")]
pub mod export;
#[cfg(feature = "data")]
pub mod import;
#[cfg(feature = "data")]
pub mod predictions;
pub(crate) mod tensors;

//! Files other than data: models, checkpoints, options, predictions, exports and imports.

pub mod checkpoint;
pub mod config;
#[cfg(feature = "data")]
pub mod export;
#[cfg(feature = "data")]
pub mod import;
#[cfg(feature = "data")]
pub mod predictions;
pub(crate) mod tensors;

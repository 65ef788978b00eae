//! The rows of numbers for a net, with their targets, weights and scaling.

pub(super) mod dataset;
#[cfg(feature = "data")]
pub(super) mod digits;
pub(super) mod features;
pub(super) mod fingerprint;
pub(super) mod generated;
#[cfg(feature = "data")]
pub(super) mod housing;
pub(super) mod image_shape;
pub(super) mod matrix_scaling;
pub(super) mod predictions;
pub(super) mod samples;
pub(super) mod scaling;
pub(super) mod target_scaling;
pub(super) mod targets;
pub(super) mod weights;

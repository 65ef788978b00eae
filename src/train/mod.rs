//! A run from initial weights to a model: the training loop, its events, the trained net, evaluation,
//! benchmarks.

#[cfg(feature = "data")]
pub mod bench;
pub mod calibration;
pub mod choose;
pub mod evaluation;
pub mod event;
pub mod findings;
pub mod linear;
pub mod model;
pub mod range_test;
pub mod ranks;
pub mod samples;
pub mod snapshot;
pub mod trainer;

//! A run from drawn weights to a model, and what it is worth: the loop, its events, the trained net, evaluation,
//! speed.

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

//! What to train, as plain data: the net, the objective, the precision, stopping and metrics.

pub mod augment;
pub mod metrics;
pub mod precision;
pub mod spec;
pub mod stopping;

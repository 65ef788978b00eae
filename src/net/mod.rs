//! What to train, as plain data: the net, the objective, the precision, when a run ends and what it is judged by.

pub mod augment;
pub mod metrics;
pub mod precision;
pub mod spec;
pub mod stopping;

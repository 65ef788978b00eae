//! From gradients to new parameters: edits, the optimizer's step, averages.

pub mod average;
pub mod collect;
pub mod combine;
pub mod direction;
pub mod edits;
pub mod gradient_update;
pub mod max_norm;
pub mod optimizer;
pub mod vector_norm;

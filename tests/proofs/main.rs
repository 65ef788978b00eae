//! The correctness of the mathematics: against the source documents, central differences, PyTorch and
//! scikit-learn. Parity with f64, op by op, is a separate program, because it is also run on machines without
//! Rust.

#[path = "../common/mod.rs"]
mod common;
mod evaluation;
mod golden;
mod golden_cases;
mod golden_layers;
mod golden_training;
mod gradients;
mod sources;
#[path = "../ten_steps/mod.rs"]
mod ten_steps;

//! The library as used by programs: `Classifier` and `Regressor`, their errors, and the examples.

mod api;
mod arrays;
mod bits;
#[path = "../cli_support/mod.rs"]
mod cli_support;
mod device;
mod examples;
#[path = "../forward/mod.rs"]
mod forward;
mod refused;
mod watched;

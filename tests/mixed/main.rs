//! Mixed precision: each op against f64 by the parity rule, whole runs against f32, the scale of the
//! loss, resuming, and refusals.

#[path = "../adapter/mod.rs"]
mod adapter;
mod admission;
#[path = "../cli_support/mod.rs"]
mod cli_support;
mod device;
#[path = "../forward/mod.rs"]
mod forward;
mod programs;
mod runs;
mod task;

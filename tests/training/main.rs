//! Whole runs: parts of a step besides layers, the end of a run, the weights it keeps, and resuming.

mod accumulation;
#[path = "../adapter/mod.rs"]
mod adapter;
mod averaging;
mod by_hand;
#[path = "../cli_support/mod.rs"]
mod cli_support;
#[path = "../common/mod.rs"]
mod common;
mod determinism;
mod divergence;
mod doctor;
#[path = "../forward/mod.rs"]
mod forward;
mod layerwise;
mod ranks;
mod resume;
mod schedules;
mod seams;
mod stopping;
mod weights;

//! Programs, their plans and backends: fused and plain, on the CPU and on GPUs.

#[path = "../adapter/mod.rs"]
mod adapter;
mod backend_api;
#[path = "../cli_support/mod.rs"]
mod cli_support;
#[path = "../common/mod.rs"]
mod common;
mod cuts;
mod embeddings;
mod export_wgsl;
mod features;
#[path = "../forward/mod.rs"]
mod forward;
mod launches;
mod layers;
mod limits;
mod nets;
mod pieces;
mod plans;
mod shaders;
mod subgroups;
#[path = "../ten_steps/mod.rs"]
mod ten_steps;
mod tiles;

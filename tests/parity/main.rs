//! Parity op by op: the GPU against f64, by the rule in `wgrad::proof::parity`, over random shapes.

#[path = "../adapter/mod.rs"]
mod adapter;
mod case;
#[path = "../forward/mod.rs"]
mod forward;
mod functions;
mod inputs;
mod products;
mod programs;
mod seeds;
mod updates;

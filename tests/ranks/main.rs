//! The program started by `mpirun`: several processes train one net, only rank 0 writes and prints, and no
//! error or lost process leaves the others waiting.

#[path = "../cli_support/mod.rs"]
mod cli_support;
mod faults;
mod jobs;
mod same_bits;
mod sharded;

//! wgrad trains feed-forward neural nets with WGSL compute shaders, and on the CPU.
pub mod activation;
pub mod data;
pub mod error;
pub mod init;
pub mod loss;
pub mod matrix;
pub mod optim;
pub mod random;
pub mod real;
pub mod schedule;
pub mod spec;

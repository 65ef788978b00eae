//! The equations, on plain slices: activations, losses, optimizers, schedules, random numbers, and the loops and
//! products that compute them on a CPU.

pub mod activation;
pub mod embedding;
pub mod functions;
pub mod gemm;
pub mod init;
pub mod loss;
pub mod matrix;
pub(crate) mod multiversion;
pub mod optim;
pub mod random;
pub mod real;
pub mod schedule;
pub mod vector;

//! Why a result is right: parity with f64 op by op, and gradients against differences.

pub mod gradcheck;
pub mod parity;

//! Verification: parity with f64 op by op, and gradients against finite differences.

pub mod gradcheck;
pub mod parity;

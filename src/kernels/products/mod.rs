//! Tiled matrix products, and the forward and backward passes made of them.

pub mod backward;
pub mod dense;
pub mod matmul;
pub mod sums;
pub mod tile;

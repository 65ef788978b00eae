//! Matrix products in tiles, and the passes forward and back that are made of them.

pub mod backward;
pub mod dense;
pub mod matmul;
pub mod sums;
pub mod tile;

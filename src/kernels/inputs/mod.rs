//! The rows of a batch: gathered, augmented, mixed, their categories embedded.

pub mod augment;
pub mod embed;
pub mod gather;
pub mod mixup;
pub mod sort_indices;

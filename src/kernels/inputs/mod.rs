//! Inputs of a mini-batch: gathering, augmentation, mixup, embeddings.

pub mod augment;
pub mod embed;
pub mod gather;
pub mod mixup;

//! Composite ops, whose operands are a structure: the fused ones, which rules make, and normalizations. Each has its
//! tensors, its effects on them, its launch and its line of text, as the table of [`op`](super::op) requires.

pub(super) mod backward;
pub(super) mod dense;
pub(super) mod gradient_parts;
pub(super) mod gradient_update;
pub(super) mod normalize;
pub(super) mod normalize_gradient;
pub(super) mod normalize_sums;
pub(super) mod output;
mod parameters;
pub(super) mod sum_update;
pub(super) mod whole_net;

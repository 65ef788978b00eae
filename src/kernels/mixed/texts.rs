//! What the shaders of mixed precision share.

/// `stored(v)`, `v` in f16 with a note of its overflow, for kernels with a binding `loss_scale`; one of the
/// next two stands before it.
pub(super) const STORED: &str = include_str!("../../../shaders/mixed/mixed_stored.wgsl");

/// How an overflow is noted.
pub(super) const NOTE: &str = include_str!("../../../shaders/mixed/mixed_note.wgsl");

/// The same, without an atomic.
pub(super) const NOTE_PLAIN: &str = include_str!("../../../shaders/mixed/mixed_note_plain.wgsl");

/// Elements of the tensor `loss_scale`.
pub const SCALE_STATE: usize = 4;

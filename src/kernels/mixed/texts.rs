//! The WGSL that shaders of mixed precision share.

/// `stored(v)`, `v` in f16 with its overflow recorded, for kernels with a binding `loss_scale`; one of the
/// next two precedes it.
pub(super) const STORED: &str = include_str!("../../../shaders/mixed/mixed_stored.wgsl");

/// Records an overflow.
pub(super) const NOTE: &str = include_str!("../../../shaders/mixed/mixed_note.wgsl");

/// The same, without an atomic.
pub(super) const NOTE_PLAIN: &str = include_str!("../../../shaders/mixed/mixed_note_plain.wgsl");

/// Elements of the tensor `loss_scale`.
pub const SCALE_STATE: usize = 4;

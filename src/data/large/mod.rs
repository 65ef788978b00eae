//! Sets larger than memory: passed over in chunks, or encoded into files.

pub(super) mod census;
pub(super) mod passes;
pub(super) mod slabs;
pub(super) mod stored;

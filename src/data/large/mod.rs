//! Sets larger than memory: read in chunks, or encoded into files.

#[cfg(feature = "data")]
pub(super) mod census;
#[cfg(feature = "data")]
pub(super) mod passes;
mod row_bytes;
#[cfg(feature = "data")]
mod sampling;
pub(super) mod slabs;
pub(super) mod stored;

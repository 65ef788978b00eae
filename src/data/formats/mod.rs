//! Readers, one for each format: from bytes to columns.

#[cfg(feature = "data")]
pub(super) mod columnar;
#[cfg(feature = "data")]
pub(super) mod delimited;
#[cfg(feature = "data")]
pub(super) mod idx;
#[cfg(feature = "data")]
pub(super) mod json_lines;
#[cfg(feature = "data")]
pub(super) mod json_record;
#[cfg(feature = "data")]
pub(super) mod npy;
#[cfg(feature = "data")]
pub(super) mod read;
pub(super) mod unreadable;
pub(super) mod want;

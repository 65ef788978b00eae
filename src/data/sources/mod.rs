//! The user's DATA: found, opened, read.

#[cfg(feature = "data")]
pub(super) mod arrays;
#[cfg(feature = "data")]
pub(super) mod find;
#[cfg(feature = "data")]
mod held_out;
#[cfg(feature = "data")]
pub(super) mod idx_set;
#[cfg(feature = "data")]
pub(super) mod inputs;
#[cfg(feature = "data")]
pub(super) mod known;
pub(super) mod options;
#[cfg(feature = "data")]
pub(super) mod source;

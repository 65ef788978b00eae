//! Existing runs, listed and compared from their own files.

pub(in crate::cli) mod compare;
mod grid;
mod paired;
mod record;
pub(in crate::cli) mod runs;

//! Readers, one for each format: from bytes to columns.

pub(super) mod columnar;
pub(super) mod delimited;
pub(super) mod idx;
pub(super) mod json_lines;
pub(super) mod json_record;
pub(super) mod npy;
pub(super) mod read;
pub(super) mod want;

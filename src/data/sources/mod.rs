//! What a user calls DATA: found, opened, read.

pub(super) mod arrays;
pub(super) mod find;
pub(super) mod idx_set;
pub(super) mod inputs;
pub(super) mod known;
pub(super) mod options;
pub(super) mod source;

//! The bytes of files, local or not, decompressed, and the formats of files.

pub(super) mod archive;
pub(super) mod decoding;
pub(super) mod download;
pub(super) mod random_access;
pub(super) mod recognize;
pub(super) mod stream;

//! The commands, a file for each.

pub(super) mod bench;
pub(super) mod check_gradients;
pub(super) mod completions;
pub(super) mod devices;
pub(super) mod evaluate;
pub(super) mod export;
#[cfg(feature = "tract")]
pub(super) mod export_check;
pub(super) mod find_lr;
pub(super) mod import;
pub(super) mod init;
pub(super) mod inspect;
pub(super) mod predict;
pub(super) mod report;
pub(super) mod train;
pub(super) mod verify;
pub(super) mod verify_resume;

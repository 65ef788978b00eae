//! A run in its directory: announced, trained, recorded, resumed.

pub(super) mod begin;
pub(super) mod column_table;
pub(super) mod going_on;
pub(super) mod names;
pub(super) mod own_files;
pub(super) mod plan_ahead;
pub(super) mod rates;
pub(super) mod resume;
pub(super) mod run;
pub(super) mod run_directory;
pub(super) mod summary;
pub(super) mod tensorboard;
pub(super) mod watched;

//! Command-line arguments and environment variables.

pub(super) mod args;
pub(super) mod check_args;
pub(super) mod environment;
pub(super) mod logging;
pub(super) mod origins;
pub(super) mod run_args;
pub(super) mod terminal;
mod texts;
pub(super) mod train_args;
mod typed;
pub(super) mod usage;

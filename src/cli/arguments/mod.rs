//! What was typed, or stands in the environment.

pub(super) mod args;
pub(super) mod check_args;
pub(super) mod environment;
pub(super) mod origins;
pub(super) mod run_args;
pub(super) mod terminal;
pub(super) mod train_args;
pub(super) mod usage;

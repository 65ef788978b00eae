//! From settings to everything that a run needs, once: what the command line and the library share.

#[cfg(feature = "cli")]
pub(crate) mod choices;
pub(crate) mod held_out;
pub(crate) mod hooks;
pub(crate) mod job;
pub(crate) mod members;
pub(crate) mod memory;
pub(crate) mod presets;
pub(crate) mod settings;
pub(crate) mod splitting;
pub(crate) mod streaming;
pub(crate) mod unseen;

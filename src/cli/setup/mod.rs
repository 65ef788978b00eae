//! From options to everything that a run needs, once.

pub(super) mod choices;
pub(super) mod job;
pub(super) mod members;
pub(super) mod memory;
pub(super) mod open;
pub(super) mod presets;
pub(super) mod settings;
pub(super) mod splitting;
pub(super) mod streaming;
pub(super) mod unseen;

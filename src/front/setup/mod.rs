//! From settings to everything that a run needs, once: what the command line and the library share.

#[cfg(feature = "cli")]
pub(crate) mod choices;
pub(crate) mod held_out;
pub(crate) mod hooks;
pub(crate) mod job;
pub(crate) mod members;
pub(crate) mod memory;
#[cfg(feature = "data")]
mod opening;
pub(crate) mod presets;
#[cfg(not(feature = "data"))]
mod rows_only;
pub(crate) mod settings;
pub(crate) mod source;
pub(crate) mod splitting;
#[cfg(feature = "data")]
pub(crate) mod streaming;
pub(crate) mod unseen;
#[cfg(feature = "cli")]
mod written;

#[cfg(feature = "data")]
use opening::make_absolute;
#[cfg(not(feature = "data"))]
use rows_only::{self as streaming, make_absolute};

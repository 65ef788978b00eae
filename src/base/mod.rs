//! Shared by all other modules: errors that state what is wrong, where, and what to do; atomic files;
//! the machine's memory.

pub mod atomic;
pub(crate) mod clock;
pub mod error;
pub mod every;
pub mod memory;
pub(crate) mod names;
pub(crate) mod oneshot;
pub(crate) mod pages;
pub(crate) mod parallel;
pub(crate) mod sha256;
pub(crate) mod similarity;
pub mod system_memory;
pub mod wait;
pub mod words;

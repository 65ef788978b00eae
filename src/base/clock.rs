//! `Instant` of the standard library, or its replacement in browsers, which don't have it.

#[cfg(not(target_arch = "wasm32"))]
pub use std::time::Instant;
#[cfg(target_arch = "wasm32")]
pub use web_time::Instant;

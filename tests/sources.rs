//! What each of the five source documents claims, evaluated literally in f64 and held against the
//! plain program on every backend. The oracles share no code with the library.

#[path = "sources/algebra.rs"]
mod algebra;
#[path = "sources/functions.rs"]
mod functions;
#[path = "sources/source_000.rs"]
mod source_000;
#[path = "sources/source_001.rs"]
mod source_001;
#[path = "sources/source_002.rs"]
mod source_002;
#[path = "sources/source_002_checks.rs"]
mod source_002_checks;
#[path = "sources/source_003.rs"]
mod source_003;
#[path = "sources/source_004.rs"]
mod source_004;
#[path = "sources/support.rs"]
mod support;

//! One source file that predicts, in C99 or in Rust, without any library: tables of numbers, the
//! functions that this model needs, and the calls.

mod frame;
mod language;
mod program;

pub use language::Language;
pub use program::write;

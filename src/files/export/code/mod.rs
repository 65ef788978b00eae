//! One source file that predicts, in C99 or in Rust, without any library: tables of numbers, the few
//! functions that this model needs, and what calls them.

mod frame;
mod language;
mod program;

pub use language::Language;
pub use program::write;

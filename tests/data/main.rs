//! Data as found in practice: every format and form, invalid files, and more rows than fit into memory.

mod changed_forms;
#[path = "../cli_support/mod.rs"]
mod cli_support;
mod columnar;
mod errors;
mod formats;
mod streaming;
mod tables;
mod text_forms;

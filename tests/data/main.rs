//! Data as people have them: every format and form, bad files, and more rows than memory holds.

mod changed_forms;
#[path = "../cli_support/mod.rs"]
mod cli_support;
mod columnar;
mod errors;
mod formats;
mod streaming;
mod tables;
mod text_forms;

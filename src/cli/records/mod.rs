//! Runs that are there already, as far as their own files tell: listed, and compared.

pub(in crate::cli) mod compare;
mod grid;
mod record;
pub(in crate::cli) mod runs;

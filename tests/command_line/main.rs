//! The program as run by users: its commands, their output, files and errors.

mod categories;
#[path = "../cli_support/mod.rs"]
mod cli_support;
mod commands;
mod ensemble;
mod errors;
mod export;
mod export_logarithms;
mod find_lr;
mod help;
mod images;
mod import;
mod init;
mod judging;
mod losses;
mod names;
mod predict;
mod records;
mod report;
mod resume_options;
mod targets;
mod tensorboard;
mod terminal;
mod usage;

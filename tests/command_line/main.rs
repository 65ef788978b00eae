//! The program as people run it: its commands, what they print and write, and what they refuse.

mod categories;
#[path = "../cli_support/mod.rs"]
mod cli_support;
mod commands;
mod ensemble;
mod errors;
mod export;
mod export_logarithms;
mod find_lr;
mod images;
mod import;
mod judging;
mod losses;
mod predict;
mod report;
mod resume_options;
mod targets;
mod tensorboard;
mod terminal;
mod usage;

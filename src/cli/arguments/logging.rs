//! `--verbose` and `RUST_LOG`: what the program and its libraries log, on standard error.

use super::terminal::say;
use clap::builder::{Resettable, Str};
use clap::{Arg, ArgAction};
use env_filter::{Builder, Filter};
use log::{LevelFilter, Log, Metadata, Record};

/// The option of every command.
pub(super) fn verbose() -> Arg {
    let help =
        "Log each phase and its duration; -vv or RUST_LOG=wgpu=info also logs from libraries";
    let argument = Arg::new("verbose").help_heading(Resettable::<Str>::Reset);
    argument.short('v').long("verbose").action(ArgAction::Count).help(help)
}

/// Starts logging if `-v`, given `times` times, or `RUST_LOG`, which overrides it, asks for it.
pub(in crate::cli) fn start(times: u8) {
    let asked = std::env::var("RUST_LOG").ok().filter(|asked| !asked.is_empty());
    let mut builder = Builder::new();
    match (&asked, times) {
        (None, 0) => return,
        (Some(asked), _) => {
            if let Err(error) = builder.try_parse(asked) {
                say(format_args!(
                    "warning: RUST_LOG={asked} in the environment has no effect: {error}; write for example RUST_LOG=wgrad=debug,wgpu=info"
                ));
                return;
            }
        }
        (None, 1) => {
            builder.filter_module("wgrad", LevelFilter::Debug);
        }
        (None, _) => {
            builder.filter_level(LevelFilter::Info).filter_module("wgrad", LevelFilter::Debug);
        }
    }
    let filter = builder.build();
    log::set_max_level(filter.filter());
    // There can't be another logger: this program has one.
    let _ = log::set_boxed_logger(Box::new(ToStandardError(filter)));
}

struct ToStandardError(Filter);

impl Log for ToStandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.0.matches(record) {
            let level = record.level().as_str().to_lowercase();
            say(format_args!("{level}: {}: {}", record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}

//! What is said to people on standard error, and to programs on standard output.

use crate::base::error::{Error, Result};
pub(in crate::cli) use crate::base::words::{count, plural};
use crate::observe::{columns, wrap};
use serde::Serialize;
use std::fmt::Display;
use std::io;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// What went wrong, as the last event of a run and the last line of `--json`.
#[derive(Serialize)]
pub(in crate::cli) struct Failure {
    pub(in crate::cli) error: String,
    pub(in crate::cli) exit_code: u8,
}

impl Failure {
    pub(in crate::cli) fn of(error: &Error) -> Self {
        Failure { error: error.to_string(), exit_code: error.kind().exit_code() }
    }
}

/// Whether nothing is said: another process says it.
static IS_MUTE: AtomicBool = AtomicBool::new(false);

/// Has [`say`] say nothing, or speak again.
pub(in crate::cli) fn mute(is_mute: bool) {
    IS_MUTE.store(is_mute, Ordering::SeqCst);
}

/// Writes a line to standard error, or to the dashboard that is there. Where nobody reads it any more, the work goes on.
pub(in crate::cli) fn say(message: impl Display) {
    if IS_MUTE.load(Ordering::SeqCst) {
        return;
    }
    let message = message.to_string();
    if crate::observe::take_message(&message) {
        return;
    }
    let message = match io::stderr().is_terminal().then(columns).flatten() {
        Some(width) => wrap(&message, width),
        None => message,
    };
    let _ = writeln!(io::stderr().lock(), "{message}");
}

/// As [`print()`], what a person reads: on a narrow terminal wrapped at words.
pub(in crate::cli) fn print_text(text: &str) -> Result<()> {
    match io::stdout().is_terminal().then(columns).flatten() {
        Some(width) => print(&wrap(text, width)),
        None => print(text),
    }
}

/// Writes results to standard output. Where nobody reads them any more, the process ends.
pub(in crate::cli) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// As [`print()`], a value as a line of JSON.
pub(in crate::cli) fn print_json(value: &impl Serialize) -> Result<()> {
    match serde_json::to_string(value) {
        Ok(line) => print(&format!("{line}\n")),
        Err(e) => Err(Error::failed(format!("cannot write the result as JSON: {e}"))),
    }
}

/// What came of writing to standard output.
pub(in crate::cli) fn printed<T>(written: io::Result<T>) -> Result<T> {
    written.map_err(|e| match e.kind() {
        ErrorKind::BrokenPipe => std::process::exit(0),
        _ => Error::failed(format!("cannot write to standard output: {e}")),
    })
}

/// The value of an option that is a number above 0.
pub(in crate::cli) fn positive(option: &str, value: f64) -> Result<f64> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(Error::usage(format!("{option} {value}")).help("it must be a number above 0"))
}

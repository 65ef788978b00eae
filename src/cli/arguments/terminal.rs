//! Output: messages for people on standard error, results on standard output.

use crate::base::error::{Error, Result};
pub(in crate::cli) use crate::base::words::{count, plural};
use crate::observe::{columns, wrap};
use serde::Serialize;
use std::fmt::Display;
use std::io;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// The error that ended a run, as its last event and the last line of `--json`.
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

/// Whether messages are suppressed: another process prints them.
static IS_MUTE: AtomicBool = AtomicBool::new(false);

/// Suppresses the messages of [`say`], or enables them again.
pub(in crate::cli) fn mute(is_mute: bool) {
    IS_MUTE.store(is_mute, Ordering::SeqCst);
}

/// Writes a line to standard error, or to the dashboard if there is one. A closed pipe doesn't stop the work.
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

/// As [`print()`], for text: wrapped at words on a narrow terminal.
pub(in crate::cli) fn print_text(text: &str) -> Result<()> {
    match io::stdout().is_terminal().then(columns).flatten() {
        Some(width) => print(&wrap(text, width)),
        None => print(text),
    }
}

/// Writes results to standard output. A closed pipe ends the process.
pub(in crate::cli) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// As [`print()`], for a value as a line of JSON.
pub(in crate::cli) fn print_json(value: &impl Serialize) -> Result<()> {
    match serde_json::to_string(value) {
        Ok(line) => print(&format!("{line}\n")),
        Err(e) => Err(Error::failed(format!("cannot write the result as JSON: {e}"))),
    }
}

/// The result of writing to standard output; a closed pipe ends the process.
pub(in crate::cli) fn printed<T>(written: io::Result<T>) -> Result<T> {
    written.map_err(|e| match e.kind() {
        ErrorKind::BrokenPipe => std::process::exit(0),
        _ => Error::failed(format!("cannot write to standard output: {e}")),
    })
}

/// Checks that the value of an option is above 0.
pub(in crate::cli) fn positive(option: &str, value: f64) -> Result<f64> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(Error::usage(format!("{option} {value}")).help("it must be a number above 0"))
}

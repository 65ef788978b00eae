//! The command line of wgrad; see `wgrad --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // Without a desktop session, Mesa's device-select layer prints errors for every device
        // that is opened, and can't do its work anyway.
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    wgrad::cli::main()
}

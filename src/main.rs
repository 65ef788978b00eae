//! The command line of wgrad; see `wgrad --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wgrad::cli::main()
}

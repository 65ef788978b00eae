//! `wgrad completions`.

use crate::base::error::Result;
use crate::cli::arguments::args::CompletionsArgs;
use crate::cli::arguments::environment::command;
use crate::cli::arguments::terminal::print;
use std::process::ExitCode;

pub(in crate::cli) fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "wgrad", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

//! `wgrad completions`.

use super::args::CompletionsArgs;
use super::{command, print};
use crate::error::Result;
use std::process::ExitCode;

pub(super) fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "wgrad", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

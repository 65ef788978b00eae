//! `wgrad completions`: completions for a shell, and man pages.

use crate::base::atomic::write_atomically;
use crate::base::error::{Error, Result};
use crate::cli::arguments::environment::command;
use crate::cli::arguments::run_args::CompletionsArgs;
use crate::cli::arguments::terminal::{count, print, say};
use clap::Command;
use clap_mangen::Man;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

pub(in crate::cli) fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    match (args.what.shell(), &args.out) {
        (Some(_), Some(_)) => {
            return Err(Error::usage("--out cannot be used with shell completions")
                .help("redirect standard output; --out is for man pages"));
        }
        (Some(shell), None) => {
            clap_complete::generate(shell, &mut command(), "wgrad", &mut script);
        }
        (None, None) => script = page(command())?.1,
        (None, Some(directory)) => return pages(directory),
    }
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a man page for the program and one for each command into a directory.
fn pages(directory: &Path) -> Result<ExitCode> {
    fs::create_dir_all(directory).map_err(|e| Error::io("create", directory, &e))?;
    let mut all = command().disable_help_subcommand(true);
    // Now the commands have their full names.
    all.build();
    let commands: Vec<&Command> = std::iter::once(&all).chain(all.get_subcommands()).collect();
    for command in &commands {
        let (name, text) = page((*command).clone())?;
        write_atomically(&directory.join(name), |out| out.write_all(&text))?;
    }
    let written = count(commands.len(), "man page");
    say(format_args!("{written} in {}", directory.display()));
    Ok(ExitCode::SUCCESS)
}

/// The man page of a command: the name of its file, and its text as roff.
fn page(command: Command) -> Result<(String, Vec<u8>)> {
    let man = Man::new(command).source(concat!("wgrad ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    let written = man.render(&mut text);
    written.map_err(|e| Error::failed(format!("cannot write a man page: {e}")))?;
    Ok((man.get_filename(), text))
}

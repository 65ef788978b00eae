//! Options in the environment: which variables there are, and which are mistakes.

use super::args::Cli;
use crate::base::error::nearest;
use clap::builder::{OsStr, Resettable};
use clap::{Arg, Command, CommandFactory};
use std::collections::BTreeSet;

/// What all variables begin with.
const PREFIX: &str = "WGRAD_";
/// Variables that are no options, and what those of scripts and tests begin with.
const OTHERS: [&str; 8] = [
    "CACHE_DIR",
    "CHECKED_SHADERS",
    "COMPILER_HANGS",
    "REQUIRE_COMPILERS",
    "REQUIRE_DRIVERS",
    "REQUIRE_GPU",
    "REQUIRE_READERS",
    "REQUIRE_TMUX",
];
const FOREIGN: [&str; 5] = ["TEST_", "BENCH_", "PEERS_", "BEST", "BINARY"];

/// The argument, whose variable counts as not set where it is empty, and isn't said at each of them.
pub(in crate::cli) fn prepare(argument: Arg) -> Arg {
    let argument = argument.hide_env(true);
    match argument.get_env().and_then(std::env::var_os) {
        Some(value) if value.is_empty() => argument.env(Resettable::<OsStr>::Reset),
        _ => argument,
    }
}

/// The variable of an option, where it has one that is set.
pub(super) fn variable(option: &str) -> Option<String> {
    let long = option.strip_prefix("--")?;
    let name = variables().find(|(name, _)| name == long)?.1;
    std::env::var_os(&name).filter(|value| !value.is_empty()).map(|_| name)
}

/// A sentence for each variable that looks like one of ours and is none.
pub(in crate::cli) fn mistakes() -> Vec<String> {
    let known: BTreeSet<String> = variables().map(|(_, variable)| variable).collect();
    let known: Vec<&str> =
        known.iter().filter_map(|name| name.strip_prefix(PREFIX)).chain(OTHERS).collect();
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    set.filter_map(|name| mistake(name.strip_prefix(PREFIX)?, &known)).collect()
}

/// What is wrong with the variable of this name, without the prefix.
fn mistake(name: &str, known: &[&str]) -> Option<String> {
    if known.contains(&name) || FOREIGN.iter().any(|begin| name.starts_with(begin)) {
        return None;
    }
    let lower: Vec<String> = known.iter().map(|known| known.to_lowercase()).collect();
    let help = match nearest(name, lower.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {PREFIX}{}?", near.to_uppercase()),
        None => "options stand there as WGRAD_BATCH_SIZE for --batch-size".into(),
    };
    Some(format!("{PREFIX}{name} in the environment is no option of wgrad: {help}"))
}

/// The long name and the variable of each option.
fn variables() -> impl Iterator<Item = (String, String)> {
    let named = |argument: &Arg| {
        let name = argument.get_long().unwrap_or(argument.get_id().as_str()).to_string();
        Some((name, argument.get_env()?.to_str()?.to_string()))
    };
    let of = |command: &Command| command.get_arguments().filter_map(named).collect::<Vec<_>>();
    Cli::command().get_subcommands().flat_map(of).collect::<Vec<_>>().into_iter()
}

/// The command line as clap takes it. That options may stand in the environment is said once, not
/// at each of them; what begins with a minus and is a number is a value.
pub(in crate::cli) fn command() -> clap::Command {
    Cli::command().mut_subcommands(|c| {
        c.mut_args(|argument| {
            let takes_value = argument.get_action().takes_values();
            prepare(argument).allow_negative_numbers(takes_value)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_variable_is_named_with_the_nearest() {
        let known = ["EPOCHS", "DATA_DIR", "LR", "CACHE_DIR"];
        let said = |name| mistake(name, &known);
        assert!(said("EPOCH").unwrap().ends_with("did you mean WGRAD_EPOCHS?"));
        assert!(said("DATADIR").unwrap().contains("WGRAD_DATA_DIR?"));
        assert!(said("QQQQ").unwrap().contains("as WGRAD_BATCH_SIZE"));
        for fine in ["EPOCHS", "CACHE_DIR", "TEST_SEED", "BENCH_OUT"] {
            assert_eq!(said(fine), None);
        }
    }

    #[test]
    fn every_option_has_the_variable_of_its_name() {
        for (long, variable) in variables() {
            let expected = format!("{PREFIX}{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(variable, expected);
        }
    }
}

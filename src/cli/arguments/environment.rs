//! The command line as passed to clap, and options in the environment: which variables exist, and which are
//! mistakes.

use super::args::Cli;
use super::logging;
use super::texts::SHORT_DATA_HELP;
use crate::base::error::nearest;
use crate::files::config::TrainConfig;
use clap::builder::{OsStr, Resettable, Str};
use clap::{Arg, Command, CommandFactory};
use std::collections::BTreeSet;

/// The prefix of all variables.
const PREFIX: &str = "WGRAD_";
/// Variables that aren't options, and prefixes of those of scripts and tests.
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

/// Earlier names of variables, which are still read where the new one isn't set.
const OLD: [(&str, &str); 3] = [
    ("WGRAD_KEEP_WEIGHTS", "WGRAD_KEEP"),
    ("WGRAD_LOG_TRANSFORM", "WGRAD_LOG"),
    ("WGRAD_IMAGE_COLOR", "WGRAD_IMAGE_COLOUR"),
];

/// The argument with an empty variable treated as not set, and without its variable in the help text.
pub(in crate::cli) fn prepare(argument: Arg) -> Arg {
    let argument = argument.hide_env(true);
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let Some(name) = argument.get_env().and_then(|name| name.to_str()) else { return argument };
    if is_set(name) {
        return argument;
    }
    let old = OLD.iter().find(|(new, old)| *new == name && is_set(old));
    match (old, std::env::var_os(name)) {
        (Some((_, old)), _) => argument.env(*old),
        (None, Some(_)) => argument.env(Resettable::<OsStr>::Reset),
        (None, None) => argument,
    }
}

/// The variable of an option, if it is set.
pub(super) fn variable(option: &str) -> Option<String> {
    let long = option.strip_prefix("--")?;
    let name = variables().find(|(name, _)| name == long)?.1;
    let old = OLD.iter().find(|(new, _)| *new == name).map(|(_, old)| old.to_string());
    let is_set = |name: &String| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    std::iter::once(name).chain(old).find(is_set)
}

/// A sentence for each variable that looks like one of ours but isn't.
pub(in crate::cli) fn mistakes() -> Vec<String> {
    let known: BTreeSet<String> = variables().map(|(_, variable)| variable).collect();
    let old = OLD.iter().map(|(_, old)| *old);
    let all = known.iter().map(String::as_str).chain(old);
    let known: Vec<&str> = all.filter_map(|name| name.strip_prefix(PREFIX)).chain(OTHERS).collect();
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
        None => "the variable of --batch-size, for example, is WGRAD_BATCH_SIZE".into(),
    };
    Some(format!("{PREFIX}{name} in the environment is not an option of wgrad: {help}"))
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

/// The options of `train` that `-h` shows, in this order: the most used ones. Each with a name for its value
/// and a help text that fit half a screen; `--help` has more.
const COMMON: [(&str, &str, &str); 15] = [
    ("target", "COLS", "Target columns, by name or 1-based number [default: last]"),
    ("task", "TASK", "classification, regression or multilabel [default: inferred]"),
    ("ignore", "COLS", "Ignore these columns"),
    (
        "validation",
        "PART",
        "Fraction of rows held out, or a file [default: 0.1; small tables: 3 folds]",
    ),
    ("preset", "NAME", "Speed vs. accuracy: quick, strong or best"),
    (
        "layers",
        "LAYERS",
        "Hidden layers, such as 128:relu,64:tanh [default: 128; 128,128 for tables]",
    ),
    ("epochs", "N", "Passes over the training set [default: depends on the data]"),
    ("lr", "RATE", "Learning rate [default: depends on optimizer and data]"),
    ("batch-size", "ROWS", "Batch size [default: 64]"),
    ("seed", "N", "Random seed [default: 0]"),
    ("device", "DEVICE", "auto, cpu, gpu, or a GPU's number or name [default: auto]"),
    ("out", "DIR", "Run directory [default: runs/DATA-N]"),
    ("config", "FILE", "TOML file of options, such as one from wgrad init"),
    ("resume", "RUN", "Resume an interrupted run"),
    ("dry-run", "", "Show what would be trained, and exit"),
];

/// The command line as passed to clap. The environment is explained once, not for each option;
/// a negative number is a value.
pub(in crate::cli) fn command() -> clap::Command {
    let command = Cli::command().mut_subcommands(|c| {
        c.arg(logging::verbose()).mut_args(|argument| {
            let takes_value = argument.get_action().takes_values();
            prepare(argument).allow_negative_numbers(takes_value)
        })
    });
    match std::env::args_os().any(|argument| argument.to_str().is_some_and(is_short_help)) {
        true => command.mut_subcommands(short),
        false => command,
    }
}

/// Whether an argument is `-h`, alone or after other letters.
fn is_short_help(argument: &str) -> bool {
    argument.strip_prefix('-').is_some_and(|letters| {
        letters.ends_with('h') && letters.chars().all(|c| c.is_ascii_alphabetic())
    })
}

/// A command whose help shows the most used options, on one screen.
fn short(command: Command) -> Command {
    let is_train = command.get_name() == "train";
    let of_a_run = TrainConfig::keys();
    let common = |argument: &Arg| {
        let long = argument.get_long()?;
        COMMON.iter().position(|(name, ..)| *name == long)
    };
    let is_rare = |argument: &Arg| {
        let long = argument.get_long();
        let is_of_a_run = long.is_some_and(|long| of_a_run.iter().any(|key| key == long));
        long.is_some() && common(argument).is_none() && (is_train || is_of_a_run)
    };
    let rare = command.get_arguments().filter(|a| !a.is_hide_set() && is_rare(a)).count();
    if rare == 0 {
        return command;
    }
    let options = if rare == 1 { "option" } else { "options" };
    let more = format!("{rare} more {options}: wgrad {} --help", command.get_name());
    let shown = command.mut_args(|argument| match common(&argument) {
        _ if is_rare(&argument) => argument.hide(true),
        Some(place) if is_train => {
            let (_, value, help) = COMMON[place];
            let argument =
                argument.help(help).display_order(place).help_heading(Resettable::<Str>::Reset);
            if value.is_empty() { argument } else { argument.value_name(value) }
        }
        None if is_train && argument.is_positional() => argument.help(SHORT_DATA_HELP),
        _ => argument,
    });
    shown.after_help(more)
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
        assert!(said("QQQQ").unwrap().contains("is WGRAD_BATCH_SIZE"));
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

    #[test]
    fn the_short_help_of_train_shows_its_options_and_only_those() {
        let train = short(Cli::command().find_subcommand("train").unwrap().clone());
        let shown = train.get_arguments().filter(|a| !a.is_hide_set());
        let mut names: Vec<&str> = shown.filter_map(|a| a.get_long()).collect();
        let mut expected: Vec<&str> = COMMON.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert!(is_short_help("-h") && is_short_help("-qh"));
        assert!(!is_short_help("--help") && !is_short_help("h") && !is_short_help("-o"));
    }
}

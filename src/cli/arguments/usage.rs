//! Usage errors in the form of all other errors: what, where, and what to do.

use super::environment;
use super::typed::is_flag;
use crate::base::error::{Error, nearest};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error as _;

/// Converts an error of clap; none for a help text or a version, which aren't errors.
pub(in crate::cli) fn error(found: &clap::Error) -> Option<Error> {
    let text = |kind| match found.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        Some(ContextValue::StyledStr(text)) => Some(text.to_string()),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg).unwrap_or_default();
    let value = text(ContextKind::InvalidValue);
    // `--lr` of `--lr <LR>`.
    let option = argument.split([' ', '=', '[']).next().unwrap_or_default();
    let command = command_name().map_or(String::new(), |name| format!("{name} "));
    let help = format!("wgrad {command}--help lists the options");
    Some(match found.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        ErrorKind::InvalidValue if value.as_deref().is_none_or(str::is_empty) => {
            Error::usage(format!("{option} needs a value"))
                .help(format!("write {}", argument.replace(['<', '>'], "")))
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let value = value.unwrap_or_default();
            wrong_value(found, option, &value).at(place(option, &value))
        }
        ErrorKind::NoEquals => Error::usage(format!("{option} needs = before its value"))
            .help(format!("write {option}, or {option}=false")),
        ErrorKind::UnknownArgument => {
            let near = text(ContextKind::SuggestedArg);
            let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
            let what = match argument.starts_with('-') {
                true => format!("unknown option {argument}"),
                false => format!("unexpected argument '{argument}'"),
            };
            Error::usage(what).help(near + &help)
        }
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let known = super::environment::command();
            let names: Vec<&str> = known.get_subcommands().map(|c| c.get_name()).collect();
            let near = nearest(&name, names.iter().copied())
                .map_or(String::new(), |near| format!("did you mean {near}? "));
            Error::usage(format!("unknown command {name:?}"))
                .help(format!("{near}known: {}", names.join(", ")))
        }
        ErrorKind::MissingSubcommand => Error::usage("no command was given").help(help),
        ErrorKind::MissingRequiredArgument => {
            let missing = argument.replace(['<', '>'], "");
            let input = if missing == "DATA" { "DATA - reads standard input; " } else { "" };
            Error::usage(format!("missing: {missing}")).help(format!("{input}{help}"))
        }
        ErrorKind::ArgumentConflict => match text(ContextKind::PriorArg) {
            Some(other) if other != argument => {
                Error::usage(format!("{argument} cannot be used with {other}"))
                    .help("omit one of them")
            }
            _ => Error::usage(format!("{option} is given twice")).help("omit one of them"),
        },
        _ => {
            // The remaining kinds are rare: clap's own text.
            let text = found.to_string();
            let line = text.lines().next().unwrap_or_default();
            Error::usage(line.strip_prefix("error: ").unwrap_or(line)).help(help)
        }
    })
}

/// The error of an option's value, from the parser of the value.
fn wrong_value(found: &clap::Error, option: &str, value: &str) -> Error {
    if let Some(error) = found.source().and_then(|source| source.downcast_ref::<Error>()) {
        return error.clone();
    }
    match found.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(known)) if !known.is_empty() => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            crate::base::error::unknown(&format!("value of {option}"), value, &known)
        }
        // The only values that clap parses itself.
        _ => Error::usage(format!("{value:?} is neither true nor false"))
            .help(format!("write {option} for true; in the environment true or false")),
    }
}

/// The place of an option's value: the arguments, or the environment.
fn place(option: &str, value: &str) -> String {
    match environment::variable(option).filter(|_| !is_flag(option)) {
        Some(variable) => format!("{variable}={value} in the environment"),
        None => format!("{option} {value}"),
    }
}

/// Whether JSON lines are asked for, even if other arguments are wrong.
pub(in crate::cli) fn wants_json() -> bool {
    let asked = || std::env::var("WGRAD_JSON").is_ok_and(|value| is_true(&value));
    let takes_it = || {
        let command = command_name()
            .and_then(|name| super::environment::command().find_subcommand(name).cloned());
        command.is_some_and(|c| c.get_arguments().any(|a| a.get_long() == Some("json")))
    };
    is_flag("--json") || (asked() && takes_it())
}

/// As clap reads it.
fn is_true(value: &str) -> bool {
    ["y", "yes", "t", "true", "on", "1"].contains(&value.to_lowercase().as_str())
}

/// The command among the arguments.
fn command_name() -> Option<String> {
    let name = std::env::args_os().nth(1)?;
    super::environment::command()
        .find_subcommand(&name)
        .map(|command| command.get_name().to_string())
}

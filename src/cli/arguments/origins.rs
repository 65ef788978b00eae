//! Where the values of options come from, for errors about values that nobody typed.

use super::train_args::TrainArgs;
use super::{environment, typed};
use crate::base::error::{Error, ErrorKind};
use crate::files::config::TrainConfig;

/// Options that aren't command-line arguments: name, value, and origin.
pub(in crate::cli) struct Origins(Vec<[String; 3]>);

impl Origins {
    /// The options that a preset and the defaults for the data added to those `given`.
    pub fn of_completed(given: &TrainConfig, completed: &TrainConfig) -> Self {
        let from = match completed.run.preset {
            Some(preset) => format!("--preset {preset}"),
            None => "the defaults for these data".into(),
        };
        Origins(from_one(given, completed, &from))
    }

    /// The options in the environment and in the file of --config.
    pub fn of_given(args: &TrainArgs) -> Self {
        let given = &args.options;
        let mut options = from_one(&TrainConfig::default(), given, "");
        options.retain_mut(|[name, _, from]| {
            let option = format!("--{name}");
            let variable = environment::variable(&option).filter(|_| !typed::is_flag(&option));
            variable.is_some_and(|variable| {
                *from = format!("{variable} in the environment");
                true
            })
        });
        if let Some(file) = &args.config {
            let from = file.display().to_string();
            if let Ok(file) = TrainConfig::read(file) {
                options.extend(from_one(given, &given.clone().or(file), &from));
            }
        }
        Origins(options)
    }

    /// Adds the origin of the options that a usage error names.
    pub fn explain(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Usage {
            return error;
        }
        let text = error.to_string();
        let named = self.0.iter().filter(|[name, ..]| names(&text, name));
        let said: Vec<String> =
            named.map(|[name, value, from]| format!("--{name} {value} is from {from}")).collect();
        if said.is_empty() { error } else { error.also(said.join(", ")) }
    }
}

/// The options of `after` that `before` doesn't have, all `from` one origin; none if they can't
/// be serialized.
fn from_one(before: &TrainConfig, after: &TrainConfig, from: &str) -> Vec<[String; 3]> {
    let options = before.new_options(after).unwrap_or_default();
    options.into_iter().map(|(name, value)| [name, value, from.into()]).collect()
}

/// Whether a text contains the option of this name, and not only one that it is a prefix of.
fn names(text: &str, name: &str) -> bool {
    text.split(&format!("--{name}"))
        .skip(1)
        .any(|rest| !rest.starts_with(|c: char| c == '-' || c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_the_options_come_from_that_it_names() {
        let given = TrainConfig::from_toml("preset = \"strong\"\nepochs = 3").unwrap();
        let more = TrainConfig::from_toml("dropout = 0.5\nl1 = 0.1\nepochs = 4").unwrap();
        let origins = Origins::of_completed(&given, &given.clone().or(more));
        let explained = origins
            .explain(Error::usage("lbfgs cannot be used with --dropout").help("no --epochs"));
        let text = explained.to_string();
        assert!(
            text.ends_with("help: no --epochs; --dropout 0.5 is from --preset strong"),
            "{text}"
        );
        let other = Error::usage("--dropout-more and --l10");
        assert_eq!(origins.explain(other.clone()), other);
    }
}

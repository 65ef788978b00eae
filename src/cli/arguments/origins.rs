//! Where the values of options come from, for errors about values that nobody typed.

use super::train_args::TrainArgs;
use super::{environment, typed};
use crate::base::error::{Error, ErrorKind, Result};
use crate::files::config::TrainConfig;

/// Options that don't stand among the arguments: name, value, and where it comes from.
pub(in crate::cli) struct Origins(Vec<[String; 3]>);

impl Origins {
    /// What was completed after it was `given`: by a preset, and by what suits the data.
    pub fn of_completed(given: &TrainConfig, completed: &TrainConfig) -> Self {
        let from = match completed.run.preset {
            Some(preset) => format!("--preset {preset}"),
            None => "the defaults for these data".into(),
        };
        Origins(from_one(given, completed, &from))
    }

    /// What stands in the environment and in the file of --config.
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

    /// Adds to an error of usage where the options come from that it names.
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

/// The options of `after` that `before` doesn't have, all of them `from` one place; none where they can't
/// be written.
fn from_one(before: &TrainConfig, after: &TrainConfig, from: &str) -> Vec<[String; 3]> {
    let options = new_options(before, after).unwrap_or_default();
    options.into_iter().map(|(name, value)| [name, value, from.into()]).collect()
}

/// The options of `after` that `before` doesn't have: names and values.
///
/// # Errors
/// As [`TrainConfig::to_toml`].
pub(in crate::cli) fn new_options(
    before: &TrainConfig,
    after: &TrainConfig,
) -> Result<Vec<(String, String)>> {
    let before = before.to_table()?;
    let options = after.to_table()?.into_iter().filter(|(name, _)| !before.contains_key(name));
    Ok(options.map(|(name, value)| (name, value.to_string().trim_matches('"').into())).collect())
}

/// Whether a text names the option of this name, and not only one that begins with it.
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

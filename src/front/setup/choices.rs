//! The options that were chosen for the data, with the reasons.

use super::presets::{self, About};
use crate::base::error::Result;
use crate::files::config::TrainConfig;
use serde::Serialize;

/// An option that was chosen for the data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Chosen {
    /// Its name, without dashes.
    option: String,
    value: String,
    why: String,
}

impl Chosen {
    /// Its name and value, and why it was chosen.
    pub fn parts(&self) -> [&str; 3] {
        [&self.option, &self.value, &self.why]
    }
}

/// The options in `completed` but not in `given` that were chosen for these data.
///
/// # Errors
/// As [`TrainConfig::new_options`].
pub(crate) fn chosen(
    given: &TrainConfig,
    completed: &TrainConfig,
    about: &About<'_>,
) -> Result<Vec<Chosen>> {
    let options = given.new_options(completed)?.into_iter().filter_map(|(option, value)| {
        Some(Chosen { why: presets::why(&option, given, about)?, option, value })
    });
    Ok(options.collect())
}

/// All of them in one line; empty if nothing was chosen.
pub(crate) fn line(choices: &[Chosen]) -> String {
    let each: Vec<String> = choices.iter().map(|c| format!("{} {}", c.option, c.value)).collect();
    each.join(", ")
}

/// A line for each with its reason, without an end of line.
pub(crate) fn block(choices: &[Chosen]) -> String {
    let width = |text: fn(&Chosen) -> &str| {
        choices.iter().map(|c| text(c).chars().count()).max().unwrap_or(0)
    };
    let (option, value) = (width(|c| &c.option), width(|c| &c.value));
    let line = |c: &Chosen| format!("{:option$}  {:value$}  {}", c.option, c.value, c.why);
    choices.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Targets;
    use crate::front::setup::presets::Kind;

    #[test]
    fn what_suits_a_table_is_said_with_its_reason_and_what_was_given_is_not() {
        let targets = Targets::Classes { labels: vec![0, 1], names: vec!["a".into(), "b".into()] };
        let table = About {
            kind: Kind::Table,
            rows: 3200,
            groups: None,
            is_streamed: false,
            holds_out: false,
            targets: &targets,
        };
        let chosen_for = |given: &str, about: &About<'_>| {
            let given = TrainConfig::from_toml(given).unwrap();
            let completed = presets::complete(given.clone(), about).unwrap();
            chosen(&given, &completed, about).unwrap()
        };
        let choices = chosen_for("lr = 0.1", &table);
        assert!(!line(&choices).contains("lr "), "{}", line(&choices));
        assert!(line(&choices).contains("epochs 10, initializer"), "{}", line(&choices));
        let text = block(&choices);
        assert!(text.contains("about 500 steps, within 8 to 60 epochs"), "{text}");
        assert!(text.contains("each net holds out a different part"), "{text}");
        let many = About { rows: 100_000, ..table };
        let text = block(&chosen_for("", &many));
        assert!(text.contains("one net, as there are enough rows to hold some out"), "{text}");
        let text = block(&chosen_for("preset = \"best\"", &table));
        assert!(text.contains("dropout       0.1") && text.contains("--preset best"), "{text}");
        assert_eq!(chosen_for("", &About { kind: Kind::Other, ..table }), []);
    }
}

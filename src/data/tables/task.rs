//! What is to be learned from a target.

use crate::base::error::{Error, Result, serde_as_text, unknown};
use std::fmt;
use std::str::FromStr;

/// What is to be learned: a class, a number, or labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// Classes where the target is text, or whole numbers from 0 on of at most 50 different values
    /// that come up ten times each on average; else numbers.
    #[default]
    Auto,
    /// Classes.
    Classification,
    /// Numbers.
    Regression,
    /// Any number of labels: several columns of 0 and 1, or one in which the labels are separated.
    Multilabel,
}

impl Task {
    /// Every task once.
    pub const ALL: [Task; 4] =
        [Task::Auto, Task::Classification, Task::Regression, Task::Multilabel];

    /// The name used in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Task::Auto => "auto",
            Task::Classification => "classification",
            Task::Regression => "regression",
            Task::Multilabel => "multilabel",
        }
    }
}

serde_as_text!(Task);

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|t| t.name() == name)
            .ok_or_else(|| unknown("task", name, &Self::ALL.map(Self::name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_to_the_same_task() {
        for task in Task::ALL {
            assert_eq!(task.to_string().parse::<Task>().unwrap(), task);
        }
        assert!("classificaton".parse::<Task>().unwrap_err().to_string().contains("did you mean"));
    }
}

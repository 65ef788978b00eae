//! The task: what is learned from a target.

use crate::base::error::serde_as_text;
use crate::base::names::names;

/// What is learned: a class, a number, or labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// Classes if the target is text, or whole numbers from 0 on with at most 50 different values
    /// that occur ten times each on average; otherwise numbers.
    #[default]
    Auto,
    /// Classes.
    Classification,
    /// Numbers.
    Regression,
    /// Any number of labels: several columns of 0 and 1, or one with separated labels.
    Multilabel,
}

names!(Task, "task": Auto "auto", Classification "classification", Regression "regression", Multilabel "multilabel");

serde_as_text!(Task);

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

//! What is to be learned from a target.

use crate::base::error::serde_as_text;
use crate::base::names::names;

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

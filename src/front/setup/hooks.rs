//! What whoever sets a run up is told on the way.

use crate::base::error::Error;
use crate::files::config::TrainConfig;
use std::fmt::Display;

/// Adds to an error where completed settings come from: the settings as given, as completed, the error.
pub(crate) type Explain = fn(&TrainConfig, &TrainConfig, Error) -> Error;

/// Who is told what on the way from settings to a run. Nobody, by default.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hooks {
    /// Is told what is good to know, a sentence each.
    pub notify: Option<fn(&str)>,
    /// Explains errors about settings that nobody gave.
    pub explain: Option<Explain>,
}

impl Hooks {
    pub(crate) fn say(self, message: impl Display) {
        if let Some(notify) = self.notify {
            notify(&message.to_string());
        }
    }

    pub(crate) fn explain(
        self,
        given: &TrainConfig,
        completed: &TrainConfig,
        error: Error,
    ) -> Error {
        match self.explain {
            Some(explain) => explain(given, completed, error),
            None => error,
        }
    }
}

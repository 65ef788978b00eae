//! Callbacks during the setup of a run.

use crate::base::error::Error;
use crate::files::config::TrainConfig;
use std::fmt::Display;

/// Adds the origin of completed settings to an error: the given settings, the completed ones, the error.
pub(crate) type Explain = fn(&TrainConfig, &TrainConfig, Error) -> Error;

/// The callbacks during the setup of a run; by default, none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hooks {
    /// Called with messages, one sentence each.
    pub notify: Option<fn(&str)>,
    /// Explains errors about settings that weren't given.
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

//! What people see of a run on a terminal: a bar, or a dashboard.

use super::{Bar, Dashboard, Screen};
use crate::event::Observer;
use indicatif::ProgressBar;
use std::io::{IsTerminal, stderr};

/// What people see of a run on a terminal.
pub enum Display {
    /// A line.
    Bar(Bar),
    /// The whole terminal.
    Dashboard(Dashboard),
}

/// Whether standard error is a terminal that can move its cursor, as bars need; `TERM=dumb` is one that
/// can't, such as the shell of an editor.
#[must_use]
pub fn can_redraw() -> bool {
    stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

impl Display {
    /// A dashboard on `screen`, where there is one, called `name` among several; else a bar.
    #[must_use]
    pub fn on(screen: Option<&Screen>, name: &str, bar: impl FnOnce() -> Bar) -> Self {
        match screen {
            Some(screen) => Display::Dashboard(screen.watch(name)),
            None => Display::Bar(bar()),
        }
    }

    /// Whether it is a dashboard.
    #[must_use]
    pub fn is_dashboard(&self) -> bool {
        matches!(self, Display::Dashboard(_))
    }

    /// What sees the run.
    pub fn observer(&mut self) -> &mut dyn Observer {
        match self {
            Display::Bar(bar) => bar,
            Display::Dashboard(dashboard) => dashboard,
        }
    }

    /// A handle with which to write between redraws; a dashboard takes messages by itself.
    #[must_use]
    pub fn handle(&self) -> ProgressBar {
        match self {
            Display::Bar(bar) => bar.handle(),
            Display::Dashboard(_) => ProgressBar::hidden(),
        }
    }

    /// Says whether the run keeps checkpoints, which a key asks for.
    pub fn keeps_checkpoints(&mut self, does: bool) {
        if let Display::Dashboard(dashboard) = self {
            dashboard.keeps_checkpoints(does);
        }
    }

    /// Shows that the training has ended.
    pub fn clear(&self) {
        match self {
            Display::Bar(bar) => bar.clear(),
            Display::Dashboard(dashboard) => dashboard.end(),
        }
    }
}

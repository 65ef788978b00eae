//! The display of a run on a terminal: a bar, or a dashboard.

use super::{Bar, Dashboard, Screen};
use crate::train::event::Observer;
use indicatif::ProgressBar;

/// The display of a run on a terminal.
pub enum Display {
    /// A progress bar on one line.
    Bar(Bar),
    /// The whole terminal.
    Dashboard(Dashboard),
}

impl Display {
    /// A dashboard on `screen`, if there is one, with `name` for one of several nets; else a bar.
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

    /// The observer of the run.
    pub fn observer(&mut self) -> &mut dyn Observer {
        match self {
            Display::Bar(bar) => bar,
            Display::Dashboard(dashboard) => dashboard,
        }
    }

    /// A handle with which to write between redraws; a dashboard shows messages itself.
    #[must_use]
    pub fn handle(&self) -> ProgressBar {
        match self {
            Display::Bar(bar) => bar.handle(),
            Display::Dashboard(_) => ProgressBar::hidden(),
        }
    }

    /// Sets whether the run keeps checkpoints, which a key requests.
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

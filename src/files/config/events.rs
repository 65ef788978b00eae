//! The directory of TensorBoard's event files.

use crate::base::error::{Error, Result, serde_as_text};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The directory of event files: `true` for the one in the run directory, else a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventsDirectory {
    /// `tensorboard` in the run directory.
    InRun,
    /// A subdirectory of this one with the run's name, so that several runs can share it.
    Within(PathBuf),
}

/// The directory of event files in a run directory.
pub const IN_RUN: &str = "tensorboard";

impl EventsDirectory {
    /// The directory of event files for the run in `run`. If that is a part of another run, one of its folds
    /// or nets, it is inside that run's.
    #[must_use]
    pub fn of_run(&self, run: &Path, is_part: bool) -> PathBuf {
        let EventsDirectory::Within(directory) = self else { return run.join(IN_RUN) };
        let full = std::path::absolute(run).unwrap_or_else(|_| run.to_path_buf());
        let name = full.file_name().map(PathBuf::from).unwrap_or_default();
        match full.parent().and_then(Path::file_name).filter(|_| is_part) {
            Some(whole) => directory.join(whole).join(name),
            None => directory.join(name),
        }
    }
}

serde_as_text!(EventsDirectory);

impl fmt::Display for EventsDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventsDirectory::InRun => f.write_str("true"),
            EventsDirectory::Within(directory) => write!(f, "{}", directory.display()),
        }
    }
}

impl FromStr for EventsDirectory {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "true" => Ok(EventsDirectory::InRun),
            "" => Err(Error::usage("no directory was given")
                .help("write --tensorboard alone for one in the run directory")),
            path => Ok(EventsDirectory::Within(path.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_and_each_part_of_one_has_a_directory_of_its_own() {
        let within: EventsDirectory = "/logs".parse().unwrap();
        assert_eq!(within.of_run(Path::new("/runs/a-1"), false), Path::new("/logs/a-1"));
        assert_eq!(within.of_run(Path::new("/runs/a-1/net-2"), true), Path::new("/logs/a-1/net-2"));
        let in_run: EventsDirectory = "true".parse().unwrap();
        assert_eq!(in_run.of_run(Path::new("runs/a-1"), true), Path::new("runs/a-1/tensorboard"));
        for text in ["true", "logs/x"] {
            assert_eq!(text.parse::<EventsDirectory>().unwrap().to_string(), text);
        }
        assert!("".parse::<EventsDirectory>().is_err());
    }
}

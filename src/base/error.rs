//! The one error type: what is wrong, where, and what to do about it.

use crate::base::similarity;
use std::fmt;
use std::sync::Arc;

/// What kind of failure it is; decides the exit code of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Failed while running: a file that can't be written, a lost device, a failed check.
    Failed,
    /// Wrong usage or configuration.
    Usage,
    /// Bad data: unreadable, truncated, out of range.
    Data,
    /// No suitable device, or a net that the device can't hold.
    Device,
    /// Training diverged: the loss is NaN or infinite.
    Diverged,
    /// Stopped by the user.
    Interrupted,
}

impl ErrorKind {
    /// The process exit code of this kind of failure.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Failed => 1,
            ErrorKind::Usage => 2,
            ErrorKind::Data => 3,
            ErrorKind::Device => 4,
            ErrorKind::Diverged => 5,
            ErrorKind::Interrupted => 130,
        }
    }
}

/// An error that a user can act on: its [kind](Error::kind), [what](Error::message) is wrong,
/// [where](Error::place), [what to do](Error::advice), and the error that caused it, as
/// [`source`](std::error::Error::source).
#[derive(Debug, Clone)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    kind: ErrorKind,
    what: String,
    place: Option<String>,
    help: Option<String>,
    source: Option<Source>,
}

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// Errors are equal if they say the same, whatever caused them.
impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        let said = |error: &Self| {
            let Parts { kind, what, place, help, .. } = &*error.0;
            (*kind, what.clone(), place.clone(), help.clone())
        };
        said(self) == said(other)
    }
}

impl Eq for Error {}

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` that says `what` is wrong.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Error(Box::new(Parts { kind, what: what.into(), place: None, help: None, source: None }))
    }

    /// A failure while running (exit code 1).
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, what)
    }

    /// Wrong usage or configuration (exit code 2).
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, what)
    }

    /// Bad data (exit code 3).
    pub fn data(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, what)
    }

    /// No suitable device (exit code 4).
    pub fn device(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Device, what)
    }

    /// Says where: a file with line and column, a row and feature, a layer and step.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.place = Some(match self.0.place.take() {
            Some(inner) => format!("{place}, {inner}"),
            None => place.to_string(),
        });
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds another piece of advice.
    #[must_use]
    pub fn also(mut self, more: impl fmt::Display) -> Self {
        self.0.help = Some(match self.0.help.take() {
            Some(help) => format!("{help}; {more}"),
            None => more.to_string(),
        });
        self
    }

    /// Sets the error that caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The same in other words.
    #[must_use]
    pub(crate) fn reworded(mut self, words: impl Fn(&str) -> String) -> Self {
        let Parts { what, place, help, .. } = &mut *self.0;
        for text in [Some(what), place.as_mut(), help.as_mut()].into_iter().flatten() {
            *text = words(text);
        }
        self
    }

    /// What is wrong, without where and what to do.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.what
    }

    /// Where: a file with line and column, a row and a column, a setting, a layer and a step.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        self.0.place.as_deref()
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// What is wrong and where, on one line.
    #[must_use]
    pub fn brief(&self) -> String {
        match &self.0.place {
            Some(place) => format!("{} ({place})", self.0.what),
            None => self.0.what.clone(),
        }
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// An error for a file operation that the system refused.
    #[must_use]
    pub fn io(verb: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidData => ErrorKind::Data,
            _ => ErrorKind::Failed,
        };
        let source = match error.raw_os_error() {
            Some(code) => std::io::Error::from_raw_os_error(code),
            None => std::io::Error::new(error.kind(), error.to_string()),
        };
        Self::new(kind, format!("cannot {verb} {}: {error}", path.display())).caused_by(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.what)?;
        if let Some(place) = &self.0.place {
            write!(f, "\n  where: {place}")?;
        }
        if let Some(help) = &self.0.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// The error for a name that isn't among the `known` ones; suggests the nearest.
#[must_use]
pub fn unknown(what: &str, name: &str, known: &[&str]) -> Error {
    let hint = nearest(name, known.iter().copied())
        .map(|n| format!("did you mean {n}? "))
        .unwrap_or_default();
    Error::usage(format!("unknown {what} {name:?}"))
        .help(format!("{hint}known: {}", known.join(", ")))
}

/// Serializes types by their `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($($type:ty),+) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use serde_as_text;

/// The candidate nearest to a mistyped `name`, if one is near enough to suggest.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (similarity::jaro_winkler(&name.to_lowercase(), c), c))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_where_and_what_to_do() {
        let error = Error::data("label 12 is out of range")
            .at("column 3")
            .at("points.csv, line 7")
            .help("labels are 0 to 9");
        assert_eq!(
            error.to_string(),
            "label 12 is out of range\n  where: points.csv, line 7, column 3\n  help: labels are 0 to 9"
        );
        assert_eq!(error.kind().exit_code(), 3);
        assert_eq!(error.message(), "label 12 is out of range");
        assert_eq!(error.place(), Some("points.csv, line 7, column 3"));
        assert_eq!(error.advice(), Some("labels are 0 to 9"));
    }

    #[test]
    fn an_error_names_the_one_that_it_follows_from() {
        use std::error::Error as _;
        let cause = std::fs::File::open("/nonexistent").unwrap_err();
        let error = Error::io("open", std::path::Path::new("/nonexistent"), &cause);
        let source = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
        assert!(Error::data("x").source().is_none());
        assert_eq!(error.clone(), error);
    }

    #[test]
    fn suggests_only_a_name_that_is_near() {
        let names = ["digits", "spiral", "moons"];
        assert_eq!(nearest("digit", names), Some("digits"));
        assert_eq!(nearest("housing.csv", names), None);
    }
}

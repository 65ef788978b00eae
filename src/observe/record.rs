//! A run as JSON lines, one for each event, each written whole and flushed.

use crate::base::error::{Error, Result};
use crate::train::event::{Diverged, Epoch, Flow, Observer, Progress, RateChange, Start};
use serde::Serialize;
use serde_json::{Map, Value};
use std::io::{ErrorKind, Write};

/// The data that a run is evaluated on during training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldOut {
    /// Validation data.
    Validation,
    /// Test data, if there are no validation data.
    Test,
}

/// Writes the events of a run as JSON lines; the first is `start`, or `resume` if a run is
/// resumed. If the reader closes the pipe, it interrupts the run.
pub struct Record<W> {
    out: W,
    /// The destination, for errors.
    place: String,
    /// The entries of the line `start` besides [`Start`].
    about: Map<String, Value>,
    held_out: HeldOut,
    closed: bool,
}

impl<W: Write> Record<W> {
    /// A record that goes to `out`, called `place` in errors. The line `start` gets the entries
    /// of `about` too.
    pub fn new(
        out: W,
        place: impl Into<String>,
        about: Map<String, Value>,
        held_out: HeldOut,
    ) -> Self {
        Record { out, place: place.into(), about, held_out, closed: false }
    }

    /// Whether the reader has closed the pipe.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes a line: `{"event": name, …}` with the entries of `body`.
    ///
    /// # Errors
    /// When it can't be written, except because the reader has closed the pipe.
    pub fn event(&mut self, name: &str, body: &impl Serialize) -> Result<()> {
        let fail = |e: &dyn std::fmt::Display| {
            Error::failed(format!("cannot write {}: {e}", self.place))
                .help("the lines written before are still there")
        };
        let mut line = serde_json::to_string(&Line { event: name, body }).map_err(|e| fail(&e))?;
        line.push('\n');
        if self.closed {
            return Ok(());
        }
        match self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            written => written.map_err(|e| fail(&e)),
        }
    }

    fn flow(&self) -> Flow {
        if self.closed { Flow::Interrupt } else { Flow::Continue }
    }
}

#[derive(Serialize)]
struct Line<'a, T> {
    event: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Serialize)]
struct StartLine<'a> {
    #[serde(flatten)]
    about: Map<String, Value>,
    #[serde(flatten)]
    start: &'a Start,
}

#[derive(Serialize)]
struct EpochLine {
    #[serde(flatten)]
    epoch: Epoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_loss: Option<f64>,
}

impl<W: Write> Observer for Record<W> {
    fn start(&mut self, start: &Start) -> Result<()> {
        let about = self.about.clone();
        let name = if start.from_step.is_some() { "resume" } else { "start" };
        self.event(name, &StartLine { about, start })
    }

    fn progress(&mut self, _: &Progress) -> Flow {
        self.flow()
    }

    fn diverged(&mut self, diverged: &Diverged) -> Result<()> {
        self.event("diverged", diverged)
    }

    fn rate_changed(&mut self, change: &RateChange) -> Result<()> {
        self.event("rate", change)
    }

    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        let mut body = EpochLine { epoch: epoch.clone(), test_loss: None };
        if self.held_out == HeldOut::Test {
            body.test_loss = body.epoch.valid_loss.take();
        }
        self.event("epoch", &body)?;
        Ok(self.flow())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io;

    pub(in crate::observe) fn epoch() -> Epoch {
        Epoch {
            epoch: 2,
            step: 20,
            train_loss: 0.25,
            valid_loss: Some(0.5),
            metrics: vec![("accuracy", 0.75)],
            lr: 0.001,
            seconds: 1.5,
            samples_per_second: 1000.0,
        }
    }

    #[test]
    fn each_event_is_a_line_of_json_that_says_which() {
        let mut out = Vec::new();
        Record::new(&mut out, "metrics.jsonl", Map::new(), HeldOut::Validation)
            .epoch(&epoch())
            .unwrap();
        let line: Value = serde_json::from_slice(&out).unwrap();
        assert!(out.starts_with(b"{\"event\":\"epoch\",") && out.ends_with(b"}\n"));
        let expected = serde_json::json!({
            "event": "epoch", "epoch": 2, "step": 20, "train_loss": 0.25, "valid_loss": 0.5,
            "accuracy": 0.75, "lr": 0.001, "seconds": 1.5, "samples_per_second": 1000.0,
        });
        assert_eq!(line, expected);
        let mut out = Vec::new();
        Record::new(&mut out, "stdout", Map::new(), HeldOut::Test).epoch(&epoch()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\"test_loss\":0.5") && !text.contains("valid_loss"), "{text}");
    }

    struct Fails(ErrorKind);
    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_away_interrupts_and_a_full_disk_is_an_error() {
        let mut record =
            Record::new(Fails(ErrorKind::BrokenPipe), "stdout", Map::new(), HeldOut::Test);
        assert_eq!(record.epoch(&epoch()), Ok(Flow::Interrupt));
        assert!(record.is_closed());
        let mut record =
            Record::new(Fails(ErrorKind::StorageFull), "x.jsonl", Map::new(), HeldOut::Test);
        let error = record.epoch(&epoch()).unwrap_err();
        assert!(error.to_string().contains("cannot write x.jsonl"), "{error}");
    }
}

//! The record of a run, from its directory. Its files may be of another version, truncated or damaged: what
//! can't be read is left out.

use crate::base::error::Result;
use crate::cli::runs::names::{CONFIG, EVENTS, FOLDS, MODEL};
use crate::cli::runs::run_directory::no_run;
use crate::cli::setup::open::Trained;
use crate::cli::setup::settings::describe_net;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The number of bytes at the start of the events that describe the beginning of a run.
const HEAD: u64 = 64 << 10;
/// The number of bytes at the end that describe how it ended.
const TAIL: u64 = 1 << 20;
/// The most bytes of a file of options.
const OPTIONS: u64 = 1 << 20;
/// The start of a comment at the top of `config.toml`; a version follows.
const WRITTEN_BY: &str = "# wgrad ";

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It finished.
    Done,
    /// A process is training it.
    Running,
    /// Ctrl-C ended it, or a time limit.
    Interrupted,
    /// It ended with an error.
    Failed,
    /// It has no end: its process was killed, or the machine stopped.
    Unfinished,
    /// A model from elsewhere, which was not trained here.
    Imported,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Done => "done",
            State::Running => "running",
            State::Interrupted => "interrupted",
            State::Failed => "failed",
            State::Unfinished => "unfinished",
            State::Imported => "imported",
        }
    }
}

/// A run, as described by its files.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    pub run: PathBuf,
    pub state: State,
    /// Seconds since 1970 at which something was last written.
    pub modified: u64,
    /// The version of this program that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The hidden layers, as `--layers` takes them, or the whole net of a model file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<String>,
    /// How many nets the model averages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The epoch whose weights are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_epoch: Option<u64>,
    /// The number of rows that the metrics are from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged_rows: Option<u64>,
    /// Metrics on the validation rows.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub valid: BTreeMap<String, f64>,
    /// Metrics on the test rows.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub test: BTreeMap<String, f64>,
    /// The error that ended it, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The options in its `config.toml`.
    #[serde(skip)]
    pub options: BTreeMap<String, String>,
}

impl Record {
    /// The run of a directory, or of a model file.
    ///
    /// # Errors
    /// For what is neither.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Self::of_directory(path).ok_or_else(|| no_run(path));
        }
        let mut record = Self::empty(path);
        record.add_model(Trained::open(path)?);
        Ok(record)
    }

    /// The run of a directory; none where it isn't one.
    pub fn of_directory(path: &Path) -> Option<Self> {
        let has = |name: &str| path.join(name).is_file();
        if !has(CONFIG) {
            // A directory that holds a model and nothing of a run.
            let model = Trained::open(path).ok().filter(|_| has(MODEL))?;
            let mut record = Self::empty(path);
            record.add_model(model);
            return Some(record);
        }
        let mut record = Self::empty(path);
        record.add_options(&start_of(&path.join(CONFIG), OPTIONS));
        record.add_events(&path.join(EVENTS));
        record.add_folds(path);
        Some(record)
    }

    fn empty(path: &Path) -> Self {
        let time = |name: &str| fs::metadata(path.join(name)).and_then(|m| m.modified()).ok();
        // The events are written last, and a model beside them by `report` or by hand.
        let modified = time(EVENTS).or_else(|| time(CONFIG)).or_else(|| time(""));
        Record {
            run: path.to_path_buf(),
            state: State::Unfinished,
            modified: modified.map_or(0, seconds_of),
            version: None,
            data: None,
            net: None,
            nets: None,
            device: None,
            epochs: None,
            steps: None,
            seconds: None,
            best_epoch: None,
            judged_rows: None,
            valid: BTreeMap::new(),
            test: BTreeMap::new(),
            error: None,
            options: BTreeMap::new(),
        }
    }

    /// Adds the data of a model file.
    fn add_model(&mut self, trained: Trained) {
        let Trained { model, provenance } = trained;
        self.state = if provenance.config.is_some() { State::Done } else { State::Imported };
        self.add_options(provenance.config.as_deref().unwrap_or_default());
        self.version = Some(provenance.version).filter(|v| !v.is_empty()).or(self.version.take());
        self.data = provenance.data.or(self.data.take());
        self.net = Some(describe_net(&model.net));
        self.nets = Some(model.members.len() as u64).filter(|&nets| nets > 1);
    }

    /// Adds the options of a `config.toml`, some of which may be unknown to this version.
    fn add_options(&mut self, text: &str) {
        let version = text.lines().next().and_then(|line| line.strip_prefix(WRITTEN_BY));
        self.version = version.and_then(|rest| rest.split(':').next()).map(str::to_string);
        let table: toml::Table = text.parse().unwrap_or_default();
        let options = table.into_iter().map(|(name, value)| {
            let value = value.to_string();
            (name, value.trim_matches('"').to_string())
        });
        self.options = options.collect();
        let option = |name: &str| self.options.get(name).cloned();
        self.net = option("layers");
        self.data = option("data").map(|data| {
            let name = Path::new(&data).file_name().map(|name| name.to_string_lossy().into_owned());
            name.unwrap_or(data)
        });
    }

    /// Replaces the metrics by those of the folds: all rows predicted by the nets that held them out, or the
    /// fold of a single net, which is its test.
    fn add_folds(&mut self, path: &Path) {
        match (self.options.contains_key("folds"), self.options.contains_key("fold")) {
            (true, true) if !self.test.is_empty() => self.valid = std::mem::take(&mut self.test),
            (true, false) => {
                let text = fs::read_to_string(path.join(FOLDS)).unwrap_or_default();
                let folds: Value = serde_json::from_str(&text).unwrap_or_default();
                if let Some(valid) = folds["valid"].as_object() {
                    self.valid = numbers(valid);
                    self.judged_rows = folds["report"]["rows"].as_u64();
                }
            }
            _ => {}
        }
    }

    /// Adds the data of the events.
    fn add_events(&mut self, path: &Path) {
        let mut last = None;
        for event in events(path) {
            let text = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_string);
            let whole = |name: &str| event.get(name).and_then(Value::as_u64);
            let name = text("event").unwrap_or_default();
            match name.as_str() {
                "start" | "resume" => {
                    self.device = text("device").or(self.device.take());
                    self.version = text("version").or(self.version.take());
                    self.error = None;
                    self.judged_rows = whole("validation_rows").filter(|&rows| rows > 0);
                }
                "epoch" => {
                    (self.epochs, self.steps) = (whole("epoch"), whole("step"));
                    self.seconds = event.get("seconds").and_then(Value::as_f64);
                    (self.valid, self.test) = (numbers(&event), BTreeMap::new());
                }
                "end" => {
                    self.device = text("device").or(self.device.take());
                    (self.epochs, self.steps) = (whole("epochs"), whole("steps"));
                    self.nets = whole("nets");
                    self.seconds = event.get("seconds").and_then(Value::as_f64);
                    let best = event.get("best").and_then(Value::as_object);
                    self.best_epoch = best.and_then(|best| best.get("epoch")?.as_u64());
                    let of = |name| event.get(name).and_then(Value::as_object).map(numbers);
                    (self.valid, self.test) =
                        (of("valid").unwrap_or_default(), of("test").unwrap_or_default());
                    let (valid, test) = (whole("valid_rows"), whole("test_rows"));
                    let of_fold = test.filter(|_| self.options.contains_key("fold"));
                    self.judged_rows = of_fold.or(valid).or(test).or(self.judged_rows);
                }
                "error" => self.error = text("error"),
                _ => continue,
            }
            last = Some((name, text("ending")));
        }
        let ending = last.as_ref().map(|(name, ending)| (name.as_str(), ending.as_deref()));
        self.state = match ending {
            Some(("end", Some("interrupted" | "time_limit"))) => State::Interrupted,
            Some(("end", _)) => State::Done,
            Some(("error", _)) => State::Failed,
            _ if is_locked(path) => State::Running,
            _ => State::Unfinished,
        };
    }
}

/// The metrics in an event, without other numbers.
fn numbers(event: &Map<String, Value>) -> BTreeMap<String, f64> {
    const OTHERS: [&str; 6] =
        ["epoch", "step", "train_loss", "lr", "seconds", "samples_per_second"];
    let named = event.iter().filter(|(name, _)| !OTHERS.contains(&name.as_str()));
    let renamed = |name: &str| name.strip_prefix("valid_").unwrap_or(name).to_string();
    named.filter_map(|(name, value)| Some((renamed(name), value.as_f64()?))).collect()
}

/// The events of a file that say how a run begins and how it ended, without what can't be read.
fn events(path: &Path) -> Vec<Map<String, Value>> {
    let head = start_of(path, HEAD);
    let tail = if head.len() as u64 >= HEAD { end_of(path, TAIL) } else { String::new() };
    // Where the two overlap, duplicates are the same.
    let lines = head.lines().chain(tail.lines());
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The first bytes of a file as text; none where it can't be read.
fn start_of(path: &Path, most: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The last bytes of a file as text, from the beginning of a line on.
fn end_of(path: &Path, most: u64) -> String {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    text.split_once('\n').map(|(_, rest)| rest.to_string()).unwrap_or_default()
}

/// Whether a process is training the run with this file of events: it holds a lock on it.
fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn seconds_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    seconds_of(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(config: &str, events: &str) -> (tempfile::TempDir, Option<Record>) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(CONFIG), config).unwrap();
        fs::write(directory.path().join(EVENTS), events).unwrap();
        let record = Record::of_directory(directory.path());
        (directory, record)
    }

    const START: &str = r#"{"event":"start","device":"CPU","version":"0.1.0"}"#;
    const EPOCH: &str = r#"{"event":"epoch","epoch":2,"step":20,"train_loss":1.0,"valid_loss":0.5,"accuracy":0.75,"lr":0.1,"seconds":1.5,"samples_per_second":9.0}"#;

    #[test]
    fn a_run_is_read_as_far_as_its_files_go() {
        let config =
            "# wgrad 0.9.7: text\ndata = \"/a/houses.csv\"\nlayers = \"8:tanh\"\nunheard-of = 3\n";
        let (_kept, record) = run(config, &format!("{START}\n{EPOCH}\n"));
        let record = record.unwrap();
        assert_eq!(record.state, State::Unfinished);
        assert_eq!(record.version.as_deref(), Some("0.1.0"));
        assert_eq!(record.data.as_deref(), Some("houses.csv"));
        assert_eq!(record.options["unheard-of"], "3");
        assert_eq!((record.epochs, record.seconds), (Some(2), Some(1.5)));
        assert_eq!(record.valid, BTreeMap::from([("accuracy".into(), 0.75), ("loss".into(), 0.5)]));
        let end = r#"{"event":"end","ending":"done","epochs":3,"steps":30,"seconds":2.0,"valid":{"accuracy":0.8}}"#;
        let state = |events: &str| run(config, events).1.unwrap().state;
        assert_eq!(state(&format!("{START}\n{EPOCH}\n{end}\n")), State::Done);
        assert_eq!(
            state(&format!("{START}\n{}", end.replace("done", "interrupted"))),
            State::Interrupted
        );
        assert_eq!(
            state(&format!("{START}\n{end}\n{}", START.replace("start", "resume"))),
            State::Unfinished
        );
        assert_eq!(
            state(&format!("{START}\n{{\"event\":\"error\",\"error\":\"x\"}}")),
            State::Failed
        );
    }

    /// A cross-validation has its metrics in `folds.json`, and the net of a fold in those of its test.
    #[test]
    fn runs_of_folds_have_the_metrics_of_the_folds() {
        let end = r#"{"event":"end","ending":"done","epochs":3,"steps":30,"seconds":2.0,"valid":{"accuracy":0.5},"valid_rows":9,"test":{"accuracy":0.8},"test_rows":30}"#;
        let (place, _) = run("folds = 4\n", &format!("{START}\n{end}"));
        let folds = r#"{"valid":{"accuracy":0.75},"report":{"rows":120,"accuracy":0.75}}"#;
        fs::write(place.path().join(FOLDS), folds).unwrap();
        let whole = Record::of_directory(place.path()).unwrap();
        assert_eq!(whole.valid, BTreeMap::from([("accuracy".into(), 0.75)]));
        assert_eq!(whole.judged_rows, Some(120));
        fs::write(place.path().join(FOLDS), "{\"valid\":").unwrap();
        assert_eq!(Record::of_directory(place.path()).unwrap().valid["accuracy"], 0.5, "damaged");
        let (_kept, fold) = run("fold = 2\nfolds = 4\n", &format!("{START}\n{end}"));
        let fold = fold.unwrap();
        assert_eq!((fold.valid["accuracy"], fold.judged_rows), (0.8, Some(30)));
        assert!(fold.test.is_empty());
    }

    #[test]
    fn files_that_are_damaged_are_read_as_far_as_they_can_be() {
        for (config, events) in [
            ("", ""),
            ("\u{0}\u{1}", "{\"event\":\"epoch\",\"epo"),
            ("[[[", "null\n[]\n3\n{}\n{\"event\":7}\n"),
            ("data = 3\nlayers = [1]\n", "{\"event\":\"end\",\"valid\":3,\"best\":[]}"),
        ] {
            let record = run(config, events).1.unwrap();
            assert!(record.valid.is_empty(), "{config:?} {events:?}");
        }
        let directory = tempfile::tempdir().unwrap();
        assert!(Record::of_directory(directory.path()).is_none());
        assert!(Record::open(directory.path()).unwrap_err().to_string().contains("no run"));
    }

    #[test]
    fn the_end_of_many_events_is_found_without_reading_all_of_them() {
        let many = format!("{START}\n") + &format!("{EPOCH}\n").repeat(20_000);
        let end = r#"{"event":"end","ending":"done","epochs":7,"steps":9,"seconds":2.0}"#;
        let record = run("", &format!("{many}{end}\n")).1.unwrap();
        assert_eq!((record.state, record.epochs), (State::Done, Some(7)));
        assert_eq!(record.device.as_deref(), Some("CPU"));
    }

    #[test]
    fn a_run_whose_events_are_locked_is_running() {
        let (directory, record) = run("", START);
        assert_eq!(record.unwrap().state, State::Unfinished);
        let file = File::options().append(true).open(directory.path().join(EVENTS)).unwrap();
        file.try_lock().unwrap();
        assert_eq!(Record::of_directory(directory.path()).unwrap().state, State::Running);
    }
}

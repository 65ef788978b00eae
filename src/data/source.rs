//! From what a user calls DATA to a data set: names of sets, files and directories.

use super::columns::{Columns, Expected};
use super::idx::is_idx;
use super::idx_set::{self, has_any_file, read_idx_directory, several_classes};
use super::known::{self, FASHION_MNIST, MNIST};
use super::stream::{ByteStream, set_name};
use super::table::{self, Table, TableOptions};
use super::{Dataset, Features, Task, digits, moons, spiral, xor};
use crate::error::{Error, Result, nearest};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The names of the sets that need no file.
pub const NAMES: [&str; 6] = ["digits", "spiral", "moons", "xor", "mnist", "fashion-mnist"];

/// How data are to be found and read.
#[derive(Debug, Clone, Default)]
pub struct DataOptions {
    /// Where the files of known sets are looked for first.
    pub data_dir: Option<PathBuf>,
    /// The target columns of a table, each by its name or its number from 1 on; empty for the
    /// last one.
    pub target: Vec<String>,
    /// What the target of a table holds.
    pub task: Task,
    /// The seed of generated sets.
    pub seed: u64,
    /// What a trained model needs of a table, where data are for one. Other data are held against
    /// the model by [`Preprocessing`](super::Preprocessing).
    pub expected: Option<Expected>,
    /// Is told what takes a while, such as a download.
    pub notify: Option<fn(&str)>,
}

/// A training part and, where the source has one, a test part.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainTest {
    /// What is trained on; all of it where there is no test part.
    pub train: Dataset,
    /// What is only measured on.
    pub test: Option<Dataset>,
    /// The columns, where the source is a table.
    pub columns: Option<Columns>,
}

/// Features without targets, for prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    /// The name, as shown to users.
    pub name: String,
    /// The features: (rows, features).
    pub features: Arc<Features>,
}

/// Opens a set by its name, a file, or a directory; names come before paths of the same name.
///
/// # Errors
/// When there is no such thing, it is bad, or it is a table without what a model expects.
pub fn open(name: &str, options: &DataOptions) -> Result<TrainTest> {
    let found = match find(name, options)? {
        Found::Set(found) => found,
        Found::Table(stream) => {
            let path = stream.path().to_path_buf();
            let table = read_table(stream, options, false)?;
            let (train, columns) = table.into_dataset().map_err(|e| e.at(path.display()))?;
            return Ok(TrainTest { train, test: None, columns: Some(columns) });
        }
        Found::Idx(images) => {
            let labels = ByteStream::open(&idx_set::labels_of(images.path())?)?;
            let path = images.path().to_path_buf();
            let data = idx_set::pair(images, labels, None)?;
            let data = match options.expected {
                Some(_) => data,
                None => several_classes(data).map_err(|e| e.at(path.display()))?,
            };
            TrainTest { train: data, test: None, columns: None }
        }
    };
    check_options(&found.train, options)?;
    Ok(found)
}

/// Opens the features alone: of a set with a test part those of that, and of a table whether its
/// target is there or not.
///
/// # Errors
/// When there is no such thing, it is bad, or it is a table without what a model expects.
pub fn open_inputs(name: &str, options: &DataOptions) -> Result<Inputs> {
    Ok(match find(name, options)? {
        Found::Set(TrainTest { train, test, .. }) => {
            let data = test.unwrap_or(train);
            Inputs { name: data.name, features: data.features }
        }
        Found::Table(stream) => {
            let table = read_table(stream, options, true)?;
            Inputs { name: table.name().to_string(), features: Arc::new(table.into_features()) }
        }
        Found::Idx(images) => {
            let name = set_name(images.path());
            Inputs { name, features: Arc::new(idx_set::features(images)?.0) }
        }
    })
}

enum Found {
    Set(TrainTest),
    Table(ByteStream),
    Idx(ByteStream),
}

fn find(name: &str, options: &DataOptions) -> Result<Found> {
    let set = |train| Ok(Found::Set(TrainTest { train, test: None, columns: None }));
    let known = |set| known::open(set, options.data_dir.as_deref(), options.notify).map(Found::Set);
    match name {
        "digits" => return set(digits()),
        "spiral" => return set(spiral(1000, options.seed)),
        "moons" => return set(moons(1000, options.seed)),
        "xor" => return set(xor(400, options.seed)),
        "mnist" => return known(&MNIST),
        "fashion-mnist" => return known(&FASHION_MNIST),
        _ => {}
    }
    let path = Path::new(name);
    if path.is_dir() {
        return directory(path).map(Found::Set);
    }
    if !path.exists() {
        return Err(unknown_name(name));
    }
    let stream = ByteStream::open(path)?;
    if is_idx(stream.head()) {
        return Ok(Found::Idx(stream));
    }
    match unsupported(stream.head()) {
        Some(format) => Err(Error::data(format!("{format} can't be read yet"))
            .at(path.display())
            .help("convert it to CSV, or to IDX")),
        None => Ok(Found::Table(stream)),
    }
}

fn directory(dir: &Path) -> Result<TrainTest> {
    if has_any_file(dir) {
        return read_idx_directory(dir);
    }
    Err(Error::data("there is no data set in this directory").at(dir.display()).help(
        "name a file in it, or a directory with train-images-idx3-ubyte and its companions; \
         folders of images can't be read yet",
    ))
}

/// The name of a format that is recognised, but can't be read.
fn unsupported(head: &[u8]) -> Option<&'static str> {
    const FORMATS: [(&[u8], &str); 13] = [
        (b"PAR1", "Parquet"),
        (b"ARROW1", "Arrow IPC"),
        (b"\x93NUMPY", "NPY"),
        (b"PK\x03\x04", "a zip file (NPZ, XLSX)"),
        (b"\x89HDF", "HDF5"),
        (b"SQLite format 3\0", "SQLite"),
        (b"\x89PNG", "a single image"),
        (b"\xFF\xD8\xFF", "a single image"),
        (b"GIF8", "a single image"),
        (b"%PDF", "PDF"),
        (b"BZh91AY&SY", "a file compressed by bzip2"),
        (b"\xFD7zXZ", "a file compressed by xz"),
        (b"\x28\xB5\x2F\xFD", "a file compressed by zstd"),
    ];
    if matches!(head.trim_ascii_start(), [b'{' | b'[', ..]) {
        return Some("JSON");
    }
    FORMATS.iter().find(|(magic, _)| head.starts_with(magic)).map(|&(_, format)| format)
}

fn unknown_name(name: &str) -> Error {
    let path = Path::new(name);
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let files: Vec<String> = fs::read_dir(parent)
        .map(|entries| entries.flatten().take(1000))
        .into_iter()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let hint = nearest(name, NAMES)
        .map(str::to_string)
        .or_else(|| {
            let near = nearest(&file, files.iter().map(String::as_str))?;
            Some(path.with_file_name(near).display().to_string())
        })
        .map(|near| format!("did you mean {near}? "))
        .unwrap_or_default();
    Error::data(format!("there is no data set and no file {name:?}"))
        .help(format!("{hint}give a path, or one of {}", NAMES.join(", ")))
}

fn read_table(stream: ByteStream, options: &DataOptions, features_only: bool) -> Result<Table> {
    let options = TableOptions {
        target: options.target.clone(),
        task: options.task,
        expected: options.expected.clone(),
        features_only,
    };
    table::read_stream(stream, &options)
}

/// Refuses options that a set which isn't a table has no use for.
fn check_options(data: &Dataset, options: &DataOptions) -> Result<()> {
    let has_classes = data.class_names().is_some();
    let error = match options.task {
        _ if !options.target.is_empty() => format!("the target of {} can't be chosen", data.name()),
        Task::Regression if has_classes => format!("the target of {} is a class", data.name()),
        Task::Classification if !has_classes => {
            format!("the target of {} is a number", data.name())
        }
        _ => return Ok(()),
    };
    Err(Error::usage(error).help("leave out --target and --task, which are for tables"))
}

#[cfg(test)]
mod tests {
    use super::super::idx_set::tests::write_quartet;
    use super::super::stream::tests::gzip;
    use super::*;

    fn plain(name: &str) -> Result<TrainTest> {
        open(name, &DataOptions::default())
    }

    fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    }

    #[test]
    fn bundled_and_generated_sets_are_opened_by_name() {
        for (name, rows, cols) in
            [("digits", 1797, 64), ("spiral", 1000, 2), ("moons", 1000, 2), ("xor", 400, 2)]
        {
            let found = plain(name).unwrap();
            assert_eq!((found.train.name(), found.train.rows()), (name, rows));
            assert_eq!((found.train.features().cols(), found.test), (cols, None));
        }
        let seeded = DataOptions { seed: 1, ..DataOptions::default() };
        assert_ne!(open("moons", &seeded).unwrap(), plain("moons").unwrap());
    }

    #[test]
    fn files_are_known_by_what_they_hold() {
        let dir = tempfile::tempdir().unwrap();
        write_quartet(dir.path(), "-", true);
        let images = dir.path().join("train-images-idx3-ubyte.gz");
        let found = plain(&images.to_string_lossy()).unwrap();
        assert_eq!((found.train.rows(), found.train.outputs(), found.test), (2, 3, None));
        assert_eq!(plain(&dir.path().to_string_lossy()).unwrap().test.unwrap().rows(), 1);
        let csv = write(dir.path(), "table.dat", gzip(b"a,y\n1,2\n3,4\n"));
        let found = plain(&csv).unwrap();
        assert_eq!(found.columns.unwrap().names, ["a", "y"]);
        assert_eq!(found.train.name(), "table");
    }

    #[test]
    fn what_is_not_there_is_answered_with_the_nearest() {
        let error = plain("digit").unwrap_err();
        assert_eq!(error.kind().exit_code(), 3);
        assert!(error.to_string().contains("did you mean digits?"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "houses.csv", "1,2\n");
        let error = plain(&dir.path().join("house.csv").to_string_lossy()).unwrap_err();
        assert!(error.to_string().contains("houses.csv?"), "{error}");
    }

    #[test]
    fn formats_that_cannot_be_read_yet_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for (bytes, format) in [
            (&b"PAR1\0\0"[..], "Parquet"),
            (b"\x93NUMPY\x01\0", "NPY"),
            (b"\x89PNG\r\n", "image"),
            (b" {\"a\": 1}", "JSON"),
        ] {
            let error = plain(&write(dir.path(), "file.csv", bytes)).unwrap_err();
            assert!(error.kind().exit_code() == 3 && error.to_string().contains(format), "{error}");
        }
        let error = plain(&dir.path().to_string_lossy()).unwrap_err().to_string();
        assert!(error.contains("folders of images"), "{error}");
    }

    #[test]
    fn options_for_tables_are_refused_elsewhere() {
        let target = DataOptions { target: vec!["y".to_string()], ..DataOptions::default() };
        let task = DataOptions { task: Task::Regression, ..DataOptions::default() };
        for options in [target, task] {
            assert_eq!(open("digits", &options).unwrap_err().kind().exit_code(), 2);
        }
    }

    #[test]
    fn prediction_takes_tables_without_targets_and_images_without_labels() {
        let dir = tempfile::tempdir().unwrap();
        let csv = write(dir.path(), "new.csv", "1,2.5\n3,4\n");
        let expected = Expected { features: 2, outputs: 1, classes: None, columns: None };
        let for_model = DataOptions { expected: Some(expected), ..DataOptions::default() };
        let inputs = open_inputs(&csv, &for_model).unwrap();
        assert_eq!((inputs.name.as_str(), inputs.features.rows()), ("new", 2));
        write_quartet(dir.path(), "-", false);
        fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte")).unwrap();
        let images = dir.path().join("t10k-images-idx3-ubyte");
        let inputs = open_inputs(&images.to_string_lossy(), &DataOptions::default()).unwrap();
        assert_eq!(inputs.features.value(0, 0), 9.0);
        assert_eq!(open_inputs("digits", &DataOptions::default()).unwrap().features.rows(), 1797);
    }
}

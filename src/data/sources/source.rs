//! Opening the user's DATA: for training, or for evaluating a trained model.

use super::arrays::{self, Parted, TableParts, task_of};
use super::find::{Found, Images, find, find_in};
use super::held_out::{HeldOut, pair, without_classes};
use super::idx_set::several_classes;
use crate::base::error::{Error, Result};
use crate::data::ImageShape;
use crate::data::formats::read;
use crate::data::formats::want::Known;
use crate::data::images::ImageFolder;
use crate::data::sets::dataset::Ready;
use crate::data::sources::options::{DataOptions, Measured, NAMES, say};
use crate::data::streams::stream::{Source, set_name};
use crate::data::tables::table::{self, Table};
use crate::data::{
    ColumnOptions, Data, Dataset, Features, Preprocessing, Targets, Task, TextOptions,
    UnknownCategories,
};
use std::path::Path;

/// A training part and, if the source has them, the other parts.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainTest {
    /// The training rows; all rows if there is no other part.
    pub train: Data,
    /// The rows that the source itself holds out for validation.
    pub validation: Option<Dataset>,
    /// The test rows.
    pub test: Option<Dataset>,
    /// The same for a table, whose rows are encoded once its training rows are known.
    pub parts: TableParts,
}

/// Opens a set by its name, a file, or a directory; names come before paths of the same name, and
/// `-` is standard input.
///
/// # Errors
/// When it doesn't exist or is invalid.
pub fn open(name: &str, options: &DataOptions) -> Result<TrainTest> {
    opened(find(name, options)?, options)
}

/// As [`open`], for the bytes of a file in memory; `name` is its name in errors.
///
/// # Errors
/// As [`open`].
pub fn open_bytes(name: &str, bytes: &[u8], options: &DataOptions) -> Result<TrainTest> {
    opened(find_in(Source::Memory(name.into(), bytes.into()), options)?, options)
}

fn opened(found: Found, options: &DataOptions) -> Result<TrainTest> {
    let ready = match found {
        Found::Set(ready) => ready,
        Found::Table(source) => return table(&source, TableParts::default(), options),
        Found::Arrays(set) => {
            say(options, &set.set.notes.iter().map(|n| format!("note: {n}")).collect::<Vec<_>>());
            match set.parted(options.task)? {
                Parted::Table(source, parts) => return table(&source, parts, options),
                Parted::Images(ready) => *ready,
            }
        }
        Found::Images(images) => open_images(&images, options)?,
        Found::Pixels(source) => return Err(without_classes(source.path())),
        Found::Idx(images) => {
            let path = images.path().to_path_buf();
            let train =
                several_classes(pair(images, options)?).map_err(|e| e.at(path.display()))?;
            Ready { train, validation: None, test: None }
        }
    };
    check_options(&ready.train, options)?;
    let Ready { train, validation, test } = ready;
    Ok(TrainTest { train: Data::Ready(train), validation, test, parts: TableParts::default() })
}

/// Folders of images for training. Parts whose images have no classes, such as those of a competition
/// with secret labels, are skipped.
fn open_images(images: &Images, options: &DataOptions) -> Result<Ready> {
    let Images { train, validation, test, lines } = images;
    say(options, lines);
    let labelled = |part: &Option<ImageFolder>| part.clone().filter(ImageFolder::has_classes);
    for part in [validation, test].into_iter().flatten().filter(|part| !part.has_classes()) {
        let path = part.path().display();
        let line = format!(
            "warning: skipped {} images in {path}: they belong to no class; put those of each class \
             in its own folder",
            part.len()
        );
        say(options, &[line]);
    }
    let (validation, test) = (labelled(validation), labelled(test));
    let others = [&validation, &test].into_iter().flatten().map(ImageFolder::len).sum();
    let memory = options.memory;
    let (train, lines) = train.training(&options.image, memory, others)?;
    say(options, &lines);
    let part = |images: Option<ImageFolder>| {
        let Some((images, shape)) = images.zip(train.shape()) else { return Ok(None) };
        let held = train.rows() as u64 * shape.bytes();
        let rest = memory.map(|memory| memory.saturating_sub(held));
        let (data, lines) = images.measured(shape, rest)?;
        say(
            options,
            &[format!("note: {}: {} images held out", images.path().display(), images.len())],
        );
        say(options, &lines);
        Ok::<_, Error>(Some(data))
    };
    let (validation, test) = (part(validation)?, part(test)?);
    Ok(Ready { train, validation, test })
}

/// A table for training, and the rows that it holds out.
fn table(source: &Source, parts: TableParts, options: &DataOptions) -> Result<TrainTest> {
    say(options, &source.notes());
    let place = source.path().display().to_string();
    let (columns, task) = (&options.columns, options.task);
    let frame = read::read(source, known(options), |header| table::wanted(header, columns, task))?;
    let table = Table::new(set_name(source.path()), frame, options);
    let train = Data::Table(Box::new(table.map_err(|e| e.at(place))?));
    Ok(TrainTest { train, validation: None, test: None, parts })
}

/// Whether a name is that of a table, which is read row by row; known sets and arrays with names
/// aren't.
///
/// # Errors
/// When it doesn't exist, or its beginning can't be read.
pub fn is_table(name: &str, options: &DataOptions) -> Result<bool> {
    Ok(!NAMES.contains(&name) && matches!(find(name, options)?, Found::Table(_)))
}

/// Opens data for evaluating a trained model: of a set with a test part, that part.
///
/// # Errors
/// When it doesn't exist, is invalid, or doesn't match the model.
pub fn open_measured(
    name: &str,
    preprocessing: &Preprocessing,
    options: &DataOptions,
) -> Result<Measured> {
    // One-hot targets are read according to the model.
    let options = &DataOptions { task: task_of(preprocessing), ..options.clone() };
    let (rows, is_test_part) = find(name, options)?.held_out(preprocessing, options, true)?;
    let data = match rows {
        HeldOut::Table(source) => {
            return arrays::measured(&source, preprocessing, options, is_test_part);
        }
        HeldOut::Images(images) => {
            let shape = shape_for(&images, preprocessing, options)?;
            let (data, lines) = images.measured(shape, options.memory)?;
            say(options, &lines);
            data
        }
        HeldOut::Set(data) => data,
        HeldOut::Features(name, _) => return Err(without_classes(Path::new(&name))),
    };
    check_ready(data.name(), data.features(), preprocessing)?;
    preprocessing.samples(&data)?;
    let (unknown, warnings) = (UnknownCategories::default(), Vec::new());
    Ok(Measured { data, is_test_part, unknown, warnings })
}

/// What is known about a table for training.
pub(in crate::data) fn known(options: &DataOptions) -> Known<'_> {
    let (names, text) = (&options.columns.target, &options.text);
    Known { names, text, on_error: options.on_error, ..Known::default() }
}

/// Refuses a matrix for a model that was trained on the columns of a table.
pub(super) fn check_ready(
    name: &str,
    features: &Features,
    preprocessing: &Preprocessing,
) -> Result<()> {
    let expected = preprocessing.features.cols();
    if let Some(encoding) = preprocessing.encoding.as_ref().filter(|e| !e.pixels)
        && features.cols() == expected
    {
        let columns: Vec<&str> =
            encoding.features.iter().take(8).map(|f| f.column.as_str()).collect();
        return Err(Error::data("the net was trained on a table, but these data are not a table")
            .at(name)
            .help(format!("give a table with the columns {}", columns.join(", "))));
    }
    preprocessing.check_width(features).map_err(|e| e.at(name))
}

/// The shape of images for a model: that of its training, or of the images themselves if it was
/// trained on other data.
///
/// # Errors
/// When the model's shape doesn't match its inputs, or a file isn't an image.
pub(super) fn shape_for(
    images: &ImageFolder,
    preprocessing: &Preprocessing,
    options: &DataOptions,
) -> Result<ImageShape> {
    match preprocessing.image {
        Some(shape) => shape.check(preprocessing.features.cols()).map(|()| shape),
        None => images.plain_shape(&options.image, options.memory),
    }
}

/// Refuses options for tables if the set isn't a table.
fn check_options(data: &Dataset, options: &DataOptions) -> Result<()> {
    let has_classes = data.class_names().is_some();
    // A column that decides a split is checked where the rows are split.
    let (reserved, missing_target) =
        (options.columns.reserved.clone(), options.columns.missing_target);
    if options.text != TextOptions::default() {
        return Err(Error::usage(format!("{} is not delimited text", data.name())).help(
            "omit --decimal, --thousands, --separator, --header, --missing and --date-format",
        ));
    }
    let error = match options.task {
        _ if options.columns
            != (ColumnOptions { reserved, missing_target, ..ColumnOptions::default() }) =>
        {
            format!("the columns of {} can't be chosen", data.name())
        }
        Task::Multilabel if !matches!(data.targets(), Targets::Labels { .. }) => {
            format!("the target of {} is not a set of labels", data.name())
        }
        Task::Regression if has_classes => format!("the target of {} is a class", data.name()),
        Task::Classification if !has_classes => {
            format!("the target of {} is a number", data.name())
        }
        _ => return Ok(()),
    };
    Err(Error::usage(error)
        .help("omit --target, --task and other options for columns, which are for tables"))
}

#[cfg(test)]
mod tests {
    use super::super::idx_set::tests::write_quartet;
    use super::*;
    use crate::data::streams::stream::tests::gzip;
    use std::fs;

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
            let Data::Ready(train) = found.train else { panic!("a matrix") };
            assert_eq!((train.features().cols(), found.test), (cols, None));
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
        assert_eq!((found.train.rows(), found.train.targets().outputs()), (2, 3));
        assert_eq!(found.test, None);
        assert_eq!(plain(&dir.path().to_string_lossy()).unwrap().test.unwrap().rows(), 1);
        let csv = write(dir.path(), "table.dat", gzip(b"a,y\n1,2\n3,4\n"));
        let found = plain(&csv).unwrap();
        assert_eq!(found.train.table().unwrap().frame().header.names, ["a", "y"]);
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
        for (bytes, format) in [(&b"\x89PNG\r\n\x1a\n"[..], "image"), (b"[[1], [2]]", "JSON")] {
            let error = plain(&write(dir.path(), "file.csv", bytes)).unwrap_err();
            assert!(error.kind().exit_code() == 3 && error.to_string().contains(format), "{error}");
        }
        let error = plain(&dir.path().to_string_lossy()).unwrap_err().to_string();
        assert!(error.contains("folder of images"), "{error}");
    }

    #[test]
    fn options_for_tables_are_refused_elsewhere() {
        let columns = ColumnOptions { target: vec!["y".into()], ..ColumnOptions::default() };
        let target = DataOptions { columns, ..DataOptions::default() };
        let task = DataOptions { task: Task::Regression, ..DataOptions::default() };
        for options in [target, task] {
            assert_eq!(open("digits", &options).unwrap_err().kind().exit_code(), 2);
        }
    }
}

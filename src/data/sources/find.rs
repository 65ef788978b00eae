//! The user's DATA: a known set, a file or a directory, recognized by its name and its first bytes.

use super::arrays::ArraySet;
use super::idx_set::{has_any_file, read_directory};
use super::known::{self, FASHION_MNIST, MNIST};
use super::options::{DataOptions, NAMES, say};
use crate::base::error::{Error, Result, nearest};
use crate::base::memory::Budget;
use crate::data::formats::idx::is_idx;
use crate::data::formats::json_lines::JsonTable;
use crate::data::formats::npy;
use crate::data::images::{self, ImageFolder};
use crate::data::sets::dataset::Ready;
use crate::data::sets::housing::HOUSING;
use crate::data::streams::archive::{self, Content};
use crate::data::streams::recognize;
use crate::data::streams::stream::{ByteStream, Source};
use crate::data::{digits, moons, spiral, xor};
use std::fs;
use std::path::{Path, PathBuf};

pub(in crate::data) enum Found {
    Set(Ready),
    Table(Source),
    Idx(ByteStream),
    Images(Box<Images>),
    /// Arrays with names.
    Arrays(ArraySet),
    /// Images in an array without labels.
    Pixels(Source),
}

/// Folders of images.
pub(in crate::data) struct Images {
    pub(in crate::data) train: ImageFolder,
    pub(in crate::data) validation: Option<ImageFolder>,
    pub(in crate::data) test: Option<ImageFolder>,
    /// Messages about how the parts were found.
    pub(in crate::data) lines: Vec<String>,
}

/// The names of the folders of training, validation and test images, in lower case.
const PARTS: [&[&str]; 3] =
    [&["train", "training"], &["val", "valid", "validation"], &["test", "testing"]];

impl Images {
    /// Whether there are images besides those for training.
    pub(super) fn has_held_out_part(&self) -> bool {
        self.validation.is_some() || self.test.is_some()
    }

    /// The images for evaluating a trained model: the test part, otherwise the validation part, otherwise
    /// all. Reports which.
    pub(in crate::data) fn held_out(self, options: &DataOptions) -> ImageFolder {
        say(options, &self.lines);
        let has_parts = self.has_held_out_part();
        let images = self.test.or(self.validation).unwrap_or(self.train);
        if has_parts {
            say(options, &[format!("note: using {}", images.path().display())]);
        }
        images
    }
}

/// Finds the user's DATA, without reading all of it.
pub(in crate::data) fn find(name: &str, options: &DataOptions) -> Result<Found> {
    let set = |train| Ok(Found::Set(Ready { train, validation: None, test: None }));
    let known = |set| known::open(set, options.data_dir.as_deref(), options.notify).map(Found::Set);
    match name {
        "digits" => return set(digits()),
        "housing" => return find_in(Source::Memory(name.into(), HOUSING.into()), options),
        "spiral" => return set(spiral(1000, options.seed)),
        "moons" => return set(moons(1000, options.seed)),
        "xor" => return set(xor(400, options.seed)),
        "mnist" => return known(&MNIST),
        "fashion-mnist" => return known(&FASHION_MNIST),
        _ => {}
    }
    let path = Path::new(name);
    if path.is_dir() {
        return directory(path, options);
    }
    if name != "-" && !path.exists() {
        return Err(unknown_name(name));
    }
    find_in(Source::of(path, &options.pipes)?, options)
}

/// The content of a file.
pub(super) fn find_in(source: Source, options: &DataOptions) -> Result<Found> {
    let path = source.path().to_path_buf();
    let stream = source.open()?;
    if is_idx(stream.head()) {
        return Ok(Found::Idx(stream));
    }
    if npy::is_npy(stream.head()) {
        npy::check(stream.head(), Budget(options.memory)).map_err(|e| e.at(path.display()))?;
    }
    if npy::is_npy(stream.head()) && npy::rank(stream.head()).is_some_and(|rank| rank > 2) {
        return Ok(Found::Pixels(source));
    }
    if npy::is_zip(stream.head()) {
        if matches!(source, Source::Entry(..)) {
            let error = Error::data("the zip file contains another zip file").at(path.display());
            return Err(error.help("unpack it with `unzip`, and give the file in it"));
        }
        let fail = |e: Error| e.at(path.display());
        return match archive::content(&source).map_err(fail)? {
            Content::Table(table) => find_in(table, options),
            Content::Arrays => {
                let set = npy::read_npz(&source, options.task, Budget(options.memory));
                let set = set.map_err(fail)?;
                Ok(Found::Arrays(ArraySet { path, set }))
            }
        };
    }
    if let Some(form) = recognize::json(stream.head()) {
        return Ok(Found::Table(Source::Json(JsonTable::open(source, form)?.into())));
    }
    match recognize::unreadable(stream.head(), &path) {
        Some(error) => Err(error),
        None => Ok(Found::Table(source)),
    }
}

fn directory(dir: &Path, options: &DataOptions) -> Result<Found> {
    if has_any_file(dir) {
        return read_directory(dir, None, Budget(options.memory)).map(Found::Set);
    }
    if let Some(images) = image_parts(dir)? {
        return Ok(Found::Images(Box::new(images)));
    }
    let train = images::find(dir)?;
    if train.is_empty() {
        return Err(train.without_images().help(
            "name a file in it, a directory with train-images-idx3-ubyte and its companions, or \
             one with a folder of images for each class",
        ));
    }
    let images = Images { train, validation: None, test: None, lines: Vec::new() };
    Ok(Found::Images(Box::new(images)))
}

/// The parts of a set of images in folders called train, val and test. A folder train without class
/// folders in it and without another part next to it may be a class itself.
fn image_parts(dir: &Path) -> Result<Option<Images>> {
    let mut entries = images::entries(dir)?;
    let mut parts = PARTS.map(|names| {
        let is_part = |entry: &PathBuf| {
            let name = entry.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            names.contains(&name.as_str()) && entry.is_dir()
        };
        entries.iter().position(is_part).map(|place| entries.remove(place))
    });
    let Some(train) = parts[0].take() else { return Ok(None) };
    let train = images::find(&train)?;
    let [_, validation, test] = parts.map(|part| part.map(|part| images::find(&part)).transpose());
    let (validation, test) = (validation?, test?);
    if train.is_empty() || !train.has_classes() && validation.is_none() && test.is_none() {
        return Ok(None);
    }
    let mut lines = Vec::new();
    let [validation, test] = [validation, test].map(|part| {
        let part = part?;
        if part.is_empty() {
            lines.push(format!("warning: skipped {}: it contains no image", part.path().display()));
        }
        Some(part).filter(|part| !part.is_empty())
    });
    for entry in entries {
        let kind = if entry.is_dir() { "warning" } else { "note" };
        lines.push(format!(
            "{kind}: skipped {} next to {}",
            entry.display(),
            train.path().display()
        ));
    }
    Ok(Some(Images { train, validation, test, lines }))
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
        .help(format!("{hint}give a path or one of the known data sets: {}", NAMES.join(", ")))
}

//! The images of a folder and their classes, and the skipped files.

use crate::base::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The extensions of image files, in lower case.
const EXTENSIONS: [&str; 18] = [
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "gif", "webp", "tif", "tiff", "tga",
    "qoi", "ppm", "pgm", "pbm", "pam",
];
/// The magic bytes of formats, for files without such an extension.
const MAGIC: [&[u8]; 7] =
    [b"\x89PNG\r\n\x1a\n", b"\xFF\xD8\xFF", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"qoif"];
/// The extensions of files that describe images but aren't images.
const DOCUMENTS: [&str; 16] = [
    "csv", "tsv", "txt", "md", "json", "jsonl", "xml", "html", "yaml", "yml", "toml", "log", "pdf",
    "py", "ipynb", "xlsx",
];
/// The extensions among these that may hold labels.
const TABLES: [&str; 6] = ["csv", "tsv", "txt", "json", "jsonl", "xlsx"];

/// The skipped files and folders, counted by location and extension; the location is a class folder, or
/// empty for the folder itself.
pub(super) type PassedOver = BTreeMap<(String, String), usize>;

/// The images of a folder: files, and the class of each if they are in class folders.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::data) struct ImageFolder {
    pub(super) path: PathBuf,
    pub(super) files: Vec<PathBuf>,
    pub(super) labels: Vec<u32>,
    pub(super) classes: Vec<String>,
    /// The number of images in subfolders of class folders, by subfolder.
    pub(super) nested: BTreeMap<PathBuf, usize>,
    pub(super) passed_over: PassedOver,
    /// The folders in it without any image.
    pub(super) empty: Vec<String>,
    /// The files in it that may hold labels.
    pub(super) tables: Vec<String>,
}

/// The images below a folder: those in its class folders, at any
/// depth; or if there are none, those directly in it.
///
/// # Errors
/// When a folder can't be read.
pub(in crate::data) fn find(path: &Path) -> Result<ImageFolder> {
    let mut found = ImageFolder { path: path.to_path_buf(), ..ImageFolder::default() };
    let mut above = vec![canonical(path)];
    let mut direct = Vec::new();
    for entry in entries(path)? {
        if !entry.is_dir() {
            direct.push(entry);
            continue;
        }
        let name = file_name(&entry);
        let before = found.files.len();
        found.collect(&entry, &name, &mut above)?;
        if found.files.len() == before {
            found.empty.push(name);
            continue;
        }
        let class = found.classes.len() as u32;
        found.labels.resize(found.files.len(), class);
        found.classes.push(name);
    }
    let is_unlabelled = found.files.is_empty();
    for file in direct {
        if extension(&file).is_some_and(|e| TABLES.contains(&e.as_str())) {
            found.tables.push(file_name(&file));
        }
        match is_unlabelled && is_image(&file) {
            true => found.files.push(file),
            false => found.pass_over("", &file),
        }
    }
    Ok(found)
}

impl ImageFolder {
    /// Whether there is no image.
    pub(in crate::data) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether the images are in class folders.
    pub(in crate::data) fn has_classes(&self) -> bool {
        !self.classes.is_empty()
    }

    /// The folder.
    pub(in crate::data) fn path(&self) -> &Path {
        &self.path
    }

    /// The error for a folder without images, which describes its content instead.
    pub(in crate::data) fn without_images(&self) -> Error {
        let mut held: BTreeMap<&str, usize> = BTreeMap::new();
        for ((_, kind), count) in &self.passed_over {
            *held.entry(kind).or_default() += count;
        }
        let held: Vec<String> =
            held.iter().map(|(kind, count)| format!("{} ({kind})", files(*count))).collect();
        let found = match held.is_empty() {
            true => "there is no data set in this directory".to_string(),
            false => format!("there is no data set in this directory, but {}", held.join(", ")),
        };
        Error::data(found).at(self.path.display())
    }

    /// The number of images.
    pub(in crate::data) fn len(&self) -> usize {
        self.files.len()
    }

    /// The path of an image relative to the folder.
    pub(in crate::data) fn name(&self, place: usize) -> String {
        let file = &self.files[place];
        file.strip_prefix(&self.path).unwrap_or(file).display().to_string()
    }

    /// Collects the images below `folder`, which is `class` or inside it; `above` are its parent
    /// folders.
    fn collect(&mut self, folder: &Path, class: &str, above: &mut Vec<PathBuf>) -> Result<()> {
        let place = canonical(folder);
        // A link to a parent folder would recurse forever.
        if above.contains(&place) {
            self.pass_over(class, folder);
            return Ok(());
        }
        above.push(place);
        for entry in entries(folder)? {
            if entry.is_dir() {
                self.collect(&entry, class, above)?;
            } else if is_image(&entry) {
                // The path itself, a root and a class folder.
                if above.len() > 2 {
                    *self.nested.entry(folder.to_path_buf()).or_default() += 1;
                }
                self.files.push(entry);
            } else {
                self.pass_over(class, &entry);
            }
        }
        above.pop();
        Ok(())
    }

    /// Counts a file or folder that isn't read.
    fn pass_over(&mut self, place: &str, entry: &Path) {
        let kind = match extension(entry) {
            _ if entry.is_dir() => "links to a folder above".into(),
            _ if !entry.is_file() => "broken links or special files".into(),
            Some(_) if is_image(entry) => "images outside of the class folders".into(),
            Some(extension) => format!(".{extension}"),
            None => "no extension".into(),
        };
        *self.passed_over.entry((place.into(), kind)).or_default() += 1;
    }

    /// The skipped files and the locations of images, a line each.
    pub(in crate::data) fn lines(&self) -> Vec<String> {
        let mut lines = self.passed_over_lines();
        if let (images @ 1.., Some(folder)) =
            (self.nested.values().sum(), self.nested.keys().next())
        {
            let images: usize = images;
            let folder = folder.strip_prefix(&self.path).unwrap_or(folder).display();
            lines.push(format!(
                "note: {}: {images} images are in subfolders of class folders, such as {folder}, and \
                 belong to the class of the class folder",
                self.path.display()
            ));
        }
        lines
    }

    /// The skipped files, a line each: files that describe images as a note, all others as a
    /// warning.
    fn passed_over_lines(&self) -> Vec<String> {
        let path = self.path.display();
        let lines = self.passed_over.iter().filter(|((place, _), _)| !self.empty.contains(place));
        let line = |((place, kind), count): (&(String, String), &usize)| {
            let files = files(*count);
            let folder = if place.is_empty() { path.to_string() } else { place.clone() };
            match kind.strip_prefix('.') {
                Some(extension) if DOCUMENTS.contains(&extension) => {
                    format!("note: skipped {files} in {folder}: {kind} is not an image")
                }
                Some(_) => format!(
                    "warning: skipped {files} in {folder}: {kind} can't be read; convert to PNG, \
                     JPEG or TIFF"
                ),
                None => format!("warning: skipped {files} in {folder}: {kind}"),
            }
        };
        let lines = lines.map(line);
        let empty =
            self.empty.iter().filter(|_| self.has_classes()).map(|folder| {
                format!("warning: {}: not used as a class", self.describe_empty(folder))
            });
        lines.chain(empty).collect()
    }

    /// A description of a folder without images, with its content.
    pub(super) fn describe_empty(&self, folder: &str) -> String {
        let held: Vec<String> = self
            .passed_over
            .iter()
            .filter(|((place, _), _)| place == folder)
            .map(|((_, kind), count)| format!("skipped {} ({kind})", files(*count)))
            .collect();
        match held.is_empty() {
            true => format!("no image in the folder {folder}, which is empty"),
            false => {
                format!("no readable image in the folder {folder}: {}", held.join(", "))
            }
        }
    }
}

fn files(count: usize) -> String {
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The path with links resolved, or unchanged if that fails.
fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// The content of a folder, sorted by name, without files left by systems and tools.
pub(in crate::data) fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let read = |e: std::io::Error| Error::io("read", path, &e);
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(read)? {
        let entry = entry.map_err(read)?;
        if !is_left_by_a_system(&entry.file_name().to_string_lossy()) {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}

fn is_left_by_a_system(name: &str) -> bool {
    const NAMES: [&str; 6] =
        ["thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r"];
    name.starts_with('.') || NAMES.contains(&name.to_lowercase().as_str())
}

fn extension(path: &Path) -> Option<String> {
    path.extension().map(|e| e.to_string_lossy().to_lowercase())
}

/// Whether a file is treated as an image: by its extension, or if that is inconclusive, by its first
/// bytes.
fn is_image(path: &Path) -> bool {
    let extension = extension(path).unwrap_or_default();
    if !path.is_file() || DOCUMENTS.contains(&extension.as_str()) {
        return false;
    }
    EXTENSIONS.contains(&extension.as_str()) || begins_as_image(path)
}

fn begins_as_image(path: &Path) -> bool {
    let mut head = Vec::new();
    let Ok(file) = File::open(path) else { return false };
    if file.take(12).read_to_end(&mut head).is_err() {
        return false;
    }
    let is_webp = head.starts_with(b"RIFF") && head.ends_with(b"WEBP");
    is_webp || MAGIC.iter().any(|magic| head.starts_with(magic))
}

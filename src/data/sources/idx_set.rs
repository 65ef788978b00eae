//! Data sets from IDX files: images with their labels, and directories of four such files.

use crate::base::error::{Error, Result};
use crate::base::memory::Budget;
use crate::data::formats::idx::{self, IdxArray, IdxValues};
use crate::data::sets::dataset::Ready;
use crate::data::streams::stream::{ByteStream, set_name};
use crate::data::tables::target::MAX_CLASSES;
use crate::data::{Dataset, Features, Targets};
use crate::math::matrix::Matrix;
use std::path::{Path, PathBuf};

/// Reads images and their labels from two IDX files, compressed by gzip or not.
///
/// Labels of an integer type are classes 0…max, labels of a float type are numbers.
///
/// # Errors
/// When a file can't be read, the two are swapped, or their numbers of rows differ.
pub fn read_idx_pair(images: &Path, labels: &Path) -> Result<Dataset> {
    several_classes(pair(
        ByteStream::open(images)?,
        ByteStream::open(labels)?,
        None,
        Budget::default(),
    )?)
    .map_err(|e| e.at(labels.display()))
}

/// The same data, unless there is only one class.
pub(super) fn several_classes(data: Dataset) -> Result<Dataset> {
    if data.class_names().is_some_and(|names| names.len() < 2) {
        return Err(Error::data("every label is 0: there is only one class")
            .help("give rows of at least two classes"));
    }
    Ok(data)
}

/// Reads a directory of IDX files named as those of MNIST: `train-images-idx3-ubyte` and
/// `train-labels-idx1-ubyte`, and for the test part `t10k-…`, if there is one; also with a dot
/// before `idx`, and with `.gz`: (training part, test part).
///
/// # Errors
/// When a file is missing or invalid, or the two parts don't match.
pub fn read_idx_directory(dir: &Path) -> Result<(Dataset, Option<Dataset>)> {
    read_directory(dir, None, Budget::default()).map(|Ready { train, test, .. }| (train, test))
}

/// [`read_idx_directory`], of a set whose number of classes is known.
pub(super) fn read_directory(dir: &Path, classes: Option<usize>, budget: Budget) -> Result<Ready> {
    let [images, labels] = files(dir, "train");
    let train = read_part(dir, images, labels, classes, budget)?;
    let train = several_classes(train).map_err(|e| e.at(dir.display()))?;
    let [images, labels] = files(dir, "t10k");
    if images.iter().chain(&labels).all(|f| !f.is_file()) {
        return Ok(Ready { train, validation: None, test: None });
    }
    let known = train.class_names().map(<[_]>::len).or(classes);
    let test = read_part(dir, images, labels, known, budget)?;
    if test.features().cols() != train.features().cols() {
        return Err(Error::data(format!(
            "the test rows have {} features, the training rows {}",
            test.features().cols(),
            train.features().cols()
        ))
        .at(dir.display())
        .help("the two parts belong to different sets: give files of the same set"));
    }
    Ok(Ready { train, validation: None, test: Some(test) })
}

/// Whether any file of the quartet is in the directory.
pub(super) fn has_any_file(dir: &Path) -> bool {
    ["train", "t10k"].iter().flat_map(|p| files(dir, p)).flatten().any(|f| f.is_file())
}

/// The possible file names of the images and the labels of a part.
fn files(dir: &Path, part: &str) -> [Vec<PathBuf>; 2] {
    [("images", "idx3"), ("labels", "idx1")].map(|(what, idx)| {
        ["-", "."]
            .iter()
            .flat_map(|dot| ["", ".gz"].map(|gz| format!("{part}-{what}{dot}{idx}-ubyte{gz}")))
            .map(|name| dir.join(name))
            .collect()
    })
}

fn read_part(
    dir: &Path,
    images: Vec<PathBuf>,
    labels: Vec<PathBuf>,
    classes: Option<usize>,
    budget: Budget,
) -> Result<Dataset> {
    let [images, labels] = [images, labels].map(|names| {
        names.iter().find(|f| f.is_file()).cloned().ok_or_else(|| missing(dir, &names))
    });
    let data = pair(ByteStream::open(&images?)?, ByteStream::open(&labels?)?, classes, budget)?;
    Ok(Dataset { name: directory_name(dir), ..data })
}

fn missing(dir: &Path, names: &[PathBuf]) -> Error {
    let names: Vec<_> =
        names.iter().filter_map(|f| f.file_name()).map(|f| f.to_string_lossy()).collect();
    Error::data(format!("{} is missing", names[0]))
        .at(dir.display())
        .help(format!("looked for {}", names.join(", ")))
}

/// The last part of the path, also for `.`.
fn directory_name(dir: &Path) -> String {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    full.file_name().map_or_else(|| "data".to_string(), |n| n.to_string_lossy().into_owned())
}

/// The labels that belong to a file of images: the same name with `labels` and `idx1`.
///
/// # Errors
/// When no such file exists, or the name isn't that of a file of images.
pub(super) fn labels_of(images: &Path) -> Result<PathBuf> {
    let name = images.file_name().unwrap_or_default().to_string_lossy();
    if !name.contains("images") {
        let help = if name.contains("labels") {
            "this is a file of labels: give the file of images"
        } else {
            "call the two files …images-idx3-ubyte and …labels-idx1-ubyte"
        };
        return Err(Error::data("the labels for these images can't be found")
            .at(images.display())
            .help(help));
    }
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    let bare = labels.strip_suffix(".gz").unwrap_or(&labels);
    let names = [labels.clone(), bare.to_string(), format!("{bare}.gz")];
    let paths = names.map(|n| images.with_file_name(n));
    let dir = images.parent().unwrap_or(Path::new("."));
    paths.iter().find(|f| f.is_file()).cloned().ok_or_else(|| missing(dir, &paths[..1]))
}

/// The data set of a stream of images and one of labels, of `classes` classes if that is known.
pub(in crate::data) fn pair(
    images: ByteStream,
    labels: ByteStream,
    classes: Option<usize>,
    budget: Budget,
) -> Result<Dataset> {
    let (images_path, labels_path) = (images.path().to_path_buf(), labels.path().to_path_buf());
    let labels = idx::read_stream(labels, budget)?;
    if labels.shape.len() != 1 {
        return Err(Error::data(format!(
            "an array of {} dimensions, but labels have one",
            labels.shape.len()
        ))
        .at(labels_path.display())
        .help("this is a file of images: give the file of labels"));
    }
    let (features, is_image) = features(images, budget)?;
    if features.rows() != labels.shape[0] {
        return Err(Error::data(format!(
            "{} images, but {} labels",
            features.rows(),
            labels.shape[0]
        ))
        .at(format!("{} and {}", images_path.display(), labels_path.display()))
        .help("give two files of the same set"));
    }
    let targets = targets(&labels, classes).map_err(|e| e.at(labels_path.display()))?;
    let data = Dataset::new(set_name(&images_path), features, targets)
        .map_err(|e| e.at(images_path.display()))?;
    Ok(if is_image { data.image() } else { data })
}

/// The features in a stream, one row for each index in the first dimension, and whether they are
/// the pixels of images (three dimensions or more).
pub(in crate::data) fn features(images: ByteStream, budget: Budget) -> Result<(Features, bool)> {
    let path = images.path().to_path_buf();
    let IdxArray { shape, values } = idx::read_stream(images, budget)?;
    if shape.len() == 1 {
        return Err(Error::data("an array of one dimension, but images have three")
            .at(path.display())
            .help("this is a file of labels: give the file of images"));
    }
    let (rows, cols) = (shape[0], shape[1..].iter().product());
    let features = match values {
        IdxValues::U8(bytes) => Matrix::new(rows, cols, bytes).map(Features::U8),
        other => Matrix::new(rows, cols, other.to_f32()).map(Features::F32),
    };
    Ok((features?, shape.len() > 2))
}

/// The targets in an array of one dimension.
fn targets(labels: &IdxArray, classes: Option<usize>) -> Result<Targets> {
    let Some(integers) = labels.values.to_integers() else {
        return Ok(Targets::Numbers(Matrix::new(labels.shape[0], 1, labels.values.to_f64())?));
    };
    let limit = classes.unwrap_or(MAX_CLASSES);
    if let Some(row) = integers.iter().position(|&l| l < 0 || l as u64 >= limit as u64) {
        return Err(Error::data(format!("label {} is out of range", integers[row]))
            .at(format!("row {}", row + 1))
            .help(format!("labels must be 0 to {}", limit - 1)));
    }
    let most = integers.iter().max().map_or(0, |&l| l as usize + 1);
    let count = classes.unwrap_or(most);
    Ok(Targets::Classes {
        labels: integers.into_iter().map(|l| l as u32).collect(),
        names: (0..count).map(|class| class.to_string()).collect(),
    })
}

#[cfg(test)]
pub(in crate::data) mod tests {
    use super::*;
    use crate::data::formats::idx::tests::idx_bytes;
    use crate::data::streams::stream::tests::{gzip, of_bytes};
    use std::fs;

    /// Writes a quartet of two training and one test image of 2 × 2 pixels.
    pub(in crate::data) fn write_quartet(dir: &Path, dot: &str, zipped: bool) {
        let write = |name: &str, bytes: Vec<u8>| {
            let (gz, bytes) = if zipped { (".gz", gzip(&bytes)) } else { ("", bytes) };
            fs::write(dir.join(format!("{}{gz}", name.replace("*", dot))), bytes).unwrap();
        };
        write("train-images*idx3-ubyte", idx_bytes(8, &[2, 2, 2], &[0, 1, 2, 3, 4, 5, 6, 7]));
        write("train-labels*idx1-ubyte", idx_bytes(8, &[2], &[0, 2]));
        write("t10k-images*idx3-ubyte", idx_bytes(8, &[1, 2, 2], &[9, 8, 7, 6]));
        write("t10k-labels*idx1-ubyte", idx_bytes(8, &[1], &[1]));
    }

    fn pair_of(images: &[u8], labels: &[u8]) -> Result<Dataset> {
        several_classes(pair(
            of_bytes("images", images)?,
            of_bytes("labels", labels)?,
            None,
            Budget::default(),
        )?)
    }

    fn refusal(images: &[u8], labels: &[u8]) -> String {
        let error = pair_of(images, labels).unwrap_err();
        assert_eq!(error.kind().exit_code(), 3, "{error}");
        error.to_string()
    }

    #[test]
    fn a_quartet_is_read_under_all_of_its_names() {
        for (dot, zipped) in [("-", false), ("-", true), (".", false), (".", true)] {
            let dir = tempfile::tempdir().unwrap();
            write_quartet(dir.path(), dot, zipped);
            let (train, test) = read_idx_directory(dir.path()).unwrap();
            let test = test.unwrap();
            assert_eq!((train.rows(), test.rows(), train.outputs(), test.outputs()), (2, 1, 3, 3));
            assert!(train.is_image() && matches!(train.features(), Features::U8(_)));
            assert_eq!(train.features().value(1, 3), 7.0);
            let mnist = read_directory(dir.path(), Some(10), Budget::default()).unwrap();
            assert_eq!(mnist.train.class_names().unwrap()[9], "9");
        }
    }

    #[test]
    fn a_missing_file_is_named_with_all_that_was_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        write_quartet(dir.path(), "-", true);
        fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte.gz")).unwrap();
        let error = read_idx_directory(dir.path()).unwrap_err().to_string();
        assert!(error.starts_with("t10k-labels-idx1-ubyte is missing"), "{error}");
        assert!(error.contains("t10k-labels.idx1-ubyte.gz"), "{error}");
        fs::remove_file(dir.path().join("t10k-images-idx3-ubyte.gz")).unwrap();
        assert_eq!(read_idx_directory(dir.path()).unwrap().1, None);
        fs::remove_file(dir.path().join("train-images-idx3-ubyte.gz")).unwrap();
        let error = read_idx_directory(dir.path()).unwrap_err().to_string();
        assert!(error.starts_with("train-images-idx3-ubyte is missing"), "{error}");
    }

    #[test]
    fn swapped_files_and_counts_that_differ_are_refused() {
        let (images, labels) = (idx_bytes(8, &[2, 1, 1], &[5, 6]), idx_bytes(8, &[2], &[0, 1]));
        assert!(pair_of(&images, &labels).is_ok());
        assert!(refusal(&labels, &labels).contains("this is a file of labels"));
        assert!(refusal(&images, &images).contains("this is a file of images"));
        let three = idx_bytes(8, &[3], &[0, 1, 1]);
        assert!(refusal(&images, &three).contains("2 images, but 3 labels"));
    }

    #[test]
    fn labels_out_of_range_are_named_with_their_row() {
        let images = idx_bytes(8, &[2, 1, 1], &[5, 6]);
        let negative = idx_bytes(9, &[2], &[0, 255]);
        assert!(refusal(&images, &negative).contains("label -1 is out of range"));
        let huge = idx_bytes(0x0C, &[2], &[0, 0, 0, 1, 0x7F, 0xFF, 0xFF, 0xFF]);
        assert!(refusal(&images, &huge).contains("where: labels, row 2"));
        assert!(refusal(&images, &idx_bytes(8, &[2], &[0, 0])).contains("one class"));
        let ten = pair(
            of_bytes("images", &images).unwrap(),
            of_bytes("labels", &idx_bytes(8, &[2], &[10, 0])).unwrap(),
            Some(10),
            Budget::default(),
        );
        assert!(ten.unwrap_err().to_string().contains("labels must be 0 to 9"));
    }

    #[test]
    fn float_labels_are_numbers_and_two_dimensions_are_no_image() {
        let features = idx_bytes(0x0D, &[1, 1], &1.5f32.to_be_bytes());
        let data = pair_of(&features, &idx_bytes(0x0D, &[1], &(-2f32).to_be_bytes())).unwrap();
        assert!(!data.is_image());
        assert_eq!(data.targets(), &Targets::Numbers(Matrix::new(1, 1, vec![-2.0]).unwrap()));
        let nan = idx_bytes(0x0D, &[1], &f32::NAN.to_be_bytes());
        assert!(refusal(&features, &nan).contains("a target is NaN"));
    }

    #[test]
    fn labels_are_found_beside_their_images() {
        let dir = tempfile::tempdir().unwrap();
        write_quartet(dir.path(), "-", true);
        let images = dir.path().join("train-images-idx3-ubyte");
        let labels = dir.path().join("train-labels-idx1-ubyte.gz");
        assert_eq!(labels_of(&images).unwrap(), labels);
        assert!(labels_of(&dir.path().join("pictures")).is_err());
    }
}

//! Features without targets, for predictions: all at once, or chunk by chunk from tables of any size.

use super::find::{Found, find};
use super::held_out::HeldOut;
use super::options::say;
use super::source::{check_ready, shape_for};
use crate::base::error::{Error, Result};
use crate::data::columns::frame::Frame;
use crate::data::encode::not_finite;
use crate::data::formats::read;
use crate::data::formats::want::Rows;
use crate::data::images::{ImageFolder, Pixels, Tally};
use crate::data::streams::stream::Source;
use crate::data::tables::trained::{Keep, Reading};
use crate::data::{DataOptions, Features, OnUnknown, Preprocessing, UnknownCategories};
use arrow_array::{ArrayRef, StringArray};
use std::sync::Arc;

/// The only column of folders of images, for the output.
const FILE: &str = "file";
/// The number of features in a chunk of images for prediction.
const IMAGES: usize = 1 << 24;

/// Some rows of features without targets.
#[derive(Debug, Clone, PartialEq)]
pub struct InputChunk {
    /// The features: (rows, features).
    pub features: Arc<Features>,
    /// The columns that are copied to the output, in the requested order: for a text file as
    /// in [`Keep`], otherwise values of the file's types.
    pub kept: Vec<ArrayRef>,
    /// The names of these columns.
    pub kept_names: Vec<String>,
    /// The error of each row that is skipped because it can't be read or has a refused category, with its
    /// position.
    pub faults: Vec<Error>,
    /// Warnings about how the data were read, one sentence each.
    pub warnings: Vec<String>,
    /// The categories unknown to the model, in the rows of this chunk.
    pub unknown: UnknownCategories,
}

impl InputChunk {
    /// Rows of a matrix, without columns for the output.
    fn of_matrix(features: Arc<Features>, unknown: UnknownCategories) -> Self {
        let (kept, kept_names, faults, warnings) = Default::default();
        InputChunk { features, kept, kept_names, faults, warnings, unknown }
    }
}

/// Opens only the features for a trained model: of a set with a test part, those of that part; of a
/// table, with or without its target.
///
/// # Errors
/// When it doesn't exist, is invalid, or doesn't match the model.
pub fn open_inputs(
    name: &str,
    preprocessing: &Preprocessing,
    options: &DataOptions,
) -> Result<InputChunk> {
    let mut chunks = Vec::new();
    pass_inputs(name, preprocessing, options, Keep::default(), |mut chunk| {
        match chunk.faults.is_empty() {
            true => chunks.push(chunk),
            false => return Err(chunk.faults.swap_remove(0)),
        }
        Ok(())
    })?;
    if chunks.len() == 1 {
        return Ok(chunks.swap_remove(0));
    }
    let all = chunks.iter().map(|chunk| &*chunk.features);
    let features = Features::concat(all).ok_or_else(|| Error::data("no rows").at(name))?;
    let mut unknown = UnknownCategories::default();
    chunks.iter().for_each(|chunk| unknown.add(&chunk.unknown));
    Ok(InputChunk::of_matrix(Arc::new(features), unknown))
}

/// As [`open_inputs`], chunk by chunk in order: text, Parquet and Arrow files and folders of
/// images in bounded memory, anything else as one chunk. The columns named in `keep`
/// are copied to the output; folders of images
/// have the column `file`. `take` decides about rows that can't be read.
///
/// # Errors
/// As [`open_inputs`], when a column to keep doesn't exist, and errors of `take`.
pub fn pass_inputs(
    name: &str,
    preprocessing: &Preprocessing,
    options: &DataOptions,
    keep: Keep<'_>,
    mut take: impl FnMut(InputChunk) -> Result<()>,
) -> Result<()> {
    let wants_file = keep.names == [FILE];
    let found = find(name, options)?;
    let has_columns = found.is_table() || wants_file && matches!(found, Found::Images(_));
    if !has_columns && !keep.names.is_empty() {
        let what = format!("--keep-columns {}: there is no such column", keep.names.join(","));
        return Err(Error::usage(what)
            .at(name)
            .help("only tables have columns to keep, and folders of images one, called file"));
    }
    let (rows, _) = found.held_out(preprocessing, options, false)?;
    let (name, features) = match rows {
        HeldOut::Table(source) => return pass_table(&source, preprocessing, options, keep, take),
        HeldOut::Images(images) => {
            return pass_images(&images, preprocessing, options, wants_file, take);
        }
        HeldOut::Set(data) => (data.name().to_string(), data.features_shared()),
        HeldOut::Features(name, features) => (name, Arc::new(features)),
    };
    check_ready(&name, &features, preprocessing)?;
    take(InputChunk::of_matrix(features, UnknownCategories::default()))
}

/// The rows of a table.
fn pass_table(
    source: &Source,
    preprocessing: &Preprocessing,
    options: &DataOptions,
    keep: Keep<'_>,
    mut take: impl FnMut(InputChunk) -> Result<()>,
) -> Result<()> {
    let reading = Reading { preprocessing, options, with_targets: false, keep };
    reading.pass(source, |known, rows| {
        let places = reading.kept_places(&rows.frame.header)?;
        let names = places.into_iter().map(|place| rows.frame.header.names[place].clone());
        let kept_names = names.collect();
        take(InputChunk { kept_names, ..encode(source, known, rows, options.unknown)? })
    })
}

/// The first rows of a table for a trained model, up to about `most` of them: its columns as
/// in the file, and the encoded features, (rows, features). None if the data aren't a
/// table.
///
/// # Errors
/// As [`open_inputs`].
pub fn read_columns(
    name: &str,
    preprocessing: &Preprocessing,
    options: &DataOptions,
    most: usize,
) -> Result<Option<(Frame, Arc<Features>)>> {
    let found = find(name, options)?;
    if !found.is_table() {
        return Ok(None);
    }
    let (rows, _) = found.held_out(preprocessing, options, false)?;
    let HeldOut::Table(source) = rows else { return Ok(None) };
    let reading = Reading { preprocessing, options, with_targets: false, keep: Keep::default() };
    let mut found = None;
    let done = reading.pass(&source, |known, rows| {
        let is_sound = |row: &usize| rows.faults.binary_search_by_key(row, |(r, _)| *r).is_err();
        let chosen: Vec<usize> = (0..rows.frame.rows).filter(is_sound).take(most).collect();
        let frame = rows.frame.select(&chosen);
        let rows = Rows { first: 0, frame: frame.clone(), kept: Vec::new(), faults: Vec::new() };
        let chunk = encode(&source, known, rows, OnUnknown::Warn)?;
        if !chunk.faults.is_empty() || frame.rows == 0 {
            return Ok(());
        }
        found = Some((frame, chunk.features));
        // The pass ends here: the rest of the table isn't needed.
        Err(Error::failed("enough rows were read"))
    });
    match (found, done) {
        (Some(found), _) => Ok(Some(found)),
        (None, done) => done.map(|()| None),
    }
}

/// Encodes those rows that can be read.
fn encode(
    source: &Source,
    known: &Preprocessing,
    rows: Rows,
    on_unknown: OnUnknown,
) -> Result<InputChunk> {
    let Some(encoding) = &known.encoding else {
        return Err(Error::failed("a table was read without its columns"));
    };
    let place = source.path().display();
    let is_sound = |row: &usize| rows.faults.binary_search_by_key(row, |(r, _)| *r).is_err();
    let sound: Vec<usize> = (0..rows.frame.rows).filter(is_sound).collect();
    let chosen = (sound.len() < rows.frame.rows).then_some(&sound[..]);
    let encoded = encoding.encode_and_look(&rows.frame, chosen);
    let (features, unknown) = encoded.map_err(|e| e.at(place.to_string()))?;
    let lost = not_finite(&features);
    let mut refused = match on_unknown {
        OnUnknown::Warn => Vec::new(),
        OnUnknown::Error => {
            encoding.refuse_unknown(&rows.frame, &unknown, sound.iter().copied())?
        }
    };
    // For a row with two errors, the first is reported.
    refused.extend(
        lost.iter().map(|&(at, input)| (sound[at], encoding.fault(&rows.frame, sound[at], input))),
    );
    refused.sort_by_key(|(row, _)| *row);
    refused.dedup_by_key(|(row, _)| *row);
    let is_taken = |i: &usize| refused.binary_search_by_key(&sound[*i], |(row, _)| *row).is_err();
    let taken: Vec<usize> = (0..sound.len()).filter(is_taken).collect();
    let features = match refused.is_empty() {
        true => features,
        false => features.select_rows(&taken),
    };
    let rest: Vec<usize> = taken.iter().map(|&i| sound[i]).collect();
    let unknown = UnknownCategories::count(&rows.frame, &unknown, rest.iter().copied());
    let mut faults = rows.faults.clone();
    faults.extend(
        refused.into_iter().map(|(row, error)| {
            (row, error.at(format!("{place}, {}", rows.frame.describe_row(row))))
        }),
    );
    faults.sort_by_key(|(row, _)| *row);
    let kept = match rest.len() < rows.frame.rows {
        true => rows.kept.iter().map(|a| read::rows_of(a, &rest)).collect::<Result<_>>()?,
        false => rows.kept.clone(),
    };
    let faults = faults.into_iter().map(|(_, error)| error).collect();
    let mut warnings = rows.frame.warnings;
    if rows.first == 0 {
        warnings.extend(rows.frame.header.renamed.iter().cloned());
    }
    let (features, kept_names) = (Arc::new(features), Vec::new());
    Ok(InputChunk { features, kept, kept_names, faults, warnings, unknown })
}

/// The images for evaluating a model, in chunks of about `most` features; with the
/// column of their files, if requested.
fn pass_images(
    images: &ImageFolder,
    preprocessing: &Preprocessing,
    options: &DataOptions,
    with_files: bool,
    mut take: impl FnMut(InputChunk) -> Result<()>,
) -> Result<()> {
    say(options, &images.lines());
    let shape = shape_for(images, preprocessing, options)?;
    let rows = (IMAGES / shape.features().max(1)).max(1);
    let mut tally = Tally::default();
    for first in (0..images.len()).step_by(rows) {
        let places = first..images.len().min(first.saturating_add(rows));
        let Pixels { features, faults } =
            images.pixels(places.clone(), shape, options.memory, &mut tally)?;
        check_ready(&images.path().display().to_string(), &features, preprocessing)?;
        let is_read =
            |place: &usize| faults.binary_search_by_key(place, |(lost, _)| *lost).is_err();
        let files = || {
            let names = places.clone().filter(is_read).map(|place| images.name(place));
            Arc::new(StringArray::from_iter_values(names)) as ArrayRef
        };
        let kept = if with_files { vec![files()] } else { Vec::new() };
        let faults = faults.into_iter().map(|(_, error)| error).collect();
        let kept_names = kept.iter().map(|_| FILE.to_string()).collect();
        let own = InputChunk::of_matrix(Arc::new(features), UnknownCategories::default());
        take(InputChunk { kept, kept_names, faults, ..own })?;
    }
    say(options, &tally.lines(images.path(), shape, true));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::idx_set::tests::write_quartet;
    use super::*;
    use crate::data::{Dataset, Targets};
    use crate::math::matrix::Matrix;
    use std::fs;
    use std::path::Path;

    fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// The preprocessing of a net for unscaled columns.
    fn plain(cols: usize) -> Preprocessing {
        let numbers = |cols| Matrix::from_fn(2, cols, |r, _| r as f32);
        let features = Features::F32(numbers(cols));
        Preprocessing::none(&Dataset::new("set", features, Targets::from(numbers(1))).unwrap())
    }

    #[test]
    fn prediction_takes_tables_without_targets_and_images_without_labels() {
        let dir = tempfile::tempdir().unwrap();
        let csv = write(dir.path(), "new.csv", "1,2.5\n3,4\n");
        let options = DataOptions::default();
        let inputs = open_inputs(&csv, &plain(2), &options).unwrap();
        assert_eq!(inputs.features.rows(), 2);
        assert_eq!(inputs.features.value(0, 1), 2.5);
        write_quartet(dir.path(), "-", false);
        fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte")).unwrap();
        let images = dir.path().join("t10k-images-idx3-ubyte").to_string_lossy().into_owned();
        let four = plain(4);
        assert_eq!(open_inputs(&images, &four, &options).unwrap().features.value(0, 0), 9.0);
        let error = open_inputs("digits", &four, &options).unwrap_err().to_string();
        assert!(error.contains("64 feature columns"), "{error}");
    }

    #[test]
    fn rows_that_cannot_be_read_are_left_out_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let text = b"1,2\n3\n4,x\n,5\n6,1e300\n\n7,\xFF\n8,9\n";
        let csv = write(dir.path(), "new.csv", text);
        let (options, model) = (DataOptions::default(), plain(2));
        let names = ["1".to_string()];
        let keep = Keep { names: &names, typed: false };
        let mut found = Vec::new();
        pass_inputs(&csv, &model, &options, keep, |chunk| {
            found.push(chunk);
            Ok(())
        })
        .unwrap();
        let [InputChunk { features, kept, faults, .. }] = &found[..] else { panic!("one chunk") };
        assert_eq!((features.rows(), features.value(1, 1)), (2, 9.0));
        assert_eq!(*kept, [Arc::new(StringArray::from(vec!["1", "8"])) as ArrayRef]);
        let faults: Vec<String> = faults.iter().map(Error::brief).collect();
        for (fault, what) in faults.iter().zip([
            ("the row has 1 cell,", "line 2)"),
            ("\"x\" is not", "line 3, column 2)"),
            ("missing", "line 4, column 1)"),
            ("1e300 overflows f32", "line 5, column 2)"),
            ("UTF-8", "line 7, column 2)"),
        ]) {
            assert!(fault.contains(what.0) && fault.ends_with(what.1), "{fault}");
        }
        assert_eq!(faults.len(), 5);
        let first = open_inputs(&csv, &model, &options).unwrap_err();
        assert_eq!((first.kind().exit_code(), first.brief()), (3, faults[0].clone()));
        let keep = Keep { names: &["id".into()], typed: false };
        let error = pass_inputs(&csv, &model, &options, keep, |_| Ok(())).unwrap_err();
        assert!(error.kind().exit_code() == 2 && error.to_string().contains("\"id\""), "{error}");
    }
}

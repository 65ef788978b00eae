//! NPZ: a zip file of arrays, each under its name.

use super::{NpyArray, parse};
use crate::data::stream::{Source, read_error};
use crate::error::{Error, Result};
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// The arrays of an NPZ file that are called as features and targets are.
pub(in crate::data) struct NpzPair<'a> {
    pub(in crate::data) x: &'a NpyArray,
    pub(in crate::data) y: Option<&'a NpyArray>,
    pub(in crate::data) test: Option<(&'a NpyArray, &'a NpyArray)>,
}

/// Finds features and targets by their names.
pub(in crate::data) fn pair(arrays: &[(String, NpyArray)]) -> Option<NpzPair<'_>> {
    const X: [&str; 7] = ["x_train", "x", "features", "data", "images", "inputs", "arr_0"];
    const Y: [&str; 8] =
        ["y_train", "y", "labels", "label", "targets", "target", "classes", "arr_1"];
    let find = |names: &[&str]| {
        let named = |name: &&str| arrays.iter().find(|(n, _)| n.to_lowercase() == **name);
        names.iter().find_map(|name| named(name).map(|(_, array)| array))
    };
    Some(NpzPair { x: find(&X)?, y: find(&Y), test: find(&["x_test"]).zip(find(&["y_test"])) })
}

/// The arrays of an NPZ file with their names.
///
/// # Errors
/// As [`super::read_npy`], and when the zip file is damaged.
pub(in crate::data) fn read_npz(source: &Source) -> Result<Vec<(String, NpyArray)>> {
    let damaged = |e: &dyn std::fmt::Display| {
        Error::data(format!("the NPZ file is cut short or damaged: {e}"))
            .help("copy or download it again; `unzip -t` tests it")
    };
    let stream = source.open()?;
    let path = stream.path().to_path_buf();
    let mut bytes = Vec::new();
    stream.into_reader().read_to_end(&mut bytes).map_err(|e| read_error(&path, &e))?;
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(&e))?;
    let mut arrays = Vec::new();
    for i in 0..archive.len() {
        let mut file = archive.by_index(i).map_err(|e| damaged(&e))?;
        let name = file.name().map_err(|e| damaged(&e))?.into_owned();
        let Some(array) = name.strip_suffix(".npy") else { continue };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
        arrays.push((array.to_string(), parse(&bytes).map_err(|e| e.at(&name))?));
    }
    match arrays.is_empty() {
        true => Err(Error::data("there is no array in this zip file")
            .help("give a file that numpy.savez wrote")),
        false => Ok(arrays),
    }
}

//! NPZ: a zip file of arrays, each under its name.

use super::header::Head;
use super::layout::{LOOKED_FOR, Layout, Part};
use super::{NpyArray, one_hot, read_body, read_head, table_of};
use crate::base::error::{Error, Result};
use crate::base::memory::Budget;
use crate::data::Task;
use crate::data::columns::frame::{Frame, Header, Values};
use crate::data::streams::archive::{self, Zip};
use crate::data::streams::stream::{Source, damaged_zip};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

/// The data of an NPZ file, by parts.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) struct NpzSet {
    pub(in crate::data) training: NpzPart,
    pub(in crate::data) validation: Option<NpzPart>,
    pub(in crate::data) test: Option<NpzPart>,
    /// Notes about how the arrays are used.
    pub(in crate::data) notes: Vec<String>,
    /// The names and sizes of the arrays, for messages.
    pub(in crate::data) listed: String,
}

impl NpzSet {
    /// The error for images without targets.
    pub(in crate::data) fn without_targets(&self) -> Error {
        Error::data("the images have no classes").at(&self.listed).help(LOOKED_FOR)
    }
}

/// The rows of a part.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) enum NpzPart {
    /// Arrays of one or two dimensions, as columns.
    Table(Frame),
    /// Images, and their targets if there are any.
    Images(NpyArray, Option<Frame>),
}

/// An entry of the zip file that is an array.
struct Entry {
    /// Its name without the ending.
    name: String,
    place: usize,
    head: Head,
}

impl Entry {
    fn describe(&self) -> String {
        format!("{} ({})", self.name, self.head.sizes())
    }
}

/// The arrays of an NPZ file. If there are names of features and targets, these are read, otherwise all
/// arrays, as the columns of a table. Targets that are one-hot rows become classes, unless
/// another task is given.
///
/// # Errors
/// As [`super::read_npy`], and when the zip file is damaged, or its arrays don't belong together: with
/// their names and the expected ones.
pub(in crate::data) fn read_npz(source: &Source, task: Task, budget: Budget) -> Result<NpzSet> {
    let mut zip = archive::open(source)?;
    let entries = entries(&mut zip)?;
    if entries.is_empty() {
        return Err(Error::data("there is no array in this zip file")
            .help("give a file that numpy.savez wrote"));
    }
    let listed: Vec<String> = entries.iter().take(20).map(Entry::describe).collect();
    let listed = format!("the arrays {}", listed.join(", "));
    let with_names = |error: Error| error.at(&listed);
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let layout = Layout::of(&names).map_err(with_names)?;
    let mut arrays = Arrays { zip, read: BTreeMap::new() };
    // Features of one or two dimensions without targets are columns like all others.
    let is_set = |layout: &Layout| {
        layout.training.y.is_some() || entries[layout.training.x].head.shape.len() > 2
    };
    let Some(layout) = layout.filter(is_set) else {
        arrays.read(&entries, 0..entries.len(), budget)?;
        let all: Vec<_> =
            entries.iter().map(|e| (e.name.as_str(), &arrays.read[&e.place])).collect();
        let frame = table_of(&all).map_err(|e| with_names(e.help(LOOKED_FOR)))?;
        let training = NpzPart::Table(frame);
        return Ok(NpzSet { training, validation: None, test: None, notes: Vec::new(), listed });
    };
    let parts = [Some(layout.training), layout.validation, layout.test];
    let wanted = parts.iter().flatten().flat_map(|part| [Some(part.x), part.y]).flatten();
    arrays.read(&entries, wanted, budget)?;
    let mut notes = Vec::new();
    let mut part = |part: Part| arrays.part(&entries, part, task, &mut notes).map_err(with_names);
    let [training, validation, test] = parts.map(|p| p.map(&mut part).transpose());
    let (validation, test) = (validation?, test?);
    let training = training?.ok_or_else(|| Error::failed("the data set has no training part"))?;
    Ok(NpzSet { training, validation, test, notes, listed })
}

/// The entries that are arrays, with their headers.
fn entries(zip: &mut Zip) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for place in 0..zip.len() {
        let mut file = zip.by_index(place).map_err(|e| damaged_zip(&e))?;
        let full = file.name().map_err(|e| damaged_zip(&e))?.into_owned();
        let Some(name) = full.strip_suffix(".npy") else { continue };
        let size = file.size();
        let (head, _) = read_head(&mut file).map_err(|e| fault(e).at(&full))?;
        // Comparing with the size in the zip directory costs nothing.
        head.check(size.saturating_sub(head.body as u64)).map_err(|e| e.at(&full))?;
        entries.push(Entry { name: name.to_string(), place, head });
    }
    Ok(entries)
}

/// The arrays that were read, by their indices in the zip file.
struct Arrays {
    zip: Zip,
    read: BTreeMap<usize, NpyArray>,
}

impl Arrays {
    /// Reads those entries.
    fn read(
        &mut self,
        entries: &[Entry],
        wanted: impl IntoIterator<Item = usize>,
        budget: Budget,
    ) -> Result<()> {
        let wanted: Vec<&Entry> = wanted.into_iter().map(|i| &entries[i]).collect();
        let need = wanted.iter().fold(0, |sum: u64, e| sum.saturating_add(e.head.memory()));
        let names: Vec<String> = wanted.iter().take(8).map(|entry| entry.describe()).collect();
        budget.check(need, format!("reading {}", names.join(", ")))?;
        for entry in wanted {
            let at = format!("{}.npy", entry.name);
            let mut file = self.zip.by_index(entry.place).map_err(|e| damaged_zip(&e))?;
            let (head, begin) = read_head(&mut file).map_err(|e| fault(e).at(&at))?;
            let array = read_body(&head, Cursor::new(begin).chain(file));
            self.read.insert(entry.place, array.map_err(|e| fault(e).at(&at))?);
        }
        Ok(())
    }

    /// The rows of a part.
    fn part(
        &mut self,
        entries: &[Entry],
        Part { x, y }: Part,
        task: Task,
        notes: &mut Vec<String>,
    ) -> Result<NpzPart> {
        let name = |i: usize| entries[i].name.as_str();
        let mut take = |i: usize| {
            let array = self.read.remove(&entries[i].place);
            array.ok_or_else(|| Error::failed(format!("the array {} was not read", name(i))))
        };
        let features = take(x)?;
        let targets = y.map(&mut take).transpose()?;
        if let (Some(targets), Some(y)) = (&targets, y)
            && targets.rows() != features.rows()
        {
            return Err(Error::data(format!(
                "{} has {} rows, but {} has {}",
                name(x),
                features.rows(),
                name(y),
                targets.rows()
            ))
            .help("the features and targets of a part must have the same number of rows"));
        }
        let targets = targets.zip(y).map(|(array, y)| targets_of(array, name(y), task, notes));
        let targets = targets.transpose()?;
        if features.shape.len() > 2 {
            return Ok(NpzPart::Images(features, targets));
        }
        let mut frame = table_of(&[("x", &features)])?;
        if let Some(targets) = targets {
            let names = [frame.header.names.as_slice(), &targets.header.names].concat();
            frame.header = Arc::new(Header { named: true, names, ..Header::default() });
            frame.columns.extend(targets.columns);
        }
        Ok(NpzPart::Table(frame))
    }
}

/// The columns of targets: a single one if they are one-hot rows or (rows, 1).
fn targets_of(array: NpyArray, name: &str, task: Task, notes: &mut Vec<String>) -> Result<Frame> {
    let column = |values: Values, rows: usize| Frame {
        header: Arc::new(Header { named: true, names: vec!["y".into()], ..Header::default() }),
        columns: vec![Some(values)],
        rows,
        ..Frame::default()
    };
    let (rows, width) = (array.rows(), array.width());
    if width == 1 && array.shape.len() > 1 {
        notes.push(format!("{name} has the shape (rows, 1): used as one target per row"));
        let values = array.columns(&[false]).swap_remove(0);
        return Ok(column(values, rows));
    }
    let is_class = matches!(task, Task::Auto | Task::Classification);
    if let Some(classes) = is_class.then(|| one_hot::classes(&array)).flatten() {
        notes.push(format!(
            "{name} is one-hot: used as {width} classes; use --task multilabel or --task regression if \
             its columns are independent labels or numbers"
        ));
        return Ok(column(Values::Numbers(classes), rows));
    }
    table_of(&[("y", &array)])
}

fn fault(fault: super::Fault) -> Error {
    match fault {
        super::Fault::Array(error) => error,
        super::Fault::Read(error) => damaged_zip(&error),
    }
}

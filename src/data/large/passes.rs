//! Tables larger than memory: analyzed and fitted with a sample of their rows, encoded chunk by
//! chunk.
//!
//! One pass counts the rows and draws a seeded sample of them, with at least one row of each
//! class. A fit to 200,000 random rows differs little from
//! a fit to all rows: a quantile's rank by 0.1 % (scikit-learn uses 10,000). All
//! later passes give encoded chunks in the order of the file.

use super::sampling::Sampling;
use crate::base::error::{Error, Result};
use crate::data::columns::frame::Values;
use crate::data::formats::columnar;
use crate::data::formats::read;
use crate::data::formats::want::{Known, Rows, Selection, Want};
use crate::data::sources::find::{Found, find};
use crate::data::sources::options::DataOptions;
use crate::data::sources::source;
use crate::data::streams::stream::{Source, set_name};
use crate::data::tables::fitting::Fitting;
use crate::data::tables::missing_target::Complete;
use crate::data::tables::table::{self, Table};
use crate::data::tables::trained::{Keep, Reading};
use crate::data::{Data, Dataset, Preprocessing, Role, UnknownCategories};
use std::sync::Arc;

/// The most rows of a sample.
const SAMPLE: usize = 200_000;
/// The approximate number of bytes of a value, with overhead.
const VALUE: u64 = 24;
/// The fewest rows of a sample.
const LEAST: usize = 1000;

/// A table that isn't held in memory.
#[derive(Debug, Clone)]
pub struct StreamedTable {
    source: Source,
    options: DataOptions,
    /// The analyzed sample.
    sample: Arc<Data>,
    /// The index of each row of the sample in the whole table.
    places: Vec<usize>,
    rows: usize,
    /// The columns that are read.
    columns: usize,
    /// Whether rows were dropped because their target is missing.
    has_dropped: bool,
}

/// Some rows of a table, encoded for a net.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedChunk {
    /// The number of rows before them.
    pub first: usize,
    /// The rows.
    pub data: Dataset,
    /// Their unknown categories.
    pub unknown: UnknownCategories,
}

impl StreamedTable {
    /// Reads a table once, and keeps a sample of about a quarter of `memory` bytes.
    ///
    /// # Errors
    /// When it can't be read, or doesn't match the options.
    pub fn open(path: &str, options: &DataOptions, memory: u64) -> Result<Self> {
        let source = columnar::at_hand(table_source(path, options)?)?;
        let (columns, task) = (&options.columns, options.task);
        let known = source::known(options);
        let mut sampling: Option<Sampling> = None;
        let mut complete = Complete::new(columns.missing_target);
        let want = |header: &crate::data::Header| {
            table::wanted(header, columns, task).map(Selection::from)
        };
        read::pass(&source, known, want, |rows| {
            let rows = rows.sound()?;
            let places = table::complete_places(&rows.frame.header, columns, task)?;
            let Some(rows) = complete.take(rows, &places) else { return Ok(()) };
            if rows.first == 0 || sampling.is_none() {
                let width = rows.frame.columns.iter().flatten().count().max(1);
                let keep = (memory / 4 / (width as u64 * VALUE)) as usize;
                let targets = table::target_places(&rows.frame.header, columns)?;
                sampling = Some(Sampling::new(keep.clamp(LEAST, SAMPLE), targets, options.seed));
            }
            match &mut sampling {
                Some(sampling) => sampling.take(rows),
                None => Ok(()),
            }
        })?;
        let place = source.path().display().to_string();
        let dropped = complete.finish().map_err(|e| e.at(&place))?;
        let Some(sampling) = sampling else {
            return Err(Error::data("the table has no rows").at(place));
        };
        let (name, all) = (set_name(source.path()), Some(sampling.rows));
        let table = Table::of_complete(name, sampling.frame, options, all);
        let mut table = table.map_err(|e| e.at(&place))?;
        let has_dropped = dropped.is_some();
        table.add_notes(dropped);
        let columns = table.frame().columns.iter().flatten().count();
        let sample = Arc::new(Data::Table(Box::new(table)));
        let (places, rows) = (sampling.places, sampling.rows);
        let options = options.clone();
        Ok(StreamedTable { source, options, sample, places, rows, columns, has_dropped })
    }

    /// Reports the notes about its source: not if it is opened again as a whole, which reports them too.
    pub fn say_notes(&self) {
        crate::data::sources::options::say(&self.options, &self.source.notes());
    }

    /// The number of rows of the whole table.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The sample, with its analyzed columns.
    #[must_use]
    pub fn sample(&self) -> &Arc<Data> {
        &self.sample
    }

    /// The index in the whole table of each row of the sample.
    #[must_use]
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    /// The approximate number of bytes that the whole table would need while it is read and encoded.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.rows * self.columns) as u64 * VALUE
    }

    /// Fits to those rows of the sample that are training rows, by their index in the whole table.
    ///
    /// # Errors
    /// As [`Preprocessing::fit_rows`].
    pub fn fit(
        &self,
        fitting: &Fitting,
        is_training: impl Fn(usize) -> bool,
    ) -> Result<Preprocessing> {
        let rows: Vec<usize> =
            (0..self.places.len()).filter(|&i| is_training(self.places[i])).collect();
        Preprocessing::fit_rows(&self.sample, &rows, fitting)
    }

    /// How to read a column in the same way as for the sample.
    pub(super) fn want_as_sampled(&self, place: usize) -> Want {
        let Some(table) = self.sample.table() else { return Want::Nothing };
        let is_target = matches!(table.columns()[place].role, Role::Target(_));
        match &table.frame().columns[place] {
            None => Want::Nothing,
            Some(Values::Texts(_)) if is_target => Want::Class,
            Some(Values::Texts(_)) => Want::Text,
            Some(Values::Bytes(_) | Values::Numbers(_)) => Want::Number,
            Some(Values::Times(_)) => Want::Guess,
        }
    }

    /// Passes the wanted columns to `take`, chunk by chunk in order.
    pub(in crate::data) fn read_columns(
        &self,
        mut wanted: Vec<Want>,
        mut take: impl FnMut(Rows) -> Result<()>,
    ) -> Result<()> {
        let header = self.sample.table().map(|table| table.frame().header.clone());
        let forms = header.as_ref().map(|header| &header.forms);
        let known = Known { forms, ..source::known(&self.options) };
        let (columns, task) = (&self.options.columns, self.options.task);
        let mut places = Vec::new();
        if self.has_dropped {
            places = match self.sample.table() {
                Some(table) => table::complete_places(&table.frame().header, columns, task)?,
                None => Vec::new(),
            };
            for &place in &places {
                if wanted[place] == Want::Nothing {
                    wanted[place] = self.want_as_sampled(place);
                }
            }
        }
        let want = |_: &crate::data::Header| Ok(Selection::from(wanted));
        let mut complete = Complete::new(columns.missing_target);
        read::pass(&self.source, known, want, |rows| match complete.take(rows.sound()?, &places) {
            Some(rows) => take(rows),
            None => Ok(()),
        })
    }

    /// Encodes all rows chunk by chunk, in order.
    ///
    /// # Errors
    /// With line and column, for a value that the fitted encoding can't encode; and what `take` returns.
    pub fn pass(
        &self,
        preprocessing: &Preprocessing,
        take: impl FnMut(EncodedChunk) -> Result<()>,
    ) -> Result<()> {
        // Dropped rows were reported when the table was opened.
        pass(&self.source, preprocessing, &self.options, take).map(|_| ())
    }
}

/// Encodes the rows of another table, with their targets, chunk by chunk, in order and in bounded
/// memory: as [`open_measured`](crate::data::open_measured), without holding all of them.
///
/// # Errors
/// When it can't be read, or doesn't match the model; and what `take` returns.
pub fn pass_measured(
    path: &str,
    preprocessing: &Preprocessing,
    options: &DataOptions,
    take: impl FnMut(EncodedChunk) -> Result<()>,
) -> Result<()> {
    let source = table_source(path, options)?;
    let dropped = pass(&source, preprocessing, options, take)?;
    crate::data::sources::options::say_dropped(&source, options, dropped);
    Ok(())
}

/// The table of that name.
fn table_source(name: &str, options: &DataOptions) -> Result<Source> {
    match find(name, options)? {
        Found::Table(source) => Ok(source),
        _ => Err(Error::failed(format!("{name} is not a table that is read row by row"))),
    }
}

fn pass(
    source: &Source,
    preprocessing: &Preprocessing,
    options: &DataOptions,
    mut take: impl FnMut(EncodedChunk) -> Result<()>,
) -> Result<Option<String>> {
    let (place, name) = (source.path().display().to_string(), set_name(source.path()));
    let reading = Reading { preprocessing, options, with_targets: true, keep: Keep::default() };
    reading.complete(source, |known, rows| {
        let measured = known.measured(&name, &rows.frame, options.unknown);
        let (data, unknown) = measured.map_err(|e| e.at(&place))?;
        take(EncodedChunk { first: rows.first, data, unknown })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ColumnOptions, Scaling, Task};

    fn table(rows: usize) -> tempfile::NamedTempFile {
        let row = |i: usize| {
            let class = if i == rows - 7 { "rare" } else { ["a", "b"][i % 2] };
            format!("{},{},{class}\n", i * 7919 % 10_007, ["x", "y", "z"][i % 3])
        };
        let text: String =
            std::iter::once("n,c,class\n".into()).chain((0..rows).map(row)).collect();
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn fitting() -> Fitting {
        Fitting::new(Scaling::Standard)
    }

    #[test]
    fn a_table_that_fits_the_sample_is_encoded_as_in_memory() {
        let file = table(900);
        let path = file.path().to_str().unwrap();
        let options = DataOptions::default();
        let streamed = StreamedTable::open(path, &options, 1 << 30).unwrap();
        assert_eq!((streamed.rows(), streamed.sample().rows()), (900, 900));
        let is_training = |row: usize| !row.is_multiple_of(5);
        let streamed_fit = streamed.fit(&fitting(), is_training).unwrap();
        let whole = crate::data::open(path, &options).unwrap().train;
        let rows: Vec<usize> = (0..900).filter(|&row| is_training(row)).collect();
        let fit = Preprocessing::fit_rows(&whole, &rows, &fitting()).unwrap();
        assert_eq!(streamed_fit, fit);
        let all = fit.dataset(&whole, &(0..900).collect::<Vec<_>>()).unwrap();
        let mut seen = 0;
        streamed
            .pass(&fit, |chunk| {
                assert_eq!(chunk.first, seen);
                seen += chunk.data.rows();
                let rows: Vec<usize> = (chunk.first..seen).collect();
                assert_eq!(chunk.data, all.select(&rows));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, 900);
    }

    #[test]
    fn a_sample_of_a_larger_table_has_every_class_and_its_own_seed() {
        let file = table(60_000);
        let path = file.path().to_str().unwrap();
        let open = |seed| {
            let options = DataOptions { seed, ..DataOptions::default() };
            StreamedTable::open(path, &options, 200_000).unwrap()
        };
        let streamed = open(1);
        assert_eq!(streamed.rows(), 60_000);
        let kept = streamed.sample().rows();
        assert!((LEAST / 2..=2 * LEAST + 3).contains(&kept), "{kept}");
        let crate::data::Targets::Classes { names, .. } = streamed.sample().targets() else {
            panic!("classes")
        };
        assert_eq!(names, &["a", "b", "rare"]);
        assert_eq!(open(1).places, streamed.places);
        assert_ne!(open(2).places, streamed.places);
        let mean = streamed.places.iter().sum::<usize>() as f64 / kept as f64;
        assert!((mean / 30_000.0 - 1.0).abs() < 0.1, "rows from everywhere: {mean}");
    }

    #[test]
    fn what_is_wrong_late_in_a_file_is_found_by_the_first_pass() {
        let file = table(5000);
        let text = std::fs::read_to_string(file.path()).unwrap();
        std::fs::write(file.path(), text + "7,x\n").unwrap();
        let columns = ColumnOptions::default();
        let options = DataOptions { columns, task: Task::Auto, ..DataOptions::default() };
        let error = StreamedTable::open(file.path().to_str().unwrap(), &options, 1 << 20);
        assert!(error.unwrap_err().to_string().contains("line 5002"));
    }
}

//! Sets in the arrays of an NPZ file: columns, or images with their targets, and the parts that the file
//! holds out by itself.

use super::options::{Measured, say_dropped};
use crate::base::error::{Error, Result};
use crate::data::columns::frame::Frame;
use crate::data::formats::npy::{NpyArray, NpzPart, NpzSet};
use crate::data::sets::dataset::Ready;
use crate::data::streams::stream::{Source, set_name};
use crate::data::tables::target::{self, Goal};
use crate::data::tables::target_columns::Columns;
use crate::data::tables::trained::{Keep, Reading};
use crate::data::{DataOptions, Dataset, Preprocessing, Targets, Task};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The arrays of a file.
pub(in crate::data) struct ArraySet {
    pub(in crate::data) path: PathBuf,
    pub(in crate::data) set: NpzSet,
}

/// Rows that a table holds out by itself, separate from the training rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableParts {
    path: PathBuf,
    validation: Option<Arc<Frame>>,
    test: Option<Arc<Frame>>,
}

impl TableParts {
    /// Whether there are rows for validation.
    #[must_use]
    pub fn has_validation(&self) -> bool {
        self.validation.is_some()
    }

    /// The rows for validation, encoded like the training rows.
    ///
    /// # Errors
    /// When they don't match the training rows.
    pub fn validation(
        &self,
        preprocessing: &Preprocessing,
        options: &DataOptions,
    ) -> Result<Option<Dataset>> {
        self.encoded(self.validation.as_ref(), preprocessing, options)
    }

    /// The rows of the test part, encoded like the training rows.
    ///
    /// # Errors
    /// When they don't match the training rows.
    pub fn test(
        &self,
        preprocessing: &Preprocessing,
        options: &DataOptions,
    ) -> Result<Option<Dataset>> {
        self.encoded(self.test.as_ref(), preprocessing, options)
    }

    fn encoded(
        &self,
        part: Option<&Arc<Frame>>,
        preprocessing: &Preprocessing,
        options: &DataOptions,
    ) -> Result<Option<Dataset>> {
        let source = part.map(|frame| Source::Rows(self.path.clone(), frame.clone()));
        let found =
            source.map(|source| measured(&source, preprocessing, options, false)).transpose()?;
        Ok(found.map(|found| found.data))
    }
}

/// The rows of a table with their targets, for a model.
pub(in crate::data) fn measured(
    source: &Source,
    preprocessing: &Preprocessing,
    options: &DataOptions,
    is_test_part: bool,
) -> Result<Measured> {
    let reading = Reading { preprocessing, options, with_targets: true, keep: Keep::default() };
    let (preprocessing, frame, dropped) = reading.whole(source)?;
    say_dropped(source, options, dropped);
    let found = preprocessing.measured(&set_name(source.path()), &frame, options.unknown);
    let (data, unknown) = found.map_err(|e| e.at(source.path().display()))?;
    let mut warnings = frame.warnings;
    warnings.extend(frame.header.renamed.iter().cloned());
    Ok(Measured { data, is_test_part, unknown, warnings })
}

/// A set for training.
pub(in crate::data) enum Parted {
    /// Matrices of features: the training rows and the held-out rows.
    Images(Box<Ready>),
    /// The columns for training, and the held-out rows.
    Table(Source, TableParts),
}

impl ArraySet {
    /// The set for training.
    ///
    /// # Errors
    /// When images have no targets, a target can't be learned, or the parts are of different kinds.
    pub(super) fn parted(self, task: Task) -> Result<Parted> {
        let ArraySet { path, set } = self;
        let fail = |e: Error| e.at(path.display());
        let without = set.without_targets();
        let NpzSet { training, validation, test, listed, .. } = set;
        let other = || {
            let error = Error::data("the parts of the set have different numbers of dimensions");
            error.at(&listed).help("give the held-out rows in the form of the training rows")
        };
        match training {
            NpzPart::Table(frame) => {
                let table = |part: Option<NpzPart>| match part {
                    Some(NpzPart::Table(frame)) => Ok(Some(Arc::new(frame))),
                    Some(NpzPart::Images(..)) => Err(other()),
                    None => Ok(None),
                };
                let [validation, test] = [validation, test].map(table);
                let (validation, test) = (validation.map_err(fail)?, test.map_err(fail)?);
                let parts = TableParts { path: path.clone(), validation, test };
                Ok(Parted::Table(Source::Rows(path, Arc::new(frame)), parts))
            }
            NpzPart::Images(x, y) => {
                let y = y.ok_or(without).map_err(fail)?;
                let columns = Columns { frame: &y, places: &places(&y) };
                let learnt = target::learn(columns, task, None).map_err(fail)?;
                let train = images(&path, &x, learnt.targets)?;
                let goal = goal_of(train.targets());
                let held_out = |part: Option<NpzPart>| match part {
                    Some(NpzPart::Images(x, Some(y))) => read(&path, &x, &y, goal).map(Some),
                    Some(_) => Err(fail(other())),
                    None => Ok(None),
                };
                let [validation, test] = [validation, test].map(held_out);
                let (validation, test) = (validation?, test?);
                Ok(Parted::Images(Box::new(Ready { train, validation, test })))
            }
        }
    }

    /// Whether the rows to predict are in columns.
    pub(in crate::data) fn is_table(&self) -> bool {
        matches!(self.set.test.as_ref().unwrap_or(&self.set.training), NpzPart::Table(_))
    }

    /// The part for evaluation and prediction, and whether it is a test part.
    pub(super) fn measured_part(self) -> (PathBuf, NpzPart, bool) {
        let ArraySet { path, set: NpzSet { training, test, .. } } = self;
        let is_test_part = test.is_some();
        (path, test.unwrap_or(training), is_test_part)
    }
}

/// The targets of all columns of a frame.
fn places(frame: &Frame) -> Vec<usize> {
    (0..frame.columns.len()).collect()
}

/// How targets of other rows are read.
fn goal_of(targets: &Targets) -> Goal<'_> {
    match targets {
        Targets::Classes { names, .. } => Goal::Classes(names),
        Targets::Labels { names, .. } => Goal::Labels(names, None),
        Targets::Numbers(_) => Goal::Numbers,
    }
}

/// Images with targets of a model.
pub(in crate::data) fn read(
    path: &Path,
    x: &NpyArray,
    y: &Frame,
    goal: Goal<'_>,
) -> Result<Dataset> {
    let targets = target::read(Columns { frame: y, places: &places(y) }, goal);
    images(path, x, targets.map_err(|e| e.at(path.display()))?)
}

fn images(path: &Path, x: &NpyArray, targets: Targets) -> Result<Dataset> {
    let features = x.features().map_err(|e| e.at(path.display()))?;
    Ok(Dataset::new(set_name(path), features, targets)?.image())
}

/// The task of a trained model.
pub(super) fn task_of(preprocessing: &Preprocessing) -> Task {
    match (&preprocessing.classes, &preprocessing.labels) {
        (Some(_), _) => Task::Classification,
        (_, Some(_)) => Task::Multilabel,
        _ => Task::Regression,
    }
}

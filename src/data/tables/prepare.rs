//! Data before anything is fitted to them: a matrix of features, or a table.

use super::fitting::Fitting;
use super::table::Table;
use super::target::{self, Goal};
use super::target_columns::Columns;
use crate::base::error::{Error, Result};
use crate::base::parallel::join;
use crate::data::encode::{Encoding, not_finite};
use crate::data::sets::samples::Preprocessing;
use crate::data::{
    Affine, Dataset, Features, Frame, OnUnknown, Scaling, TargetScaling, Targets,
    UnknownCategories, Values,
};
use crate::math::matrix::Matrix;

/// Rows with targets, from which a split selects the training rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// A matrix of features.
    Ready(Dataset),
    /// Columns that must be encoded first.
    Table(Box<Table>),
}

impl Data {
    /// The name, as shown to users.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Data::Ready(data) => data.name(),
            Data::Table(table) => table.name(),
        }
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Data::Ready(data) => data.rows(),
            Data::Table(table) => table.rows(),
        }
    }

    /// The targets of all rows.
    #[must_use]
    pub fn targets(&self) -> &Targets {
        match self {
            Data::Ready(data) => data.targets(),
            Data::Table(table) => table.targets(),
        }
    }

    /// The table, if it is one.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        match self {
            Data::Ready(_) => None,
            Data::Table(table) => Some(table),
        }
    }

    /// The values of a table's column, by its name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Values> {
        self.table()?.frame().column(name)
    }

    /// Whether the features are the pixels of images.
    #[must_use]
    pub fn is_image(&self) -> bool {
        match self {
            Data::Ready(data) => data.is_image(),
            Data::Table(table) => table.pixels(),
        }
    }
}

impl Preprocessing {
    /// Fits to the training rows of `data`.
    ///
    /// # Errors
    /// For a scaling or a logarithm that is impossible for these data.
    pub fn fit_rows(data: &Data, rows: &[usize], fitting: &Fitting) -> Result<Self> {
        match data {
            Data::Ready(data) => {
                let Some(name) = fitting.log.first() else {
                    return Ok(Preprocessing::fit(&data.select(rows), fitting.scaling));
                };
                Err(Error::usage(format!(
                    "--log-transform {name}, but {} is not a table",
                    data.name()
                ))
                .help("omit --log-transform, or use --scaling quantile"))
            }
            Data::Table(table) => {
                let fit_targets = || {
                    let targets = table.targets().select_rows(rows);
                    let affine = match &targets {
                        Targets::Numbers(m) if fitting.scaling != Scaling::None => {
                            TargetScaling::fit(m)
                        }
                        targets => TargetScaling::identity(targets.outputs()),
                    };
                    (targets, affine)
                };
                let (encoding, (targets, affine)) = join(|| table.fit(rows, fitting), fit_targets);
                let encoding = encoding?;
                let (classes, labels) = match &targets {
                    Targets::Classes { names, .. } => (Some(names.clone()), None),
                    Targets::Labels { names, .. } => (None, Some(names.clone())),
                    Targets::Numbers(_) => (None, None),
                };
                let (quantiles, features) = match encoding.pixels {
                    true => {
                        let pixels = encoding.encode(table.frame(), Some(rows))?;
                        let together = fitting.scaling == Scaling::Minmax;
                        let quantiles = fitting.scaling.quantiles(&pixels);
                        (quantiles, fitting.scaling.fit(&pixels, together))
                    }
                    false => (None, Affine::identity(encoding.width())),
                };
                Ok(Preprocessing {
                    quantiles,
                    features,
                    targets: affine,
                    bounds: match &targets {
                        Targets::Numbers(m) if fitting.scaling != Scaling::None => Some(bounds(m)),
                        _ => None,
                    },
                    encoding: Some(encoding),
                    classes,
                    labels,
                    image: None,
                })
            }
        }
    }

    /// Some rows of the data that this was fitted to, encoded for a net.
    ///
    /// # Errors
    /// When it was fitted to other data.
    pub fn dataset(&self, data: &Data, rows: &[usize]) -> Result<Dataset> {
        match (data, &self.encoding) {
            (Data::Table(table), Some(encoding)) => {
                let features = encoding.encode(table.frame(), Some(rows))?;
                check_encoded(encoding, table.frame(), &features, Some(rows))
                    .map_err(|e| e.at(table.name()))?;
                let targets = table.targets().select_rows(rows);
                let set = Dataset::new(table.name(), features, targets)?;
                let set = if encoding.pixels { set.image() } else { set };
                match table.weights() {
                    Some(weights) => set.weighted(rows.iter().map(|&row| weights[row]).collect()),
                    None => Ok(set),
                }
            }
            (Data::Ready(data), _) => Ok(data.select(rows)),
            (Data::Table(table), None) => Err(Error::usage("the model wasn't trained on a table")
                .at(table.name())
                .help("fit the preprocessing to the table")),
        }
    }

    /// The categories of these rows that weren't in the rows that this was fitted to.
    ///
    /// # Errors
    /// When it was fitted to other data.
    pub fn unknown(&self, data: &Data, rows: &[usize]) -> Result<UnknownCategories> {
        let (Data::Table(table), Some(encoding)) = (data, &self.encoding) else {
            return Ok(UnknownCategories::default());
        };
        if rows.is_empty() {
            return Ok(UnknownCategories::default());
        }
        let unknown = encoding.unknown(table.frame())?;
        Ok(UnknownCategories::count(table.frame(), &unknown, rows.iter().copied()))
    }

    /// How the targets of other data are read.
    pub(in crate::data) fn goal(&self) -> Goal<'_> {
        match (&self.classes, &self.labels) {
            (Some(names), _) => Goal::Classes(names),
            (_, Some(names)) => {
                Goal::Labels(names, self.encoding.as_ref().and_then(|e| e.separator))
            }
            _ => Goal::Numbers,
        }
    }

    /// The data set from another table, whose columns were found by name, and its unknown
    /// categories.
    ///
    /// # Errors
    /// When it has no target, or a value that the model can't encode.
    pub(in crate::data) fn measured(
        &self,
        name: &str,
        frame: &Frame,
        on_unknown: OnUnknown,
    ) -> Result<(Dataset, UnknownCategories)> {
        let encoding = self.encoding.as_ref().ok_or_else(|| {
            Error::data("the model wasn't trained on a table").help("give data of the same kind")
        })?;
        let located = encoding.locate(&frame.header)?;
        let places = located.targets.ok_or_else(|| {
            Error::data("the table has no target column")
                .help("give a table with the target, or only predict")
        })?;
        let targets = target::read(Columns { frame, places: &places }, self.goal())?;
        let (features, unknown) = encoding.encode_and_look(frame, None)?;
        check_encoded(encoding, frame, &features, None)?;
        if on_unknown == OnUnknown::Error {
            let refused = encoding.refuse_unknown(frame, &unknown, 0..frame.rows)?;
            if let Some((row, error)) = refused.into_iter().next() {
                return Err(error.at(frame.describe_row(row)));
            }
        }
        let unknown = UnknownCategories::count(frame, &unknown, 0..frame.rows);
        let set = Dataset::new(name, features, targets)?;
        let set = if encoding.pixels { set.image() } else { set };
        let weights =
            located.weight.and_then(|place| Some((place, frame.columns[place].as_ref()?)));
        let set = match weights {
            Some((place, values)) => {
                set.weighted(super::table::row_weights(frame, place, values)?)?
            }
            None => set,
        };
        Ok((set, unknown))
    }

    /// The features of a table whose columns are read, (rows, features).
    ///
    /// # Errors
    /// When a column is missing, or a value is invalid for its column.
    pub(super) fn encoded(&self, frame: &Frame) -> Result<Features> {
        let encoding = self.encoding.as_ref().ok_or_else(|| {
            Error::data("the model wasn't trained on a table").help("give data of the same kind")
        })?;
        let (features, _) = encoding.encode_and_look(frame, None)?;
        check_encoded(encoding, frame, &features, None)?;
        Ok(features)
    }

    /// The preprocessing of a model that uses columns unchanged.
    #[must_use]
    pub(super) fn with_plain_columns(&self) -> Self {
        let targets = match (&self.classes, &self.labels) {
            (Some(_), _) => 1,
            _ => self.targets.cols(),
        };
        let encoding = Encoding::plain(self.features.cols(), targets);
        Preprocessing { encoding: Some(encoding), ..self.clone() }
    }
}

/// How far predictions may be beyond the range of the training rows' targets, as a fraction of it.
const MARGIN: f64 = 0.1;

/// The bounds of predictions for targets like these, (rows, targets): see [`Preprocessing::bounds`].
fn bounds(targets: &Matrix<f64>) -> Vec<[f64; 2]> {
    let of = |c: usize| {
        let column = targets.iter_rows().map(|row| row[c]);
        let range = column.fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(x), b.max(x)));
        let margin = MARGIN * (range.1 - range.0);
        [range.0 - margin, range.1 + margin]
    };
    (0..targets.cols()).map(of).collect()
}

/// Refuses features that aren't finite numbers, with the row and the column of the table that the first
/// of them comes from: `rows` are the encoded rows, or none for all.
fn check_encoded(
    encoding: &Encoding,
    frame: &Frame,
    features: &Features,
    rows: Option<&[usize]>,
) -> Result<()> {
    let Some(&(at, input)) = not_finite(features).first() else { return Ok(()) };
    let row = rows.map_or(at, |rows| rows[at]);
    Err(encoding.fault(frame, row, input).at(frame.describe_row(row)))
}

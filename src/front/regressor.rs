//! Regression: predicts one or more numbers for each row.

use super::builder::builder;
use super::control::{CancelToken, EpochReport};
use super::fitted::Fitted;
#[cfg(not(target_arch = "wasm32"))]
use super::fitting::Fitting;
use super::rows::{Columns, Rows};
use super::settings::{Settings, held_out};
use crate::backend::Backend;
use crate::backend::device::Device;
use crate::base::error::{Error, Result};
use crate::base::every::TimeSpan;
use crate::base::words::count;
use crate::data::split::Split;
use crate::data::{Predictions, Scaling, Task, Values};
use crate::files::config::{ColumnNames, HeldOutData, Preset, TrainConfig};
use crate::math::activation::Activation;
use crate::math::loss::Loss;
use crate::math::optim::Optimizer;
use crate::math::schedule::Schedule;
use crate::net::metrics::Metrics;
use crate::train::evaluation::{NumberReport, Report};
use crate::train::event::Flow;
use crate::train::model::Model;
use std::path::Path;
use std::time::Duration;

/// A trained regressor: one net, or an ensemble whose predictions are averaged.
///
/// Created by [`Regressor::fit`] with the defaults of `wgrad train` for tables, or by a
/// [builder](Regressor::builder). It keeps its device open between predictions, and can be shared by threads.
///
/// ```
/// # let x: Vec<f32> = (0..120).map(|i| ((i * 37) % 101) as f32 / 10.0).collect();
/// # let y: Vec<f32> = x.chunks(2).map(|row| row[0] - row[1]).collect();
/// use wgrad::Regressor;
///
/// let model = Regressor::builder().early_stopping(5).fit((&x, 2), &y)?;
/// let predicted: Vec<f32> = model.predict((&x, 2))?;
/// # assert_eq!(predicted.len(), 60);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Regressor {
    fitted: Fitted,
}

/// The builder of a [`Regressor`], with settings under the standard names. Settings that aren't given are
/// chosen for the data.
///
/// ```
/// # let x: Vec<[f32; 2]> = (0..100).map(|i| [i % 10, i / 10].map(|n| n as f32)).collect();
/// # let y: Vec<f32> = x.iter().map(|[a, b]| 2.0 * a - b).collect();
/// use wgrad::{Regressor, Schedule};
///
/// let model = Regressor::builder()
///     .hidden_layers([64, 64])
///     .learning_rate(0.01)
///     .schedule(Schedule::Constant)
///     .epochs(20)
///     .validation_fraction(0.2)
///     .fit(&x, &y)?;
/// let (loss, report) = model.evaluate(&x, &y)?;
/// println!("loss {loss}, RMSE {}", report.rmse);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Defaults
///
#[doc = include_str!("defaults.md")]
pub struct RegressorBuilder {
    settings: Settings,
}

builder!(RegressorBuilder);

impl Default for RegressorBuilder {
    fn default() -> Self {
        RegressorBuilder { settings: Settings::of(Task::Regression) }
    }
}

/// The targets of `rows` rows, a column for each output.
fn targets(y: Rows<'_>, rows: usize) -> Result<Vec<Values>> {
    let y = y.columns("y", false)?;
    if y.rows != rows {
        return Err(Error::usage(format!(
            "{} of targets for {}",
            count(y.rows, "row"),
            count(rows, "row")
        ))
        .at("y")
        .help("give the targets of each row"));
    }
    Ok(y.columns)
}

impl RegressorBuilder {
    /// Validation data: rows with the columns of x, (N, columns), and the targets of each, (N) or (N, outputs).
    #[must_use]
    pub fn validation_data<'a, 'b>(
        mut self,
        x: impl Into<Rows<'a>>,
        y: impl Into<Rows<'b>>,
    ) -> Self {
        let y = y.into();
        let validation = held_out(x.into(), |rows| targets(y, rows));
        self.settings.validation = self.settings.take(validation);
        self
    }

    /// Trains on rows `x`, (N, columns), with targets `y`, (N) or (N, outputs), in the caller's units.
    ///
    /// # Errors
    /// For rows of unequal length, numbers that aren't finite, different numbers of rows and targets, targets
    /// that are all equal, invalid settings, a device that can't be opened or is lost, a loss that becomes NaN
    /// or infinite, and training that is canceled.
    pub fn fit<'a, 'b>(self, x: impl Into<Rows<'a>>, y: impl Into<Rows<'b>>) -> Result<Regressor> {
        let (x, y) = self.columns(x.into(), y.into())?;
        Regressor::of(self.settings.fit(x, y)?)
    }

    /// As [`RegressorBuilder::fit`], in a separate thread: the rows are copied, and the model is awaited.
    ///
    /// # Errors
    /// Immediately for invalid rows and targets; the future returns the other errors of
    /// [`RegressorBuilder::fit`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn fit_async<'a, 'b>(
        self,
        x: impl Into<Rows<'a>>,
        y: impl Into<Rows<'b>>,
    ) -> Result<Fitting<Regressor>> {
        let (x, y) = self.columns(x.into(), y.into())?;
        Fitting::start(self.settings, |settings| Regressor::of(settings.fit(x, y)?))
    }

    fn columns(&self, x: Rows<'_>, y: Rows<'_>) -> Result<(Columns, Vec<Values>)> {
        let x = x.columns("x", self.settings.has_missing)?;
        let y = targets(y, x.rows)?;
        Ok((x, y))
    }

    /// Trains on a table in a file (CSV, JSON Lines, Parquet, Arrow, NPY, NPZ), as `wgrad train` does: columns,
    /// split and settings are the same.
    ///
    /// # Errors
    /// As [`RegressorBuilder::fit`], and when the data can't be read.
    #[cfg(feature = "data")]
    pub fn fit_table(self, path: impl AsRef<Path>) -> Result<Regressor> {
        Regressor::of(self.settings.fit_named(&path.as_ref().to_string_lossy())?)
    }
}

impl Regressor {
    /// A builder with default settings.
    #[must_use]
    pub fn builder() -> RegressorBuilder {
        RegressorBuilder::default()
    }

    /// Trains with the default settings: [`RegressorBuilder::fit`].
    ///
    /// # Errors
    /// As [`RegressorBuilder::fit`].
    pub fn fit<'a, 'b>(x: impl Into<Rows<'a>>, y: impl Into<Rows<'b>>) -> Result<Self> {
        Self::builder().fit(x, y)
    }

    fn of(fitted: Fitted) -> Result<Self> {
        let preprocessing = &fitted.model.preprocessing;
        match (&preprocessing.classes, &preprocessing.labels) {
            (None, None) => Ok(Regressor { fitted }),
            _ => Err(Error::usage("this model doesn't predict numbers")
                .help("load a model that predicts classes with Classifier::load, any other with load_model")),
        }
    }

    /// The number of targets, i.e. outputs per row.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.fitted.model.preprocessing.targets.cols()
    }

    /// The predicted targets, (rows, outputs) in row-major order, in the units of the targets. With the
    /// Gaussian NLL loss, they are the predicted means.
    ///
    /// # Errors
    /// For rows with a different number of columns than in training, numbers that aren't finite, and a device
    /// that can't be opened or is lost.
    pub fn predict<'a>(&self, x: impl Into<Rows<'a>>) -> Result<Vec<f32>> {
        let predictions = self.fitted.predict(x.into())?;
        Ok(self.means(&predictions).map(|x| x as f32).collect())
    }

    /// As [`Regressor::predict`], in f64, as needed for targets such as 10⁹ + 0.5.
    ///
    /// # Errors
    /// As [`Regressor::predict`].
    pub fn predict_f64<'a>(&self, x: impl Into<Rows<'a>>) -> Result<Vec<f64>> {
        let predictions = self.fitted.predict(x.into())?;
        Ok(self.means(&predictions).collect())
    }

    /// As [`Regressor::predict`], for the rows of a table in a file, in f64: (rows, outputs).
    ///
    /// # Errors
    /// When the table can't be read or lacks columns of the model, and as [`Regressor::predict`].
    #[cfg(feature = "data")]
    pub fn predict_table(&self, path: impl AsRef<Path>) -> Result<Vec<f64>> {
        let predictions = self.fitted.predict_table(path.as_ref())?;
        Ok(self.means(&predictions).collect())
    }

    /// The first columns of predictions, one for each target.
    fn means<'a>(&self, predictions: &'a Predictions) -> impl Iterator<Item = f64> + use<'a> {
        let outputs = self.outputs();
        (0..predictions.rows())
            .flat_map(move |row| (0..outputs).map(move |col| predictions.value(row, col)))
    }

    /// R² on rows with targets, averaged over the outputs: 1 is perfect, and 0 is as good as predicting the
    /// mean of the targets.
    ///
    /// # Errors
    /// As [`Regressor::predict`], and when the targets are all equal.
    pub fn score<'a, 'b>(&self, x: impl Into<Rows<'a>>, y: impl Into<Rows<'b>>) -> Result<f64> {
        let (_, report) = self.evaluate(x, y)?;
        report.r2.ok_or_else(|| {
            Error::data("R² of targets that are all equal")
                .at("y")
                .help("evaluate gives the errors")
        })
    }

    /// The loss, in the units of [`EpochReport::validation_loss`], and all metrics of a report, for rows with
    /// targets.
    ///
    /// # Errors
    /// As [`Regressor::predict`].
    pub fn evaluate<'a, 'b>(
        &self,
        x: impl Into<Rows<'a>>,
        y: impl Into<Rows<'b>>,
    ) -> Result<(f64, NumberReport)> {
        let y = y.into();
        report(self.fitted.evaluate(x.into(), |rows| {
            let y = targets(y, rows)?;
            match (y.len(), self.outputs()) {
                (found, wanted) if found != wanted => Err(Error::usage(format!(
                    "{}, but the model has {wanted}",
                    count(found, "target")
                ))
                .at("y")
                .help("give the targets that the model was trained on")),
                _ => Ok(y),
            }
        })?)
    }

    /// As [`Regressor::evaluate`], for a table in a file that includes the targets.
    ///
    /// # Errors
    /// As [`Regressor::predict_table`].
    #[cfg(feature = "data")]
    pub fn evaluate_table(&self, path: impl AsRef<Path>) -> Result<(f64, NumberReport)> {
        report(self.fitted.evaluate_table(path.as_ref())?)
    }
}

fn report((metrics, report): (Metrics, Report)) -> Result<(f64, NumberReport)> {
    match report {
        Report::Numbers(report) => Ok((metrics.loss, report)),
        Report::Classes(_) | Report::Labels(_) => Err(Error::failed("a report of no numbers")),
    }
}

super::fitted::model_methods!(Regressor);

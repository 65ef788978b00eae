//! Classification: predicts the class of each row.

use super::builder::builder;
use super::control::{CancelToken, EpochReport};
use super::fitted::Fitted;
#[cfg(not(target_arch = "wasm32"))]
use super::fitting::Fitting;
use super::labels::{FromLabel, Labels, named};
use super::rows::{Columns, Rows};
use super::settings::{Settings, held_out};
use crate::backend::Backend;
use crate::backend::device::Device;
use crate::base::error::{Error, Result};
use crate::base::every::TimeSpan;
use crate::data::split::Split;
use crate::data::{ClassWeight, Predictions, Scaling, Task, Values};
use crate::files::config::{Calibration, ColumnNames, HeldOutData, Preset, TrainConfig};
use crate::math::activation::Activation;
use crate::math::loss::Loss;
use crate::math::matrix::Matrix;
use crate::math::optim::Optimizer;
use crate::math::schedule::Schedule;
use crate::net::metrics::Metrics;
use crate::train::evaluation::{ClassReport, Report};
use crate::train::event::Flow;
use crate::train::model::Model;
use std::path::Path;
use std::time::Duration;

/// A trained classifier: one net, or an ensemble whose predictions are averaged.
///
/// Created by [`Classifier::fit`] with the defaults of `wgrad train` for tables, or by a
/// [builder](Classifier::builder). It keeps its device open between predictions, and can be shared by threads.
///
/// ```
/// # let x: Vec<f32> = (0..120).map(|i| ((i * 37) % 101) as f32 / 10.0).collect();
/// # let y: Vec<u32> = x.chunks(2).map(|row| u32::from(row[0] > row[1])).collect();
/// use wgrad::Classifier;
///
/// let model = Classifier::fit((&x, 2), &y)?;
/// let classes: Vec<u32> = model.predict((&x, 2))?;
/// # assert_eq!(classes.len(), 60);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct Classifier {
    fitted: Fitted,
}

/// The builder of a [`Classifier`], with settings under the standard names. Settings that aren't given are
/// chosen for the data.
///
/// ```
/// # let x: Vec<[f32; 2]> = (0..60).map(|i| [(i * 7 % 10) as f32, (i % 10) as f32]).collect();
/// # let y: Vec<&str> = x.iter().map(|[a, b]| if a > b { "left" } else { "right" }).collect();
/// use wgrad::Classifier;
///
/// let model = Classifier::builder()
///     .hidden_layers([32])
///     .validation_fraction(0.2)
///     .early_stopping(10)
///     .metric("accuracy")
///     .fit(&x, &y)?;
/// assert_eq!(model.class_names(), ["left", "right"]);
/// let probabilities = model.predict_proba(&[[9.0, 1.0]])?;
/// println!("left with a probability of {}", probabilities.row(0)[0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Defaults
///
#[doc = include_str!("defaults.md")]
pub struct ClassifierBuilder {
    settings: Settings,
}

builder!(ClassifierBuilder);

impl Default for ClassifierBuilder {
    fn default() -> Self {
        ClassifierBuilder { settings: Settings::of(Task::Classification) }
    }
}

impl ClassifierBuilder {
    /// The names of the classes, for labels that are indices into them, from 0. Every class needs at least one
    /// row.
    #[must_use]
    pub fn class_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.settings.class_names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The class weights in the training loss. Default: 1 for all classes.
    #[must_use]
    pub fn class_weight(mut self, weight: ClassWeight) -> Self {
        self.settings.config.data.class_weight = Some(weight);
        self
    }

    /// Label smoothing ε, at least 0 and below 1. Default: 0.
    #[must_use]
    pub fn label_smoothing(mut self, epsilon: f32) -> Self {
        self.settings.config.net.label_smoothing = Some(epsilon);
        self
    }

    /// Whether probabilities are calibrated on held-out rows by temperature scaling. Default: true.
    #[must_use]
    pub fn calibrate(mut self, are_calibrated: bool) -> Self {
        self.settings.config.run.calibrate =
            Some(if are_calibrated { Calibration::Temperature } else { Calibration::None });
        self
    }

    /// Validation data: rows with the columns of x, (N, columns), and the label of each, (N).
    #[must_use]
    pub fn validation_data<'a>(mut self, x: impl Into<Rows<'a>>, y: impl Into<Labels>) -> Self {
        let y = y.into();
        let validation = held_out(x.into(), |rows| Ok(vec![y.column(rows)?]));
        self.settings.validation = self.settings.take(validation);
        self
    }

    /// Trains on rows `x`, (N, columns), with labels `y`, (N): integers, strings or booleans.
    ///
    /// # Errors
    /// For rows of unequal length, numbers that aren't finite, different numbers of rows and labels, labels of
    /// a single class, invalid settings, a device that can't be opened or is lost, a loss that becomes NaN or
    /// infinite, and training that is canceled.
    pub fn fit<'a>(self, x: impl Into<Rows<'a>>, y: impl Into<Labels>) -> Result<Classifier> {
        let (x, y) = self.columns(x.into(), y.into())?;
        Classifier::of(self.settings.fit(x, vec![y])?)
    }

    /// As [`ClassifierBuilder::fit`], in a separate thread: the rows are copied, and the model is awaited.
    ///
    /// # Errors
    /// Immediately for invalid rows and labels; the future returns the other errors of
    /// [`ClassifierBuilder::fit`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn fit_async<'a>(
        self,
        x: impl Into<Rows<'a>>,
        y: impl Into<Labels>,
    ) -> Result<Fitting<Classifier>> {
        let (x, y) = self.columns(x.into(), y.into())?;
        Fitting::start(self.settings, |settings| Classifier::of(settings.fit(x, vec![y])?))
    }

    fn columns(&self, x: Rows<'_>, y: Labels) -> Result<(Columns, Values)> {
        let x = x.columns("x", self.settings.has_missing)?;
        let y = y.column(x.rows)?;
        Ok((x, y))
    }

    /// Trains on a table in a file (CSV, JSON Lines, Parquet, Arrow, NPY, NPZ), a directory of images or a
    /// known data set, as `wgrad train` does: columns, split and settings are the same.
    ///
    /// # Errors
    /// As [`ClassifierBuilder::fit`], and when the data can't be read.
    #[cfg(feature = "data")]
    pub fn fit_table(self, path: impl AsRef<Path>) -> Result<Classifier> {
        Classifier::of(self.settings.fit_named(&path.as_ref().to_string_lossy())?)
    }
}

impl Classifier {
    /// A builder with default settings.
    #[must_use]
    pub fn builder() -> ClassifierBuilder {
        ClassifierBuilder::default()
    }

    /// Trains with the default settings: [`ClassifierBuilder::fit`].
    ///
    /// # Errors
    /// As [`ClassifierBuilder::fit`].
    pub fn fit<'a>(x: impl Into<Rows<'a>>, y: impl Into<Labels>) -> Result<Self> {
        Self::builder().fit(x, y)
    }

    fn of(fitted: Fitted) -> Result<Self> {
        match fitted.model.preprocessing.classes {
            Some(_) => Ok(Classifier { fitted }),
            None => Err(Error::usage("this model doesn't predict classes")
                .help("load a model that predicts numbers with Regressor::load, any other with load_model")),
        }
    }

    /// The names of the classes, in the order of the columns of [`predict_proba`](Self::predict_proba): that of
    /// [`ClassifierBuilder::class_names`] if they were given; otherwise ascending, as numbers if all labels are
    /// whole numbers, else as strings, so that `false` precedes `true`.
    #[must_use]
    pub fn class_names(&self) -> &[String] {
        self.fitted.model.preprocessing.classes.as_deref().unwrap_or_default()
    }

    /// The most probable class of each row, as the type of label used in training: an integer, a `bool` or a
    /// `String`. With [`class_names`](ClassifierBuilder::class_names) an integer is the index of the name.
    ///
    /// # Errors
    /// For rows with a different number of columns than in training, numbers that aren't finite, class names
    /// that can't be read as the type `L`, and a device that can't be opened or is lost.
    pub fn predict<'a, L: FromLabel>(&self, x: impl Into<Rows<'a>>) -> Result<Vec<L>> {
        let labels = self.labels::<L>()?;
        let label = |place: usize| labels[place].clone();
        Ok(self.predict_index(x)?.into_iter().map(label).collect())
    }

    /// The most probable class of each row, as an index into [`class_names`](Self::class_names).
    ///
    /// # Errors
    /// As [`Classifier::predict`].
    pub fn predict_index<'a>(&self, x: impl Into<Rows<'a>>) -> Result<Vec<usize>> {
        Ok(self.places(&self.predict_proba(x)?))
    }

    /// The probability of each class, (rows, classes); column k is for `class_names()[k]`, in the order
    /// described at [`class_names`](Self::class_names).
    ///
    /// # Errors
    /// As [`Classifier::predict`].
    pub fn predict_proba<'a>(&self, x: impl Into<Rows<'a>>) -> Result<Matrix<f32>> {
        probabilities(self.fitted.predict(x.into())?)
    }

    /// The accuracy on rows with labels: the fraction of rows whose most probable class is the given one.
    ///
    /// # Errors
    /// As [`Classifier::predict`], and for a label that the model doesn't know.
    pub fn score<'a>(&self, x: impl Into<Rows<'a>>, y: impl Into<Labels>) -> Result<f64> {
        self.evaluate(x, y).map(|(_, report)| report.accuracy)
    }

    /// The loss, in the units of [`EpochReport::validation_loss`], and all metrics of a report, for rows with
    /// labels.
    ///
    /// # Errors
    /// As [`Classifier::score`].
    pub fn evaluate<'a>(
        &self,
        x: impl Into<Rows<'a>>,
        y: impl Into<Labels>,
    ) -> Result<(f64, ClassReport)> {
        let labels = y.into();
        let are_names = self.class_names().iter().all(|name| name.parse::<f64>().is_err());
        let found = self.fitted.evaluate(x.into(), |rows| {
            let labels = labels.column(rows)?;
            Ok(vec![if are_names { named(&labels, self.class_names())? } else { labels }])
        })?;
        report(found)
    }

    /// The classes of the rows of a table in a file, (rows), as indices into
    /// [`class_names`](Self::class_names), and the probability of each class, (rows, classes).
    ///
    /// # Errors
    /// When the table can't be read or lacks columns of the model, and as [`Classifier::predict`].
    #[cfg(feature = "data")]
    pub fn predict_table(&self, path: impl AsRef<Path>) -> Result<(Vec<usize>, Matrix<f32>)> {
        let probabilities = probabilities(self.fitted.predict_table(path.as_ref())?)?;
        Ok((self.places(&probabilities), probabilities))
    }

    /// As [`Classifier::evaluate`], for a table in a file that includes the target.
    ///
    /// # Errors
    /// As [`Classifier::predict_table`].
    #[cfg(feature = "data")]
    pub fn evaluate_table(&self, path: impl AsRef<Path>) -> Result<(f64, ClassReport)> {
        report(self.fitted.evaluate_table(path.as_ref())?)
    }

    fn places(&self, probabilities: &Matrix<f32>) -> Vec<usize> {
        probabilities.iter_rows().map(|row| self.fitted.model.class(row)).collect()
    }

    /// The label of each class.
    fn labels<L: FromLabel>(&self) -> Result<Vec<L>> {
        let names = self.class_names();
        let labels: Vec<Option<L>> = names.iter().map(|name| L::from_name(name)).collect();
        if labels.iter().all(Option::is_none)
            && let Some(places) = (0..names.len()).map(L::from_place).collect()
        {
            return Ok(places);
        }
        match labels.iter().position(Option::is_none) {
            None => Ok(labels.into_iter().flatten().collect()),
            Some(place) => {
                let what = std::any::type_name::<L>();
                Err(Error::usage(format!(
                    "the class {:?} is not a value of type {what}",
                    names[place]
                ))
                .help("predict::<String> gives the names of the classes"))
            }
        }
    }
}

fn probabilities(predictions: Predictions) -> Result<Matrix<f32>> {
    match predictions {
        Predictions::F32(probabilities) => Ok(probabilities),
        Predictions::F64(_) => Err(Error::failed("probabilities in f64")),
    }
}

fn report((metrics, report): (Metrics, Report)) -> Result<(f64, ClassReport)> {
    match report {
        Report::Classes(report) => Ok((metrics.loss, report)),
        Report::Labels(_) | Report::Numbers(_) => Err(Error::failed("a report of no classes")),
    }
}

super::fitted::model_methods!(Classifier);

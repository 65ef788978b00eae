//! A trained model and the device that it predicts on, which stays open.

use super::control::EpochReport;
use super::rows::{Columns, Rows};
use super::training::Trained;
use super::words::in_fields;
use crate::backend::Backend;
use crate::backend::device::Device;
use crate::backend::session::Session;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::words::count;
#[cfg(feature = "data")]
use crate::data::{self, DataOptions};
use crate::data::{Dataset, Encoder, Features, Frame, Header, Predictions, Values};
use crate::files::checkpoint::{Provenance, load_model_with, save_model_with};
use crate::files::config::TrainConfig;
use crate::net::metrics::Metrics;
use crate::train::choose::{self, Work};
use crate::train::evaluation::Report;
use crate::train::model::Model;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A trained model of either front.
pub(super) struct Fitted {
    pub model: Model,
    pub history: Vec<EpochReport>,
    pub config: TrainConfig,
    temperature: Option<f64>,
    has_missing: bool,
    place: Mutex<Place>,
}

/// Where predictions are made.
struct Place {
    /// The open device with the model's net on it.
    session: Option<Session>,
    device: Device,
    threads: Option<usize>,
}

impl Fitted {
    pub(super) fn of(trained: Trained, has_missing: bool) -> Self {
        let Trained { model, backend, history, temperature, config } = trained;
        let session = model.session(backend, usize::MAX).ok();
        let device = config.device.device.clone().unwrap_or_default();
        let place = Place { session, device, threads: config.device.threads };
        Fitted { model, history, config, temperature, has_missing, place: Mutex::new(place) }
    }

    /// Reads a model from a file.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let (model, provenance) = load_model_with(path).map_err(in_fields)?;
        let has_missing = model.preprocessing.encoding.as_ref().is_some_and(|encoding| {
            encoding.features.iter().any(|feature| match &feature.encoder {
                Encoder::Number(number) => number.indicator,
                _ => false,
            })
        });
        let place = Place { session: None, device: Device::Auto, threads: None };
        Ok(Fitted {
            model,
            history: Vec::new(),
            config: TrainConfig::default(),
            temperature: provenance.temperature,
            has_missing,
            place: Mutex::new(place),
        })
    }

    /// Writes the model to a file.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let provenance = Provenance { temperature: self.temperature, ..Provenance::default() };
        save_model_with(&self.model, &provenance, path)
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses that device for predictions from now on.
    pub(super) fn set_device(&self, device: Device, threads: Option<usize>) {
        *self.place() = Place { session: None, device, threads };
    }

    /// Uses that backend for predictions from now on.
    pub(super) fn set_backend(&self, backend: Box<dyn Backend>) -> Result<()> {
        let session = self.model.session(backend, usize::MAX)?;
        self.place().session = Some(session);
        Ok(())
    }

    /// The device, where it is open.
    pub(super) fn device(&self) -> Option<String> {
        self.place().session.as_ref().map(|session| session.backend().info().to_string())
    }

    /// Does some work in the session, which is opened for these features if it isn't open.
    fn within<T>(
        &self,
        features: &Arc<Features>,
        work: impl FnOnce(&mut Session) -> Result<T>,
    ) -> Result<T> {
        let mut place = self.place();
        if place.session.is_none() {
            let wanted = Work::predictions(&self.model, features);
            let opened = choose::open(&place.device, place.threads, &wanted)?;
            place.session = Some(self.model.session(opened.backend, usize::MAX)?);
        }
        let Some(session) = place.session.as_mut() else {
            return Err(Error::failed("no session on the device"));
        };
        let done = work(session);
        // What a lost device holds is of no use to the next call.
        if done.as_ref().is_err_and(|error| error.kind() == ErrorKind::Device) {
            place.session = None;
        }
        done
    }

    /// The features of rows, as the net takes them.
    fn features(&self, x: Rows<'_>) -> Result<Arc<Features>> {
        let x = x.columns("x", self.has_missing)?;
        let header = Self::header(&x, 0);
        self.model.preprocessing.features_of(Frame::of_columns(header, x.columns)?)
    }

    fn header(x: &Columns, targets: usize) -> Header {
        let cols = x.columns.len();
        match &x.names {
            None => Header::numbered(cols + targets),
            Some(names) => {
                let targets = (0..targets).map(|i| format!("y{}", i + 1));
                Header::of_names(names.iter().cloned().chain(targets).collect())
            }
        }
    }

    pub(super) fn predict(&self, x: Rows<'_>) -> Result<Predictions> {
        self.features(x).and_then(|features| self.predict_features(features)).map_err(in_fields)
    }

    pub(super) fn predict_features(&self, features: Arc<Features>) -> Result<Predictions> {
        self.within(&features, |session| self.model.predict_in(session, features.clone()))
    }

    /// Evaluates predictions for rows against their targets, a column for each output.
    pub(super) fn evaluate(
        &self,
        x: Rows<'_>,
        y: impl FnOnce(usize) -> Result<Vec<Values>>,
    ) -> Result<(Metrics, Report)> {
        let x = x.columns("x", self.has_missing)?;
        let y = y(x.rows)?;
        if self.model.preprocessing.encoding.is_none() {
            return Err(Error::usage("targets for a model of a matrix without columns")
                .help("evaluate it by Model::evaluate, with a Dataset"));
        }
        let data = self
            .with_targets(x, y)
            .and_then(|frame| self.model.preprocessing.measured_frame("x", frame));
        data.and_then(|data| self.evaluate_set(&data)).map_err(in_fields)
    }

    /// The columns of features with those of the targets, as the model knows them.
    fn with_targets(&self, x: Columns, y: Vec<Values>) -> Result<Frame> {
        let Some(encoding) = &self.model.preprocessing.encoding else {
            let header = Self::header(&x, y.len());
            return Frame::of_columns(header, [x.columns, y].concat());
        };
        if let Some(names) = &x.names {
            let names = names.iter().chain(&encoding.targets).cloned().collect();
            return Frame::of_columns(Header::of_names(names), [x.columns, y].concat());
        }
        // By position: each target where it was in training.
        let names = &encoding.header.names;
        if x.columns.len() + encoding.targets.len() != names.len() {
            let (found, wanted) = (x.columns.len(), names.len() - encoding.targets.len());
            return Err(Error::data(format!(
                "{}, but the model takes {wanted}",
                count(found, "column")
            ))
            .at("x")
            .help("give the columns of the training rows in the same order"));
        }
        let (mut x, mut columns) = (x.columns.into_iter(), Vec::with_capacity(names.len()));
        for name in names {
            let target = encoding.targets.iter().position(|target| target == name);
            columns.extend(target.and_then(|k| y.get(k).cloned()).or_else(|| x.next()));
        }
        Frame::of_columns(encoding.header.clone(), columns)
    }

    /// Predictions for the rows of a table in a file.
    #[cfg(feature = "data")]
    pub(super) fn predict_table(&self, path: &Path) -> Result<Predictions> {
        let options = DataOptions::default();
        let name = path.to_string_lossy();
        let inputs = data::open_inputs(&name, &self.model.preprocessing, &options);
        inputs.and_then(|inputs| self.predict_features(inputs.features)).map_err(in_fields)
    }

    /// Evaluates predictions for the rows of a table in a file.
    #[cfg(feature = "data")]
    pub(super) fn evaluate_table(&self, path: &Path) -> Result<(Metrics, Report)> {
        let options = DataOptions::default();
        let name = path.to_string_lossy();
        let measured = data::open_measured(&name, &self.model.preprocessing, &options);
        measured.and_then(|measured| self.evaluate_set(&measured.data)).map_err(in_fields)
    }

    pub(super) fn evaluate_set(&self, data: &Dataset) -> Result<(Metrics, Report)> {
        let features = data.features_shared();
        let (metrics, predictions) =
            self.within(&features, |session| self.model.judge_in(session, data))?;
        let truth = self.model.preprocessing.truth(data)?;
        Ok((metrics, Report::new(&predictions, &truth, data.weights())?))
    }
}

/// The methods that a trained classifier and a trained regressor share.
macro_rules! model_methods {
    ($front:ident) => {
        impl $front {
            /// Writes the model to a safetensors file, which `load` and `wgrad predict` read.
            ///
            /// # Errors
            /// If the file can't be written; an existing file is then left unchanged.
            pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
                self.fitted.save(path.as_ref())
            }

            /// Reads a model that [`save`](Self::save) or `wgrad train` wrote. It predicts on the device that
            /// is fastest for the first rows, unless [`on_device`](Self::on_device) selects one.
            ///
            /// # Errors
            /// If the file doesn't exist or isn't such a model.
            pub fn load(path: impl AsRef<Path>) -> Result<Self> {
                Self::of(Fitted::load(path.as_ref())?)
            }

            /// Uses this device for predictions; the first prediction opens it.
            #[must_use]
            pub fn on_device(self, device: Device) -> Self {
                self.fitted.set_device(device, None);
                self
            }

            /// Uses your own backend for predictions.
            ///
            /// # Errors
            /// When the device can't hold the net.
            pub fn on_backend(self, backend: Box<dyn Backend>) -> Result<Self> {
                self.fitted.set_backend(backend)?;
                Ok(self)
            }

            /// The name of the device used for predictions; none before it is opened.
            #[must_use]
            pub fn device(&self) -> Option<String> {
                self.fitted.device()
            }

            /// The measurements after each epoch of training, for one net after the other; empty for a loaded
            /// model. To list the best epoch of each net, whose weights the model has:
            ///
            /// ```
            /// # let x: Vec<f32> = (0..100).map(|i| i as f32 / 10.0).collect();
            /// # let y: Vec<f32> = x.iter().map(|x| x * x).collect();
            /// # let model = wgrad::Regressor::builder().epochs(3).fit(&x, &y)?;
            /// for best in model.history().iter().filter(|epoch| epoch.is_best) {
            ///     println!("net {}: epoch {}, loss {:?}", best.net, best.epoch, best.validation_loss);
            /// }
            /// # assert_eq!(model.history().iter().filter(|epoch| epoch.is_best).count(), 3);
            /// # Ok::<(), wgrad::Error>(())
            /// ```
            #[must_use]
            pub fn history(&self) -> &[EpochReport] {
                &self.fitted.history
            }

            /// The settings used for training, including those chosen for the data; empty for a loaded model.
            #[must_use]
            pub fn settings(&self) -> &TrainConfig {
                &self.fitted.config
            }

            /// The model: its nets with their weights, and its preprocessing.
            #[must_use]
            pub fn model(&self) -> &Model {
                &self.fitted.model
            }

            /// Converts it to the model alone.
            #[must_use]
            pub fn into_model(self) -> Model {
                self.fitted.model
            }
        }
    };
}
pub(super) use model_methods;

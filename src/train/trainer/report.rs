//! Metrics that need the predictions for all held-out rows, and not only sums over them.

use super::Trainer;
use super::stream::Held;
use crate::backend::session::Loaded;
use crate::base::error::{Error, Result};
use crate::data::{Dataset, Predictions, StoredSet, Targets};
use crate::net::metrics::Metrics;
use crate::train::evaluation::Report;
use crate::train::model::predictions;

/// The true targets of rows, as the model encodes them.
pub(super) struct Truth {
    targets: Targets,
    weights: Option<Vec<f32>>,
}

/// Predictions for all rows of a set, with the true targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// Probabilities or values, as in [`Model::predict`](crate::Model::predict).
    pub predictions: Predictions,
    /// The targets, in the model's order of classes and in the user's units.
    pub truth: Targets,
    /// The weight of each row, if rows are weighted.
    pub weights: Option<Vec<f32>>,
}

impl Trainer {
    /// Loss and metrics on uploaded rows. The running sums of an unfinished epoch are kept.
    pub(super) fn measure(&mut self, data: &Held) -> Result<Metrics> {
        self.measure_by(data, |trainer, data| trainer.session.evaluate(data))
    }

    /// As [`Trainer::measure`], with `evaluate` for rows on the device.
    pub(super) fn measure_by(
        &mut self,
        data: &Held,
        evaluate: impl FnOnce(&mut Self, &Loaded) -> Result<Metrics>,
    ) -> Result<Metrics> {
        if self.trained.is_none() {
            self.check_intact()?;
        }
        let sums = (self.at.within > 0).then(|| self.session.sums()).transpose()?;
        self.use_average(true)?;
        let mut metrics = match data {
            Held::Loaded(data, _) => evaluate(self, data)?,
            Held::Stored(set) => self.evaluate_stored(set)?,
        };
        self.add_measured(data, &mut metrics)?;
        sums.map_or(Ok(()), |sums| self.session.set_sums(sums))?;
        Ok(metrics)
    }

    /// The targets kept of held-out rows for their metrics: none if the device's sums suffice.
    pub(super) fn truth(&self, data: &Dataset) -> Result<Option<Truth>> {
        if self.spec.stopping.measured.is_empty() {
            return Ok(None);
        }
        let targets = self.preprocessing.truth(data)?;
        Ok(Some(Truth { targets, weights: data.weights().map(<[f32]>::to_vec) }))
    }

    /// Adds the requested metrics to those that the device sums.
    pub(super) fn add_measured(&mut self, held: &Held, metrics: &mut Metrics) -> Result<()> {
        let wanted = self.spec.stopping.measured.clone();
        if wanted.is_empty() {
            return Ok(());
        }
        let report = match held {
            Held::Loaded(_, None) => return Ok(()),
            Held::Loaded(data, Some(Truth { targets, weights })) => {
                let predictions = self.predict_loaded(data)?;
                Report::new(&predictions, targets, weights.as_deref())?
            }
            Held::Stored(set) => {
                let Predicted { predictions, truth, weights } =
                    self.predict_stored(&set.clone(), |_| Ok(()))?;
                Report::new(&predictions, &truth, weights.as_deref())?
            }
        };
        let values = report.values();
        for name in wanted {
            let value = values.iter().find(|(known, _)| *known == name).ok_or_else(|| {
                Error::data(format!("the validation rows have no {name}")).help(
                    "hold out rows of every class, or of several values; or choose another --metric",
                )
            })?;
            metrics.values.push(*value);
        }
        Ok(())
    }

    /// Predictions for rows on the device, with the current weights.
    fn predict_loaded(&mut self, data: &Loaded) -> Result<Predictions> {
        let (objective, preprocessing) = (self.spec.objective, &self.preprocessing);
        let mut all = Predictions::none(0);
        self.session.outputs(data, |_, outputs| {
            all.append(predictions(outputs, objective, preprocessing))
        })?;
        Ok(all)
    }

    /// Predictions for rows in a file, with the current weights: rows are in memory in windows,
    /// predictions all at once. Each window is also passed to `also`.
    ///
    /// # Errors
    /// When the file can't be read, the rows don't fit the net, the device was lost; and errors of
    /// `also`.
    pub fn predict_stored(
        &mut self,
        set: &StoredSet,
        mut also: impl FnMut(&Dataset) -> Result<()>,
    ) -> Result<Predicted> {
        let (mut predicted, mut weights) = (Predictions::none(0), Vec::new());
        let mut all: Option<Targets> = None;
        self.each_window(set, |trainer, data| {
            let loaded = trainer.upload(data, set.mean_weight())?;
            let predictions = trainer.predict_loaded(&loaded);
            trainer.session.forget(&loaded);
            predicted.append(predictions?)?;
            weights.extend_from_slice(data.weights().unwrap_or_default());
            let truth = trainer.preprocessing.truth(data)?;
            match &mut all {
                Some(all) => all.append(&truth)?,
                none => *none = Some(truth),
            }
            also(data)
        })?;
        let truth = all.ok_or_else(|| Error::failed("no rows to predict").at(set.name()))?;
        Ok(Predicted {
            predictions: predicted,
            truth,
            weights: Some(weights).filter(|w| !w.is_empty()),
        })
    }
}

//! The predictions of a finished run for its held-out rows, computed again from its data and models.

use super::fold_jobs::FoldJobs;
use crate::backend::cpu::Cpu;
use crate::base::error::{Error, Result};
use crate::cli::judging::same_rows::{check_rows, check_rows_of_nets};
use crate::cli::runs::run_directory::RunDirectory;
use crate::cli::setup::job::Job;
use crate::cli::setup::members::Nets;
use crate::cli::setup::open::Trained;
use crate::cli::setup::source::Source;
use crate::data::{Data, Dataset, Predictions, Targets};
use crate::files::config::HeldOutData;
use crate::front::setup::hooks::Hooks;
use crate::train::model::Model;
use std::path::Path;

/// The validation rows of a run, each predicted by nets that weren't trained on it.
pub(in crate::cli) struct HeldOutRows {
    /// The data of these rows.
    pub data: String,
    /// The number of each row in the data.
    pub rows: Vec<usize>,
    pub predictions: Predictions,
    /// The true targets, in their units.
    pub truth: Targets,
    pub weights: Option<Vec<f32>>,
}

impl HeldOutRows {
    /// Those of a run of one net, of an ensemble, or of a cross-validation. Nothing is printed.
    ///
    /// # Errors
    /// When the data can't be opened, were changed, or aren't held in memory, when no rows are held out, and
    /// when a model is missing.
    pub fn of(run: &Path) -> Result<Self> {
        let directory = RunDirectory::open(run)?;
        let config = directory.config()?;
        let Some(name) = config.data.data.clone().filter(|name| name != "-") else {
            return Err(Error::data("the data came from standard input"));
        };
        let mut source = Source::open(config, Hooks::default())?;
        if let Some(reason) = source.reason_to_stream() {
            return Err(Error::data(reason.describe()));
        }
        let options = source.config.run.clone();
        let mut all = HeldOutRows {
            data: name,
            rows: Vec::new(),
            predictions: Predictions::none(0),
            truth: Targets::Classes { labels: Vec::new(), names: Vec::new() },
            weights: None,
        };
        if let (Some(k), None) = (options.folds, options.fold) {
            let jobs = FoldJobs::new(&mut source, k)?;
            check_rows(run, &["rows"], &jobs.last)?;
            let open = |fold: usize| Trained::open(&directory.fold(fold + 1)).map(|t| t.model);
            let models: Vec<Model> = (0..k).map(open).collect::<Result<_>>()?;
            all.add_folds(&jobs.whole.data, &jobs.folds, &models)?;
            return Ok(all);
        }
        let Trained { model, .. } = Trained::open(run)?;
        let job = if options.ensemble.is_some_and(|e| e.nets > 1) && options.member.is_none() {
            let nets = Nets::new(&mut source)?;
            check_rows_of_nets(&directory, &nets)?;
            if let Some(folds) = &nets.folds {
                let alone =
                    |weights: &Vec<_>| Model { members: vec![weights.clone()], ..model.clone() };
                let models: Vec<Model> = model.members.iter().map(alone).collect();
                all.add_folds(&nets.whole.data, folds, &models)?;
                return Ok(all);
            }
            nets.whole
        } else {
            let job = Job::of(&mut source)?;
            check_rows(run, &["rows"], &job)?;
            job
        };
        let Some(validation) = &job.validation else {
            return Err(Error::data("no rows are held out for validation"));
        };
        if let Some(HeldOutData::Path(path)) = &job.config.run.validation {
            all.data = path.display().to_string();
        }
        let rows = &job.held_out_rows[0];
        // Rows of other data are numbered there.
        let rows = if rows.is_empty() { (0..validation.rows()).collect() } else { rows.clone() };
        all.add(rows, validation, &model)?;
        Ok(all)
    }

    /// Adds the rows of each fold, predicted by the model of the same place.
    fn add_folds(&mut self, data: &Data, folds: &[Vec<usize>], models: &[Model]) -> Result<()> {
        let mut places = Vec::new();
        for (rows, model) in folds.iter().zip(models) {
            let part = model.preprocessing.dataset(data, rows)?;
            self.add(rows.clone(), &part, model)?;
            places.extend_from_slice(rows);
        }
        // The parts are those of one table.
        self.truth = data.targets().select_rows(&places);
        Ok(())
    }

    fn add(&mut self, rows: Vec<usize>, data: &Dataset, model: &Model) -> Result<()> {
        let backend = Box::new(Cpu::<f32>::new(None)?);
        self.predictions.append(model.predict(data.features_shared(), backend)?)?;
        self.truth = model.preprocessing.truth(data)?;
        if let Some(weights) = data.weights() {
            self.weights.get_or_insert_default().extend_from_slice(weights);
        }
        self.rows.extend(rows);
        Ok(())
    }
}

//! A run, ready for a device: data, split, net and settings.

#[cfg(feature = "cli")]
use super::choices::Chosen;
use super::members::Nets;
use super::settings;
use super::source::Source;
use super::streaming::{Stored, Streaming};
use super::unseen::HeldOutUnknown;
use crate::backend::Backend;
use crate::backend::session::LayerWeights;
use crate::base::error::Result;
use crate::data::split::Subsets;
use crate::data::{Data, Dataset, Preprocessing, Role, Scaling, StoredSet};
use crate::files::config::TrainConfig;
use crate::net::spec::Spec;
use crate::train::choose::Work;
use crate::train::ranks::Shards;
use crate::train::samples::check_targets;
use crate::train::trainer::Trainer;
use std::sync::Arc;

/// A run, ready for a device.
pub(crate) struct Job {
    /// The options, including those that were not given. The run directory and the device are
    /// unchanged.
    pub config: TrainConfig,
    /// The options that were chosen for the data.
    #[cfg(feature = "cli")]
    pub choices: Vec<Chosen>,
    pub spec: Spec,
    pub scaling: Scaling,
    pub preprocessing: Preprocessing,
    /// The training rows with all of their weights.
    pub training: Dataset,
    /// The weights of the training rows without the class weights.
    pub sample_weights: Option<Vec<f32>>,
    /// The class weights of the training rows, if there are any.
    pub class_weights: Option<Vec<f32>>,
    pub validation: Option<Dataset>,
    pub test: Option<Dataset>,
    /// The indices of the training rows in the data, in this order.
    pub training_rows: Arc<Vec<usize>>,
    /// The rows of the data that are held out for validation and for a test, in this order; none if these
    /// rows come from other data.
    pub held_out_rows: Arc<[Vec<usize>; 2]>,
    /// The data as read, before anything was fitted to them.
    pub data: Arc<Data>,
    /// The history of a resumed run that isn't in the options, one line for
    /// each resumption.
    pub history: Vec<String>,
    /// The weights to start from instead of random ones.
    pub init: Option<Vec<LayerWeights>>,
    /// The held-out rows of other files, if they are stored on disk.
    pub other_validation: Option<Arc<StoredSet>>,
    pub other_test: Option<Arc<StoredSet>>,
    /// The whole table, if it isn't held in memory and all of the above is only a sample of it.
    pub streaming: Option<Arc<Streaming>>,
    /// The shards of the training rows, if they are split over ranks: [`Job::store`] encodes only those of this one.
    pub shards: Option<Shards>,
    /// Its encoded rows, once [`Job::store`] made them.
    pub stored: Option<Stored>,
    /// The categories of held-out rows that aren't in the training rows.
    pub unknown: Vec<HeldOutUnknown>,
}

impl Job {
    /// The run for opened data: of one net, or of the member given in the settings.
    ///
    /// # Errors
    /// For contradictory options, or options that don't fit the data.
    pub fn of(source: &mut Source) -> Result<Self> {
        if let Some(member) = source.config.run.member {
            return Nets::new(source)?.job(source, member);
        }
        let subsets = source.subsets()?;
        let job = source.job(&subsets)?;
        source.say_without_validation(&job);
        Ok(job)
    }

    /// Whether it is the last run of a cross-validation, on all rows.
    #[cfg(feature = "cli")]
    pub fn is_last_of_folds(&self) -> bool {
        self.config.run.folds.is_some() && self.config.run.fold.is_none()
    }

    /// The same run for another net of an ensemble, counted from 1.
    pub fn of_member(&self, member: usize) -> Self {
        let mut config = self.config.clone();
        config.run.member = Some(member);
        let spec = Spec { seed: settings::seed(&config), ..self.spec.clone() };
        Job {
            config,
            #[cfg(feature = "cli")]
            choices: self.choices.clone(),
            spec,
            scaling: self.scaling,
            preprocessing: self.preprocessing.clone(),
            training: self.training.clone(),
            sample_weights: self.sample_weights.clone(),
            class_weights: self.class_weights.clone(),
            validation: self.validation.clone(),
            test: None,
            training_rows: self.training_rows.clone(),
            held_out_rows: self.held_out_rows.clone(),
            data: self.data.clone(),
            history: self.history.clone(),
            init: self.init.clone(),
            other_validation: None,
            other_test: None,
            streaming: None,
            shards: None,
            stored: None,
            unknown: Vec::new(),
        }
    }

    /// Refuses rows that are invalid for the net or the loss, also in other files. Rows
    /// on disk are checked when they are encoded.
    pub(super) fn check_rows(&self, subsets: &Subsets) -> Result<()> {
        let loss = self.spec.objective.loss;
        let sets = [
            (Some(&self.training), &subsets.training, &None),
            (self.validation.as_ref(), &subsets.validation, &self.other_validation),
            (self.test.as_ref(), &subsets.test, &self.other_test),
        ];
        for (data, rows, stored) in sets {
            let Some(data) = data else { continue };
            // Rows of another file aren't part of the data.
            let rows = Some(rows).filter(|rows| !rows.is_empty());
            if stored.is_some() || rows.is_some() && self.streaming.is_some() {
                continue;
            }
            check_targets(loss, data.targets(), |row, output| match rows {
                Some(rows) => {
                    let row = describe_row(&self.data, rows[row]);
                    format!("{row}, {}", self.target_name(output))
                }
                None => format!("row {}, target {}", row + 1, output + 1),
            })
            .map_err(|e| e.at(data.name()))?;
            self.preprocessing.samples(data)?;
        }
        Ok(())
    }

    /// A target for a message: its column, or its number.
    pub fn target_name(&self, output: usize) -> String {
        let column = self.data.table().and_then(|table| {
            let place = table.columns().iter().position(|c| c.role == Role::Target(output))?;
            Some(table.frame().header.describe(place))
        });
        column.unwrap_or_else(|| format!("target {}", output + 1))
    }

    /// The name of a target in a sentence, or its number.
    pub fn target_label(&self, output: usize) -> String {
        let names = self.preprocessing.encoding.as_ref().filter(|e| e.header.named);
        let name = names.and_then(|e| e.targets.get(output)).cloned();
        name.unwrap_or_else(|| (output + 1).to_string())
    }

    /// Encodes the rows of the table, if it isn't held in memory.
    ///
    /// # Errors
    /// As [`Streaming::store`].
    pub fn store(&mut self) -> Result<()> {
        let streaming = self.streaming.clone();
        self.stored = streaming.map(|table| table.store(self)).transpose()?;
        Ok(())
    }

    /// The numbers of training rows and of rows held out for validation.
    pub fn rows(&self) -> (usize, usize) {
        let held = self.validation.as_ref().map_or(0, Dataset::rows);
        let validation = self.other_validation.as_ref().map_or(held, |set| set.rows());
        match &self.streaming {
            None => (self.training.rows(), validation),
            Some(table) if table.validation_rows() == 0 => (table.training_rows(), validation),
            Some(table) => (table.training_rows(), table.validation_rows()),
        }
    }

    /// A trainer with the initial weights of the run.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn trainer(&self, backend: Box<dyn Backend>) -> Result<Trainer> {
        let preprocessing = self.preprocessing.clone();
        let mut trainer = match &self.stored {
            Some(Stored { training, shards, limit, .. }) => {
                let (spec, training) = (&self.spec, training.clone());
                match shards.clone() {
                    Some(shards) => {
                        Trainer::sharded(spec, training, shards, preprocessing, backend, *limit)?
                    }
                    None => Trainer::streamed(spec, training, preprocessing, backend, *limit)?,
                }
            }
            None => Trainer::new(&self.spec, &self.training, preprocessing, backend)?,
        };
        if let Some(weights) = &self.init {
            trainer.set_weights(weights)?;
        }
        trainer.name_rows(self.row_name());
        Ok(trainer)
    }

    /// The training, for choosing a device.
    pub fn work(&self) -> Work<'_> {
        Work::training_of(&self.spec, &self.training, &self.preprocessing, self.rows().0)
    }

    /// A training row for a message: its line, or its number in the data.
    pub fn row_name(&self) -> impl Fn(usize) -> String + 'static {
        let (data, rows) = (self.data.clone(), self.training_rows.clone());
        let streaming = self.streaming.clone();
        move |row| {
            if let Some(table) = &streaming {
                return format!("row {}", table.training_row(row) + 1);
            }
            describe_row(&data, rows.get(row).copied().unwrap_or(row))
        }
    }
}

/// A row of the data for a message: its line, or its number.
fn describe_row(data: &Data, row: usize) -> String {
    match data.table() {
        Some(table) => table.frame().describe_row(row),
        None => format!("row {}", row + 1),
    }
}

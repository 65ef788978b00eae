//! Settings and data before the rows are split, the settings derived from the data, and the run for a split.

#[cfg(feature = "cli")]
use super::choices::{self, Chosen};
use super::hooks::Hooks;
use super::job::Job;
use super::memory::Estimate;
use super::presets::{self, About, Kind};
use super::settings::{self, HeldOut};
use super::splitting;
use super::streaming::{Reason, Streaming};
use super::unseen::HeldOutUnknown;
use crate::base::error::{Error, Result};
#[cfg(feature = "data")]
use crate::data::TableParts;
use crate::data::split::{Split, Subsets};
use crate::data::{
    Data, DataOptions, Dataset, Fitting, Frame, Preprocessing, Scaling, Table, TargetScaling,
    Targets, is_generated,
};
use crate::files::checkpoint::load_weights;
use crate::files::config::{Calibration, ColumnNames, HeldOutData, TrainConfig};
use crate::math::loss::{Loss, Objective};
use std::collections::HashSet;
use std::sync::Arc;

/// Tables with fewer training rows than this are scaled linearly: they have too few ranks for quantiles.
const LEAST_FOR_RANKS: usize = 2000;

/// Options and data, before the rows are split.
pub(crate) struct Source {
    /// The given options.
    pub(super) given: TrainConfig,
    /// The same, completed with options that suit the data.
    pub config: TrainConfig,
    /// The completed options, with the reasons.
    #[cfg(feature = "cli")]
    pub(super) choices: Vec<Chosen>,
    pub data: Arc<Data>,
    /// The rows that the data hold out by themselves, as matrices or rows of a table.
    pub(super) validation: Option<Dataset>,
    pub(super) test: Option<Dataset>,
    #[cfg(feature = "data")]
    pub(super) held_out: TableParts,
    pub(super) options: DataOptions,
    pub(super) streaming: Option<Arc<Streaming>>,
    pub(super) hooks: Hooks,
    /// Rows in memory that are held out for validation.
    pub(super) validation_frame: Option<Frame>,
}

impl Source {
    /// Rows in memory, and rows held out for validation if they are given.
    ///
    /// # Errors
    /// For settings that don't fit the data.
    pub fn of_data(
        given: TrainConfig,
        data: Data,
        validation_frame: Option<Frame>,
        hooks: Hooks,
    ) -> Result<Self> {
        let mut config = given.clone();
        config.data.seed.get_or_insert(0);
        let options = DataOptions { notify: hooks.notify, ..config.data_options() };
        let source = Source::new(given, config, Arc::new(data), options, hooks);
        Source { validation_frame, ..source }.completed()
    }

    /// Data that hold nothing out.
    pub(super) fn new(
        given: TrainConfig,
        config: TrainConfig,
        data: Arc<Data>,
        options: DataOptions,
        hooks: Hooks,
    ) -> Self {
        say_notes(&data, hooks);
        Source {
            given,
            config,
            #[cfg(feature = "cli")]
            choices: Vec::new(),
            data,
            validation: None,
            test: None,
            #[cfg(feature = "data")]
            held_out: TableParts::default(),
            options,
            streaming: None,
            hooks,
            validation_frame: None,
        }
    }

    /// Reports which devices could not be used.
    pub fn say_passed_over(&self, passed_over: &[String]) {
        passed_over.iter().for_each(|line| self.hooks.say(format_args!("warning: {line}")));
    }

    /// Says what a preset can't do where no rows are held out.
    pub(super) fn say_without_validation(&self, job: &Job) {
        let Some(preset) = job.config.run.preset.filter(|_| job.rows().1 == 0) else { return };
        let calibrated = match job.config.run.calibrate {
            Some(Calibration::Temperature) => ", and the probabilities aren't calibrated",
            _ => "",
        };
        self.hooks.say(format_args!(
            "note: --preset {preset}: the last epoch is kept instead of the best{calibrated}, as no rows are held out"
        ));
    }

    /// Completes the options with those that suit the data.
    pub(super) fn completed(mut self) -> Result<Self> {
        let rows = self.streaming.as_ref().map_or(self.data.rows(), |table| table.training_rows());
        let rows = match self.config.run.test {
            Some(HeldOutData::Fraction(fraction)) => {
                rows - (rows as f64 * fraction).round() as usize
            }
            _ => rows,
        };
        let groups = match &self.config.run.split {
            // A column that is invalid for groups is refused when the rows are split.
            Some(Split::Group(column)) => self.data.groups(column).ok(),
            _ => None,
        };
        let about = About {
            kind: self.kind(),
            rows,
            groups: groups.map(|of_rows| of_rows.into_iter().collect::<HashSet<u32>>().len()),
            is_streamed: self.streaming.is_some(),
            holds_out: self.knows_validation(),
            targets: self.data.targets(),
        };
        let completed = presets::complete(self.config.clone(), &about)?;
        #[cfg(feature = "cli")]
        {
            self.choices = choices::chosen(&self.config, &completed, &about)?;
        }
        if let Some(note) = presets::left_out(&self.config, &about) {
            self.hooks.say(format_args!("note: {note}"));
        }
        self.config = completed;
        Ok(self)
    }

    /// The subsets of a run of one net.
    ///
    /// # Errors
    /// For a split that is impossible for the data.
    pub fn subsets(&mut self) -> Result<Subsets> {
        if self.leaves_own_validation() {
            self.hooks.say(
                "note: the validation part of the data isn't used, because other rows were requested",
            );
        }
        match &self.streaming {
            Some(table) => Ok(table.subsets()),
            None if self.has_own_validation() => splitting::all(&self.config, &self.data),
            None => splitting::subsets(&mut self.config, &self.data, self.hooks),
        }
    }

    /// Why the table isn't held in memory, if it isn't.
    pub fn reason_to_stream(&self) -> Option<Reason> {
        self.streaming.as_ref().map(|table| table.reason())
    }

    /// Whether the data hold out rows for validation by themselves, and no others were requested.
    fn has_own_validation(&self) -> bool {
        self.knows_validation() && !self.asks_for_validation()
    }

    /// Whether they do, but others were requested.
    fn leaves_own_validation(&self) -> bool {
        self.knows_validation() && self.asks_for_validation()
    }

    fn knows_validation(&self) -> bool {
        self.validation.is_some() || self.validation_frame.is_some() || self.parts_hold_out()
    }

    fn asks_for_validation(&self) -> bool {
        let run = &self.config.run;
        let by_folds = run.folds.is_some() || run.ensemble.is_some_and(|e| e.by_folds);
        run.validation.is_some() || run.split.is_some() || by_folds
    }

    /// The run with these subsets, with all derived settings.
    ///
    /// # Errors
    /// For contradictory options, or options that don't fit the data.
    pub fn job(&self, subsets: &Subsets) -> Result<Job> {
        self.job_with(subsets, None)
    }

    /// The run on all rows, which isn't trained: the nets of its folds share its columns, and from now on its scaling.
    ///
    /// # Errors
    /// As [`Source::job`].
    pub fn job_of_all(&mut self) -> Result<Job> {
        let asked = self.config.clone();
        // Comparing epochs needs held-out rows, which only the nets of the folds have.
        let run = &mut self.config.run;
        (run.patience, run.keep_weights, run.metric, run.stop_at) = (None, None, None, None);
        let all = splitting::all(&self.config, &self.data).and_then(|all| self.job(&all));
        self.config = asked;
        let all = all?;
        // With fewer rows, another scaling might be chosen.
        self.config.data.scaling = all.config.data.scaling;
        Ok(all)
    }

    /// As [`Source::job`], with a preprocessing that was fitted to more rows than these.
    ///
    /// # Errors
    /// As [`Source::job`].
    pub fn job_with(&self, subsets: &Subsets, fitted: Option<&Preprocessing>) -> Result<Job> {
        let data = &self.data;
        let mut config = self.config.clone();
        let fitting = self.fitting(&mut config, subsets.training.len());
        let mut preprocessing = match fitted {
            Some(fitted) => fitted.clone(),
            None => Preprocessing::fit_rows(data, &subsets.training, &fitting)?,
        };
        if self.streaming.is_some() {
            // A sample doesn't have the range of all rows.
            preprocessing.bounds = None;
        }
        let training = preprocessing.dataset(data, &subsets.training)?;
        let sample_weights = training.weights().map(<[f32]>::to_vec);
        let class_weights = config.data.class_weight.as_ref().map(|weight| match &self.streaming {
            Some(table) => table.class_weights(weight),
            None => weight.of_classes(training.targets()),
        });
        let class_weights = class_weights.transpose()?;
        let training = match &class_weights {
            Some(weights) => training.class_weighted(weights)?,
            None => training,
        };
        let objective = *config.net.loss.get_or_insert_with(|| {
            Objective::from(match training.targets() {
                Targets::Classes { .. } => Loss::CrossEntropy,
                Targets::Labels { .. } => Loss::BinaryCrossEntropy,
                Targets::Numbers(_) => Loss::SquaredError,
            })
        });
        if objective.loss.needs_raw_targets() {
            // Counts must stay counts, and fractions fractions.
            preprocessing.targets = TargetScaling::identity(training.outputs());
        }
        let own = |rows: &[usize]| match rows {
            [] => Ok(None),
            rows => preprocessing.dataset(data, rows).map(Some),
        };
        let mut all_unknown = HeldOutUnknown::of_rows(&preprocessing, data, subsets)?;
        let mut other = |subset: &'static str, name: &str| {
            let (data, stored, unknown) = self.other(name, &preprocessing, objective.loss)?;
            all_unknown.push(HeldOutUnknown { subset, is_file: true, unknown });
            Ok::<_, Error>((data, stored))
        };
        let (validation, other_validation) = match &config.run.validation {
            Some(HeldOutData::Path(path)) => {
                let (data, stored) = other("validation", &path.to_string_lossy())?;
                (Some(data), stored)
            }
            None if self.has_own_validation() => match (&self.validation, &self.validation_frame) {
                (Some(data), _) => (Some(data.clone()), None),
                (_, Some(frame)) => {
                    let data = preprocessing.measured_frame("the validation rows", frame.clone());
                    (Some(data?), None)
                }
                _ => (self.parts_validation(&preprocessing)?, None),
            },
            _ => (own(&subsets.validation)?, None),
        };
        // The net of a fold is tested on the fold: other test rows are for the last net of a cross-validation.
        let is_fold = config.run.folds.is_some() && !subsets.test.is_empty();
        let given = match &config.run.test {
            Some(HeldOutData::Path(path)) if !is_fold => Some(path.to_string_lossy()),
            _ => None,
        };
        let given = given.map(|name| other("test", &name)).transpose()?;
        let (given, other_test) = given.unzip();
        let other_test = other_test.flatten();
        let given = match given.or_else(|| self.test.clone()) {
            // The rows of a fraction are among those of the data.
            _ if is_fold || matches!(config.run.test, Some(HeldOutData::Fraction(_))) => None,
            None => self.parts_test(&preprocessing)?,
            given => given,
        };
        let test = match (given, own(&subsets.test)?) {
            (Some(_), Some(_)) => {
                return Err(Error::usage("--test cannot be used with test rows in --split")
                    .help("omit --test, or mark no rows as test"));
            }
            (other, marked) => other.or(marked),
        };
        let completed = config.clone();
        let embeddings = preprocessing.encoding.as_ref().map_or(Vec::new(), |e| e.embeddings());
        let is_sample = self.streaming.is_some();
        let held_out = HeldOut { validation: validation.as_ref(), test: test.as_ref(), is_sample };
        let spec = settings::resolve(&mut config, &training, objective, embeddings, held_out)
            .map_err(|error| self.hooks.explain(&self.given, &completed, error))?;
        if spec.net.layers.len() == 1 {
            // A linear model extrapolates.
            preprocessing.bounds = None;
        }
        let rows = self.streaming.as_ref().map_or(training.rows(), |table| table.training_rows());
        settings::check_warmup(&spec, rows)
            .map_err(|error| self.hooks.explain(&self.given, &completed, error))?;
        Estimate::new(&spec, [&training]).check()?;
        let init = config.run.init.as_deref().map(|file| load_weights(file, &spec.net));
        let init = init.transpose()?;
        super::make_absolute(&mut config)?;
        let training_rows = Arc::new(subsets.training.clone());
        let job = Job {
            config,
            #[cfg(feature = "cli")]
            choices: self.choices.clone(),
            spec,
            scaling: fitting.scaling,
            preprocessing,
            training,
            training_rows,
            held_out_rows: Arc::new([subsets.validation.clone(), subsets.test.clone()]),
            sample_weights,
            class_weights,
            validation,
            test,
            other_validation,
            other_test,
            data: data.clone(),
            history: Vec::new(),
            init,
            streaming: self.streaming.clone(),
            shards: None,
            stored: None,
            unknown: all_unknown,
        };
        job.check_rows(subsets)?;
        Ok(job)
    }

    /// The encoding of columns: unset options are derived from the data and stored in the
    /// options.
    fn fitting(&self, config: &mut TrainConfig, training_rows: usize) -> Fitting {
        let scaling = *config.data.scaling.get_or_insert_with(|| match self.name() {
            name if is_generated(name) => Scaling::None,
            _ if self.data.is_image() => Scaling::Minmax,
            _ if self.data.table().is_some() && training_rows >= LEAST_FOR_RANKS => {
                Scaling::Quantile
            }
            _ => Scaling::Standard,
        });
        let counted = self.streaming.as_ref().map(|table| table.categories().clone());
        let options = &config.data;
        let names = |names: &Option<Vec<ColumnNames>>| {
            ColumnNames::join(names.as_deref().unwrap_or_default())
        };
        Fitting {
            scaling,
            log: names(&options.log_transform),
            one_hot: names(&options.one_hot),
            embed: names(&options.embed),
            hash: names(&options.hash),
            embedding_dims: options.embedding_dims,
            counted: counted.unwrap_or_default(),
        }
    }

    /// The properties by which settings are chosen.
    fn kind(&self) -> Kind {
        match self.name() {
            "digits" => Kind::Digits,
            _ if self.data.is_image() => Kind::Images,
            _ if self.data.table().is_some() => Kind::Table,
            _ => Kind::Other,
        }
    }

    /// The data named in the options: a known set or a path.
    fn name(&self) -> &str {
        self.config.data.data.as_deref().unwrap_or_default()
    }
}

/// Reports notes about how a table is used.
pub(super) fn say_notes(data: &Data, hooks: Hooks) {
    let notes = data.table().map_or(&[][..], Table::notes);
    notes.iter().for_each(|note| hooks.say(format_args!("note: {note}")));
}

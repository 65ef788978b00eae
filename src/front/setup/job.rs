//! From options to everything that a run needs, once: data, split, net and settings.

use super::choices::{self, Chosen};
use super::hooks::Hooks;
use super::members::Nets;
use super::memory::Estimate;
use super::presets::{self, About, Kind};
use super::settings::{self, HeldOut};
use super::splitting;
use super::streaming::{self, Stored, Streaming};
use super::unseen::HeldOutUnknown;
use crate::backend::device::Choice;
use crate::backend::session::LayerWeights;
use crate::backend::{Backend, DeviceInfo};
use crate::base::error::{Error, Result};
use crate::data::split::{Parts, Split};
use crate::data::{
    self, Data, DataOptions, Dataset, Fitting, Frame, Measured, NAMES, Preprocessing, Role,
    Scaling, StoredSet, Table, TableParts, TargetScaling, Targets, TrainTest, UnknownCategories,
    is_generated,
};
use crate::files::checkpoint::load_weights;
use crate::files::config::{ColumnNames, EventsDirectory, TrainConfig, Validation};
use crate::math::loss::{Loss, Objective};
use crate::net::spec::Spec;
use crate::train::choose::Work;
use crate::train::samples::check_targets;
use crate::train::trainer::Trainer;
use std::collections::HashSet;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::time::Instant;

/// Tables with fewer training rows than this are scaled linearly: their ranks tell too little.
const LEAST_FOR_RANKS: usize = 2000;

/// A run, ready for a device.
pub(crate) struct Job {
    /// The options, those included that were not given. The run directory and the device are left
    /// as they were.
    pub config: TrainConfig,
    /// Those of them that were chosen for the data.
    pub choices: Vec<Chosen>,
    pub spec: Spec,
    pub scaling: Scaling,
    pub preprocessing: Preprocessing,
    /// The training rows with all of their weights.
    pub training: Dataset,
    /// The weights of the training rows without those of their classes.
    pub sample_weights: Option<Vec<f32>>,
    /// How much training rows of each class count, where that was asked for.
    pub class_weights: Option<Vec<f32>>,
    pub validation: Option<Dataset>,
    pub test: Option<Dataset>,
    /// The rows of the data that are trained on, in this order.
    pub training_rows: Arc<Vec<usize>>,
    /// The rows of the data that are held out for validation and for a test, in this order; none where these
    /// rows come from elsewhere.
    pub held_out_rows: Arc<[Vec<usize>; 2]>,
    /// The data as they were read, before anything was fitted to them.
    pub data: Arc<Data>,
    /// What the options alone don't say of how a run was trained that was resumed, a line for
    /// each time.
    pub history: Vec<String>,
    /// The weights to start from instead of drawn ones.
    pub init: Option<Vec<LayerWeights>>,
    /// The rows of other files that are held out, where these are kept on disk.
    pub other_validation: Option<Arc<StoredSet>>,
    pub other_test: Option<Arc<StoredSet>>,
    /// The table that all of the above is only a sample of, where it is larger than the memory
    /// limit.
    pub streaming: Option<Arc<Streaming>>,
    /// Its encoded rows, once [`Job::store`] made them.
    pub stored: Option<Stored>,
    /// The categories of held-out rows that training rows don't have.
    pub unknown: Vec<HeldOutUnknown>,
}

/// Options and data, before the rows are split.
pub(crate) struct Source {
    /// The options as they were given.
    given: TrainConfig,
    /// The same, completed by what suits the data.
    pub config: TrainConfig,
    /// What was completed, and why.
    choices: Vec<Chosen>,
    pub data: Arc<Data>,
    /// What the data hold out by themselves, matrices or rows of a table.
    validation: Option<Dataset>,
    test: Option<Dataset>,
    held_out: TableParts,
    options: DataOptions,
    streaming: Option<Arc<Streaming>>,
    hooks: Hooks,
    /// Rows in memory that are held out for validation.
    validation_frame: Option<Frame>,
}

impl Source {
    /// Opens the data.
    ///
    /// # Errors
    /// For data that can't be read.
    pub fn open(given: TrainConfig, hooks: Hooks) -> Result<Self> {
        let begin = Instant::now();
        let source = Self::opened(given, hooks)?;
        let rows = source.data.rows();
        log::debug!("{rows} rows read in {:.3} s", begin.elapsed().as_secs_f64());
        Ok(source)
    }

    fn opened(given: TrainConfig, hooks: Hooks) -> Result<Self> {
        let mut config = given.clone();
        let source = config.data.data.get_or_insert_with(|| "digits".into()).clone();
        config.data.seed.get_or_insert(0);
        let mut options = DataOptions {
            notify: hooks.notify,
            memory: config.run.memory_limit.map(|size| size.0),
            ..config.data_options()
        };
        let key = config.run.split.as_ref().and_then(Split::column);
        options.columns.reserved.extend(key.map(str::to_string));
        if let Some(table) = streaming::open(&mut config, &source, &options, hooks)? {
            let (data, streaming) = (table.sample(), Some(Arc::new(table)));
            say_notes(&data, hooks);
            let (validation, test, held_out) = (None, None, TableParts::default());
            let choices = Vec::new();
            return Source {
                given,
                config,
                choices,
                data,
                validation,
                test,
                held_out,
                options,
                streaming,
                hooks,
                validation_frame: None,
            }
            .completed();
        }
        let TrainTest { train, validation, test, parts: held_out } = data::open(&source, &options)?;
        say_notes(&train, hooks);
        let (data, streaming, choices) = (Arc::new(train), None, Vec::new());
        Source {
            given,
            config,
            choices,
            data,
            validation,
            test,
            held_out,
            options,
            streaming,
            hooks,
            validation_frame: None,
        }
        .completed()
    }

    /// Rows in memory, and those that are held out for validation, where they are given.
    ///
    /// # Errors
    /// For settings that the data can't have.
    pub fn of_data(
        given: TrainConfig,
        data: Data,
        validation_frame: Option<Frame>,
        hooks: Hooks,
    ) -> Result<Self> {
        let mut config = given.clone();
        config.data.seed.get_or_insert(0);
        say_notes(&data, hooks);
        let options = DataOptions { notify: hooks.notify, ..config.data_options() };
        Source {
            given,
            config,
            choices: Vec::new(),
            data: Arc::new(data),
            validation: None,
            test: None,
            held_out: TableParts::default(),
            options,
            streaming: None,
            hooks,
            validation_frame,
        }
        .completed()
    }

    /// Says which devices could not be taken.
    pub fn say_passed_over(&self, passed_over: &[String]) {
        passed_over.iter().for_each(|line| self.hooks.say(format_args!("warning: {line}")));
    }

    /// With the options completed by what suits the data.
    fn completed(mut self) -> Result<Self> {
        let rows = self.streaming.as_ref().map_or(self.data.rows(), |table| table.training_rows);
        let groups = match &self.config.run.split {
            // A column that can't be one of groups is refused where the rows are split.
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
        self.choices = choices::chosen(&self.config, &completed, &about)?;
        self.config = completed;
        Ok(self)
    }

    /// The parts of a run of one net.
    ///
    /// # Errors
    /// For a split that the data can't have.
    pub fn parts(&mut self) -> Result<Parts> {
        if self.leaves_own_validation() {
            self.hooks.say(
                "note: the validation part of the data isn't used, as other rows are asked for",
            );
        }
        match &self.streaming {
            Some(table) => Ok(table.parts()),
            None if self.has_own_validation() => Ok(splitting::all(&self.data)),
            None => splitting::parts(&mut self.config, &self.data, self.hooks),
        }
    }

    /// Whether the table is larger than the memory limit.
    pub fn is_streamed(&self) -> bool {
        self.streaming.is_some()
    }

    /// Whether the data hold rows out for validation by themselves, and nothing else was asked for.
    fn has_own_validation(&self) -> bool {
        self.knows_validation() && !self.asks_for_validation()
    }

    /// Whether they do, but something else was asked for.
    fn leaves_own_validation(&self) -> bool {
        self.knows_validation() && self.asks_for_validation()
    }

    fn knows_validation(&self) -> bool {
        self.validation.is_some()
            || self.validation_frame.is_some()
            || self.held_out.has_validation()
    }

    fn asks_for_validation(&self) -> bool {
        let run = &self.config.run;
        let by_folds = run.folds.is_some() || run.ensemble.is_some_and(|e| e.by_folds);
        run.validation.is_some() || run.split.is_some() || by_folds
    }

    /// The run over these parts, with all that follows from the data resolved.
    ///
    /// # Errors
    /// For options that make no sense together or with the data.
    pub fn job(&self, parts: &Parts) -> Result<Job> {
        self.job_with(parts, None)
    }

    /// As [`Source::job`], with a preprocessing that was fitted to more rows than these.
    ///
    /// # Errors
    /// As [`Source::job`].
    pub fn job_with(&self, parts: &Parts, fitted: Option<&Preprocessing>) -> Result<Job> {
        let data = &self.data;
        let mut config = self.config.clone();
        let fitting = self.fitting(&mut config, parts.training.len());
        let mut preprocessing = match fitted {
            Some(fitted) => fitted.clone(),
            None => Preprocessing::fit_rows(data, &parts.training, &fitting)?,
        };
        if self.streaming.is_some() {
            // A sample doesn't tell the range of all rows.
            preprocessing.bounds = None;
        }
        let training = preprocessing.dataset(data, &parts.training)?;
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
            // Counts must stay counts, and shares shares.
            preprocessing.targets = TargetScaling::identity(training.outputs());
        }
        let own = |rows: &[usize]| match rows {
            [] => Ok(None),
            rows => preprocessing.dataset(data, rows).map(Some),
        };
        let mut all_unknown = HeldOutUnknown::of_rows(&preprocessing, data, parts)?;
        let mut other = |part: &'static str, name: &str| {
            let (data, stored, unknown) = self.other(name, &preprocessing, objective.loss)?;
            all_unknown.push(HeldOutUnknown { part, is_file: true, unknown });
            Ok::<_, Error>((data, stored))
        };
        let (validation, other_validation) = match &config.run.validation {
            Some(Validation::Path(path)) => {
                let (data, stored) = other("validation", &path.to_string_lossy())?;
                (Some(data), stored)
            }
            None if self.has_own_validation() => match (&self.validation, &self.validation_frame) {
                (Some(data), _) => (Some(data.clone()), None),
                (_, Some(frame)) => {
                    let data = preprocessing.measured_frame("the validation rows", frame.clone());
                    (Some(data?), None)
                }
                _ => (self.held_out.validation(&preprocessing, &self.options)?, None),
            },
            _ => (own(&parts.validation)?, None),
        };
        let given = config.run.test.as_deref().map(|name| other("test", name)).transpose()?;
        let (given, other_test) = given.unzip();
        let other_test = other_test.flatten();
        let given = match given.or_else(|| self.test.clone()) {
            None => self.held_out.test(&preprocessing, &self.options)?,
            given => given,
        };
        let test = match (given, own(&parts.test)?) {
            (Some(_), Some(_)) => {
                return Err(Error::usage("test data of their own, and test rows by --split")
                    .help("leave out --test, or mark no rows as test"));
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
            // A linear model goes on beyond what was seen.
            preprocessing.bounds = None;
        }
        let rows = self.streaming.as_ref().map_or(training.rows(), |table| table.training_rows);
        settings::check_warmup(&spec, rows)
            .map_err(|error| self.hooks.explain(&self.given, &completed, error))?;
        Estimate::new(&spec, [&training]).check()?;
        let init = config.run.init.as_deref().map(|file| load_weights(file, &spec.net));
        let init = init.transpose()?;
        make_absolute(&mut config)?;
        let training_rows = Arc::new(parts.training.clone());
        let job = Job {
            config,
            choices: self.choices.clone(),
            spec,
            scaling: fitting.scaling,
            preprocessing,
            training,
            training_rows,
            held_out_rows: Arc::new([parts.validation.clone(), parts.test.clone()]),
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
            stored: None,
            unknown: all_unknown,
        };
        job.check_rows(parts)?;
        Ok(job)
    }

    /// How columns become inputs: what isn't said of it follows from the data, and is noted in the
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

    /// The rows of another file, which are held out: all of them; or the first ones, and all of
    /// them on disk, where the data are larger than the memory limit.
    fn other(
        &self,
        name: &str,
        preprocessing: &Preprocessing,
        loss: Loss,
    ) -> Result<(Dataset, Option<Arc<StoredSet>>, UnknownCategories)> {
        if self.streaming.is_some()
            && let Some((first, all, unknown)) =
                streaming::store_other(name, preprocessing, &self.options, loss, self.hooks)?
        {
            return Ok((first, Some(all), unknown));
        }
        let Measured { data, unknown, warnings, .. } =
            data::open_measured(name, preprocessing, &self.options)?;
        warnings
            .iter()
            .for_each(|warning| self.hooks.say(format_args!("warning: {name}: {warning}")));
        Ok((data, None, unknown))
    }

    /// What settings are chosen by.
    fn kind(&self) -> Kind {
        match self.name() {
            "digits" => Kind::Digits,
            _ if self.data.is_image() => Kind::Images,
            _ if self.data.table().is_some() => Kind::Table,
            _ => Kind::Other,
        }
    }

    /// What the options name: a known set or a path.
    fn name(&self) -> &str {
        self.config.data.data.as_deref().unwrap_or_default()
    }
}

impl Job {
    /// Opens the data, splits them, and resolves what follows from them.
    ///
    /// # Errors
    /// For data that can't be read and options that make no sense together.
    pub fn new(given: TrainConfig, hooks: Hooks) -> Result<Self> {
        Self::of(&mut Source::open(given, hooks)?)
    }

    /// As [`Job::new`], of data that are open.
    ///
    /// # Errors
    /// As [`Job::new`].
    pub fn of(source: &mut Source) -> Result<Self> {
        if let Some(member) = source.config.run.member {
            return Nets::new(source)?.job(source, member);
        }
        let parts = source.parts()?;
        source.job(&parts)
    }

    /// The same run for another net of an ensemble, counted from 1.
    pub fn of_member(&self, member: usize) -> Self {
        let mut config = self.config.clone();
        config.run.member = Some(member);
        let spec = Spec { seed: settings::seed(&config), ..self.spec.clone() };
        Job {
            config,
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
            stored: None,
            unknown: Vec::new(),
        }
    }

    /// Refuses rows that the net or the loss can't take, those of other files too. Those that are
    /// kept on disk are checked where all of them are encoded.
    fn check_rows(&self, parts: &Parts) -> Result<()> {
        let loss = self.spec.objective.loss;
        let sets = [
            (Some(&self.training), &parts.training, &None),
            (self.validation.as_ref(), &parts.validation, &self.other_validation),
            (self.test.as_ref(), &parts.test, &self.other_test),
        ];
        for (data, rows, stored) in sets {
            let Some(data) = data else { continue };
            // Rows of another file are no part of the data.
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

    /// Encodes the rows of a table beyond the memory limit, where it is one.
    ///
    /// # Errors
    /// As [`Streaming::store`].
    pub fn store(&mut self) -> Result<()> {
        let streaming = self.streaming.clone();
        self.stored = streaming.map(|table| table.store(self)).transpose()?;
        Ok(())
    }

    /// The rows that are trained on, and those that are held out for validation.
    pub fn rows(&self) -> (usize, usize) {
        let held = self.validation.as_ref().map_or(0, Dataset::rows);
        let validation = self.other_validation.as_ref().map_or(held, |set| set.rows());
        match &self.streaming {
            None => (self.training.rows(), validation),
            Some(table) if table.validation_rows == 0 => (table.training_rows, validation),
            Some(table) => (table.training_rows, table.validation_rows),
        }
    }

    /// A trainer with the weights that the run starts from.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn trainer(&self, backend: Box<dyn Backend>) -> Result<Trainer> {
        let preprocessing = self.preprocessing.clone();
        let mut trainer = match &self.stored {
            Some(Stored { training, limit, .. }) => {
                Trainer::streamed(&self.spec, training.clone(), preprocessing, backend, *limit)?
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

    /// What users call a training row: its line, or its number in the data.
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

    /// The file of the resolved options.
    pub fn config_text(&self, device: &DeviceInfo) -> Result<String> {
        self.config_text_with(device, &self.history)
    }

    /// The same, where `history` says how the run came about, a line for each thing that the options don't
    /// tell.
    pub fn config_text_with(&self, device: &DeviceInfo, history: &[String]) -> Result<String> {
        let choice = match device.backend == "cpu" {
            true => Choice::Cpu,
            false => Choice::Name(device.name.clone()),
        };
        let what = match history.is_empty() {
            true => "trains the same model again".to_string(),
            false => format!(
                "may train another model: this run did not go as its options say\n{}",
                history.join("\n")
            ),
        };
        Ok(format!(
            "# wgrad {}: `wgrad train --config` with this file {what}\n{}",
            env!("CARGO_PKG_VERSION"),
            self.resolved(choice).to_toml()?
        ))
    }

    /// [`Job::config_text`] as a person reads it: with what was chosen for the data, and why.
    pub fn explained(&self, config: &str) -> String {
        let chosen = choices::block(&self.choices).replace('\n', "\n#   ");
        match self.choices.is_empty() {
            true => config.into(),
            false => format!("{config}\n# chosen for these data:\n#   {chosen}\n"),
        }
    }

    /// The resolved options as they are written: training again from them gives the same model,
    /// in a run directory of its own.
    fn resolved(&self, device: Choice) -> TrainConfig {
        let mut config = self.config.clone();
        config.run.out = None;
        config.device.device = Some(device);
        config
    }
}

/// Says what is good to know of how a table is understood.
fn say_notes(data: &Data, hooks: Hooks) {
    let notes = data.table().map_or(&[][..], Table::notes);
    notes.iter().for_each(|note| hooks.say(format_args!("note: {note}")));
}

/// A row of the data for a message: its line, or its number.
fn describe_row(data: &Data, row: usize) -> String {
    match data.table() {
        Some(table) => table.frame().describe_row(row),
        None => format!("row {}", row + 1),
    }
}

/// Makes paths absolute, so that the options mean the same from everywhere.
fn make_absolute(config: &mut TrainConfig) -> Result<()> {
    let full = |path: &Path| -> Result<PathBuf> {
        absolute(path).map_err(|e| Error::io("find", path, &e))
    };
    for name in config.data.data.iter_mut().chain(&mut config.run.test) {
        if !NAMES.contains(&name.as_str()) && name != "-" {
            *name = full(Path::new(name))?.to_string_lossy().into_owned();
        }
    }
    for path in config.data.data_dir.iter_mut().chain(&mut config.run.init) {
        *path = full(path)?;
    }
    if let Some(EventsDirectory::Within(path)) = &mut config.run.tensorboard {
        *path = full(path)?;
    }
    if let Some(Validation::Path(path)) = &mut config.run.validation
        && !path.to_str().is_some_and(|name| NAMES.contains(&name))
    {
        *path = full(path)?;
    }
    Ok(())
}

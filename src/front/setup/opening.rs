//! The data named in the settings: a known set, a file or a directory.

use super::hooks::Hooks;
use super::job::Job;
use super::source::Source;
use super::streaming;
use crate::base::error::{Error, Result};
use crate::data::split::Split;
use crate::data::{
    self, DataOptions, Dataset, Measured, NAMES, Preprocessing, StoredSet, TrainTest,
    UnknownCategories,
};
use crate::files::config::{EventsDirectory, HeldOutData, TrainConfig};
use crate::math::loss::Loss;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::time::Instant;

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
            let source = Source::new(given, config, table.sample(), options, hooks);
            return Source { streaming: Some(Arc::new(table)), ..source }.completed();
        }
        let TrainTest { train, validation, test, parts: held_out } = data::open(&source, &options)?;
        let source = Source::new(given, config, Arc::new(train), options, hooks);
        Source { validation, test, held_out, ..source }.completed()
    }

    /// The rows of another file, which are held out: all of them; or the first ones, and all of
    /// them on disk, if the data are larger than the memory limit.
    pub(super) fn other(
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

    /// Whether a table holds out rows for validation by itself.
    pub(super) fn parts_hold_out(&self) -> bool {
        self.held_out.has_validation()
    }

    /// The rows that it holds out for validation.
    pub(super) fn parts_validation(&self, fitted: &Preprocessing) -> Result<Option<Dataset>> {
        self.held_out.validation(fitted, &self.options)
    }

    /// The rows that it holds out for a test.
    pub(super) fn parts_test(&self, fitted: &Preprocessing) -> Result<Option<Dataset>> {
        self.held_out.test(fitted, &self.options)
    }
}

impl Job {
    /// Opens the data, splits them, and derives the settings that follow from them.
    ///
    /// # Errors
    /// For data that can't be read and contradictory options.
    pub fn new(given: TrainConfig, hooks: Hooks) -> Result<Self> {
        Self::of(&mut Source::open(given, hooks)?)
    }
}

/// Makes paths absolute, so that the options are valid in every directory.
pub(super) fn make_absolute(config: &mut TrainConfig) -> Result<()> {
    let full = |path: &Path| -> Result<PathBuf> {
        absolute(path).map_err(|e| Error::io("find", path, &e))
    };
    if let Some(name) = &mut config.data.data
        && !NAMES.contains(&name.as_str())
        && name != "-"
    {
        *name = full(Path::new(name))?.to_string_lossy().into_owned();
    }
    for path in config.data.data_dir.iter_mut().chain(&mut config.run.init) {
        *path = full(path)?;
    }
    if let Some(EventsDirectory::Within(path)) = &mut config.run.tensorboard {
        *path = full(path)?;
    }
    for held_out in config.run.validation.iter_mut().chain(&mut config.run.test) {
        if let HeldOutData::Path(path) = held_out
            && !path.to_str().is_some_and(|name| name == "-" || NAMES.contains(&name))
        {
            *path = full(path)?;
        }
    }
    Ok(())
}

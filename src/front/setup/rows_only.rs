//! Without the feature `data`, rows come only from memory: placeholders for files and for tables beyond memory.

use super::job::Job;
use super::source::Source;
use crate::base::error::{Error, Result};
use crate::data::split::Subsets;
use crate::data::{Categories, ClassWeight, Dataset, Preprocessing, StoredSet, UnknownCategories};
use crate::files::config::TrainConfig;
use crate::math::loss::Loss;
use crate::train::ranks::Shards;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table beyond memory: never exists.
pub(crate) enum Streaming {}

/// Why a table isn't held in memory.
pub(crate) enum Reason {}

impl Reason {
    pub fn refuse(&self, _: &str) -> Error {
        match *self {}
    }
}

impl Streaming {
    pub fn reason(&self) -> Reason {
        match *self {}
    }

    pub fn categories(&self) -> &BTreeMap<String, Categories> {
        match *self {}
    }

    pub fn training_row(&self, _: usize) -> usize {
        match *self {}
    }

    pub fn training_rows(&self) -> usize {
        match *self {}
    }

    pub fn validation_rows(&self) -> usize {
        match *self {}
    }

    pub fn class_weights(&self, _: &ClassWeight) -> Result<Vec<f32>> {
        match *self {}
    }

    pub fn subsets(&self) -> Subsets {
        match *self {}
    }

    pub fn store(&self, _: &Job) -> Result<Stored> {
        match *self {}
    }
}

/// Its encoded rows.
pub(crate) struct Stored {
    pub training: Arc<StoredSet>,
    pub shards: Option<Shards>,
    pub validation: Option<Arc<StoredSet>>,
    pub limit: u64,
}

/// The error for data named in settings.
fn no_files(name: &str) -> Error {
    Error::usage(format!(
        "{name:?} is data in a file, but this program was built without the feature data"
    ))
    .help("build wgrad with the feature data")
}

impl Source {
    pub(super) fn other(
        &self,
        name: &str,
        _: &Preprocessing,
        _: Loss,
    ) -> Result<(Dataset, Option<Arc<StoredSet>>, UnknownCategories)> {
        Err(no_files(name))
    }

    pub(super) fn parts_hold_out(&self) -> bool {
        false
    }

    pub(super) fn parts_validation(&self, _: &Preprocessing) -> Result<Option<Dataset>> {
        Ok(None)
    }

    pub(super) fn parts_test(&self, _: &Preprocessing) -> Result<Option<Dataset>> {
        Ok(None)
    }
}

/// Paths are unchanged.
pub(super) fn make_absolute(_: &mut TrainConfig) -> Result<()> {
    Ok(())
}

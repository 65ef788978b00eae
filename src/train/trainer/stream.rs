//! Training on rows that aren't held in memory: a window of them is on the device at a time, and
//! the next one is read while the device works on it.
//!
//! A window holds whole batches, so that an epoch has the same steps as with all rows in memory.
//! Which rows a window holds, and their order in it, follows from seed, epoch and window alone: see
//! [`SlabOrder`].

use super::report::Truth;
use super::run::Run;
use super::{Trainer, Whole};
use crate::backend::Backend;
use crate::backend::session::Loaded;
use crate::base::error::{Error, Result};
use crate::data::Fingerprint;
use crate::data::{Dataset, Preprocessing, SlabOrder, StoredSet};
use crate::net::metrics::Metrics;
use crate::net::spec::Spec;
use crate::train::event::{End, Observer};
use crate::train::samples::samples;
use crate::train::snapshot::Position;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A window may take this fraction of the memory: one on the device, one being read, and those of
/// an evaluation exist at the same time, besides everything else.
const SHARE: u64 = 16;

/// Rows held out, for metrics.
pub(super) enum Held {
    /// On the device, with their targets if metrics need them.
    Loaded(Loaded, Option<Truth>),
    /// In a file.
    Stored(Arc<StoredSet>),
}

impl Held {
    pub(super) fn rows(&self) -> usize {
        match self {
            Held::Loaded(data, _) => data.rows,
            Held::Stored(set) => set.rows(),
        }
    }
}

/// A window of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    epoch: usize,
    window: usize,
}

/// The windows of a training set.
pub(super) struct Windows {
    set: Arc<StoredSet>,
    /// Batches of a window, except the last one of an epoch.
    batches: usize,
    batch: usize,
    seed: Option<u64>,
    /// The window on the device, once an epoch has begun.
    at: Option<Place>,
    ahead: Option<(Place, JoinHandle<Result<Dataset>>)>,
}

impl Windows {
    /// The fingerprint of all rows.
    pub(super) fn fingerprint(&self) -> &Fingerprint {
        self.set.fingerprint()
    }

    /// The rows of a window: read now, or ahead of time.
    fn take(&mut self, place: Place) -> Result<Dataset> {
        match self.ahead.take() {
            Some((ahead, thread)) if ahead == place => {
                thread.join().unwrap_or_else(|_| Err(Error::failed("reading rows ahead failed")))
            }
            _ => read(&self.set, self.seed, self.rows(), place),
        }
    }

    /// The number of rows of a window, except the last one of an epoch.
    fn rows(&self) -> usize {
        self.batches * self.batch
    }

    /// The window of a step within its epoch, and its number in the run.
    fn number(&self, run: &Run, at: Position) -> (usize, u64) {
        let window = at.within / self.batches;
        (window, (at.epoch * run.steps.div_ceil(self.batches) + window) as u64)
    }

    /// Starts to read a window in a separate thread.
    fn read_ahead(&mut self, place: Place) {
        let (set, seed, rows) = (self.set.clone(), self.seed, self.rows());
        let thread = std::thread::spawn(move || read(&set, seed, rows, place));
        self.ahead = Some((place, thread));
    }
}

fn read(set: &StoredSet, seed: Option<u64>, rows: usize, place: Place) -> Result<Dataset> {
    let order = SlabOrder::new(set, seed, place.epoch as u64);
    set.window(&order, place.window * rows, rows)
}

impl Trainer {
    /// A trainer for rows in a file, with windows in memory that fit into about `memory` bytes
    /// together with the other needs of a run.
    ///
    /// # Errors
    /// As [`Trainer::new`], and when the file can't be read.
    pub fn streamed(
        spec: &Spec,
        training: Arc<StoredSet>,
        preprocessing: Preprocessing,
        backend: Box<dyn Backend>,
        memory: u64,
    ) -> Result<Self> {
        spec.check()?;
        let batch = spec.batch_size.min(training.rows());
        let bytes = (training.row_bytes() * batch).max(1) as u64;
        if bytes > memory / SHARE * 4 {
            return Err(Error::usage(format!(
                "a batch of {batch} rows cannot be used with this --memory-limit"
            ))
            .help(
                "raise the limit, or lower --batch-size; lbfgs and rprop need all rows at once",
            ));
        }
        let most = memory / SHARE / bytes;
        let batches = most.clamp(1, training.rows().div_ceil(batch) as u64) as usize;
        let first = training.window(&SlabOrder::new(&training, None, 0), 0, batches * batch)?;
        let whole = Whole { rows: training.rows(), mean_weight: training.mean_weight() };
        let mut trainer = Trainer::begin(spec, &first, whole, preprocessing, backend)?;
        trainer.windows = Some(Windows {
            batches,
            batch,
            seed: spec.shuffle.then_some(spec.seed),
            at: None,
            ahead: None,
            set: training,
        });
        Ok(trainer)
    }

    /// As [`Trainer::fit`], with held-out rows in a file.
    ///
    /// # Errors
    /// As [`Trainer::fit`], and when the file can't be read.
    pub fn fit_stored(
        &mut self,
        validation: Arc<StoredSet>,
        observer: &mut dyn Observer,
    ) -> Result<End> {
        self.hold_out(Some(validation.fingerprint().clone()))?;
        self.fit_on(Some(&Held::Stored(validation)), observer)
    }

    /// Loss and metrics on rows in a file.
    ///
    /// # Errors
    /// When the data don't fit the net, the file can't be read, or the device was lost.
    pub fn evaluate_stored(&mut self, set: &StoredSet) -> Result<Metrics> {
        self.session.clear_sums()?;
        self.each_window(set, |trainer, data| {
            let loaded = trainer.upload(data, set.mean_weight())?;
            let added = trainer.session.add_scores(&loaded);
            trainer.session.forget(&loaded);
            added
        })?;
        let summary = self.session.summary(set.variation(), &self.preprocessing);
        self.session.metrics_over(set.rows(), &summary)
    }

    /// Calls `take` with windows of a set, in order.
    ///
    /// # Errors
    /// When the file can't be read, and errors of `take`.
    pub fn each_window(
        &mut self,
        set: &StoredSet,
        mut take: impl FnMut(&mut Self, &Dataset) -> Result<()>,
    ) -> Result<()> {
        let order = SlabOrder::new(set, None, 0);
        let rows = match &self.windows {
            Some(windows) => windows.rows(),
            None => set.rows(),
        };
        (0..set.rows()).step_by(rows).try_for_each(|first| {
            let data = set.window(&order, first, rows)?;
            take(self, &data)
        })
    }

    /// Loads the rows of the next step onto the device, if they aren't there; returns the number of steps
    /// until others are needed.
    pub(super) fn steps_at_hand(&mut self, run: &Run) -> Result<usize> {
        let Some(windows) = &mut self.windows else { return Ok(run.steps - self.at.within) };
        let place = Place { epoch: self.at.epoch, window: self.at.within / windows.batches };
        let end = ((place.window + 1) * windows.batches).min(run.steps);
        if windows.at != Some(place) {
            let data = windows.take(place)?;
            let next = match end < run.steps {
                true => Place { window: place.window + 1, ..place },
                false => Place { epoch: place.epoch + 1, window: 0 },
            };
            // The previous window is dropped first, so that there are no more windows than necessary.
            self.session.forget(&self.training);
            let (loss, mean_weight) = (self.spec.objective.loss, windows.set.mean_weight());
            self.samples = Arc::new(samples(loss, &self.preprocessing, &data, mean_weight)?);
            self.training = self.session.upload(self.samples.clone(), &self.preprocessing)?;
            windows.at = Some(place);
            if next.epoch < self.spec.epochs {
                windows.read_ahead(next);
            }
        }
        Ok(end - self.at.within)
    }

    /// Forces the rows of the next step to be loaded again.
    pub(super) fn forget_window(&mut self) {
        if let Some(windows) = &mut self.windows {
            windows.at = None;
        }
    }

    /// The training row at place `row` of the batch of the step at a position.
    pub(super) fn source(&self, run: &Run, at: Position, row: usize) -> usize {
        let Some(windows) = &self.windows else {
            let place = at.within * run.batch + row;
            return run.order(run.rows, at.epoch as u64).at(place as u32) as usize;
        };
        let (window, number) = windows.number(run, at);
        let first = window * windows.rows();
        let rows = windows.rows().min(run.rows - first);
        let place = (at.within - window * windows.batches) * run.batch + row;
        let place = run.order(rows, number).at(place as u32) as usize;
        SlabOrder::new(&windows.set, windows.seed, at.epoch as u64).row(first + place)
    }

    /// The step of the epoch with which the rows on the device begin, and the number that determines
    /// their order.
    pub(super) fn window(&self, run: &Run) -> (usize, u64) {
        match &self.windows {
            None => (0, self.at.epoch as u64),
            Some(windows) => {
                let (window, number) = windows.number(run, self.at);
                (window * windows.batches, number)
            }
        }
    }
}

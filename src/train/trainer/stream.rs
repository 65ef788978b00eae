//! Training on rows that aren't held in memory: a window of them is on the device at a time, and
//! the next one is read while the device works on it.
//!
//! A window holds whole batches, so that an epoch has the same steps as with all rows in memory.
//! Which rows a window holds, and their order in it, follows from seed, epoch and window alone: see
//! [`SlabOrder`]. Where rows are split over ranks, each shard has windows of its own: see [`Shards`].

use super::data_parallel::rows::{LocalRows, LocalShard};
use super::report::Truth;
use super::run::Run;
use super::{Trainer, Whole};
use crate::backend::Backend;
use crate::backend::session::{Loaded, Session};
use crate::base::error::{Error, Result};
use crate::base::words::count;
use crate::data::Fingerprint;
use crate::data::{Dataset, Preprocessing, SlabOrder, StoredSet};
use crate::math::random::Permutation;
use crate::net::metrics::Metrics;
use crate::net::spec::Spec;
use crate::train::event::{End, Observer};
use crate::train::ranks::Shards;
use crate::train::samples::samples;
use crate::train::snapshot::Position;
use std::iter;
use std::ops::Range;
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

/// The rows from which steps are taken: of all shards together, if there are several.
pub(super) struct Window {
    /// The step of the epoch with which they begin.
    pub first: usize,
    /// Their number.
    pub rows: usize,
    /// Their order; none of several shards, each of which has its own.
    pub order: Permutation,
}

/// A window of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    epoch: usize,
    window: usize,
}

/// The windows of a training set: of each shard of this rank one at a time, all for the same steps. Rows that aren't split
/// over ranks are a single shard.
pub(super) struct Windows {
    set: Arc<StoredSet>,
    shards: Shards,
    /// Full batches of a window, except in the last one of an epoch.
    batches: usize,
    seed: Option<u64>,
    /// The windows on the device, once an epoch has begun.
    at: Option<Place>,
    /// Those after the first, which the trainer has.
    others: Vec<Loaded>,
    ahead: Option<(Place, JoinHandle<Result<Vec<Dataset>>>)>,
}

impl Windows {
    /// Windows of at most `most` batches.
    fn new(set: Arc<StoredSet>, shards: Shards, seed: Option<u64>, most: u64) -> Self {
        let batches = most.clamp(1, shards.rows().div_ceil(shards.batch()) as u64) as usize;
        Windows { set, shards, batches, seed, at: None, others: Vec::new(), ahead: None }
    }

    /// The fingerprint of all rows.
    pub(super) fn fingerprint(&self) -> &Fingerprint {
        self.set.fingerprint()
    }

    /// The shards of the rows.
    pub(super) fn shards(&self) -> &Shards {
        &self.shards
    }

    /// What ranks must have in common, and a resumed run with itself; none of a single shard.
    pub(super) fn settings(&self) -> Option<String> {
        let (shards, batches) = (self.shards.count(), self.batches);
        (shards > 1).then(|| format!("shards: {shards} in windows of {}", count(batches, "step")))
    }

    /// Windows of an epoch. Of shards a last batch with fewer rows is in the window of the one before it: it may have
    /// no row of a shard.
    fn count(&self) -> usize {
        let (rows, batch) = (self.shards.rows(), self.shards.batch());
        let batches = if self.shards.count() == 1 { rows.div_ceil(batch) } else { rows / batch };
        batches.div_ceil(self.batches)
    }

    /// The window of the step at a position.
    fn place(&self, Position { epoch, within, .. }: Position) -> Place {
        Place { epoch, window: (within / self.batches).min(self.count() - 1) }
    }

    /// The step behind a window, in an epoch of `steps` steps.
    fn end(&self, window: usize, steps: usize) -> usize {
        if window + 1 == self.count() { steps } else { (window + 1) * self.batches }
    }

    /// The positions of a window in the order of a shard.
    fn positions(&self, window: usize, shard: usize) -> Range<usize> {
        let rows = self.batches * self.shards.block(self.shards.batch(), shard).len();
        let end = match window + 1 == self.count() {
            true => self.shards.range(shard).len(),
            false => (window + 1) * rows,
        };
        window * rows..end
    }

    /// The order of a shard's slabs in an epoch.
    fn slabs(&self, epoch: usize, shard: usize) -> SlabOrder {
        let number = epoch * self.shards.count() + shard;
        SlabOrder::of_rows(&self.set, self.shards.range(shard), self.seed, number as u64)
    }

    /// The order of a shard's rows in a window.
    fn order(&self, run: &Run, Place { epoch, window }: Place, shard: usize) -> Permutation {
        let number = (epoch * self.count() + window) * self.shards.count() + shard;
        run.order(self.positions(window, shard).len(), number as u64)
    }

    /// The rows from which the step at a position is taken.
    fn window(&self, run: &Run, at: Position) -> Window {
        let place = self.place(at);
        let first = place.window * self.batches;
        let end = (self.end(place.window, run.steps) * run.batch).min(run.rows);
        let rows = end - first * run.batch;
        let order = match self.shards.count() {
            1 => self.order(run, place, 0),
            _ => Permutation::new(rows as u32, None),
        };
        Window { first, rows, order }
    }

    /// The training row at place `row` of the batch of the step at a position, whichever rank holds it.
    fn source(&self, run: &Run, at: Position, row: usize) -> usize {
        let (place, shards) = (self.place(at), &self.shards);
        let rows = run.batch.min(run.rows - at.within * run.batch);
        let mut blocks = (0..shards.count()).map(|shard| (shard, shards.block(rows, shard)));
        let (shard, block) = blocks.find(|(_, block)| block.contains(&row)).unwrap_or((0, 0..0));
        let before = at.within - place.window * self.batches;
        let within = before * shards.block(run.batch, shard).len() + (row - block.start);
        let within = self.order(run, place, shard).at(within as u32) as usize;
        let first = self.positions(place.window, shard).start;
        self.slabs(at.epoch, shard).row(first + within)
    }

    /// Reads the windows of this rank's shards at a place when it is called.
    fn read(&self, place: Place) -> impl FnOnce() -> Result<Vec<Dataset>> + Send + use<> {
        let set = self.set.clone();
        let pieces = self.shards.own().map(|shard| {
            let rows = self.positions(place.window, shard);
            (self.slabs(place.epoch, shard), rows)
        });
        let pieces: Vec<_> = pieces.collect();
        move || {
            pieces.iter().map(|(order, rows)| set.window(order, rows.start, rows.len())).collect()
        }
    }

    /// The rows of the windows at a place: read now, or ahead of time.
    fn take(&mut self, place: Place) -> Result<Vec<Dataset>> {
        match self.ahead.take() {
            Some((ahead, thread)) if ahead == place => {
                thread.join().unwrap_or_else(|_| Err(Error::failed("reading rows ahead failed")))
            }
            _ => self.read(place)(),
        }
    }

    /// Frees the windows after the first.
    pub(super) fn forget_others(&mut self, session: &mut Session) {
        self.others.drain(..).for_each(|loaded| session.forget(&loaded));
    }

    /// Starts to read windows in a separate thread.
    fn read_ahead(&mut self, place: Place) {
        self.ahead = Some((place, std::thread::spawn(self.read(place))));
    }
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
        let shards = Shards::whole(spec, training.rows());
        Self::sharded(spec, training, shards, preprocessing, backend, memory)
    }

    /// As [`Trainer::streamed`], for one of several ranks, whose file has the rows of its shards. The windows of all
    /// shards together fit into the memory, so that any number of ranks has the same.
    /// [`Trainer::set_ranks`] is called before the first step.
    ///
    /// # Errors
    /// As [`Trainer::streamed`]; and when the shards are not those of the spec, or rows of this rank aren't in the file.
    pub fn sharded(
        spec: &Spec,
        training: Arc<StoredSet>,
        shards: Shards,
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
        if (shards.rows(), shards.batch()) != (training.rows(), batch) {
            return Err(Error::usage("the shards are of other rows, or for another batch size"));
        }
        let seed = spec.shuffle.then_some(spec.seed);
        let windows = Windows::new(training.clone(), shards, seed, memory / SHARE / bytes);
        let first = windows.read(Place { epoch: 0, window: 0 })()?;
        let first = first.first().ok_or_else(|| Error::failed("a rank without training rows"))?;
        let whole = Whole { rows: training.rows(), mean_weight: training.mean_weight() };
        let mut trainer = Trainer::begin(spec, first, whole, preprocessing, backend)?;
        trainer.windows = Some(windows);
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
            Some(windows) => windows.batches * windows.shards.batch(),
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
        let place = windows.place(self.at);
        let end = windows.end(place.window, run.steps);
        if windows.at != Some(place) {
            let data = windows.take(place)?;
            let next = match end < run.steps {
                true => Place { window: place.window + 1, ..place },
                false => Place { epoch: place.epoch + 1, window: 0 },
            };
            // The previous windows are dropped first, so that there are no more than necessary.
            self.session.forget(&self.training);
            windows.forget_others(&mut self.session);
            let (loss, mean_weight) = (self.spec.objective.loss, windows.set.mean_weight());
            for (i, data) in data.iter().enumerate() {
                let samples = Arc::new(samples(loss, &self.preprocessing, data, mean_weight)?);
                let loaded = self.session.upload(samples.clone(), &self.preprocessing)?;
                match i {
                    0 => (self.samples, self.training) = (samples, loaded),
                    _ => windows.others.push(loaded),
                }
            }
            windows.at = Some(place);
            if next.epoch < self.spec.epochs {
                windows.read_ahead(next);
            }
        }
        Ok(end - self.at.within)
    }

    /// Frees the training rows on the device.
    pub(super) fn forget_training(&mut self) {
        self.session.forget(&self.training);
        if let Some(windows) = &mut self.windows {
            windows.forget_others(&mut self.session);
        }
    }

    /// Forces the rows of the next step to be loaded again.
    pub(super) fn forget_window(&mut self) {
        if let Some(windows) = &mut self.windows {
            windows.at = None;
        }
    }

    /// The training row at place `row` of the batch of the step at a position.
    pub(super) fn source(&self, run: &Run, at: Position, row: usize) -> usize {
        match &self.windows {
            Some(windows) => windows.source(run, at, row),
            None => {
                let place = at.within * run.batch + row;
                run.order(run.rows, at.epoch as u64).at(place as u32) as usize
            }
        }
    }

    /// The rows from which the next steps are taken.
    pub(super) fn window(&self, run: &Run) -> Window {
        match &self.windows {
            Some(windows) => windows.window(run, self.at),
            None => {
                let order = run.order(run.rows, self.at.epoch as u64);
                Window { first: 0, rows: run.rows, order }
            }
        }
    }

    /// The rows on the device.
    pub(super) fn local_rows(&self, run: &Run) -> LocalRows {
        let data = self.training.id;
        let windows = self.windows.as_ref().filter(|windows| windows.shards.count() > 1);
        let Some((windows, place)) = windows.and_then(|windows| Some((windows, windows.at?)))
        else {
            return LocalRows { data, shards: None };
        };
        let loaded = iter::once(&self.training).chain(&windows.others);
        let sets = windows.shards.own().zip(loaded);
        let local = |(shard, loaded): (usize, &Loaded)| LocalShard {
            data: loaded.id,
            order: windows.order(run, place, shard).words(),
        };
        let sets = sets.map(local).collect();
        LocalRows { data, shards: Some((windows.shards.clone(), sets)) }
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;

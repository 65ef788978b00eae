//! Takes checkpoints during a run.

use crate::base::error::Result;
use crate::base::every::Every;
use crate::files::checkpoint::{Saved, Writer};
use crate::train::event::{Ending, Observer};
use crate::train::snapshot::{Checkpoint, Position};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A function that shows a message to users.
type Notify = Box<dyn Fn(&str)>;

/// Requests a checkpoint at the given interval, and passes it to a [`Writer`]. While that is busy
/// it requests none, so that no run waits for a disk.
pub struct Checkpoints {
    writer: Writer,
    every: Every,
    config: String,
    /// The length of the file of events.
    events: Arc<AtomicU64>,
    last: Instant,
    last_epoch: Option<usize>,
    notify: Notify,
    has_failed: bool,
}

impl Checkpoints {
    /// Checkpoints by `writer`. They carry `config`, the resolved configuration, and the length of
    /// the file of events, from `events`. If a checkpoint can't be written, `notify` is called
    /// once, until one can be written again.
    pub fn new(
        writer: Writer,
        every: Every,
        config: String,
        events: Arc<AtomicU64>,
        notify: Notify,
    ) -> Self {
        let (last, last_epoch) = (Instant::now(), None);
        Checkpoints { writer, every, config, events, last, last_epoch, notify, has_failed: false }
    }

    /// Queues the last checkpoint of a run.
    pub fn last(&mut self, checkpoint: Checkpoint, ended: Ending) {
        self.write(Arc::new(checkpoint), Some(ended));
    }

    fn write(&mut self, checkpoint: Arc<Checkpoint>, ended: Option<Ending>) {
        let (config, events) = (self.config.clone(), self.events.load(Ordering::Acquire));
        self.writer.write(Saved { checkpoint, config, events, ended });
    }

    /// Waits until all are written.
    pub fn finish(&mut self) {
        let results = self.writer.finish();
        self.tell(results);
    }

    fn tell(&mut self, results: Vec<Result<()>>) {
        for result in results {
            let failed_before = std::mem::replace(&mut self.has_failed, result.is_err());
            if let (Err(error), false) = (result, failed_before) {
                (self.notify)(&format!(
                    "warning: no checkpoint could be written; the run continues: {error}"
                ));
            }
        }
    }
}

impl Observer for Checkpoints {
    fn wants_checkpoint(&mut self, position: &Position) -> bool {
        let results = self.writer.results();
        self.tell(results);
        // The first epoch may be a resumed one.
        let since = *self.last_epoch.get_or_insert(position.epoch.saturating_sub(1));
        let is_due = match self.every {
            Every::Seconds(seconds) => self.last.elapsed().as_secs_f64() >= seconds,
            Every::Epochs(epochs) => position.within == 0 && position.epoch >= since + epochs,
        };
        is_due && !self.writer.is_busy()
    }

    fn checkpoint(&mut self, checkpoint: &Arc<Checkpoint>) -> Result<()> {
        self.last = Instant::now();
        self.last_epoch = Some(checkpoint.now.position.epoch);
        self.write(checkpoint.clone(), None);
        Ok(())
    }
}

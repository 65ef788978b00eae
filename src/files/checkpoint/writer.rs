//! Checkpoints are written on a thread of their own, while the training goes on.

use super::state::Saved;
use super::store::Store;
use crate::base::error::{Error, Result};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Writes checkpoints one after the other.
#[derive(Debug)]
pub struct Writer {
    jobs: Option<SyncSender<Saved>>,
    results: Receiver<Result<()>>,
    is_busy: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// A writer into `store`. The file of events, if it is given, is synchronized before each
    /// checkpoint, so that all events that a checkpoint counts on are there after a power cut too.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn start(store: Store, events: Option<File>) -> Result<Self> {
        let (jobs, queue) = sync_channel::<Saved>(1);
        let (tell, results) = sync_channel::<Result<()>>(64);
        let is_busy = Arc::new(AtomicBool::new(false));
        let busy = is_busy.clone();
        let work = move || {
            for saved in queue {
                if let Some(file) = &events {
                    // Not every file system can, and the events are there without a power cut.
                    let _ = file.sync_data();
                }
                let written = store.write(&saved).map(|_| ());
                busy.store(false, Ordering::Release);
                // Results that nobody asks for are dropped.
                let _ = tell.try_send(written);
            }
        };
        let thread = std::thread::Builder::new().name("checkpoints".into()).spawn(work);
        let thread = thread.map_err(|e| Error::failed(format!("cannot start a thread: {e}")))?;
        Ok(Writer { jobs: Some(jobs), results, is_busy, thread: Some(thread) })
    }

    /// Whether it is still writing.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Acquire)
    }

    /// Writes `saved`, behind the one that is being written.
    pub fn write(&self, saved: Saved) {
        if let Some(jobs) = &self.jobs {
            self.is_busy.store(true, Ordering::Release);
            // The thread lives as long as the sender.
            let _ = jobs.send(saved);
        }
    }

    /// What came of those that were written since it was last asked.
    pub fn results(&self) -> Vec<Result<()>> {
        self.results.try_iter().collect()
    }

    /// Waits until all is written: what came of it.
    pub fn finish(&mut self) -> Vec<Result<()>> {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It can't panic, and there would be nothing to do about it.
            let _ = thread.join();
        }
        self.results()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}

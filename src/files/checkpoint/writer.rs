//! Writes checkpoints in a separate thread, while training continues.

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
    /// checkpoint, so that all events before a checkpoint survive a power failure.
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
                    // Not every file system can, and without a power failure the events are safe.
                    let _ = file.sync_data();
                }
                let written = store.write(&saved).map(|_| ());
                busy.store(false, Ordering::Release);
                // Unread results are dropped.
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

    /// Queues `saved` for writing.
    pub fn write(&self, saved: Saved) {
        if let Some(jobs) = &self.jobs {
            self.is_busy.store(true, Ordering::Release);
            // The thread lives as long as the sender.
            let _ = jobs.send(saved);
        }
    }

    /// The results of the writes since the last call.
    pub fn results(&self) -> Vec<Result<()>> {
        self.results.try_iter().collect()
    }

    /// Waits until all are written; returns their results.
    pub fn finish(&mut self) -> Vec<Result<()>> {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It can't panic, and nothing could be done about it.
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

//! Handling of Ctrl-C.

use crate::base::error::{Error, ErrorKind, Result};
use crate::train::event::{Epoch, Flow, Observer, Progress};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ends a run on Ctrl-C after the current step. A second Ctrl-C ends the process at once, with
/// exit code 130, and so does the first one if no run is watched; half-written files are removed.
#[derive(Debug)]
pub struct Interrupt(Arc<AtomicBool>);

/// The run that the next Ctrl-C ends.
struct Watched {
    asked: Arc<AtomicBool>,
    say: Box<dyn Fn() + Send>,
}

static WATCHED: Mutex<Option<Watched>> = Mutex::new(None);

impl Interrupt {
    /// From now on Ctrl-C and termination signals end the process with exit code 130, except
    /// for runs under [`Interrupt::watch`].
    ///
    /// # Errors
    /// When another part of the program handles these signals already.
    pub fn handle() -> Result<()> {
        static IS_HANDLED: Mutex<bool> = Mutex::new(false);
        let mut is_handled = IS_HANDLED.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_handled {
            ctrlc::set_handler(|| {
                let next = watched().take();
                match next {
                    Some(Watched { asked, say }) => {
                        asked.store(true, Ordering::SeqCst);
                        super::end_pause();
                        say();
                    }
                    None => {
                        super::restore();
                        crate::base::atomic::give_up_temporary_files();
                        std::process::exit(ErrorKind::Interrupted.exit_code().into())
                    }
                }
            })
            .map_err(|e| Error::failed(format!("cannot watch for Ctrl-C: {e}")))?;
            *is_handled = true;
        }
        Ok(())
    }

    /// Watches for Ctrl-C and termination signals; calls `say` at the first one. The last
    /// watcher is the one that is ended.
    ///
    /// # Errors
    /// As [`Interrupt::handle`].
    pub fn watch(say: impl Fn() + Send + 'static) -> Result<Self> {
        Self::handle()?;
        let asked = Arc::new(AtomicBool::new(false));
        *watched() = Some(Watched { asked: asked.clone(), say: Box::new(say) });
        Ok(Interrupt(asked))
    }

    /// The same for another run at the same time.
    #[must_use]
    pub fn share(&self) -> Self {
        Interrupt(self.0.clone())
    }

    /// Whether Ctrl-C was pressed.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn flow(&self) -> Flow {
        if self.is_asked() { Flow::Interrupt } else { Flow::Continue }
    }
}

fn watched() -> MutexGuard<'static, Option<Watched>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Interrupt {
    /// Stops watching when the last of the runs has ended.
    fn drop(&mut self) {
        let mut watched = watched();
        // The watcher holds one reference, and this is another.
        if Arc::strong_count(&self.0) > 2 {
            return;
        }
        if watched.as_ref().is_some_and(|watched| Arc::ptr_eq(&watched.asked, &self.0)) {
            *watched = None;
        }
    }
}

impl Observer for Interrupt {
    fn progress(&mut self, _: &Progress) -> Flow {
        self.flow()
    }

    fn epoch(&mut self, _: &Epoch) -> Result<Flow> {
        Ok(self.flow())
    }
}

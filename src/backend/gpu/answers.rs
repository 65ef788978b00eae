//! Completion of submissions, without blocking the calling thread.
//!
//! In a browser the event loop calls back. Elsewhere a call must poll the device and wait:
//! a separate thread does, and wakes the future.

use crate::base::error::{Error, Result};
use crate::base::oneshot;
#[cfg(not(target_arch = "wasm32"))]
use std::{sync::mpsc, thread::JoinHandle, time::Duration};

/// How long a device may take to answer.
#[cfg(not(target_arch = "wasm32"))]
const PATIENCE: Duration = Duration::from_secs(300);

/// A submission, and the sender that is notified when it is done.
#[cfg(not(target_arch = "wasm32"))]
type Question = (wgpu::SubmissionIndex, oneshot::Sender<Result<()>>);

/// Notifies when submissions are done.
#[derive(Debug)]
pub(super) struct Answers {
    /// None only while it is dropped.
    #[cfg(not(target_arch = "wasm32"))]
    questions: Option<mpsc::Sender<Question>>,
    #[cfg(not(target_arch = "wasm32"))]
    thread: Option<JoinHandle<()>>,
    #[cfg(target_arch = "wasm32")]
    queue: wgpu::Queue,
}

#[cfg(not(target_arch = "wasm32"))]
impl Answers {
    /// For a device; the thread ends before the value is gone.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub(super) fn of(device: &wgpu::Device, _: &wgpu::Queue) -> Result<Self> {
        let (questions, asked) = mpsc::channel::<Question>();
        let device = device.clone();
        let answer = move || {
            for (submission, whoever) in asked {
                // The receiver is gone if the future was dropped.
                let _ = whoever.send(wait(&device, submission));
            }
        };
        let thread = std::thread::Builder::new().name("device answers".into()).spawn(answer);
        let thread = thread.map_err(|e| Error::failed(format!("cannot start a thread: {e}")))?;
        Ok(Answers { questions: Some(questions), thread: Some(thread) })
    }

    /// Waits until `submission` and all before it are done; gives up on a device that never answers.
    ///
    /// # Errors
    /// When the device doesn't answer.
    pub(super) async fn to(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let (whoever, answer) = oneshot::channel();
        let gone = || Error::failed("the thread that waits for the device is gone");
        let questions = self.questions.as_ref().ok_or_else(gone)?;
        questions.send((submission, whoever)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// The thread holds the device: left to itself, it would free it while the process ends, and drivers crash when they are
/// called during or after their own exit handlers.
#[cfg(not(target_arch = "wasm32"))]
impl Drop for Answers {
    fn drop(&mut self) {
        self.questions = None;
        // A panic of the thread was reported by its panic hook.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn wait(device: &wgpu::Device, submission: wgpu::SubmissionIndex) -> Result<()> {
    let poll = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(PATIENCE) };
    device.poll(poll).map(|_| ()).map_err(|e| {
        Error::failed(format!("the device doesn't answer: {e}"))
            .help("try a smaller --batch-size, another --device, or --device cpu")
    })
}

#[cfg(target_arch = "wasm32")]
impl Answers {
    /// For a device.
    ///
    /// # Errors
    /// None here.
    pub(super) fn of(_: &wgpu::Device, queue: &wgpu::Queue) -> Result<Self> {
        Ok(Answers { queue: queue.clone() })
    }

    /// Waits until `submission`, the last one so far, and all before it are done.
    ///
    /// # Errors
    /// When the device is gone.
    pub(super) async fn to(&self, _: wgpu::SubmissionIndex) -> Result<()> {
        let (whoever, answer) = oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            // The receiver is gone if the future was dropped.
            let _ = whoever.send(());
        });
        answer.await.map_err(|_| Error::failed("the device gave no answer"))
    }
}

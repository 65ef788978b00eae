//! Training in a separate thread, awaited as a future in any executor.

use super::control::CancelToken;
use super::settings::Settings;
use crate::base::error::{Error, Result};
use crate::base::oneshot::{self, Receiver};
use std::panic;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

/// Training that runs in a separate thread: a future of the trained model, for any executor.
///
/// Returned by `fit_async` of both builders. Training proceeds without being polled. Dropping the future cancels it,
/// without waiting: training ends after the current step.
///
/// # Panics
/// If a callback panics, awaiting propagates the panic.
///
/// ```
/// # let x: Vec<f32> = (0..100).map(|i| i as f32 / 10.0).collect();
/// # let y: Vec<f32> = x.iter().map(|x| x * x).collect();
/// use wgrad::Regressor;
///
/// # pollster::block_on(async {
/// let model = Regressor::builder().epochs(5).fit_async(&x, &y)?.await?;
/// # assert_eq!(model.outputs(), 1);
/// # Ok::<(), wgrad::Error>(())
/// # })?;
/// # Ok::<(), wgrad::Error>(())
/// ```
#[must_use = "dropping it cancels the training"]
pub struct Fitting<M> {
    model: Receiver<Result<M>>,
    cancel: CancelToken,
    thread: Option<JoinHandle<()>>,
}

impl<M: Send + 'static> Fitting<M> {
    /// Starts a training.
    pub(super) fn start(
        mut settings: Settings,
        fit: impl FnOnce(Settings) -> Result<M> + Send + 'static,
    ) -> Result<Self> {
        let cancel = CancelToken::new();
        settings.control.cancel.push(cancel.clone());
        let (sender, model) = oneshot::channel();
        let train = move || {
            // The receiver is gone if the future was dropped.
            let _ = sender.send(fit(settings));
        };
        let thread = thread::Builder::new().name("training".into()).spawn(train);
        let thread = thread.map_err(|e| Error::failed(format!("cannot start a thread: {e}")))?;
        Ok(Fitting { model, cancel, thread: Some(thread) })
    }
}

impl<M> Future for Fitting<M> {
    type Output = Result<M>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<M>> {
        let Poll::Ready(model) = Pin::new(&mut self.model).poll(context) else {
            return Poll::Pending;
        };
        let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
        match (model, ended) {
            (Ok(model), _) => Poll::Ready(model),
            (Err(_), Err(panicked)) => panic::resume_unwind(panicked),
            (Err(_), Ok(())) => panic!("a training is polled after its end"),
        }
    }
}

impl<M> Drop for Fitting<M> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

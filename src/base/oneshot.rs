//! A one-shot channel: one value from a thread to a future.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// The state that both ends share.
struct Shared<T> {
    value: Option<T>,
    waker: Option<Waker>,
    /// Whether the other end was dropped.
    is_closed: bool,
}

type Handle<T> = Arc<Mutex<Shared<T>>>;

/// The sending end.
pub(crate) struct Sender<T>(Handle<T>);

/// The receiving end, a future.
pub(crate) struct Receiver<T>(Handle<T>);

/// The sender was dropped without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// Both ends.
pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Mutex::new(Shared { value: None, waker: None, is_closed: false }));
    (Sender(shared.clone()), Receiver(shared))
}

/// Changes the shared state.
fn with<T, R>(handle: &Handle<T>, change: impl FnOnce(&mut Shared<T>) -> R) -> R {
    change(&mut handle.lock().unwrap_or_else(PoisonError::into_inner))
}

impl<T> Sender<T> {
    /// Sends the value; returns it if the receiver was dropped.
    pub(crate) fn send(self, value: T) -> Result<(), T> {
        with(&self.0, |shared| match shared.is_closed {
            true => Err(value),
            false => {
                shared.value = Some(value);
                Ok(())
            }
        })
        // The receiver is woken when the sender is dropped, at the end of this function.
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = with(&self.0, |shared| {
            shared.is_closed = true;
            shared.waker.take()
        });
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        with(&self.0, |shared| shared.is_closed = true);
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Gone>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        with(&self.0, |shared| match (shared.value.take(), shared.is_closed) {
            (Some(value), _) => Poll::Ready(Ok(value)),
            (None, true) => Poll::Ready(Err(Gone)),
            (None, false) => {
                shared.waker = Some(context.waker().clone());
                Poll::Pending
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::wait::BlockOn as _;

    #[test]
    fn a_value_arrives_or_an_end_is_gone() {
        let (sender, receiver) = channel();
        assert_eq!(sender.send(3), Ok(()));
        assert_eq!(receiver.block_on(), Ok(3));
        let (sender, receiver) = channel::<u8>();
        drop(sender);
        assert_eq!(receiver.block_on(), Err(Gone));
        let (sender, receiver) = channel();
        drop(receiver);
        assert_eq!(sender.send(3), Err(3));
    }
}

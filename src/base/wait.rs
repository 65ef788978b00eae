//! Waiting for a future in a thread that may block.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Gives futures the method `block_on`.
pub trait BlockOn: Future + Sized {
    /// Blocks this thread until the future is done, and returns its output. No executor runs in the meantime.
    fn block_on(self) -> Self::Output {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(self);
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl<F: Future> BlockOn for F {}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::oneshot;

    #[test]
    fn a_thread_waits_until_another_has_the_answer() {
        assert_eq!(async { 7 }.block_on(), 7);
        for _ in 0..200 {
            let (sender, receiver) = oneshot::channel();
            let other = thread::spawn(move || sender.send(5));
            assert_eq!(receiver.block_on(), Ok(5));
            assert_eq!(other.join().unwrap(), Ok(()));
        }
    }
}

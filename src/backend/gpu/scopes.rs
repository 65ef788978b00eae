//! Errors on a device that the program has already: caught where they happen, so that its own handlers stay.

use super::Gpu;
use super::adapter::Health;
use crate::backend::Pending;
use crate::base::error::Result;
use std::future::poll_fn;
use std::pin::pin;
use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};

/// Does some work on a device with error scopes of every kind, and notes what they catch. Scopes are a stack of
/// the thread that opened them, so they stand around each time that the work is polled.
pub(super) async fn within<T>(
    device: &wgpu::Device,
    health: &Health,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut work = pin!(work);
    let mut caught = Vec::new();
    let done = poll_fn(|context| {
        let scopes = [Validation, OutOfMemory, Internal].map(|kind| device.push_error_scope(kind));
        let polled = work.as_mut().poll(context);
        // What was opened last is closed first.
        caught.extend(scopes.into_iter().rev().map(|scope| Box::pin(scope.pop())));
        polled
    })
    .await;
    for error in caught {
        if let Some(error) = error.await {
            health.note(format!("the device reported: {error}"));
        }
    }
    // What the device itself said tells more.
    health.check()?;
    done
}

impl Gpu {
    /// Does some work on the device. Where that is not its own, whatever goes wrong on it in the meantime is an
    /// error of the work.
    pub(super) fn scoped<'a, T: Send + 'a>(
        &'a mut self,
        work: impl FnOnce(&'a mut Self) -> Pending<'a, T> + Send + 'a,
    ) -> Pending<'a, T> {
        if !self.is_guest {
            return work(self);
        }
        let (device, health) = (self.device.clone(), self.health.clone());
        Box::pin(async move { within(&device, &health, work(self)).await })
    }
}

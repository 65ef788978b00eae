//! Errors on a caller's device: caught where they happen, so that its own handlers stay.

use super::Gpu;
use super::adapter::Health;
use crate::backend::Pending;
use crate::base::error::Result;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// Error scopes of every kind on a device. They are a stack of this thread: the last one opened is closed
/// first.
struct Scopes([wgpu::ErrorScopeGuard; 3]);

impl Scopes {
    fn open(device: &wgpu::Device) -> Self {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        Scopes([Validation, OutOfMemory, Internal].map(|kind| device.push_error_scope(kind)))
    }

    /// The first error in them. It is available immediately, except in a browser, where it is lost.
    fn close(self) -> Option<String> {
        let mut found = None;
        for scope in self.0.into_iter().rev() {
            let error = pin!(scope.pop()).poll(&mut Context::from_waker(Waker::noop()));
            if let (None, Poll::Ready(Some(error))) = (&found, error) {
                found = Some(format!("the device reported: {error}"));
            }
        }
        found
    }
}

/// For a caller's device: the device, and where its errors are recorded; none for the backend's own device.
pub(super) struct Guest(Option<(wgpu::Device, Health)>);

impl Guest {
    /// For a caller's device.
    pub(super) fn of(device: wgpu::Device, health: Health) -> Self {
        Guest(Some((device, health)))
    }

    /// Some work, in which any error on the caller's device becomes an error of the work.
    pub(super) fn scoped<'a, T: 'a>(
        self,
        work: impl Future<Output = Result<T>> + Send + 'a,
    ) -> Pending<'a, T> {
        match self.0 {
            None => Box::pin(work),
            Some((device, health)) => Box::pin(Scoped { work: Box::pin(work), device, health }),
        }
    }
}

/// Work under error scopes. A future may continue in another thread, and scopes belong to a thread: so they are
/// opened and closed around each poll.
struct Scoped<'a, T> {
    work: Pending<'a, T>,
    device: wgpu::Device,
    health: Health,
}

impl<T> Future for Scoped<'_, T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let scopes = Scopes::open(&self.device);
        let polled = self.work.as_mut().poll(context);
        if let Some(error) = scopes.close() {
            self.health.note(error);
        }
        // The device's own error says more.
        polled.map(|done| self.health.check().and(done))
    }
}

impl Gpu {
    /// The guest, for error scopes.
    pub(super) fn guest(&self) -> Guest {
        Guest(self.is_guest.then(|| (self.device.clone(), self.health.clone())))
    }
}

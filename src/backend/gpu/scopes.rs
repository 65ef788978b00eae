//! Errors on a device that the program has already: caught where they happen, so that its own handlers stay.

use super::Gpu;
use crate::base::error::Result;

/// Error scopes of every kind on a device. They are a stack of this thread: what is opened last is closed first.
struct Scopes([wgpu::ErrorScopeGuard; 3]);

impl Scopes {
    fn open(device: &wgpu::Device) -> Self {
        use wgpu::ErrorFilter::{Internal, OutOfMemory, Validation};
        Scopes([Validation, OutOfMemory, Internal].map(|kind| device.push_error_scope(kind)))
    }

    /// The first error in them.
    fn close(self) -> Option<String> {
        let mut found = None;
        for scope in self.0.into_iter().rev() {
            let error = pollster::block_on(scope.pop());
            found = found.or(error.map(|e| format!("the device reported: {e}")));
        }
        found
    }
}

/// Makes a backend on a device that isn't its own.
pub(super) fn within(device: &wgpu::Device, make: impl FnOnce() -> Result<Gpu>) -> Result<Gpu> {
    let scopes = Scopes::open(device);
    let made = make();
    let error = scopes.close();
    let gpu = made?;
    if let Some(error) = error {
        gpu.health.note(error);
        gpu.health.check()?;
    }
    Ok(gpu)
}

impl Gpu {
    /// Does some work on the device. Where that is not its own, whatever goes wrong on it in the meantime, and
    /// in this thread, is an error of the work.
    pub(super) fn scoped<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if !self.is_guest {
            return work(self);
        }
        let scopes = Scopes::open(&self.device);
        let done = work(self);
        if let Some(error) = scopes.close() {
            self.health.note(error);
        }
        // What the device itself said tells more.
        self.health.check()?;
        done
    }
}

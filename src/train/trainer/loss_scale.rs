//! The loss scale of mixed precision, as stored on the device.

use super::Trainer;
use crate::backend::ValuesMut;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::wait::BlockOn as _;
use crate::kernels::mixed::SCALE_STATE;

/// The state of the loss scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossScale {
    /// S.
    pub scale: f32,
    /// Steps without an overflow since S last changed.
    pub good: u64,
    /// The steps of the run that overflowed and were skipped.
    pub skipped: u64,
}

impl Trainer {
    /// The loss scale; none in f32.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn loss_scale(&mut self) -> Result<Option<LossScale>> {
        let Some(tensor) = self.session.plan().loss_scale else { return Ok(None) };
        let mut state = [0.0; SCALE_STATE];
        self.session.backend_mut().read(tensor, ValuesMut::F32(&mut state)).block_on()?;
        let [scale, good, skipped, _] = state;
        Ok(Some(LossScale { scale, good: good as u64, skipped: skipped as u64 }))
    }

    /// Refuses a run whose steps all overflow, however small the scale: at the end of an epoch of
    /// `steps` steps.
    pub(super) fn check_overflows(&mut self, steps: usize) -> Result<()> {
        let Some(LossScale { scale, skipped, .. }) = self.loss_scale()? else { return Ok(()) };
        let before = std::mem::replace(&mut self.skipped_before, skipped);
        if scale > 1.0 || skipped.saturating_sub(before) < steps as u64 {
            return Ok(());
        }
        let what = "f16 overflows in every step, even without loss scaling";
        Err(Error::new(ErrorKind::Diverged, what)
            .at(format!("epoch {}", self.at.epoch))
            .help("values of the net exceed 65,504: scale the inputs, lower --lr, or train in f32"))
    }

    /// A sentence on overflows; none in f32.
    pub(super) fn describe_overflows(&mut self) -> Result<Option<String>> {
        let scale = self.loss_scale()?;
        Ok(scale.map(|LossScale { scale, skipped, .. }| {
            format!(
                "f16: {skipped} of {} steps overflowed and were skipped; the loss scale ended at {scale}",
                self.at.step
            )
        }))
    }
}

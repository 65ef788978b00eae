//! Averaged weights: updated after an epoch, and exchanged with the trained ones for
//! predictions.

use super::Trainer;
use crate::base::error::Result;
use crate::base::wait::BlockOn as _;
use crate::kernels::Step;
use crate::math::optim::Averaging;

impl Trainer {
    /// Adds the weights of the epoch that just ended to their average over epochs, if there is
    /// one.
    pub(super) fn average_epoch(&mut self) -> Result<()> {
        let routine = self.session.plan().program.routines.average.clone();
        let ended = self.at.epoch - 1;
        if ended < self.spec.averaging.first_epoch(self.spec.epochs) || routine.is_empty() {
            return Ok(());
        }
        let step = Step { epoch: ended as u32, ..Step::default() };
        self.session.backend_mut().run(routine, self.training.id, &[step]).block_on()
    }

    /// Restores the trained weights, if the best or the averaged ones are in their place.
    pub(super) fn for_training(&mut self) -> Result<()> {
        if let Some(trained) = &self.trained {
            self.session.write_tensors(trained)?;
            self.trained = None;
        }
        self.use_average(false)
    }

    /// Exchanges the trained weights with the averaged ones, for predictions, or back, for
    /// training; if nothing is averaged yet, the trained ones stay.
    pub(super) fn use_average(&mut self, wanted: bool) -> Result<()> {
        let first = self.spec.averaging.first_epoch(self.spec.epochs);
        let is_there = match self.spec.averaging {
            Averaging::None => false,
            Averaging::Ema { .. } => self.at.step > 0,
            Averaging::Swa { .. } => self.at.epoch > first,
        };
        if wanted == self.averaged || (wanted && !is_there) {
            return Ok(());
        }
        let routine = self.session.plan().program.routines.swap.clone();
        self.session.backend_mut().run(routine, self.training.id, &[Step::default()]).block_on()?;
        self.averaged = wanted;
        Ok(())
    }
}

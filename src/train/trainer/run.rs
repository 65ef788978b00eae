//! The constants of a run: its length, and the parameters of each step.

use crate::base::clock::Instant;
use crate::kernels::Step;
use crate::kernels::inputs::mixup::mixing;
use crate::math::random::{Permutation, Stream, stream_key};
use crate::math::schedule::Length;
use crate::net::spec::Spec;

/// The constants of a run.
pub(super) struct Run {
    pub spec: Spec,
    /// Training rows.
    pub rows: usize,
    /// Batch size.
    pub batch: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// When this process started or resumed it.
    pub begin: Instant,
}

impl Run {
    pub fn new(spec: Spec, rows: usize) -> Self {
        let batch = spec.batch_size.min(rows);
        Run { rows, batch, steps: rows.div_ceil(batch), begin: Instant::now(), spec }
    }

    /// η of the step after `done` steps, without a plateau.
    pub fn lr(&self, done: u64) -> f32 {
        let Spec { lr, schedule, warmup, .. } = &self.spec;
        (f64::from(*lr) * schedule.factor(*warmup, done, self.length())) as f32
    }

    /// The change of μ, or β₁, in the step after `done` steps.
    fn momentum_change(&self, done: u64) -> f32 {
        let Spec { cycle_momentum, optimizer, schedule, warmup, .. } = &self.spec;
        let Some((cycle, own)) = cycle_momentum.zip(optimizer.momentum()) else { return 0.0 };
        cycle.momentum(*schedule, *warmup, done, self.length()) - own
    }

    fn length(&self) -> Length {
        Length { total: self.total(), epoch: self.steps as u64 }
    }

    /// Steps of the whole run.
    pub fn total(&self) -> u64 {
        self.steps as u64 * self.spec.epochs as u64
    }

    /// The order of `rows` rows in an epoch, counted from 0, or in a window.
    pub fn order(&self, rows: usize, number: u64) -> Permutation {
        let key = stream_key(self.spec.seed, Stream::Shuffle, number);
        Permutation::new(rows as u32, self.spec.shuffle.then_some(key))
    }

    /// The micro-batches of a step.
    pub fn micro_batches(&self, step: &Step) -> Vec<Step> {
        let size = self.spec.rows_at_a_time() as u32;
        let part = |first: u32| Step { rows: size.min(step.rows - first), ..step.from_row(first) };
        (0..step.rows).step_by(size as usize).map(part).collect()
    }

    /// Step `i` over the rows on the device, of which there are `rows`, after `done` steps of the
    /// run, at the learning rate `lr`.
    pub fn step(&self, i: usize, rows: usize, done: u64, order: &Permutation, lr: f32) -> Step {
        let first = i * self.batch;
        let rows = self.batch.min(rows - first);
        let divisor = self.spec.objective.divisor(rows, self.spec.net.outputs());
        Step {
            rows: rows as u32,
            first: first as u32,
            order: order.words(),
            lr,
            reduction_factor: (1.0 / divisor) as f32,
            corrections: {
                let change = |t: u64| self.momentum_change(t - 1).into();
                self.spec.optimizer.corrections_along(done + 1, change)
            },
            t: done as u32,
            epoch: (done / self.steps as u64) as u32,
            smoothing: self.spec.label_smoothing,
            // Beyond 2³² rows of an epoch, their random numbers repeat.
            position: (done % self.steps as u64 * self.batch as u64) as u32,
            mixing: mixing(&self.spec, done),
            momentum_change: self.momentum_change(done),
        }
    }
}

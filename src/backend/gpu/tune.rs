//! Measures the fastest tiles for a program on the device.

use super::Gpu;
use super::pipeline::Bound;
use crate::base::clock::Instant;
use crate::base::error::Result;
use crate::kernels::Step;
use crate::kernels::products::tile::{TILES, Tuning};
use crate::plan::program::{Op, Program};
use std::time::Duration;

/// The most time for measuring in one run; the rest is measured in the next.
const BUDGET: Duration = Duration::from_secs(1);
/// The number of launches between two readings of the clock.
const REPEATS: usize = 8;
/// The least work of a step, in floating-point operations, for which measuring pays.
const WORTH_MEASURING: f64 = 1e9;

/// Whether a program's steps are large enough for measuring tiles.
pub(super) fn is_worth_it(program: &Program) -> bool {
    let step = &program.ops[program.routines.step.clone()];
    step.iter().map(|op| program.flops(op, program.batch)).sum::<f64>() >= WORTH_MEASURING
}

impl Gpu {
    /// Measures the tiles of those products of the loaded program that no run has measured yet,
    /// for at most a second in a run unless all were requested, and then sets all buffers to
    /// zero. Returns whether anything is new.
    ///
    /// # Errors
    /// When the device was lost.
    pub(super) async fn tune(&mut self) -> Result<bool> {
        let program = self.program.clone();
        let begin = Instant::now();
        let before = self.measured_for;
        let mut news = false;
        for op in &program.ops[program.routines.step.clone()] {
            let (products, precision) = (program.products(op), program.precision_of(op));
            if products.is_empty() || self.tuning.measured(precision, &products).is_some() {
                continue;
            }
            let mut best: Option<(f64, usize)> = None;
            for choice in self.tuning.candidates(precision, &products) {
                self.measured_for = before + begin.elapsed();
                if self.measured_for > BUDGET && !self.measures_all {
                    return self.end_tuning(news);
                }
                let seconds = match self.time(&program, op, choice).await {
                    Ok(seconds) => seconds,
                    // A tile that can't be compiled isn't used.
                    Err(_) if self.health.check().is_ok() => continue,
                    Err(error) => return Err(error),
                };
                if best.is_none_or(|(fastest, _)| seconds < fastest) {
                    best = Some((seconds, choice));
                }
            }
            if let Some((_, choice)) = best {
                self.tuning.keep(precision, &products, choice);
                news = true;
            }
        }
        self.measured_for = before + begin.elapsed();
        self.end_tuning(news)
    }

    /// Seconds that a launch of `op` takes with a tile.
    async fn time(&mut self, program: &Program, op: &Op, choice: usize) -> Result<f64> {
        let mut tuning = Tuning { registers: self.tuning.registers, ..Tuning::default() };
        tuning.mixed.multiplier = self.tuning.mixed.multiplier;
        tuning.keep(program.precision_of(op), &program.products(op), choice);
        // There are no rows yet to gather.
        let mut op = op.clone();
        if let Op::Dense(dense) = &mut op {
            dense.gathers = false;
        }
        let nothing = self.no_data();
        let largest = (self.largest_binding() / 4) as usize;
        let mut bound = Vec::new();
        for launch in program.launches(&op, nothing.storage, largest, &tuning) {
            bound.push(self.bind_launch(&launch, 0, &nothing).await?);
        }
        let step = Step { rows: program.batch as u32, corrections: [1.0; 4], ..Step::default() };
        self.queue.write_buffer(&self.steps, 0, bytemuck::bytes_of(&step));
        // The first launch may compile; a slow tile is recognized by it alone.
        let first = self.timed(&bound, program.batch, 1).await?;
        if first > BUDGET.as_secs_f64() / (2 * REPEATS * TILES.len()) as f64 {
            return Ok(first.min(self.timed(&bound, program.batch, 1).await?));
        }
        let again = self.timed(&bound, program.batch, REPEATS).await?;
        Ok(again.min(self.timed(&bound, program.batch, REPEATS).await?))
    }

    /// Seconds for each repetition of launches, for a batch of `batch` rows.
    async fn timed(&self, launches: &[Bound], batch: usize, repeats: usize) -> Result<f64> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_bind_group(0, &self.steps_bound, &[0]);
        for launch in std::iter::repeat_n(launches, repeats).flatten() {
            launch.encode(&mut pass, batch, self.limits.max_compute_workgroups_per_dimension);
        }
        drop(pass);
        let begin = Instant::now();
        let submission = self.queue.submit([encoder.finish()]);
        self.answers.to(submission).await?;
        Ok(begin.elapsed().as_secs_f64() / repeats as f64)
    }

    fn end_tuning(&mut self, news: bool) -> Result<bool> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        for buffer in &self.buffers {
            encoder.clear_buffer(buffer, 0, None);
        }
        self.queue.submit([encoder.finish()]);
        self.health.check()?;
        Ok(news)
    }
}

//! Steps on their way to the device: many in one submission, a few submissions under way.

use super::pipeline::Bound;
use super::{Gpu, memory};
use crate::backend::DataId;
use crate::error::Result;
use crate::kernels::Step;
use crate::program::Program;
use std::ops::Range;
use std::time::Instant;

/// Bytes between two slots of the buffer of steps: the offset alignment of every adapter.
pub(super) const SLOT: usize = 256;
/// Steps that the buffer holds: the most in one submission.
pub(super) const SLOTS: usize = 256;
/// Submissions that may be under way.
const IN_FLIGHT: usize = 3;
/// What a submission should take, in seconds: far from the two after which Windows resets a GPU.
const SUBMISSION_SECONDS: f64 = 0.1;
/// The work of the first submissions, in floating-point operations, unless a step has more.
const FIRST_SUBMISSION: f64 = 4e9;

/// Steps in the first submissions of a program.
pub(super) fn first_steps(program: &Program) -> usize {
    let routines = &program.routines;
    let longest = [&routines.step, &routines.evaluate].map(|routine| {
        let ops = program.ops[routine.clone()].iter();
        ops.map(|op| program.flops(op, program.batch)).sum::<f64>()
    });
    let flops = longest[0].max(longest[1]);
    (FIRST_SUBMISSION / flops.max(1.0)).clamp(1.0, 16.0) as usize
}

impl Gpu {
    /// Encodes and submits as many steps as fit into one submission.
    pub(super) fn submit(&mut self, ops: Range<usize>, data: DataId, steps: &[Step]) {
        let mut slots = vec![0; SLOT * steps.len()];
        for (slot, step) in slots.chunks_exact_mut(SLOT).zip(steps) {
            slot[..size_of::<Step>()].copy_from_slice(bytemuck::bytes_of(step));
        }
        self.queue.write_buffer(&self.steps, 0, &slots);
        let launches: Vec<&Bound> =
            ops.filter_map(|op| self.bound.get(&(op, data))).flatten().collect();
        let mut encoder =
            self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let limit = self.limits.max_compute_workgroups_per_dimension;
        for (i, step) in steps.iter().enumerate() {
            pass.set_bind_group(0, &self.steps_bound, &[(i * SLOT) as u32]);
            for launch in &launches {
                let launched = launch.encode(&mut pass, step.rows as usize, limit);
                self.traffic.dispatches += u64::from(launched);
            }
        }
        drop(pass);
        let submission = self.queue.submit([encoder.finish()]);
        self.traffic.submissions += 1;
        self.under_way.push_back((submission, steps.len()));
    }

    /// Waits until few enough submissions are under way, and fits their size to the time they take.
    pub(super) fn throttle(&mut self) -> Result<()> {
        while self.under_way.len() > IN_FLIGHT {
            let Some((submission, steps)) = self.under_way.pop_front() else { break };
            let asked = Instant::now();
            memory::wait(&self.device, Some(submission))?;
            self.health.check()?;
            // The device works on one submission while the others wait, so that what it takes for
            // this one shows as the time since the last was done.
            let done = Instant::now();
            let since = self.last_done.map_or(done - asked, |last| done - last).as_secs_f64();
            self.last_done = Some(done);
            let per_step = since / steps as f64;
            let fitting = (SUBMISSION_SECONDS / per_step.max(1e-6)) as usize;
            let now = self.steps_per_submission;
            self.steps_per_submission = fitting.clamp(now.div_ceil(2), 2 * now).min(SLOTS);
        }
        Ok(())
    }
}

//! Submission of steps to the device: many in one submission, a few submissions in flight.
//!
//! A submission should be short: Windows resets a GPU that takes two seconds for one, and other
//! systems do so later. The number of steps in one is therefore adapted to their time; a step
//! that takes longer by itself is split between launches.

use super::Gpu;
use super::pipeline::Bound;
use crate::backend::DataId;
use crate::base::clock::Instant;
use crate::base::error::Result;
use crate::kernels::Step;
use crate::plan::program::Program;
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes between two slots of the buffer of steps: the offset alignment of every adapter.
pub(super) const SLOT: usize = 256;
/// The number of steps in the buffer: the most in one submission.
pub(super) const SLOTS: usize = 256;
/// The most submissions in flight.
const IN_FLIGHT: usize = 3;
/// The target time of a submission, in seconds.
const SUBMISSION_SECONDS: f64 = 0.1;
/// The work of the first submissions, in floating-point operations, unless one launch has more.
const FIRST_SUBMISSION: f64 = 4e9;

/// Steps per submission; below 1 if a step is split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace(f64);

impl Pace {
    /// For the first submissions of a program.
    pub(super) fn first(program: &Program) -> Self {
        let routines = &program.routines;
        let longest = [&routines.step, &routines.evaluate].map(|routine| {
            let ops = program.ops[routine.clone()].iter();
            ops.map(|op| program.flops(op, program.batch)).sum::<f64>()
        });
        let flops = longest[0].max(longest[1]) * program.nets as f64;
        Pace((FIRST_SUBMISSION / flops.max(1.0)).min(16.0))
    }

    /// The most steps in a submission.
    fn steps(self) -> usize {
        (self.0 as usize).clamp(1, SLOTS)
    }

    /// The most work in a submission, in steps.
    fn share(self) -> f64 {
        self.0.min(1.0)
    }

    /// The next pace after a step that took `seconds`: at most twice as many steps, at least half as many.
    fn next(self, seconds: f64) -> Self {
        let fitting = SUBMISSION_SECONDS / seconds.max(1e-6);
        Pace(fitting.clamp(0.5 * self.0, 2.0 * self.0).min(SLOTS as f64))
    }
}

/// The submissions in flight.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) pace: Pace,
    /// Each with the number of steps that end in it: 0 if a step continues in the next.
    submissions: VecDeque<(wgpu::SubmissionIndex, usize)>,
    /// When the last one finished.
    last_done: Option<Instant>,
    /// The seconds of submissions in which no step ended, since the last end of a step.
    unfinished: f64,
}

impl Default for UnderWay {
    fn default() -> Self {
        let (submissions, last_done, unfinished) = (VecDeque::new(), None, 0.0);
        UnderWay { pace: Pace(1.0), submissions, last_done, unfinished }
    }
}

impl UnderWay {
    /// Forgets all submissions.
    pub(super) fn clear(&mut self) {
        *self = UnderWay { pace: self.pace, ..UnderWay::default() };
    }
}

/// Groups consecutive launches, given the work of each, so that no group has more than `most`,
/// except single launches.
fn split_launches(work: &[f64], most: f64) -> Vec<Range<usize>> {
    let mut ends = Vec::new();
    let mut before = 0.0;
    for (i, work) in work.iter().enumerate() {
        if i > 0 && before + work > most {
            ends.push(i);
            before = 0.0;
        }
        before += work;
    }
    ends.push(work.len());
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends.iter().copied()).map(|(start, end)| start..end).collect()
}

impl Gpu {
    /// Encodes and submits `steps` of bound `ops`, as many at a time as the pace allows.
    ///
    /// # Errors
    /// When the device was lost.
    pub(super) async fn submit_all(
        &mut self,
        ops: Range<usize>,
        data: DataId,
        steps: &[Step],
    ) -> Result<()> {
        let mut rest = steps;
        while !rest.is_empty() {
            let pace = self.under_way.pace;
            let (now, later) = rest.split_at(rest.len().min(pace.steps()));
            self.write_slots(now);
            if pace.share() < 1.0 {
                let work: Vec<f64> = ops.clone().flat_map(|op| self.work(op, data)).collect();
                let most = pace.share() * work.iter().sum::<f64>();
                for group in split_launches(&work, most) {
                    let ended = if group.end == work.len() { now.len() } else { 0 };
                    self.submit(ops.clone(), group, data, now, ended);
                    self.throttle().await?;
                }
            } else {
                self.submit(ops.clone(), 0..usize::MAX, data, now, now.len());
                self.throttle().await?;
            }
            rest = later;
        }
        Ok(())
    }

    /// The work of each launch of an op, in floating-point operations.
    fn work(&self, op: usize, data: DataId) -> Vec<f64> {
        let launches = self.bound.get(&(op, data)).map_or(0, Vec::len);
        let of_net = self.program.flops(&self.program.ops[op], self.program.batch);
        let work = of_net * self.program.nets as f64;
        vec![work / launches as f64; launches]
    }

    /// Writes the values that differ between steps, each step to its own slot.
    pub(super) fn write_slots(&self, steps: &[Step]) {
        let mut slots = vec![0; SLOT * steps.len()];
        for (slot, step) in slots.chunks_exact_mut(SLOT).zip(steps) {
            slot[..size_of::<Step>()].copy_from_slice(bytemuck::bytes_of(step));
        }
        self.queue.write_buffer(&self.steps, 0, &slots);
    }

    /// Encodes and submits a range of the launches of `ops` for all of `steps`, of which `ended` end
    /// with it.
    fn submit(
        &mut self,
        ops: Range<usize>,
        group: Range<usize>,
        data: DataId,
        steps: &[Step],
        ended: usize,
    ) {
        let launches = ops.filter_map(|op| self.bound.get(&(op, data))).flatten();
        let launches: Vec<&Bound> = launches.skip(group.start).take(group.len()).collect();
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
        self.under_way.submissions.push_back((submission, ended));
    }

    /// Waits until few enough submissions are in flight, and adapts their size to their time.
    async fn throttle(&mut self) -> Result<()> {
        while self.under_way.submissions.len() > IN_FLIGHT {
            let Some((submission, steps)) = self.under_way.submissions.pop_front() else { break };
            let asked = Instant::now();
            let waited = self.answers.to(submission).await;
            // The device's own error says more.
            self.health.check()?;
            waited?;
            // The device works on one submission while the others wait, so that the time of this one is
            // the time since the last one finished.
            let done = Instant::now();
            let UnderWay { pace, last_done, unfinished, .. } = &mut self.under_way;
            *unfinished += (done - last_done.unwrap_or(asked)).as_secs_f64();
            *last_done = Some(done);
            if steps > 0 {
                *pace = pace.next(*unfinished / steps as f64);
                *unfinished = 0.0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::gpu::adapters;
    use crate::backend::{Backend, ValuesMut};
    use crate::base::wait::BlockOn as _;
    use crate::data::{Preprocessing, digits};
    use crate::plan::{Purpose, Traits, plan};
    use crate::{Activation, Loss, Net, Optimizer, Spec};
    use std::sync::Arc;

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "one group is meant")]
    fn a_step_is_cut_between_launches_where_it_has_too_much_work() {
        assert_eq!(split_launches(&[1.0; 4], 2.0), [0..2, 2..4]);
        assert_eq!(split_launches(&[0.5, 9.0, 0.5, 0.5], 2.0), [0..1, 1..2, 2..4]);
        assert_eq!(split_launches(&[1.0; 3], 3.0), [0..3]);
        assert_eq!(split_launches(&[0.0; 3], 0.0), [0..3]);
        assert_eq!(split_launches(&[], 0.0), [0..0]);
    }

    #[test]
    fn the_pace_follows_the_time_of_a_step_in_both_directions() {
        let settled = |seconds: f64| (0..20).fold(Pace(1.0), |pace, _| pace.next(seconds));
        assert_eq!((settled(1e-9).steps(), settled(1e-9).share()), (SLOTS, 1.0));
        assert_eq!((settled(0.01).steps(), settled(0.01).share()), (10, 1.0));
        // Five seconds for a step would be the end of a GPU on Windows.
        assert_eq!((settled(5.0).steps(), settled(5.0).share()), (1, 0.02));
        assert_eq!(Pace(8.0).next(5.0), Pace(4.0));
    }

    #[test]
    fn a_step_in_parts_is_the_same_step() {
        if adapters().is_empty() {
            return eprintln!("skipped: no GPU adapter: a step in parts");
        }
        let data = digits();
        let net = Net::new(64).layer(40, Activation::Tanh).layer(10, Activation::Identity);
        let spec = Spec::new(net, Loss::CrossEntropy).optimizer(Optimizer::Sgd);
        let samples = Arc::new(Preprocessing::none(&data).samples(&data).unwrap());
        let run = |pace: f64| {
            let mut gpu = Gpu::open(0).unwrap();
            let plan = plan(&spec, 64, Purpose::Train, Traits::Plain);
            gpu.load(Arc::new(plan.program.clone())).block_on().unwrap();
            let rows = gpu.upload(samples.clone()).block_on().unwrap();
            gpu.under_way.pace = Pace(pace);
            let step = Step { rows: 64, lr: 0.1, reduction_factor: 1.0, ..Step::default() };
            gpu.run(plan.program.routines.step.clone(), rows, &[step]).block_on().unwrap();
            let mut weights = vec![0.0; plan.program.len(plan.parameters)];
            gpu.read(plan.parameters, ValuesMut::F32(&mut weights)).block_on().unwrap();
            (weights, gpu.traffic())
        };
        let (whole, one) = run(1.0);
        let (parts, many) = run(0.1);
        assert!(whole.iter().any(|&w| w != 0.0), "the step changed something");
        assert_eq!(whole, parts);
        assert_eq!(one.dispatches, many.dispatches);
        assert!(one.submissions == 1 && many.submissions >= 4, "{one:?}, {many:?}");
    }
}

//! The time of each op, by the device's clock: one compute pass for each, with a timestamp at either end.

use super::{Gpu, memory};
use crate::backend::DataId;
use crate::base::error::Result;
use crate::kernels::Step;
use std::ops::Range;

impl Gpu {
    /// Implements [`Backend::op_seconds`](crate::backend::Backend::op_seconds). Each step is a separate
    /// submission.
    pub(super) async fn timed_steps(
        &mut self,
        ops: Range<usize>,
        data: DataId,
        steps: &[Step],
    ) -> Result<Vec<Vec<f64>>> {
        if !self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(Vec::new());
        }
        self.make_ready(ops.clone(), data, steps).await?;
        let count = 2 * ops.len() as u32;
        let queries = self.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let bytes = 8 * u64::from(count);
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = memory::create(&self.device, "timestamps", bytes, usage).await?;
        let tick = f64::from(self.queue.get_timestamp_period()) * 1e-9;
        let mut found = Vec::new();
        for step in steps {
            self.write_slots(&[*step]);
            let mut encoder =
                self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for (i, op) in (0..).zip(ops.clone()) {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: None,
                    timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                        query_set: &queries,
                        beginning_of_pass_write_index: Some(2 * i),
                        end_of_pass_write_index: Some(2 * i + 1),
                    }),
                });
                pass.set_bind_group(0, &self.steps_bound, &[0]);
                for launch in self.bound.get(&(op, data)).into_iter().flatten() {
                    let limit = self.limits.max_compute_workgroups_per_dimension;
                    launch.encode(&mut pass, step.rows as usize, limit);
                }
            }
            encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            self.queue.submit([encoder.finish()]);
            let mut words = Vec::new();
            let (device, queue, answers) = (&self.device, &self.queue, &self.answers);
            memory::read(device, queue, answers, &resolved, 0, 2 * count as usize, |_, piece| {
                words.extend(piece.iter().map(|word| u64::from(word.to_bits())));
            })
            .await?;
            let times: Vec<u64> = words.chunks_exact(2).map(|w| w[0] | w[1] << 32).collect();
            let seconds = times.chunks_exact(2).map(|t| t[1].saturating_sub(t[0]) as f64 * tick);
            found.push(seconds.collect());
            self.health.check()?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Backend;
    use crate::backend::gpu::adapters;
    use crate::base::clock::Instant;
    use crate::base::wait::BlockOn as _;
    use crate::data::{Preprocessing, digits};
    use crate::plan::{Purpose, Traits, plan};
    use crate::{Activation, Loss, Net, Spec};
    use std::sync::Arc;

    #[test]
    fn ops_take_the_time_of_their_step_and_the_larger_product_takes_longer() {
        if adapters().is_empty() {
            return eprintln!("skipped: no GPU adapter: the time of each op");
        }
        let data = digits();
        let net = Net::new(64).layer(512, Activation::Relu).layer(10, Activation::Identity);
        let plan = plan(&Spec::new(net, Loss::CrossEntropy), 256, Purpose::Train, Traits::Plain);
        let mut gpu = Gpu::open(0).unwrap();
        gpu.load(Arc::new(plan.program.clone())).block_on().unwrap();
        let samples = Preprocessing::none(&data).samples(&data).unwrap();
        let rows = gpu.upload(Arc::new(samples)).block_on().unwrap();
        let step = Step { rows: 256, reduction_factor: 1.0, ..Step::default() };
        let ops = plan.program.routines.step.clone();
        let begin = Instant::now();
        let timed = gpu.op_seconds(ops.clone(), rows, &[step; 3]).block_on().unwrap();
        let whole = begin.elapsed().as_secs_f64();
        if timed.is_empty() {
            return eprintln!("skipped: the adapter has no timestamps: the time of each op");
        }
        assert!(timed.len() == 3 && timed.iter().all(|step| step.len() == ops.len()));
        assert!(timed.iter().flatten().sum::<f64>() <= whole, "{timed:?} in {whole} s");
        let flops = |op: usize| plan.program.flops(&plan.program.ops[ops.start + op], 256);
        let by_work = |a: &usize, b: &usize| flops(*a).total_cmp(&flops(*b));
        // The shortest of three: a busy machine makes any of them longer.
        let took = |op: usize| timed.iter().map(|step| step[op]).fold(f64::INFINITY, f64::min);
        let most = took((0..ops.len()).max_by(by_work).unwrap());
        let least = took((0..ops.len()).min_by(by_work).unwrap());
        assert!(most > least, "{most} s and {least} s: {timed:?}");
    }
}

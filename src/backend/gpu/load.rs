//! Loading a program: its tensors in device memory, and the tiles of its products.

use super::submit::Pace;
use super::{Gpu, memory, tune};
use crate::backend::check;
use crate::base::error::{Error, Result};
use crate::data::Storage;
use crate::kernels::Arg;
use crate::kernels::tensor::Extent;
use crate::plan::program::Program;
use std::sync::Arc;

impl Gpu {
    /// Implements [`Backend::load`].
    pub(super) async fn load_program(&mut self, program: Arc<Program>) -> Result<()> {
        program.check()?;
        check::constants(&program)?;
        if let Some(op) = program.ops.iter().find(|op| !op.runs_on_gpus()) {
            return Err(Error::usage(
                "an op of the CPU's fused programs, for which GPUs have no kernel",
            )
            .at(program.describe(op))
            .help("plan the program with the traits of this backend"));
        }
        self.check_bindings(&program)?;
        let buffers = self.allocate(&program).await?;
        let before = (
            std::mem::replace(&mut self.program, program.clone()),
            std::mem::replace(&mut self.buffers, buffers),
            std::mem::take(&mut self.bound),
            std::mem::replace(&mut self.under_way.pace, Pace::first(&program)),
        );
        let prepared = self.make_constants(&program).await;
        if prepared.is_err() {
            (self.program, self.buffers, self.bound, self.under_way.pace) = before;
        }
        prepared
    }

    /// Measures the tiles of the program, whose buffers exist, and writes its constants.
    async fn make_constants(&mut self, program: &Program) -> Result<()> {
        if self.measures && (self.measures_all || tune::is_worth_it(program)) && self.tune().await?
        {
            self.pipelines.keep();
            if let Some(cache) = &self.cache {
                cache.keep_tuning(&self.tuning);
            }
        }
        for (id, values) in &program.constants {
            for net in 0..program.nets {
                self.write_net(net, *id, values).await?;
            }
        }
        Ok(())
    }

    /// Refuses a program with a tensor that an op binds as a whole and that exceeds the largest binding.
    fn check_bindings(&self, program: &Program) -> Result<()> {
        let all = Storage::default();
        let largest = self.largest_binding();
        for op in &program.ops {
            for launch in program.launches(op, all, (largest / 4) as usize, &self.tuning) {
                for arg in &launch.args {
                    let Arg::Tensor(id) = arg else { continue };
                    let t = program.tensor(*id);
                    let what = match t.rows {
                        Extent::Batch => format!("{} for {} rows", t.name, program.batch),
                        Extent::Fixed(rows) => format!("{} ({rows}, {})", t.name, t.cols),
                    };
                    let element = t.precision.bytes() as u64;
                    let bytes = (program.len(*id) as u64).saturating_mul(element);
                    memory::check("max_storage_buffer_binding_size", &what, bytes, largest)?;
                }
            }
        }
        Ok(())
    }

    /// Creates the buffers of a program, filled with zeros.
    async fn allocate(&self, program: &Program) -> Result<Vec<wgpu::Buffer>> {
        let mut buffers = Vec::with_capacity(program.buffers.len());
        for i in 0..program.buffers.len() {
            let first = program.tensors.iter().find(|t| t.buffer == i);
            let what = first.map_or("an empty buffer", |t| t.name.as_str());
            let usage = wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_DST
                | wgpu::BufferUsages::COPY_SRC;
            let element = program.precision(i).bytes() as u64;
            let bytes = (program.storage(i) as u64).saturating_mul(element);
            buffers.push(memory::create(&self.device, what, bytes, usage).await?);
        }
        Ok(buffers)
    }
}

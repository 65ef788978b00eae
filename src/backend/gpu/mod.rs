//! The GPU backend on wgpu: Vulkan, Metal and DX12.
//!
//! Programs, data sets and parameters live on the device. Many steps are encoded into one compute
//! pass and one submission; the values that differ between them are in a buffer of steps, one slot each,
//! selected by a dynamic offset. Nothing is read back except by [`Backend::read`].
//!
//! In the order of a run: `adapter` lists devices and `open` opens one, `load` loads a
//! program and `tune` measures its tiles, `data` uploads rows, `bind` makes launches of ops with
//! the pipelines of `pipeline`, `submit` sends steps, `timestamps` times their ops, `transfer` (with `half` for
//! f16) writes and reads tensors. `memory` creates buffers, `answers` waits for submissions, `cache` keeps
//! pipelines and tiles on disk, `scopes` catches errors on a caller's device.

mod adapter;
mod answers;
mod bind;
mod cache;
mod data;
mod half;
mod load;
mod memory;
mod open;
mod pipeline;
mod scopes;
mod submit;
mod timestamps;
mod transfer;
mod tune;

pub use adapter::{AdapterSummary, HlslCompiler, adapters};

use super::{Backend, DataId, DeviceInfo, Pending, Traffic, Values, ValuesMut, check};
use crate::base::error::Result;
use crate::data::Samples;
use crate::kernels::Step;
use crate::kernels::mixed::{MixedTuning, Multiplier};
use crate::kernels::products::tile::Tuning;
use crate::kernels::tensor::TensorId;
use crate::plan::Traits;
use crate::plan::program::Program;
use adapter::{Health, Wanted};
use answers::Answers;
use cache::Cache;
use data::DeviceData;
use pipeline::{Bound, Pipelines};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use submit::UnderWay;
use wgpu::Limits;

/// The number of words that are written at a time.
const PIECE_WORDS: usize = 1 << 24;

/// Runs programs on a wgpu device.
pub struct Gpu {
    info: DeviceInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    limits: Limits,
    health: Health,
    answers: Answers,
    pipelines: Pipelines,
    steps: wgpu::Buffer,
    steps_bound: wgpu::BindGroup,
    /// Buffers for bindings that a variant doesn't use: one to read, one to write.
    unused: [wgpu::Buffer; 2],
    /// The tiles that were measured, in this run and before.
    tuning: Tuning,
    cache: Option<Cache>,
    /// Whether tiles are measured: for programs with much work, or for all.
    measures: bool,
    measures_all: bool,
    /// The time spent measuring them in this run.
    measured_for: Duration,
    /// The adapter's number, and whether shaders are checked, if the backend opened it itself.
    opened_as: Option<(usize, bool)>,
    /// The multipliers in f16, if the device was created for that.
    multipliers: Vec<Multiplier>,
    program: Arc<Program>,
    buffers: Vec<wgpu::Buffer>,
    data: HashMap<DataId, DeviceData>,
    /// The number of uploads so far.
    uploads: usize,
    /// The launches of an op on a data set.
    bound: HashMap<(usize, DataId), Vec<Bound>>,
    under_way: UnderWay,
    traffic: Traffic,
    /// See [`Traits::Gpu`].
    compiles_whole_nets: bool,
    /// Whether the device is the caller's, with its own error handlers.
    is_guest: bool,
}

impl Backend for Gpu {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn traits(&self) -> Traits {
        Traits::Gpu {
            largest_binding: self.largest_binding(),
            compiles_whole_nets: self.compiles_whole_nets,
        }
    }

    fn open_mixed(&mut self) -> Pending<'_, Vec<Multiplier>> {
        Box::pin(async {
            if self.multipliers.is_empty() {
                self.open_again(Wanted::Matrices).await?;
            }
            match self.multipliers.is_empty() {
                true => Err(adapter::no_f16(&self.info.name)),
                false => Ok(self.multipliers.clone()),
            }
        })
    }

    fn multiply_by(&mut self, multiplier: Multiplier) {
        self.tuning.mixed.multiplier = multiplier;
    }

    fn multiply_in(&mut self, block: Option<usize>) {
        self.tuning.mixed.forced = block;
    }

    fn without_matrices(&mut self) -> Pending<'_> {
        Box::pin(async {
            self.open_again(Wanted::Half).await?;
            self.tuning.mixed = MixedTuning {
                multiplier: Multiplier::Fma,
                forced: None,
                ..std::mem::take(&mut self.tuning.mixed)
            };
            Ok(())
        })
    }

    fn load(&mut self, program: Arc<Program>) -> Pending<'_> {
        self.guest().scoped(self.load_program(program))
    }

    fn unload(&mut self) {
        self.program = Arc::default();
        self.buffers.clear();
        self.bound.clear();
    }

    fn upload(&mut self, samples: Arc<Samples>) -> Pending<'_, DataId> {
        self.guest().scoped(async move {
            let data = self.upload_samples(&samples).await?;
            let id = DataId(self.uploads);
            self.uploads += 1;
            self.data.insert(id, data);
            Ok(id)
        })
    }

    fn forget(&mut self, data: DataId) {
        self.data.remove(&data);
        self.bound.retain(|(_, bound), _| *bound != data);
    }

    fn write<'a>(&'a mut self, tensor: TensorId, values: Values<'a>) -> Pending<'a> {
        self.guest().scoped(self.write_tensor(tensor, values))
    }

    fn prepare(&mut self, data: DataId) -> Pending<'_> {
        self.guest().scoped(async move {
            let bound = self.bind(0..self.program.ops.len(), data).await;
            // The device's own error says more.
            self.health.check()?;
            bound
        })
    }

    fn run<'a>(&'a mut self, ops: Range<usize>, data: DataId, steps: &'a [Step]) -> Pending<'a> {
        self.guest().scoped(async move {
            self.make_ready(ops.clone(), data, steps).await?;
            self.submit_all(ops, data, steps).await?;
            self.health.check()
        })
    }

    fn op_seconds<'a>(
        &'a mut self,
        ops: Range<usize>,
        data: DataId,
        steps: &'a [Step],
    ) -> Pending<'a, Vec<Vec<f64>>> {
        self.guest().scoped(self.timed_steps(ops, data, steps))
    }

    fn read<'a>(&'a mut self, tensor: TensorId, values: ValuesMut<'a>) -> Pending<'a> {
        self.guest().scoped(self.read_tensor(tensor, values))
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}

impl Gpu {
    /// Checks the arguments of a run, and binds its launches.
    async fn make_ready(&mut self, ops: Range<usize>, data: DataId, steps: &[Step]) -> Result<()> {
        let Some(DeviceData { shape, .. }) = self.data.get(&data) else {
            return Err(check::forgotten());
        };
        check::run(&self.program, &ops, *shape, steps)?;
        let bound = self.bind(ops, data).await;
        // The device's own error says more.
        self.health.check()?;
        bound.map(|_| ())
    }
}

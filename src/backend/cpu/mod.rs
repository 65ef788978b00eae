//! The CPU backend, in f32 or f64: the fallback for machines without a GPU, and the reference.

mod embed;
mod half;
mod inputs;
mod layers;
mod memory;
mod net_memory;
mod norm;
mod ops;
mod packed;
mod partial;
mod taken;
mod team;
#[cfg(test)]
mod tests;
mod update;
mod whole_net;

use super::check::{self, RowShape};
use super::{Backend, DataId, DeviceInfo, Pending, Values, ValuesMut, mebibytes};
use crate::base::error::{Error, Result};
use crate::base::system_memory;
use crate::data::Samples;
use crate::kernels::Step;
use crate::kernels::fused::whole_net::Reach;
use crate::kernels::tensor::TensorId;
use crate::math::gemm::Gemm;
use crate::plan::Traits;
use crate::plan::program::{Op, Program};
use inputs::{Inputs, Zeros};
use memory::{Shared, Span};
use net_memory::NetMemory;
use packed::Packed;
use partial::Partial;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use team::Team;

/// Runs programs on the CPU in precision `T`.
///
/// Work is cut into pieces by the shape alone, so that results don't depend on the number of
/// threads.
#[derive(Debug)]
pub struct Cpu<T> {
    info: DeviceInfo,
    team: Team,
    program: Arc<Program>,
    nets: Vec<NetMemory<T>>,
    data: HashMap<DataId, Data>,
    /// Uploads so far.
    uploads: usize,
    /// Operations from which on a step is shared out.
    worth_a_team: f64,
    /// Whether the last pass over rows left gradients in chunks.
    in_chunks: bool,
}

/// An uploaded data set.
#[derive(Debug)]
struct Data {
    samples: Arc<Samples>,
    shape: RowShape,
    /// Whether products should look for zeros in its features.
    sparse: bool,
}

/// The state of the fused ops besides the program's tensors.
#[derive(Debug, Clone, Copy)]
struct Caches<'a, T> {
    packed: &'a Packed<T>,
    /// Where a step adds up the gradients of the chunks of its batch, if it can.
    partial: Option<&'a Partial<T>>,
    /// Where a step has each thread's own inputs, if it can.
    inputs: Option<&'a Inputs<T>>,
    /// X, if it has so many zeros that products should look for them.
    sparse: Option<TensorId>,
}

impl<'a, T: Gemm> Caches<'a, T> {
    /// The location of a tensor for the thread with number `thread`: its own copy, or the
    /// program's.
    fn span(&self, memory: &'a Shared<'_, T>, tensor: TensorId, thread: usize) -> Span<'a, T> {
        let own = self.inputs.and_then(|inputs| inputs.of(tensor, thread));
        own.unwrap_or_else(|| memory.span(tensor))
    }

    /// Whether a product should look for zeros in a tensor.
    fn is_sparse(&self, tensor: TensorId) -> bool {
        self.sparse == Some(tensor)
    }
}

/// Below this, a step is done sooner by one thread than shared out, and the more so where other
/// processes want the processors too.
const FLOPS_WORTH_A_TEAM: f64 = 4e6;

impl<T: Gemm> Cpu<T> {
    /// A backend with `threads` threads, by default one for each processor.
    ///
    /// # Errors
    /// When the threads can't be started.
    pub fn new(threads: Option<usize>) -> Result<Self> {
        let threads = threads
            .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
            .unwrap_or(1);
        let team = Team::new(threads)?;
        let precision = if size_of::<T>() == 4 { "f32" } else { "f64" };
        let plural = if threads == 1 { "" } else { "s" };
        let info = DeviceInfo {
            name: "CPU".into(),
            backend: "cpu".into(),
            detail: format!("{precision}, {} thread{plural}", team.threads()),
        };
        Ok(Cpu {
            info,
            team,
            program: Arc::default(),
            nets: Vec::new(),
            data: HashMap::new(),
            uploads: 0,
            worth_a_team: FLOPS_WORTH_A_TEAM,
            in_chunks: false,
        })
    }
}

/// Whether an op takes the gradients of the whole batch at once, as the pass before it may leave them
/// in chunks.
fn takes_whole_batch(op: &Op, batch: usize) -> bool {
    match op {
        Op::GradientUpdate(_) => true,
        Op::GradientParts(op) => op.rows >= batch,
        _ => false,
    }
}

/// The memory that this machine, or the control group, can give, as far as it tells.
fn available_memory() -> u64 {
    system_memory::available().map_or(isize::MAX as u64, |memory| memory.bytes)
}

impl<T: Gemm> Backend for Cpu<T> {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn traits(&self) -> Traits {
        Traits::Cpu
    }

    fn unload(&mut self) {
        self.program = Arc::default();
        self.nets.clear();
    }

    fn left_out(&self, samples: &Samples) -> f64 {
        let is_fused = |op: &Op| matches!(op, Op::WholeNet(net) if net.from == 0);
        let zeros = Zeros::of(samples);
        match self.program.ops.iter().any(is_fused) && zeros.pay() {
            true => (zeros.of_columns + zeros.of_rows) / 2.0,
            false => 0.0,
        }
    }

    fn forget(&mut self, data: DataId) {
        self.data.remove(&data);
    }

    fn load(&mut self, program: Arc<Program>) -> Pending<'_> {
        Box::pin(async { self.load_program(program) })
    }

    fn upload(&mut self, samples: Arc<Samples>) -> Pending<'_, DataId> {
        Box::pin(async { self.take_in(samples) })
    }

    fn write<'a>(&'a mut self, tensor: TensorId, values: Values<'a>) -> Pending<'a> {
        Box::pin(async move { self.write_tensor(tensor, values) })
    }

    fn run<'a>(&'a mut self, ops: Range<usize>, data: DataId, steps: &'a [Step]) -> Pending<'a> {
        Box::pin(async move { self.run_ops(ops, data, steps) })
    }

    fn host_mut(&mut self, tensor: TensorId) -> Option<&mut [f32]> {
        let [net] = &mut self.nets[..] else { return None };
        self.program.tensors.get(tensor.0)?;
        if size_of::<T>() != size_of::<f32>() {
            return None;
        }
        net.in_place(&self.program, tensor).map(bytemuck::cast_slice_mut)
    }

    fn read<'a>(&'a mut self, tensor: TensorId, values: ValuesMut<'a>) -> Pending<'a> {
        Box::pin(async move { self.read_tensor(tensor, values) })
    }
}

impl<T: Gemm> Cpu<T> {
    /// Implements [`Backend::load`].
    fn load_program(&mut self, program: Arc<Program>) -> Result<()> {
        program.check()?;
        check::constants(&program)?;
        let (needed, available) = (program.bytes(size_of::<T>()), available_memory());
        if needed > available {
            let (needed, available) = (mebibytes(needed), mebibytes(available));
            return Err(Error::device(format!(
                "the run needs {needed}, but only {available} of memory is available"
            ))
            .help("choose a smaller --batch-size or smaller --layers"));
        }
        let threads = self.team.threads();
        self.nets = (0..program.nets).map(|_| NetMemory::new(&program, threads)).collect();
        for net in &mut self.nets {
            program.constants.iter().for_each(|(id, values)| net.write(&program, *id, values));
        }
        self.program = program;
        Ok(())
    }

    /// What [`Backend::upload`] promises.
    fn take_in(&mut self, samples: Arc<Samples>) -> Result<DataId> {
        let shape = RowShape::of(&samples)?;
        let id = DataId(self.uploads);
        self.uploads += 1;
        let sparse = Zeros::of(&samples).pay();
        self.data.insert(id, Data { samples, shape, sparse });
        Ok(id)
    }

    /// What [`Backend::write`] promises.
    fn write_tensor(&mut self, tensor: TensorId, values: Values<'_>) -> Result<()> {
        check::transfer(&self.program, tensor, values.len())?;
        let (program, of_net) = (&self.program, self.program.len(tensor).max(1));
        let nets = self.nets.iter_mut();
        match values {
            Values::F32(v) => {
                nets.zip(v.chunks(of_net)).for_each(|(net, v)| net.write(program, tensor, v));
            }
            Values::F64(v) => {
                nets.zip(v.chunks(of_net)).for_each(|(net, v)| net.write(program, tensor, v));
            }
        }
        Ok(())
    }

    /// What [`Backend::run`] promises.
    fn run_ops(&mut self, ops: Range<usize>, data: DataId, steps: &[Step]) -> Result<()> {
        let Some(Data { samples, shape, sparse }) = self.data.get(&data) else {
            return Err(check::forgotten());
        };
        check::run(&self.program, &ops, *shape, steps)?;
        let rows = steps.iter().map(|step| step.rows as usize).max().unwrap_or(0);
        let each = self.program.ops[ops.clone()].iter();
        let flops: f64 = each.map(|op| self.program.flops(op, rows)).sum();
        // Which threads do the work changes no result.
        let threads = if flops < self.worth_a_team { 1 } else { self.team.threads() };
        // Gradients are added up in the pass over rows where the step that takes them follows; the rest of the step
        // may be another run.
        let run = &self.program.ops[ops.clone()];
        let passes = run.iter().any(
            |op| matches!(op, Op::WholeNet(net) if net.reach() == Reach::Deltas && net.from == 0),
        );
        let batch = self.program.batch;
        let updates = run.iter().any(|op| takes_whole_batch(op, batch));
        if passes {
            self.in_chunks = updates;
        }
        let whole = self.in_chunks && updates;
        let x = self.program.ops.iter().find_map(|op| match op {
            Op::WholeNet(net) => Some(net.x),
            _ => None,
        });
        let sparse = x.filter(|_| *sparse);
        // Ops that change weights and don't keep the packed ones up to date.
        let changes = run.iter().any(|op| {
            matches!(
                op,
                Op::Update { .. }
                    | Op::Combine { .. }
                    | Op::SumUpdate(_)
                    | Op::Backward(_)
                    | Op::Swap { .. }
            )
        });
        for net in &mut self.nets {
            let NetMemory { buffers, packed, partial, inputs } = net;
            let memory = Shared::new(&self.program, buffers);
            let partial = partial.as_ref().filter(|_| whole);
            let inputs = inputs.as_ref().filter(|_| whole);
            let caches = Caches { packed, partial, inputs, sparse };
            self.team.run(threads, |worker| {
                if !packed.fresh {
                    packed.all(&memory, worker);
                }
                for (i, step) in steps.iter().enumerate() {
                    if changes && i > 0 {
                        packed.all(&memory, worker);
                    }
                    for op in run {
                        ops::run(op, samples, step, &memory, caches, worker);
                    }
                }
            });
            packed.fresh = !changes;
        }
        Ok(())
    }

    /// What [`Backend::read`] promises.
    fn read_tensor(&mut self, tensor: TensorId, values: ValuesMut<'_>) -> Result<()> {
        check::transfer(&self.program, tensor, values.len())?;
        let (program, of_net) = (&self.program, self.program.len(tensor).max(1));
        let nets = self.nets.iter();
        match values {
            ValuesMut::F32(v) => {
                nets.zip(v.chunks_mut(of_net)).for_each(|(net, v)| net.read(program, tensor, v));
            }
            ValuesMut::F64(v) => {
                nets.zip(v.chunks_mut(of_net)).for_each(|(net, v)| net.read(program, tensor, v));
            }
        }
        Ok(())
    }
}

//! The GPU backend on wgpu: Vulkan, Metal and DX12.
//!
//! Programs, data sets and parameters live on the device. Many steps are encoded into one compute
//! pass and one submission; what differs between them lies in a buffer of steps, one slot each,
//! chosen by a dynamic offset. Nothing is read back unless [`Backend::read`] asks for it.

mod adapter;
mod cache;
mod half;
mod memory;
mod pipeline;
mod tune;

pub use adapter::{AdapterSummary, adapters};

use super::{Backend, DataId, DeviceInfo, Traffic, Values, ValuesMut, check_length, forgotten};
use crate::data::{Features, Samples, Storage, Targets};
use crate::error::Result;
use crate::kernels::mixed::{MixedTuning, Multiplier};
use crate::kernels::tile::Tuning;
use crate::kernels::{Access, Arg, Launch, Step, dense, fused};
use crate::plan::Fusion;
use crate::precision::Precision;
use crate::program::Program;
use crate::spec::Spec;
use crate::tensor::{Extent, TensorId};
use adapter::{Health, Wanted};
use cache::Cache;
use pipeline::{Bound, Pipelines};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wgpu::Limits;

/// Bytes between two slots of the buffer of steps: the offset alignment of every adapter.
const SLOT: usize = 256;
/// Steps that the buffer holds: the most in one submission.
const SLOTS: usize = 256;
/// Submissions that may be under way.
const IN_FLIGHT: usize = 3;
/// What a submission should take, in seconds: far from the two after which Windows resets a GPU.
const SUBMISSION_SECONDS: f64 = 0.1;
/// Words that are written at a time.
const PIECE_WORDS: usize = 1 << 24;
/// The work of the first submissions, in floating-point operations, unless a step has more.
const FIRST_SUBMISSION: f64 = 4e9;

/// Runs programs on a wgpu device.
pub struct Gpu {
    info: DeviceInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    limits: Limits,
    health: Health,
    pipelines: Pipelines,
    steps: wgpu::Buffer,
    steps_bound: wgpu::BindGroup,
    /// What bindings that a variant doesn't touch refer to: one to read, one to write.
    unused: [wgpu::Buffer; 2],
    /// The tiles that were measured, in this run and before.
    tuning: Tuning,
    cache: Option<Cache>,
    /// Whether tiles are measured: for programs with much work, or for all.
    measures: bool,
    measures_all: bool,
    /// How long they were measured in this run.
    measured_for: Duration,
    /// The adapter's number, and whether shaders are checked, where the backend opened it itself.
    opened_as: Option<(usize, bool)>,
    /// What can multiply in f16, if the device was made for that.
    multipliers: Vec<Multiplier>,
    program: Arc<Program>,
    buffers: Vec<wgpu::Buffer>,
    data: HashMap<DataId, DeviceData>,
    /// Uploads so far.
    uploads: usize,
    /// The launches of an op on a data set.
    bound: HashMap<(usize, DataId), Vec<Bound>>,
    /// Submissions that may not be done yet, with their steps.
    under_way: VecDeque<(wgpu::SubmissionIndex, usize)>,
    last_done: Option<Instant>,
    /// Steps in a submission; follows the time that they take.
    steps_per_submission: usize,
    traffic: Traffic,
}

/// A data set on the device.
#[derive(Clone)]
struct DeviceData {
    storage: Storage,
    features: wgpu::Buffer,
    affine: wgpu::Buffer,
    targets: wgpu::Buffer,
    weights: wgpu::Buffer,
}

impl Gpu {
    /// Opens adapter `index` of [`adapters`]. Shaders check every access at run time where
    /// `WGRAD_CHECKED_SHADERS` is 1.
    ///
    /// # Errors
    /// When there is no such adapter, or it can't be opened.
    pub fn open(index: usize) -> Result<Self> {
        let checked = std::env::var("WGRAD_CHECKED_SHADERS").is_ok_and(|value| value == "1");
        Self::open_with(index, checked)
    }

    /// The same, with the shaders `checked` or not.
    ///
    /// # Errors
    /// When there is no such adapter, or it can't be opened.
    pub fn open_with(index: usize, checked: bool) -> Result<Self> {
        Self::open_for(index, checked, Wanted::Single)
    }

    /// The same, for what is `wanted`.
    fn open_for(index: usize, checked: bool, wanted: Wanted) -> Result<Self> {
        let adapter::Opened { device, queue, info: adapter, multipliers } =
            adapter::open(index, wanted)?;
        let cache = Cache::of(&adapter);
        let subgroups = adapter::subgroup_size(&device, &adapter);
        let info = DeviceInfo {
            backend: adapter.backend.to_string(),
            detail: adapter::driver(&adapter),
            name: adapter.name,
        };
        let mut gpu = Self::new(device, queue, info, cache, checked)?;
        gpu.measures = adapter.device_type != wgpu::DeviceType::Cpu;
        gpu.opened_as = Some((index, checked));
        gpu.multipliers = multipliers;
        gpu.pipelines.reduce_by(subgroups);
        Ok(gpu)
    }

    /// Opens the adapter anew for what is `wanted`, where the backend opened it itself; programs and rows
    /// are gone.
    fn open_again(&mut self, wanted: Wanted) -> Result<()> {
        let Some((index, checked)) = self.opened_as else { return Ok(()) };
        let mut opened = Self::open_for(index, checked, wanted)?;
        opened.pipelines.reduce_by(self.pipelines.subgroups());
        let Gpu { measures, measures_all, measured_for, .. } = *self;
        let tuning = std::mem::take(&mut self.tuning);
        *self = Gpu { measures, measures_all, measured_for, tuning, ..opened };
        Ok(())
    }

    /// A backend on a device that the program has already; `name` is what users are shown.
    ///
    /// The device is used within its own limits and needs no optional feature; nets are trained in
    /// f16 on it where it was made with `SHADER_F16`. Its handlers for
    /// uncaptured errors and for the loss of the device are replaced.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue, name: &str) -> Result<Self> {
        let info = DeviceInfo {
            name: name.into(),
            backend: "wgpu".into(),
            detail: "a device handed in".into(),
        };
        Self::new(device, queue, info, None, false)
    }

    /// Takes tiles from `tuning`, from the next program on, and measures none. They change no
    /// result.
    pub fn set_tuning(&mut self, tuning: Tuning) {
        self.tuning = tuning;
        self.measures = false;
    }

    /// Measures the fastest tiles of the next programs before their first step, however little work
    /// their steps are and however long it takes.
    pub fn measure_tiles(&mut self) {
        self.measures = true;
        self.measures_all = true;
    }

    /// Leaves reductions to barriers from the next program on, also where the adapter has subgroups.
    /// That changes no result.
    pub fn without_subgroups(&mut self) {
        self.pipelines.reduce_by(None);
    }

    /// The tiles that were measured.
    #[must_use]
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        info: DeviceInfo,
        cache: Option<Cache>,
        checked: bool,
    ) -> Result<Self> {
        let usage = wgpu::BufferUsages::COPY_DST;
        let slots = (SLOT * SLOTS) as u64;
        let steps = memory::create(&device, "steps", slots, usage | wgpu::BufferUsages::UNIFORM)?;
        let unused = || memory::create(&device, "unused", 16, usage | wgpu::BufferUsages::STORAGE);
        let unused = [unused()?, unused()?];
        let tuning = cache.as_ref().map_or_else(Tuning::default, Cache::tuning);
        let pipelines = Pipelines::new(&device, cache.clone(), checked);
        let steps_bound = pipelines.bind_steps(&device, &steps);
        Ok(Gpu {
            info,
            limits: device.limits(),
            health: Health::watch(&device),
            pipelines,
            steps,
            steps_bound,
            unused,
            tuning,
            cache,
            measures: false,
            measures_all: false,
            measured_for: Duration::ZERO,
            opened_as: None,
            multipliers: match device.features().contains(wgpu::Features::SHADER_F16) {
                true => vec![Multiplier::Fma],
                false => vec![],
            },
            program: Arc::default(),
            buffers: Vec::new(),
            data: HashMap::new(),
            uploads: 0,
            bound: HashMap::new(),
            under_way: VecDeque::new(),
            last_done: None,
            steps_per_submission: 1,
            traffic: Traffic::default(),
            device,
            queue,
        })
    }

    /// The most bytes that one binding may have; the shaders count them in 32 bits.
    fn largest_binding(&self) -> u64 {
        let Limits { max_storage_buffer_binding_size, max_buffer_size, .. } = self.limits;
        max_storage_buffer_binding_size.min(max_buffer_size).min(u32::MAX.into())
    }

    /// A buffer of the data set with these bytes in it.
    fn upload_bytes(&self, what: &str, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let size = bytes.len() as u64;
        memory::check("max_storage_buffer_binding_size", what, size, self.largest_binding())?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let buffer = memory::create(&self.device, what, size, usage)?;
        let (whole, rest) = bytes.split_at(bytes.len() / 4 * 4);
        // In pieces, so that no second copy of the data set waits in host memory.
        for (i, piece) in whole.chunks(4 * PIECE_WORDS).enumerate() {
            self.queue.write_buffer(&buffer, (4 * i * PIECE_WORDS) as u64, piece);
            self.queue.submit([]);
        }
        if !rest.is_empty() {
            let mut word = [0; 4];
            word[..rest.len()].copy_from_slice(rest);
            self.queue.write_buffer(&buffer, whole.len() as u64, &word);
        }
        Ok(buffer)
    }

    /// What a binding refers to.
    fn argument(&self, arg: Arg, access: Access, data: &DeviceData) -> Argument {
        let part = |tensor: TensorId, start: usize, len: usize| {
            let t = self.program.tensor(tensor);
            let element = t.precision.bytes();
            Argument {
                buffer: self.buffers[t.buffer].clone(),
                offset: (element * (t.offset + start)) as u64,
                // Tensors are padded, and a vec4 is the largest element.
                size: wgpu::BufferSize::new((element * len).next_multiple_of(16) as u64),
            }
        };
        let whole =
            |buffer: &wgpu::Buffer| Argument { buffer: buffer.clone(), offset: 0, size: None };
        match arg {
            Arg::Tensor(tensor) => part(tensor, 0, self.program.len(tensor)),
            Arg::Part(tensor, start, len) => part(tensor, start, len),
            Arg::Features => whole(&data.features),
            Arg::Affine => whole(&data.affine),
            Arg::Targets => whole(&data.targets),
            Arg::Weights => whole(&data.weights),
            // A buffer can't be bound for reading and for writing in the same launch.
            Arg::Unused => whole(&self.unused[usize::from(access == Access::ReadWrite)]),
        }
    }

    /// Makes the launches of `ops` on `data` ready, once.
    fn bind(&mut self, ops: Range<usize>, data: DataId) -> Result<()> {
        let program = self.program.clone();
        let Some(rows) = self.data.get(&data).cloned() else { return Err(forgotten()) };
        let largest = (self.largest_binding() / 4) as usize;
        for op in ops {
            if self.bound.contains_key(&(op, data)) {
                continue;
            }
            let mut bound = Vec::new();
            for launch in program.launches(&program.ops[op], rows.storage, largest, &self.tuning) {
                bound.push(self.bind_launch(&launch, &rows)?);
            }
            self.bound.insert((op, data), bound);
        }
        self.pipelines.keep();
        Ok(())
    }

    /// Makes a launch on `data` ready.
    fn bind_launch(&mut self, launch: &Launch, data: &DeviceData) -> Result<Bound> {
        let bindings = launch.args.iter().zip(launch.kernel.bindings);
        let arguments: Vec<_> =
            bindings.map(|(arg, b)| self.argument(*arg, b.access, data)).collect();
        self.pipelines.bind(&self.device, &self.queue, launch, &arguments)
    }

    /// Rows for launches that read none.
    fn no_data(&self) -> DeviceData {
        let storage = Storage::default();
        let nothing = || self.unused[0].clone();
        DeviceData {
            storage,
            features: nothing(),
            affine: nothing(),
            targets: nothing(),
            weights: nothing(),
        }
    }

    /// Encodes and submits as many steps as fit into one submission.
    fn submit(&mut self, ops: Range<usize>, data: DataId, steps: &[Step]) {
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
    fn throttle(&mut self) -> Result<()> {
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

/// What a binding refers to: all of a buffer, or `size` bytes from `offset` on.
struct Argument {
    buffer: wgpu::Buffer,
    offset: u64,
    size: Option<wgpu::BufferSize>,
}

impl Backend for Gpu {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn fusion(&self, spec: &Spec, batch: usize) -> Fusion {
        if fused::fits(spec, batch, self.largest_binding()) {
            Fusion::Rows
        } else if dense::fits(spec, batch, self.largest_binding()) {
            Fusion::Layers
        } else {
            Fusion::None
        }
    }

    fn open_mixed(&mut self) -> Result<Vec<Multiplier>> {
        if self.multipliers.is_empty() {
            self.open_again(Wanted::Matrices)?;
        }
        match self.multipliers.is_empty() {
            true => Err(adapter::no_f16(&self.info.name)),
            false => Ok(self.multipliers.clone()),
        }
    }

    fn multiply_by(&mut self, multiplier: Multiplier) {
        self.tuning.mixed.multiplier = multiplier;
    }

    fn multiply_in(&mut self, block: Option<usize>) {
        self.tuning.mixed.forced = block;
    }

    fn without_matrices(&mut self) -> Result<()> {
        self.open_again(Wanted::Half)?;
        self.tuning.mixed = MixedTuning {
            multiplier: Multiplier::Fma,
            forced: None,
            ..std::mem::take(&mut self.tuning.mixed)
        };
        Ok(())
    }

    fn load(&mut self, program: Arc<Program>) -> Result<()> {
        program.check()?;
        let all = Storage::default();
        let largest = self.largest_binding();
        for op in &program.ops {
            for launch in program.launches(op, all, (largest / 4) as usize, &self.tuning) {
                for arg in &launch.args {
                    if let Arg::Tensor(id) = arg {
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
        }
        let routines = &program.routines;
        let longest = [&routines.step, &routines.evaluate].map(|routine| {
            let ops = program.ops[routine.clone()].iter();
            ops.map(|op| program.flops(op, program.batch)).sum::<f64>()
        });
        let flops = longest[0].max(longest[1]);
        self.steps_per_submission = (FIRST_SUBMISSION / flops.max(1.0)).clamp(1.0, 16.0) as usize;
        self.bound.clear();
        self.buffers.clear();
        for (i, &len) in program.buffers.iter().enumerate() {
            let first = program.tensors.iter().find(|t| t.buffer == i);
            let what = first.map_or("an empty buffer", |t| t.name.as_str());
            let usage = wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_DST
                | wgpu::BufferUsages::COPY_SRC;
            let bytes = (len as u64).saturating_mul(program.precision(i).bytes() as u64);
            self.buffers.push(memory::create(&self.device, what, bytes, usage)?);
        }
        self.program = program.clone();
        if self.measures && (self.measures_all || tune::is_worth_it(&program)) && self.tune()? {
            self.pipelines.keep();
            if let Some(cache) = &self.cache {
                cache.keep_tuning(&self.tuning);
            }
        }
        program.constants.iter().try_for_each(|(id, values)| self.write(*id, Values::F32(values)))
    }

    fn upload(&mut self, samples: Arc<Samples>) -> Result<DataId> {
        let features = match &*samples.features {
            Features::U8(m) => self.upload_bytes("the feature rows", m.data()),
            Features::F32(m) => {
                self.upload_bytes("the feature rows", bytemuck::cast_slice(m.data()))
            }
        }?;
        let (shift, scale) = (&samples.affine.shift, &samples.affine.scale);
        let affine: Vec<[f32; 2]> = shift.iter().zip(scale).map(|(&a, &b)| [a, b]).collect();
        let affine = self.upload_bytes("the scaling", bytemuck::cast_slice(&affine))?;
        let targets = match &samples.targets {
            Some(Targets::Classes { labels, .. }) => bytemuck::cast_slice(labels),
            Some(Targets::Numbers(m) | Targets::Labels { values: m, .. }) => {
                bytemuck::cast_slice(m.data())
            }
            None => &[],
        };
        let targets = self.upload_bytes("the targets", targets)?;
        let weights = bytemuck::cast_slice(samples.weights.as_deref().unwrap_or_default());
        let weights = self.upload_bytes("the weights of rows", weights)?;
        let data = DeviceData { storage: samples.storage(), features, affine, targets, weights };
        let id = DataId(self.uploads);
        self.uploads += 1;
        self.data.insert(id, data);
        Ok(id)
    }

    fn forget(&mut self, data: DataId) {
        self.data.remove(&data);
        self.bound.retain(|(_, bound), _| *bound != data);
    }

    fn write(&mut self, tensor: TensorId, values: Values<'_>) -> Result<()> {
        check_length(&self.program, tensor, values.len())?;
        let t = self.program.tensor(tensor);
        let (buffer, offset) = (&self.buffers[t.buffer], 4 * t.offset as u64);
        let mut rounded = Vec::new();
        let values = match values {
            Values::F32(values) => values,
            Values::F64(values) => {
                rounded.extend(values.iter().map(|&x| x as f32));
                &rounded
            }
        };
        if t.precision == Precision::F16 {
            return half::write(&self.device, &self.queue, buffer, t.offset, values);
        }
        for (i, piece) in values.chunks(PIECE_WORDS).enumerate() {
            let offset = offset + 4 * (i * PIECE_WORDS) as u64;
            self.queue.write_buffer(buffer, offset, bytemuck::cast_slice(piece));
            if values.len() > PIECE_WORDS {
                self.queue.submit([]);
            }
        }
        Ok(())
    }

    fn run(&mut self, ops: Range<usize>, data: DataId, steps: &[Step]) -> Result<()> {
        self.bind(ops.clone(), data)?;
        let mut rest = steps;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.steps_per_submission));
            self.submit(ops.clone(), data, now);
            self.throttle()?;
            rest = later;
        }
        self.health.check()
    }

    fn read(&mut self, tensor: TensorId, values: ValuesMut<'_>) -> Result<()> {
        let len = values.len();
        check_length(&self.program, tensor, len)?;
        let t = self.program.tensor(tensor);
        let (buffer, offset) = (&self.buffers[t.buffer], 4 * t.offset as u64);
        let (device, queue) = (&self.device, &self.queue);
        match values {
            ValuesMut::F32(values) if t.precision == Precision::F16 => {
                half::read(device, queue, buffer, t.offset, len, |i, x| values[i] = x)
            }
            ValuesMut::F64(values) if t.precision == Precision::F16 => {
                half::read(device, queue, buffer, t.offset, len, |i, x| values[i] = x.into())
            }
            ValuesMut::F32(values) => {
                memory::read(&self.device, &self.queue, buffer, offset, len, |first, piece| {
                    values[first..first + piece.len()].copy_from_slice(piece);
                })
            }
            ValuesMut::F64(values) => {
                memory::read(&self.device, &self.queue, buffer, offset, len, |first, piece| {
                    values[first..].iter_mut().zip(piece).for_each(|(v, &x)| *v = x.into());
                })
            }
        }?;
        self.traffic.bytes_read += (self.program.tensor(tensor).precision.bytes() * len) as u64;
        self.under_way.clear();
        self.last_done = None;
        self.health.check()
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}

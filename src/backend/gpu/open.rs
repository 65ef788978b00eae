//! Opening a device, and its settings.

use super::adapter::{self, Health, Wanted};
use super::answers::Answers;
use super::cache::Cache;
use super::pipeline::Pipelines;
use super::scopes::Guest;
use super::submit::{SLOT, SLOTS, UnderWay};
use super::{Gpu, memory};
use crate::backend::{DeviceInfo, Traffic};
use crate::base::error::Result;
use crate::base::wait::BlockOn as _;
use crate::kernels::mixed::Multiplier;
use crate::kernels::products::tile::Tuning;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

impl Gpu {
    /// Opens adapter `index` of [`super::adapters`]. Shaders check every access at run time if
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
        Self::open_for(index, checked, Wanted::Single).block_on()
    }

    /// The same, for what is `wanted`.
    async fn open_for(index: usize, checked: bool, wanted: Wanted) -> Result<Self> {
        let adapter::Opened { device, queue, info: adapter, multipliers } =
            adapter::open(index, wanted).await?;
        let cache = Cache::of(&adapter);
        let subgroups = adapter::subgroup_size(&device, &adapter);
        let registers = adapter::registers(&adapter);
        let by_fxc = adapter::is_compiled_by_fxc(&adapter);
        let info = DeviceInfo {
            backend: adapter.backend.to_string(),
            detail: adapter::driver(&adapter),
            name: adapter.name,
        };
        let health = Health::watch(&device);
        let mut gpu = Self::new(device, queue, info, cache, checked, health).await?;
        gpu.measures = adapter.device_type != wgpu::DeviceType::Cpu;
        gpu.opened_as = Some((index, checked));
        gpu.multipliers = multipliers;
        gpu.compiles_whole_nets = !by_fxc;
        gpu.tuning.registers = registers;
        gpu.pipelines.reduce_by(subgroups);
        Ok(gpu)
    }

    /// Reopens the adapter for what is `wanted`, if the backend opened it itself; programs and rows
    /// are dropped.
    pub(super) async fn open_again(&mut self, wanted: Wanted) -> Result<()> {
        let Some((index, checked)) = self.opened_as else { return Ok(()) };
        let mut opened = Self::open_for(index, checked, wanted).await?;
        opened.pipelines.reduce_by(self.pipelines.subgroups());
        let Gpu { measures, measures_all, measured_for, .. } = *self;
        let tuning = std::mem::take(&mut self.tuning);
        *self = Gpu { measures, measures_all, measured_for, tuning, ..opened };
        Ok(())
    }

    /// A backend on a device that the program already has; `name` is its name for users.
    ///
    /// The device is used within its own limits and needs no optional feature; nets can be trained in
    /// f16 on it if it was created with `SHADER_F16`. Its uncaptured-error and device-lost handlers
    /// are not replaced: errors are caught by error scopes, and returned by the call that caused them.
    /// The loss of the device is reported by the next call that reads from it.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue, name: &str) -> Result<Self> {
        let info = DeviceInfo {
            name: name.into(),
            backend: "wgpu".into(),
            detail: "the caller's device".into(),
        };
        let (health, on) = (Health::default(), device.clone());
        let made = Self::new(device, queue, info, None, false, health.clone());
        let gpu = Guest::of(on, health).scoped(made).block_on()?;
        Ok(Gpu { is_guest: true, ..gpu })
    }

    /// Uses the tiles of `tuning`, from the next program on, and measures none. They don't change
    /// results.
    pub fn set_tuning(&mut self, tuning: Tuning) {
        self.tuning = tuning;
        self.measures = false;
    }

    /// Measures the fastest tiles of the next programs before their first step, however small
    /// their steps are and however long it takes.
    pub fn measure_tiles(&mut self) {
        self.measures = true;
        self.measures_all = true;
    }

    /// Uses barriers for reductions from the next program on, even if the adapter has subgroups.
    /// That doesn't change results.
    pub fn without_subgroups(&mut self) {
        self.pipelines.reduce_by(None);
    }

    /// Assumes subgroups of 64 invocations from the next program on, so that smaller ones count as
    /// partial, which doesn't change results: for tests. Returns whether the adapter has smaller ones.
    #[doc(hidden)]
    pub fn take_subgroups_for_partial(&mut self) -> bool {
        let are_smaller = self.pipelines.subgroups().is_some_and(|size| size < 64);
        if are_smaller {
            self.pipelines.reduce_by(Some(64));
        }
        are_smaller
    }

    /// The size of all subgroups, if reductions use them.
    #[must_use]
    pub fn subgroup_size(&self) -> Option<u32> {
        self.pipelines.subgroups()
    }

    /// The tiles that were measured.
    #[must_use]
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    async fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        info: DeviceInfo,
        cache: Option<Cache>,
        checked: bool,
        health: Health,
    ) -> Result<Self> {
        let usage = wgpu::BufferUsages::COPY_DST;
        let slots = (SLOT * SLOTS) as u64;
        let steps =
            memory::create(&device, "steps", slots, usage | wgpu::BufferUsages::UNIFORM).await?;
        let unused = || memory::create(&device, "unused", 16, usage | wgpu::BufferUsages::STORAGE);
        let unused = [unused().await?, unused().await?];
        let tuning = cache.as_ref().map_or_else(Tuning::default, Cache::tuning);
        let pipelines = Pipelines::new(&device, cache.clone(), checked);
        let steps_bound = pipelines.bind_steps(&device, &steps);
        Ok(Gpu {
            info,
            limits: device.limits(),
            health,
            answers: Answers::of(&device, &queue)?,
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
            under_way: UnderWay::default(),
            traffic: Traffic::default(),
            compiles_whole_nets: true,
            is_guest: false,
            device,
            queue,
        })
    }
}

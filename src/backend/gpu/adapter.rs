//! Adapters: which there are, and opening one.

use crate::error::{Error, Result};
use std::sync::{Arc, Mutex, PoisonError};

/// An adapter as shown to users.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct AdapterSummary {
    /// Its number among all adapters.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// Discrete, integrated, virtual or software.
    pub device_type: String,
    /// The driver and its version.
    pub driver: String,
    /// Whether it computes on the CPU.
    pub is_software: bool,
    /// The limits that matter here.
    pub limits: Vec<(&'static str, u64)>,
    /// The optional features that it has.
    pub features: Vec<String>,
}

/// All adapters, the best first: discrete, integrated, virtual, other, software.
#[must_use]
pub fn adapters() -> Vec<AdapterSummary> {
    enumerate().iter().enumerate().map(|(index, adapter)| summarise(index, adapter)).collect()
}

fn enumerate() -> Vec<wgpu::Adapter> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    adapters
}

fn summarise(index: usize, adapter: &wgpu::Adapter) -> AdapterSummary {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    let device_type = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Other => "other",
        wgpu::DeviceType::Cpu => "software",
    };
    let wanted = wgpu::Features::SUBGROUP
        | wgpu::Features::SHADER_F16
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    let features = (adapter.features() & wanted).iter_names().map(|(name, _)| name.to_lowercase());
    AdapterSummary {
        index,
        device_type: device_type.into(),
        driver: driver(&info),
        is_software: info.device_type == wgpu::DeviceType::Cpu,
        limits: vec![
            ("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size),
            ("max_buffer_size", limits.max_buffer_size),
            (
                "max_storage_buffers_per_shader_stage",
                limits.max_storage_buffers_per_shader_stage.into(),
            ),
            (
                "max_compute_invocations_per_workgroup",
                limits.max_compute_invocations_per_workgroup.into(),
            ),
            (
                "max_compute_workgroup_storage_size",
                limits.max_compute_workgroup_storage_size.into(),
            ),
            (
                "max_compute_workgroups_per_dimension",
                limits.max_compute_workgroups_per_dimension.into(),
            ),
        ],
        features: features.collect(),
        backend: info.backend.to_string(),
        name: info.name,
    }
}

/// Driver and version, as far as the adapter tells.
pub(super) fn driver(info: &wgpu::AdapterInfo) -> String {
    let parts: Vec<&str> = [info.driver.as_str(), info.driver_info.as_str()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    if parts.is_empty() { "unknown driver".into() } else { parts.join(" ") }
}

/// Opens adapter `index` of [`adapters`] with all its limits, and those optional features that
/// change no result.
pub(super) fn open(index: usize) -> Result<(wgpu::Device, wgpu::Queue, wgpu::AdapterInfo)> {
    let adapter = enumerate().into_iter().nth(index).ok_or_else(|| {
        Error::device(format!("there is no adapter {index}")).help("list them with wgrad devices")
    })?;
    let info = adapter.get_info();
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("wgrad"),
        required_limits: adapter.limits(),
        required_features: adapter.features()
            & (wgpu::Features::PIPELINE_CACHE | wgpu::Features::SUBGROUP),
        memory_hints: wgpu::MemoryHints::Performance,
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).map_err(|e| {
        Error::device(format!("cannot open {}: {e}", info.name))
            .help("choose another device with --device, or the CPU with --device cpu")
    })?;
    Ok((device, queue, info))
}

/// The invocations of a subgroup, where the device has subgroups and all are of one size that the
/// kernels take.
pub(super) fn subgroup_size(device: &wgpu::Device, adapter: &wgpu::AdapterInfo) -> Option<u32> {
    let size = adapter.subgroup_min_size;
    let fits = size == adapter.subgroup_max_size && [4, 8, 16, 32, 64].contains(&size);
    (device.features().contains(wgpu::Features::SUBGROUP) && fits).then_some(size)
}

/// What went wrong on a device behind the calls that caused it.
#[derive(Debug, Clone, Default)]
pub(super) struct Health(Arc<Mutex<Option<String>>>);

impl Health {
    /// Watches `device` for errors that nothing else reports, and for its loss.
    pub(super) fn watch(device: &wgpu::Device) -> Self {
        let health = Health::default();
        let (on_error, on_loss) = (health.clone(), health.clone());
        device.on_uncaptured_error(Arc::new(move |e| {
            on_error.note(format!("the device reported: {e}"))
        }));
        device.set_device_lost_callback(move |reason, message| {
            // The device of a backend that was dropped is not lost, but done with.
            if reason != wgpu::DeviceLostReason::Destroyed {
                on_loss.note(format!("the device was lost: {message}"));
            }
        });
        health
    }

    /// Keeps the first thing that went wrong: the rest follows from it.
    fn note(&self, what: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }

    /// What went wrong, if anything did.
    pub(super) fn check(&self) -> Result<()> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(what) => Err(Error::failed(what.clone())
                .help("try a smaller --batch-size, another --device, or --device cpu; wgrad verify shows whether the device computes right")),
        }
    }
}

//! Adapters: listing and opening them.

use crate::base::error::{Error, Result};
use crate::base::wait::BlockOn as _;
use crate::kernels::mixed::{Cooperative, Multiplier, SUBGROUP};
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    /// The HLSL compiler, on Direct3D 12.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compiler: Option<HlslCompiler>,
    /// The limits that matter here.
    pub limits: Vec<(&'static str, u64)>,
    /// The optional features that it has.
    pub features: Vec<String>,
}

impl AdapterSummary {
    /// Its name and backend: the same adapter may appear in two backends.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} ({})", self.name, self.backend)
    }

    /// Its identity, with its driver and compiler.
    #[must_use]
    pub fn identity(&self) -> String {
        let compiler = self.compiler.map_or_else(String::new, |compiler| format!(" {compiler:?}"));
        format!("{} {} {}{compiler}", self.backend, self.name, self.driver)
    }
}

/// An HLSL compiler of Direct3D 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HlslCompiler {
    /// In `dxcompiler.dll`: shader model 6 and later.
    Dxc,
    /// In `d3dcompiler_47.dll`, a part of Windows: shader model 5.1, which has neither f16 nor subgroups.
    Fxc,
}

/// All adapters, the best first: discrete, integrated, virtual, other, software.
#[must_use]
pub fn adapters() -> Vec<AdapterSummary> {
    let adapters = enumerate();
    let is_direct3d = |adapter: &wgpu::Adapter| adapter.get_info().backend == wgpu::Backend::Dx12;
    let compiler = adapters.iter().any(is_direct3d).then(hlsl_compiler);
    let summarise = |(index, adapter): (usize, &wgpu::Adapter)| AdapterSummary {
        compiler: compiler.filter(|_| is_direct3d(adapter)),
        ..summarise(index, adapter)
    };
    adapters.iter().enumerate().map(summarise).collect()
}

/// The adapters of some backends. If DXC is required, and not left to wgpu, Direct3D 12 has none
/// without it.
fn enumerate_of(backends: wgpu::Backends, compiler: wgpu::Dx12Compiler) -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    descriptor.backend_options.dx12.shader_compiler = compiler;
    wgpu::Instance::new(descriptor).enumerate_adapters(backends).block_on()
}

/// The compiler that [`wgpu::Dx12Compiler::Auto`] uses if there are adapters of Direct3D 12: wgpu doesn't
/// report it, but an instance that requires DXC has no adapters without `dxcompiler.dll`.
fn hlsl_compiler() -> HlslCompiler {
    let dxc = wgpu::Dx12Compiler::default_dynamic_dxc();
    match enumerate_of(wgpu::Backends::DX12, dxc).is_empty() {
        true => HlslCompiler::Fxc,
        false => HlslCompiler::Dxc,
    }
}

/// Whether an adapter's shaders are compiled by FXC.
pub(super) fn is_compiled_by_fxc(adapter: &wgpu::AdapterInfo) -> bool {
    adapter.backend == wgpu::Backend::Dx12 && hlsl_compiler() == HlslCompiler::Fxc
}

fn enumerate() -> Vec<wgpu::Adapter> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let mut adapters = enumerate_of(backends, wgpu::Dx12Compiler::Auto);
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
        compiler: None,
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

/// Driver and version, if the adapter reports them.
pub(super) fn driver(info: &wgpu::AdapterInfo) -> String {
    let parts: Vec<&str> = [info.driver.as_str(), info.driver_info.as_str()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    if parts.is_empty() { "unknown driver".into() } else { parts.join(" ") }
}

/// The purpose for which an adapter is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Programs in f32.
    Single,
    /// Programs of mixed precision too.
    Half,
    /// The same, with cooperative matrices if the adapter has sizes that the kernels support.
    Matrices,
}

/// An opened adapter.
pub(super) struct Opened {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub info: wgpu::AdapterInfo,
    /// The multipliers in f16, if it was opened for that.
    pub multipliers: Vec<Multiplier>,
}

/// Opens adapter `index` of [`adapters`] with all its limits, those optional features that change no
/// result, and what is `wanted`.
pub(super) async fn open(index: usize, wanted: Wanted) -> Result<Opened> {
    let adapter = enumerate().into_iter().nth(index).ok_or_else(|| {
        Error::device(format!("there is no adapter {index}")).help("list them with wgrad devices")
    })?;
    let info = adapter.get_info();
    let mut descriptor = wgpu::DeviceDescriptor {
        label: Some("wgrad"),
        required_limits: limits(&adapter),
        required_features: adapter.features()
            & (wgpu::Features::PIPELINE_CACHE
                | wgpu::Features::SUBGROUP
                | wgpu::Features::TIMESTAMP_QUERY),
        memory_hints: wgpu::MemoryHints::Performance,
        ..wgpu::DeviceDescriptor::default()
    };
    let mut multipliers = Vec::new();
    if wanted != Wanted::Single {
        if !adapter.features().contains(wgpu::Features::SHADER_F16) {
            return Err(no_f16(&info.name));
        }
        descriptor.required_features |= wgpu::Features::SHADER_F16;
        multipliers.push(Multiplier::Fma);
        if wanted == Wanted::Matrices
            && let Some((device, queue, matrices)) = open_with_matrices(&adapter, &descriptor).await
        {
            multipliers.extend(matrices);
            return Ok(Opened { device, queue, info, multipliers });
        }
    }
    let (device, queue) = adapter.request_device(&descriptor).await.map_err(|e| {
        Error::device(format!("cannot open {}: {e}", info.name))
            .help("choose another device with --device, or the CPU with --device cpu")
    })?;
    Ok(Opened { device, queue, info, multipliers })
}

/// The limits of an adapter, except offset alignments, which are those of the strictest adapter, so that
/// all adapters refuse what would fail there.
fn limits(adapter: &wgpu::Adapter) -> wgpu::Limits {
    let (limits, strictest) = (adapter.limits(), wgpu::Limits::default());
    wgpu::Limits {
        min_uniform_buffer_offset_alignment: limits
            .min_uniform_buffer_offset_alignment
            .max(strictest.min_uniform_buffer_offset_alignment),
        min_storage_buffer_offset_alignment: limits
            .min_storage_buffer_offset_alignment
            .max(strictest.min_storage_buffer_offset_alignment),
        ..limits
    }
}

/// The error for a device whose shaders have no f16.
pub(super) fn no_f16(name: &str) -> Error {
    Error::device(format!("{name} doesn't support f16 in shaders (feature shader-f16)"))
        .help("choose another device, see wgrad devices, or omit --precision f16")
}

/// Opens an adapter with cooperative matrices, if it has sizes that the kernels support. The feature is
/// experimental: if anything goes wrong, the adapter is opened without it.
async fn open_with_matrices(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor<'_>,
) -> Option<(wgpu::Device, wgpu::Queue, Vec<Multiplier>)> {
    let feature = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    let info = adapter.get_info();
    let subgroup = SUBGROUP as u32;
    let is_known = info.subgroup_min_size == subgroup && info.subgroup_max_size == subgroup;
    if !is_known || !adapter.features().contains(feature) {
        return None;
    }
    let matrices: Vec<_> =
        adapter.cooperative_matrix_properties().iter().filter_map(known).collect();
    if matrices.is_empty() {
        return None;
    }
    let descriptor = wgpu::DeviceDescriptor {
        required_features: descriptor.required_features | feature,
        // SAFETY: the kernels that use it keep to the sizes that the adapter names. A run takes them only
        // after a test of what each of them computes (`train::trainer::mixed`).
        experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
        ..descriptor.clone()
    };
    let open = || adapter.request_device(&descriptor);
    let (device, queue) = catch_unwind(AssertUnwindSafe(open)).ok()?.await.ok()?;
    Some((device, queue, matrices))
}

/// The multiplier of square matrices of f16 with f32 sums, if there are kernels for their size.
fn known(matrices: &wgpu::CooperativeMatrixProperties) -> Option<Multiplier> {
    let size = matrices.m_size as usize;
    let is_square = matrices.n_size == matrices.m_size && matrices.k_size == matrices.m_size;
    let (f16, f32) = (wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32);
    let has_types = matrices.ab_type == f16 && matrices.cr_type == f32;
    let has_kernels = Cooperative::ALL.iter().any(|block| block.size == size);
    (is_square && has_types && has_kernels).then_some(Multiplier::Matrices(size))
}

/// The invocations of a subgroup, if the device has subgroups and all have the same size that the
/// kernels support.
pub(super) fn subgroup_size(device: &wgpu::Device, adapter: &wgpu::AdapterInfo) -> Option<u32> {
    // They may still be partial, for which the shaders check: shaders/common/reduce_subgroups.wgsl.
    let size = adapter.subgroup_min_size;
    let fits = size == adapter.subgroup_max_size && [4, 8, 16, 32, 64].contains(&size);
    (device.features().contains(wgpu::Features::SUBGROUP) && fits).then_some(size)
}

/// The most registers that an invocation may use, on a device that has few: AMD's GPUs before RDNA, whose
/// subgroups have 64 invocations, have 256 for each of them. With more than 64, fewer than four
/// subgroups would share a vector unit, too few to hide memory latency.
pub(super) fn registers(adapter: &wgpu::AdapterInfo) -> Option<usize> {
    const AMD: u32 = 0x1002;
    (adapter.vendor == AMD && adapter.subgroup_min_size == 64).then_some(64)
}

/// Errors of a device that are reported after the calls that caused them.
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
            // The device of a dropped backend isn't lost, but released.
            if reason != wgpu::DeviceLostReason::Destroyed {
                on_loss.note_loss(&message);
            }
        });
        health
    }

    /// Keeps the first error: the others follow from it.
    pub(super) fn note(&self, what: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }

    /// Records that the device was lost; calls that fail for that reason may have been reported before.
    pub(super) fn note_loss(&self, message: &str) {
        let what = format!("the device was lost: {message}");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }

    /// Returns the recorded error, if any.
    pub(super) fn check(&self) -> Result<()> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(what) => Err(Error::failed(what.clone())
                .help("try a smaller --batch-size, another --device, or --device cpu; wgrad verify shows whether the device computes correctly")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_held_to_what_the_strictest_adapter_asks_for() {
        if adapters().is_empty() {
            return eprintln!("skipped: no GPU adapter: the limits that a device is opened with");
        }
        let limits = open(0, Wanted::Single).block_on().unwrap().device.limits();
        assert_eq!(limits.min_storage_buffer_offset_alignment, 256);
        assert_eq!(limits.min_uniform_buffer_offset_alignment, 256);
    }
}

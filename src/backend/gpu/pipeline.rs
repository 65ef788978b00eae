//! Pipelines and bind groups: launches that are ready to be encoded.

use super::bind::Argument;
use super::cache::Cache;
use super::memory;
use crate::base::error::{Error, Result};
use crate::kernels::{Access, Grid, Kernel, Launch, Step};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A compiled variant of a kernel.
#[derive(Debug)]
pub(super) struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    arguments: wgpu::BindGroupLayout,
}

/// A launch with its pipeline and bound arguments, encoded for every step.
#[derive(Debug)]
pub(super) struct Bound {
    pipeline: Arc<Pipeline>,
    arguments: wgpu::BindGroup,
    grid: Grid,
    workgroup_size: u32,
}

impl Bound {
    /// Encodes the launch for a batch of `batch` rows; returns whether there was anything to do.
    pub(super) fn encode(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        batch: usize,
        limit: u32,
    ) -> bool {
        let groups = self.grid.groups(batch, self.workgroup_size);
        if groups == 0 {
            return false;
        }
        let [x, y] = fold(groups, limit);
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(1, &self.arguments, &[]);
        pass.dispatch_workgroups(x, y, 1);
        true
    }
}

/// A grid of `groups` workgroups, folded into two dimensions if it exceeds `limit` in one.
fn fold(groups: usize, limit: u32) -> [u32; 2] {
    let x = groups.min(limit as usize);
    [x as u32, groups.div_ceil(x) as u32]
}

/// The name of a kernel with the constants of its variant, as bits.
type Variant = (&'static str, Vec<(&'static str, u64)>);

/// The pipelines of a device, each variant compiled once.
#[derive(Debug)]
pub(super) struct Pipelines {
    steps: wgpu::BindGroupLayout,
    compiled: HashMap<Variant, Arc<Pipeline>>,
    checks: wgpu::ShaderRuntimeChecks,
    /// The invocations of a subgroup, if reductions use subgroups.
    subgroups: Option<u32>,
    /// The driver's pipeline cache, on disk, if the device supports it.
    on_disk: Option<(wgpu::PipelineCache, Cache)>,
    /// Whether there are pipelines that aren't on disk.
    grown: bool,
}

impl Pipelines {
    /// With `checked`, shaders check every access and bound every loop at run time.
    pub(super) fn new(device: &wgpu::Device, cache: Option<Cache>, checked: bool) -> Self {
        let kept = device.features().contains(wgpu::Features::PIPELINE_CACHE);
        let on_disk = cache.filter(|_| kept).map(|cache| {
            let data = cache.pipelines();
            let descriptor = wgpu::PipelineCacheDescriptor {
                label: Some("pipelines"),
                data: data.as_deref(),
                fallback: true,
            };
            // SAFETY: the data are what `get_data` gave on this adapter with this driver: their
            // checksum was right.
            (unsafe { device.create_pipeline_cache(&descriptor) }, cache)
        });
        let checks = match checked {
            true => wgpu::ShaderRuntimeChecks::checked(),
            false => wgpu::ShaderRuntimeChecks::unchecked(),
        };
        let steps = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("step"),
            entries: &[entry(
                0,
                wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Uniform,
                    has_dynamic_offset: true,
                    min_binding_size: wgpu::BufferSize::new(Step::BYTES as u64),
                },
            )],
        });
        Pipelines {
            steps,
            compiled: HashMap::new(),
            checks,
            subgroups: None,
            on_disk,
            grown: false,
        }
    }

    /// Uses subgroups of this many invocations, or barriers, for reductions, from the next prepared launch
    /// on.
    pub(super) fn reduce_by(&mut self, subgroups: Option<u32>) {
        if self.subgroups != subgroups {
            // The code of variants has changed.
            self.compiled.clear();
        }
        self.subgroups = subgroups;
    }

    /// The invocations of a subgroup, if reductions use subgroups.
    pub(super) fn subgroups(&self) -> Option<u32> {
        self.subgroups
    }

    /// The bind group of the steps in `buffer`, each in its own slot.
    pub(super) fn bind_steps(
        &self,
        device: &wgpu::Device,
        buffer: &wgpu::Buffer,
    ) -> wgpu::BindGroup {
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("step"),
            layout: &self.steps,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: 0,
                    size: wgpu::BufferSize::new(Step::BYTES as u64),
                }),
            }],
        })
    }

    /// Prepares a launch; `arguments` are those of its bindings.
    pub(super) async fn bind(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        launch: &Launch,
        arguments: &[Argument],
    ) -> Result<Bound> {
        let pipeline = self.pipeline(device, launch).await?;
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let bytes = launch.uniform.len() as u64;
        let uniform = memory::create(device, launch.kernel.entry, bytes, usage).await?;
        queue.write_buffer(&uniform, 0, &launch.uniform);
        let storage = arguments.iter().map(|a| {
            let (buffer, offset, size) = (&a.buffer, a.offset, a.size);
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
        });
        let resources = std::iter::once(uniform.as_entire_binding()).chain(storage);
        let entries: Vec<_> = (0u32..)
            .zip(resources)
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        let arguments = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.kernel.entry),
            layout: &pipeline.arguments,
            entries: &entries,
        });
        Ok(Bound {
            pipeline,
            arguments,
            grid: launch.grid,
            workgroup_size: launch.kernel.workgroup_size,
        })
    }

    /// Writes the pipeline cache to disk, if it has grown.
    pub(super) fn keep(&mut self) {
        if let (true, Some((pipelines, cache))) = (std::mem::take(&mut self.grown), &self.on_disk)
            && let Some(data) = pipelines.get_data()
        {
            cache.keep_pipelines(&data);
        }
    }

    async fn pipeline(&mut self, device: &wgpu::Device, launch: &Launch) -> Result<Arc<Pipeline>> {
        let constants = launch.overrides.iter().map(|(name, value)| (*name, value.to_bits()));
        match self.compiled.entry((launch.kernel.entry, constants.collect())) {
            Entry::Occupied(found) => Ok(found.get().clone()),
            Entry::Vacant(place) => {
                let on_disk = self.on_disk.as_ref().map(|(pipelines, _)| pipelines);
                let (kernel, overrides) = (launch.kernel, &launch.overrides);
                let text = match self.subgroups {
                    Some(size) => kernel.wgsl_for_subgroups(size),
                    None => kernel.wgsl(),
                };
                let module = wgpu::ShaderSource::Wgsl(text.into());
                let compile = || {
                    let shader = (kernel, module);
                    compile(device, &self.steps, shader, overrides, self.checks, on_disk)
                };
                // Experimental features may panic.
                let pipeline = match catch_unwind(AssertUnwindSafe(compile)) {
                    Ok(compiled) => compiled.await?,
                    Err(_) => return Err(cannot_compile(kernel, "its compiler panicked")),
                };
                self.grown = true;
                Ok(place.insert(Arc::new(pipeline)).clone())
            }
        }
    }
}

/// Compiles a kernel with its constants; returns the compiler's error if the device reports it.
fn compile(
    device: &wgpu::Device,
    steps: &wgpu::BindGroupLayout,
    (kernel, source): (&'static Kernel, wgpu::ShaderSource<'_>),
    constants: &[(&str, f64)],
    checks: wgpu::ShaderRuntimeChecks,
    on_disk: Option<&wgpu::PipelineCache>,
) -> impl Future<Output = Result<Pipeline>> + Send + use<> {
    // Internal errors are those of the driver's compiler.
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(kernel.entry), source };
    // SAFETY: the shaders are this program's own. They compare every index with the shape, or bound it by
    // the shape, before they use it, their loops end, and nothing divides by zero; the tests pass with all checks on.
    let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
    let buffer =
        |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    let storage = kernel.bindings.iter().map(|binding| {
        buffer(wgpu::BufferBindingType::Storage { read_only: binding.access == Access::Read })
    });
    let types = std::iter::once(buffer(wgpu::BufferBindingType::Uniform)).chain(storage);
    let entries: Vec<_> = (0u32..).zip(types).map(|(binding, ty)| entry(binding, ty)).collect();
    let arguments = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(kernel.entry),
        entries: &entries,
    });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.entry),
        bind_group_layouts: &[Some(steps), Some(&arguments)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.entry),
        layout: Some(&layout),
        module: &module,
        entry_point: Some(kernel.entry),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants,
            // Every kernel writes its workgroup memory before it reads it.
            zero_initialize_workgroup_memory: false,
        },
        cache: on_disk,
    });
    // Scopes are popped in reverse order.
    let (validation, internal) = (validation.pop(), internal.pop());
    async move {
        match validation.await.or(internal.await) {
            None => Ok(Pipeline { pipeline, arguments }),
            Some(e) => Err(cannot_compile(kernel, &innermost(&e))),
        }
    }
}

/// The compiler's own message, which errors of wgpu wrap in context.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    let said = error.to_string();
    said.strip_prefix("Internal error: ").unwrap_or(&said).trim().to_string()
}

/// The error for a kernel that the device can't compile: the first line says what is wrong, followed by the
/// compiler's whole message.
fn cannot_compile(kernel: &Kernel, said: &str) -> Error {
    // FXC and DXC say "error X3507: ..." and "error: ..." after a place, and warnings before.
    let is_error = |line: &&str| line.contains("error X") || line.contains("error:");
    let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason was given");
    let telling = said.lines().find(is_error).unwrap_or(first).trim();
    let mut what = format!("the device can't compile the kernel {}: {telling}", kernel.entry);
    if said.lines().count() > 1 {
        said.lines().for_each(|line| what += &format!("\n    {line}"));
    }
    Error::device(what)
        .help("choose another device with --device, or the CPU with --device cpu; please report it")
}

fn entry(binding: u32, ty: wgpu::BindingType) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::wait::BlockOn as _;

    #[test]
    fn grids_beyond_the_limit_are_folded_and_cover_all_groups() {
        assert_eq!(fold(7, 65_535), [7, 1]);
        assert_eq!(fold(65_535, 65_535), [65_535, 1]);
        let [x, y] = fold(200_000, 65_535);
        assert!(x <= 65_535 && y <= 65_535 && x as usize * y as usize >= 200_000);
    }

    static KERNEL: Kernel =
        Kernel { entry: "refused", source: &[], uniform: &[], bindings: &[], workgroup_size: 64 };

    #[test]
    fn a_kernel_that_does_not_compile_is_named_with_what_the_compiler_said() {
        let fxc = "FXC D3DCompile error (0x80004005): refused(7,3): warning X4000: variable\n\
                   refused(12,9): error X3507: 'f': Not all control paths return a value\n";
        let error = cannot_compile(&KERNEL, fxc);
        let brief = error.brief();
        let lines: Vec<&str> = brief.lines().collect();
        let first = "the device can't compile the kernel refused: refused(12,9): error X3507: 'f': Not all control paths return a value";
        assert_eq!((lines[0], lines.len()), (first, 3));
        assert!(lines[1].contains("warning X4000") && lines[2].contains("error X3507"));
        assert_eq!(error.kind(), crate::base::error::ErrorKind::Device);
        let one = cannot_compile(&KERNEL, "its compiler panicked").brief();
        assert_eq!(one, "the device can't compile the kernel refused: its compiler panicked");
    }

    #[test]
    fn what_a_device_refuses_is_an_error_and_no_panic() {
        if super::super::adapters().is_empty() {
            return eprintln!("skipped: no GPU adapter: a kernel that doesn't compile");
        }
        let opened =
            super::super::adapter::open(0, super::super::Wanted::Single).block_on().unwrap();
        let pipelines = Pipelines::new(&opened.device, None, false);
        let said = |text: &'static str| {
            let shader = (&KERNEL, wgpu::ShaderSource::Wgsl(text.into()));
            let none = wgpu::ShaderRuntimeChecks::unchecked();
            let found = compile(&opened.device, &pipelines.steps, shader, &[], none, None);
            found.block_on().map(|_| ()).unwrap_err().brief()
        };
        let text = said("@compute @workgroup_size(64) fn refused() { let x = 1 + ; }");
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("the device can't compile the kernel refused: "), "{text}");
        assert!(first.contains("expected expression"), "{text}");
        // The entry point is missing: found when the pipeline is made.
        let text = said("@compute @workgroup_size(64) fn other() {}");
        assert!(text.starts_with("the device can't compile the kernel refused: "), "{text}");
        assert!(text.contains("entry"), "{text}");
    }
}

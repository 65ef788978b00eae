//! Negative controls for `scripts/drivers`: errors that the validation layers must report. Each makes one
//! error, directly with Vulkan if wgpu would refuse it, and passes as a test: the script checks the layer's
//! log.

use ash::vk;
use naga::back::spv;
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// The number of bytes of a buffer, and of its memory.
const BUFFER: u64 = 256;
const MEMORY: u64 = 65_536;

/// Copies 64 numbers, from `first` on, and adds 1 to each.
fn text(first: u32) -> String {
    format!(
        "@group(0) @binding(0) var<storage, read> input: array<u32>;
        @group(0) @binding(1) var<storage, read_write> output: array<u32>;
        @compute @workgroup_size(64)
        fn add(@builtin(local_invocation_index) i: u32) {{
            output[i + {first}u] = input[i + {first}u] + 1u;
        }}"
    )
}

fn shader() -> Vec<u32> {
    let module = naga::front::wgsl::parse_str(&text(0)).unwrap();
    let info =
        Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(&module).unwrap();
    let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
    spv::write_vec(&module, &info, &options, None).unwrap()
}

/// The first device, with two buffers that a shader copies forth and back.
struct Vulkan {
    _entry: ash::Entry,
    instance: ash::Instance,
    device: ash::Device,
    queue: vk::Queue,
    commands: vk::CommandPool,
    memory: [vk::DeviceMemory; 2],
    buffers: [vk::Buffer; 2],
    bindings: vk::DescriptorSetLayout,
    layout: vk::PipelineLayout,
    pool: vk::DescriptorPool,
    /// From the first buffer to the second, and back.
    sets: Vec<vk::DescriptorSet>,
}

impl Vulkan {
    fn new() -> Self {
        // SAFETY: every handle is used as Vulkan asks for, until the end of `drop`.
        unsafe {
            let entry = ash::Entry::load().expect("libvulkan");
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_1);
            let create = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&create, None).unwrap();
            let physical = instance.enumerate_physical_devices().unwrap()[0];
            let families = instance.get_physical_device_queue_family_properties(physical);
            let computes =
                |f: &vk::QueueFamilyProperties| f.queue_flags.contains(vk::QueueFlags::COMPUTE);
            let family = families.iter().position(computes).unwrap() as u32;
            let queues = [vk::DeviceQueueCreateInfo::default()
                .queue_family_index(family)
                .queue_priorities(&[1.0])];
            // As wgpu has it.
            let features = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
            let create = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_features(&features);
            let device = instance.create_device(physical, &create, None).unwrap();
            let queue = device.get_device_queue(family, 0);
            let create = vk::CommandPoolCreateInfo::default().queue_family_index(family);
            let commands = device.create_command_pool(&create, None).unwrap();

            let usage = vk::BufferUsageFlags::STORAGE_BUFFER;
            let create = vk::BufferCreateInfo::default().size(BUFFER).usage(usage);
            let buffers = [(); 2].map(|()| device.create_buffer(&create, None).unwrap());
            let memory = buffers.map(|buffer| {
                let kinds = device.get_buffer_memory_requirements(buffer).memory_type_bits;
                let allocate = vk::MemoryAllocateInfo::default()
                    .allocation_size(MEMORY)
                    .memory_type_index(kinds.trailing_zeros());
                let memory = device.allocate_memory(&allocate, None).unwrap();
                device.bind_buffer_memory(buffer, memory, 0).unwrap();
                memory
            });

            let kind = vk::DescriptorType::STORAGE_BUFFER;
            let binding = [0, 1].map(|binding| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding)
                    .descriptor_type(kind)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            });
            let create = vk::DescriptorSetLayoutCreateInfo::default().bindings(&binding);
            let bindings = device.create_descriptor_set_layout(&create, None).unwrap();
            let layouts = [bindings; 2];
            let create = vk::PipelineLayoutCreateInfo::default().set_layouts(&layouts[..1]);
            let layout = device.create_pipeline_layout(&create, None).unwrap();
            let size = [vk::DescriptorPoolSize::default().ty(kind).descriptor_count(4)];
            let create = vk::DescriptorPoolCreateInfo::default().max_sets(2).pool_sizes(&size);
            let pool = device.create_descriptor_pool(&create, None).unwrap();
            let allocate = vk::DescriptorSetAllocateInfo::default()
                .descriptor_pool(pool)
                .set_layouts(&layouts);
            let sets = device.allocate_descriptor_sets(&allocate).unwrap();
            for (set, [from, to]) in sets.iter().zip([[0, 1], [1, 0]]) {
                let parts = [from, to].map(|i: usize| {
                    vk::DescriptorBufferInfo::default().buffer(buffers[i]).range(vk::WHOLE_SIZE)
                });
                let write = vk::WriteDescriptorSet::default()
                    .dst_set(*set)
                    .descriptor_type(kind)
                    .buffer_info(&parts);
                device.update_descriptor_sets(&[write], &[]);
            }
            Vulkan {
                _entry: entry,
                instance,
                device,
                queue,
                commands,
                memory,
                buffers,
                bindings,
                layout,
                pool,
                sets,
            }
        }
    }

    /// Copies forth and back, with a barrier between them or without.
    fn forth_and_back(&self, barrier: bool) {
        let Vulkan { device, .. } = self;
        // SAFETY: as above; what the shader reaches lies in the memory behind its buffers.
        unsafe {
            let words = shader();
            let create = vk::ShaderModuleCreateInfo::default().code(&words);
            let module = device.create_shader_module(&create, None).unwrap();
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"add");
            let create =
                [vk::ComputePipelineCreateInfo::default().stage(stage).layout(self.layout)];
            let pipeline = device
                .create_compute_pipelines(vk::PipelineCache::null(), &create, None)
                .unwrap()[0];
            let allocate = vk::CommandBufferAllocateInfo::default()
                .command_pool(self.commands)
                .command_buffer_count(1);
            let commands = device.allocate_command_buffers(&allocate).unwrap();
            let [to] = commands[..] else { unreachable!() };
            device.begin_command_buffer(to, &vk::CommandBufferBeginInfo::default()).unwrap();
            let point = vk::PipelineBindPoint::COMPUTE;
            device.cmd_bind_pipeline(to, point, pipeline);
            device.cmd_bind_descriptor_sets(to, point, self.layout, 0, &self.sets[..1], &[]);
            device.cmd_dispatch(to, 1, 1, 1);
            if barrier {
                let access = vk::AccessFlags::SHADER_READ | vk::AccessFlags::SHADER_WRITE;
                let barrier =
                    vk::MemoryBarrier::default().src_access_mask(access).dst_access_mask(access);
                let stage = vk::PipelineStageFlags::COMPUTE_SHADER;
                let none = vk::DependencyFlags::empty();
                device.cmd_pipeline_barrier(to, stage, stage, none, &[barrier], &[], &[]);
            }
            device.cmd_bind_descriptor_sets(to, point, self.layout, 0, &self.sets[1..], &[]);
            device.cmd_dispatch(to, 1, 1, 1);
            device.end_command_buffer(to).unwrap();
            let submit = [vk::SubmitInfo::default().command_buffers(&commands)];
            device.queue_submit(self.queue, &submit, vk::Fence::null()).unwrap();
            device.queue_wait_idle(self.queue).unwrap();
            device.destroy_pipeline(pipeline, None);
            device.destroy_shader_module(module, None);
        }
    }
}

impl Drop for Vulkan {
    fn drop(&mut self) {
        let Vulkan { device, .. } = self;
        // SAFETY: the device is idle, and nobody else has the handles.
        unsafe {
            device.destroy_descriptor_pool(self.pool, None);
            device.destroy_pipeline_layout(self.layout, None);
            device.destroy_descriptor_set_layout(self.bindings, None);
            self.buffers.iter().for_each(|buffer| device.destroy_buffer(*buffer, None));
            self.memory.iter().for_each(|memory| device.free_memory(*memory, None));
            device.destroy_command_pool(self.commands, None);
            device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

#[test]
#[ignore = "scripts/drivers runs it under the validation layers, which have to be silent"]
fn nothing_wrong() {
    Vulkan::new().forth_and_back(true);
}

#[test]
#[ignore = "scripts/drivers runs it under the validation layers, which have to report it"]
fn a_buffer_of_no_bytes() {
    let vulkan = Vulkan::new();
    let create = vk::BufferCreateInfo::default().usage(vk::BufferUsageFlags::STORAGE_BUFFER);
    // SAFETY: not asked for a use of it, drivers make such a buffer or refuse to.
    unsafe {
        if let Ok(buffer) = vulkan.device.create_buffer(&create, None) {
            vulkan.device.destroy_buffer(buffer, None);
        }
    }
}

#[test]
#[ignore = "scripts/drivers runs it under the validation layers, which have to report it"]
fn a_missing_barrier() {
    Vulkan::new().forth_and_back(false);
}

#[test]
#[ignore = "scripts/drivers runs it under GPU-assisted validation, which has to report it"]
fn an_index_beyond_a_buffer() {
    // By wgpu, as the net's kernels run, without its checks: what it asks of the device decides whether the
    // layer sees bounds.
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN;
    let instance = wgpu::Instance::new(descriptor);
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let opened = adapters[0].request_device(&wgpu::DeviceDescriptor::default());
    let (device, queue) = pollster::block_on(opened).unwrap();
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(text(1).into()),
    };
    let checks = wgpu::ShaderRuntimeChecks::unchecked();
    // SAFETY: the device has robust buffer access, so that what lies beyond is not touched.
    let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let buffers = [(); 2].map(|()| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: BUFFER,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    });
    let entries = [0, 1].map(|i| wgpu::BindGroupEntry {
        binding: i,
        resource: buffers[i as usize].as_entire_binding(),
    });
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    // Twice: the layer may be late to report what the last submission did.
    for _ in 0..2 {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        drop(pass);
        queue.submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    }
}

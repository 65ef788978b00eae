//! ACO, AMD's compiler in Mesa's Vulkan driver (RADV): its code for a compute shader.
//!
//! `RADV_FORCE_FAMILY=navi21` gives a device of that family that compiles but executes nothing, so no
//! GPU is needed. wgpu can't open such a device; this module opens it like wgpu, as far as needed for compiling.

use ash::{ext, khr, vk};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};

/// A module for the compiler.
pub struct Shader<'a> {
    pub words: &'a [u32],
    pub entry: &'a str,
    /// The storage buffers of its group 1, which follow its uniform.
    pub storage: usize,
}

/// The compiler's result for a shader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    pub sgprs: u64,
    pub vgprs: u64,
    /// The numbers of spilled vector and scalar registers.
    pub spilled: u64,
    /// Bytes of each invocation's own memory: spilled registers and arrays with an index known at run time only.
    pub scratch: u64,
    /// The most waves that a SIMD holds: registers and workgroup memory bound them.
    pub waves: u64,
    /// Bytes of code.
    pub code: u64,
    pub inner: Mix,
}

/// The instructions of the innermost loop that has the most multiply-adds, and of such the fewest others; none
/// where no loop has any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    pub fma: u64,
    pub vector: u64,
    pub lds: u64,
    pub memory: u64,
    pub scalar: u64,
}

impl Mix {
    /// Of a disassembly.
    fn of(assembly: &str) -> Self {
        let mut lines = Vec::new();
        let mut labels = BTreeMap::new();
        for line in assembly.lines() {
            let line = line.split("//").next().unwrap_or_default();
            let line = line.split(';').next().unwrap_or_default().trim();
            match line.strip_suffix(':') {
                Some(label) => drop(labels.insert(label, lines.len())),
                None if line.is_empty() => {}
                None => lines.push(line),
            }
        }
        let loops: Vec<_> = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.starts_with("s_cbranch") || line.starts_with("s_branch"))
            .filter_map(|(end, line)| {
                let start = *labels.get(line.split_whitespace().nth(1)?)?;
                (start <= end).then_some((start, end))
            })
            .collect();
        let holds_another = |&(start, end): &(usize, usize)| {
            loops.iter().any(|&(a, b)| (a, b) != (start, end) && start <= a && b <= end)
        };
        let innermost = loops.iter().filter(|range| !holds_another(range));
        let mixes = innermost.map(|&(start, end)| Mix::count(&lines[start..=end]));
        // Of loops for whole and for cut tiles, that for whole ones.
        let best = mixes.max_by_key(|mix| (mix.fma, Reverse(mix.vector)));
        best.filter(|mix| mix.fma > 0).unwrap_or_default()
    }

    fn count(lines: &[&str]) -> Self {
        let mut mix = Mix::default();
        // RDNA 3 issues two at once: `v_dual_fmac_f32 … :: v_dual_mul_f32 …`.
        for instruction in lines.iter().flat_map(|line| line.split("::")).map(str::trim) {
            let name = instruction.split_whitespace().next().unwrap_or_default();
            let starts = |prefixes: &[&str]| prefixes.iter().any(|p| name.starts_with(p));
            let multiplies = ["fma", "mac_", "mad_f", "mad_mix", "dot2"];
            if starts(&["v_"]) && multiplies.iter().any(|what| name.contains(what)) {
                mix.fma += 1;
            } else if starts(&["v_"]) {
                mix.vector += 1;
            } else if starts(&["ds_"]) {
                mix.lds += 1;
            } else if starts(&["buffer_", "global_", "flat_", "scratch_"]) {
                mix.memory += 1;
            } else if starts(&["s_"]) {
                mix.scalar += 1;
            }
        }
        mix
    }

    /// The share of multiply-adds in the vector instructions: a bound on the share of the peak.
    pub fn share(&self) -> Option<f64> {
        (self.fma > 0).then(|| self.fma as f64 / (self.fma + self.vector) as f64)
    }
}

/// A device that compiles. It lives as long as the process: nothing of it is destroyed but its pipelines.
pub struct Compiler {
    device: ash::Device,
    executables: khr::pipeline_executable_properties::Device,
    /// The step of training: the uniform of group 0.
    step: vk::DescriptorSetLayout,
    pub name: String,
    /// The invocations of a subgroup, where all have as many: sums are left to subgroups then.
    pub subgroup: Option<u32>,
}

impl Compiler {
    /// The first device of the drivers that `VK_ICD_FILENAMES` names.
    pub fn open() -> Result<Self, String> {
        // SAFETY: the loader is the system's; every structure that is passed, and all that it points to,
        // lives to the end of this function, which is longer than each call.
        unsafe {
            let entry = ash::Entry::load().map_err(|e| format!("no Vulkan: {e}"))?;
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let info = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&info, None).map_err(|e| e.to_string())?;
            let found = instance.enumerate_physical_devices().map_err(|e| e.to_string())?;
            let physical = *found.first().ok_or("no device of that family in this driver")?;

            let mut subgroups = vk::PhysicalDeviceSubgroupProperties::default();
            let mut sizes = vk::PhysicalDeviceVulkan13Properties::default();
            let mut properties = vk::PhysicalDeviceProperties2::default()
                .push_next(&mut subgroups)
                .push_next(&mut sizes);
            instance.get_physical_device_properties2(physical, &mut properties);
            let name = text(&properties.properties.device_name);
            let is_one_size = sizes.min_subgroup_size == sizes.max_subgroup_size;
            let subgroup = is_one_size.then_some(subgroups.subgroup_size);

            // wgpu asks for what a device has, robust accesses too.
            let mut vulkan11 = vk::PhysicalDeviceVulkan11Features::default();
            let mut vulkan12 = vk::PhysicalDeviceVulkan12Features::default();
            let mut vulkan13 = vk::PhysicalDeviceVulkan13Features::default();
            let mut told = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default();
            let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
            let mut features = vk::PhysicalDeviceFeatures2::default()
                .push_next(&mut vulkan11)
                .push_next(&mut vulkan12)
                .push_next(&mut vulkan13)
                .push_next(&mut told)
                .push_next(&mut robust);
            instance.get_physical_device_features2(physical, &mut features);
            let priorities = [1.0];
            let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&priorities)];
            let extensions = [
                khr::pipeline_executable_properties::NAME.as_ptr(),
                ext::robustness2::NAME.as_ptr(),
            ];
            let info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&extensions)
                .push_next(&mut features);
            let device =
                instance.create_device(physical, &info, None).map_err(|e| e.to_string())?;
            let executables = khr::pipeline_executable_properties::Device::new(&instance, &device);
            let step = layout(&device, &[vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC])?;
            // Its library stays loaded: the device's functions are in there.
            std::mem::forget(entry);
            Ok(Self { device, executables, step, name, subgroup })
        }
    }

    /// Compiles a shader. Threads may share the device.
    pub fn compile(&self, shader: &Shader) -> Result<Statistics, String> {
        let entry = CString::new(shader.entry).map_err(|e| e.to_string())?;
        let mut types = vec![vk::DescriptorType::UNIFORM_BUFFER];
        types.extend(std::iter::repeat_n(vk::DescriptorType::STORAGE_BUFFER, shader.storage));
        // SAFETY: the words are naga's for a valid module and the layout has its bindings; all that is passed
        // lives to the end of this function, and what is destroyed is used no more.
        unsafe {
            let device = &self.device;
            let sets = [self.step, layout(device, &types)?];
            let info = vk::ShaderModuleCreateInfo::default().code(shader.words);
            let module = device.create_shader_module(&info, None).map_err(|e| e.to_string())?;
            let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let with = device.create_pipeline_layout(&info, None).map_err(|e| e.to_string())?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(&entry);
            let info = vk::ComputePipelineCreateInfo::default().stage(stage).layout(with).flags(
                vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                    | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
            );
            let made = device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            device.destroy_shader_module(module, None);
            device.destroy_pipeline_layout(with, None);
            device.destroy_descriptor_set_layout(sets[1], None);
            let pipeline = made.map_err(|(_, e)| e.to_string())?[0];
            let found = self.statistics(pipeline);
            device.destroy_pipeline(pipeline, None);
            found
        }
    }

    /// # Safety
    /// The pipeline was made with statistics and representations captured.
    unsafe fn statistics(&self, pipeline: vk::Pipeline) -> Result<Statistics, String> {
        let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // SAFETY: by this function's condition; a value is read as its format says.
        let found = unsafe { self.executables.get_pipeline_executable_statistics(&executable) };
        let numbers: BTreeMap<_, _> = found
            .map_err(|e| e.to_string())?
            .iter()
            .filter(|s| s.format == vk::PipelineExecutableStatisticFormatKHR::UINT64)
            .map(|s| (text(&s.name), unsafe { s.value.u64 }))
            .collect();
        let number = |name: &str| {
            numbers.get(name).copied().ok_or_else(|| format!("this driver doesn't tell {name:?}"))
        };
        Ok(Statistics {
            sgprs: number("SGPRs")?,
            vgprs: number("VGPRs")?,
            spilled: number("Spilled SGPRs")? + number("Spilled VGPRs")?,
            scratch: number("Scratch size")?,
            waves: number("Subgroups per SIMD")?,
            code: number("Code size")?,
            // SAFETY: as above.
            inner: Mix::of(&unsafe { self.assembly(&executable) }),
        })
    }

    /// The disassembly, empty where the driver has none.
    ///
    /// # Safety
    /// The pipeline was made with representations captured.
    unsafe fn assembly(&self, executable: &vk::PipelineExecutableInfoKHR) -> String {
        let get = self.executables.fp().get_pipeline_executable_internal_representations_khr;
        let device = self.device.handle();
        let mut count = 0;
        // SAFETY: asked without room for them, the driver gives the number of representations, then their sizes,
        // then their texts, which have the room that it said.
        unsafe {
            let _ = get(device, executable, &mut count, std::ptr::null_mut());
            let mut all =
                vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            let _ = get(device, executable, &mut count, all.as_mut_ptr());
            let mut texts: Vec<Vec<u8>> = all.iter().map(|one| vec![0; one.data_size]).collect();
            for (one, text) in all.iter_mut().zip(&mut texts) {
                one.p_data = text.as_mut_ptr().cast();
            }
            let _ = get(device, executable, &mut count, all.as_mut_ptr());
            let found = all.iter().zip(&texts).find(|(one, _)| text(&one.name) == "Assembly");
            found.map(|(_, text)| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
        }
    }
}

/// # Safety
/// The device is alive.
unsafe fn layout(
    device: &ash::Device,
    types: &[vk::DescriptorType],
) -> Result<vk::DescriptorSetLayout, String> {
    let bindings: Vec<_> = (0..)
        .zip(types)
        .map(|(at, &of)| {
            vk::DescriptorSetLayoutBinding::default()
                .binding(at)
                .descriptor_type(of)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        })
        .collect();
    let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
    // SAFETY: by this function's condition.
    unsafe { device.create_descriptor_set_layout(&info, None) }.map_err(|e| e.to_string())
}

/// A name from the driver.
fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|&c| c as u8).collect();
    let name = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

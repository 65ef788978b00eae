//! naga's translation of a variant for each system, with wgpu's options.

use super::variants::Variant;
use naga::back::{hlsl, msl, pipeline_constants, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{self, Capabilities, ValidationFlags};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A module with its constants put in.
pub struct Module {
    module: naga::Module,
    info: valid::ModuleInfo,
    entry: String,
}

/// Shaders check nothing at run time: [`wgpu::ShaderRuntimeChecks::unchecked`].
const UNCHECKED: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Unchecked,
    buffer: BoundsCheckPolicy::Unchecked,
    image_load: BoundsCheckPolicy::Unchecked,
    binding_array: BoundsCheckPolicy::Unchecked,
};

impl Module {
    /// A variant, valid with no more than what it needs besides core WebGPU.
    pub fn of(variant: &Variant) -> Result<Self, String> {
        let mut capabilities = Capabilities::empty();
        capabilities.set(Capabilities::SHADER_FLOAT16, variant.has_f16());
        capabilities.set(Capabilities::COOPERATIVE_MATRIX, variant.has_matrices());
        capabilities.set(Capabilities::SUBGROUP, variant.subgroups.is_some());
        let (text, constants) = (variant.wgsl(), &variant.overrides);
        Self::new(&text, variant.kernel.entry, constants, capabilities)
    }

    /// The entry point `refused` of a text for core WebGPU.
    pub fn core(text: &str) -> Result<Self, String> {
        Self::new(text, "refused", &[], Capabilities::empty())
    }

    /// The entry point `entry` of a text.
    fn new(
        text: &str,
        entry: &str,
        constants: &[(&str, f64)],
        capabilities: Capabilities,
    ) -> Result<Self, String> {
        let module = naga::front::wgsl::parse_str(text).map_err(|e| e.emit_to_string(text))?;
        let mut validator = valid::Validator::new(ValidationFlags::all(), capabilities);
        validator.subgroup_stages(valid::ShaderStages::all());
        validator.subgroup_operations(valid::SubgroupOperationSet::all());
        let info = validator.validate(&module).map_err(|e| e.emit_to_string(text))?;
        let is_declared = |name: &str| text.contains(&format!("override {name}:"));
        let constants = constants.iter().filter(|(name, _)| is_declared(name));
        let constants = constants.map(|(name, value)| (name.to_string(), *value)).collect();
        let point = Some((naga::ShaderStage::Compute, entry));
        let (module, info) =
            pipeline_constants::process_overrides(&module, &info, point, &constants)
                .map_err(|e| e.to_string())?;
        Ok(Module {
            module: module.into_owned(),
            info: info.into_owned(),
            entry: entry.to_string(),
        })
    }

    /// For Vulkan 1.1 or newer.
    pub fn spirv(&self, version: (u8, u8)) -> Result<Vec<u32>, String> {
        let options = spv::Options {
            lang_version: version,
            flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
            bounds_check_policies: UNCHECKED,
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
            force_loop_bounding: false,
            emit_int_div_checks: false,
            ..Default::default()
        };
        let shader_stage = naga::ShaderStage::Compute;
        let pipeline = spv::PipelineOptions { shader_stage, entry_point: self.entry.clone() };
        told(|| {
            spv::write_vec(&self.module, &self.info, &options, Some(&pipeline))
                .map_err(|e| e.to_string())
        })
    }

    /// For Direct3D 12, with the name of the entry point there; 5.1 is for FXC.
    pub fn hlsl(&self, shader_model: hlsl::ShaderModel) -> Result<[String; 2], String> {
        let options = hlsl::Options {
            shader_model,
            fake_missing_bindings: true,
            // wgpu gives the number of workgroups by a root constant.
            special_constants_binding: Some(hlsl::BindTarget { space: 9, ..Default::default() }),
            zero_initialize_workgroup_memory: false,
            restrict_indexing: false,
            force_loop_bounding: false,
            ..Default::default()
        };
        let entry_point = Some((naga::ShaderStage::Compute, self.entry.clone()));
        let pipeline = hlsl::PipelineOptions { entry_point };
        told(|| {
            let mut text = String::new();
            let names = hlsl::Writer::new(&mut text, &options, &pipeline)
                .write(&self.module, &self.info, None)
                .map_err(|e| e.to_string())?
                .entry_point_names;
            let name = names.into_iter().next().ok_or("no entry point")?;
            Ok([text, name.map_err(|e| e.to_string())?])
        })
    }

    /// For Metal.
    pub fn msl(&self, version: (u8, u8)) -> Result<String, String> {
        let options = msl::Options {
            lang_version: version,
            fake_missing_bindings: true,
            bounds_check_policies: UNCHECKED,
            zero_initialize_workgroup_memory: false,
            force_loop_bounding: false,
            ..Default::default()
        };
        let entry_point = Some((naga::ShaderStage::Compute, self.entry.clone()));
        let pipeline = msl::PipelineOptions { entry_point, ..Default::default() };
        told(|| {
            msl::write_string(&self.module, &self.info, &options, &pipeline)
                .map(|(text, _)| text)
                .map_err(|e| e.to_string())
        })
    }
}

/// A panic of a translator is a refusal too.
fn told<T>(translate: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(translate)).unwrap_or_else(|_| Err("naga panicked".into()))
}

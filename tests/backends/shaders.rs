//! Every composed shader is parsed by naga and compared with its declaration in `src/kernels`.

#[path = "../../benches/compilers/layout.rs"]
mod layout;

use layout::with_layout_of_buffers_only;
use naga::{AddressSpace, StorageAccess, TypeInner};
use std::collections::HashSet;
use std::process::Command;
use wgrad::kernels::{ALL, Access, Kernel, Step, mixed};

/// The kernels of f32 and those of mixed precision.
fn all() -> impl Iterator<Item = &'static Kernel> {
    ALL.iter().chain(mixed::ALL.iter()).copied()
}

fn parse(kernel: &Kernel) -> naga::Module {
    let text = kernel.wgsl();
    naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|e| panic!("{}: {}", kernel.entry, e.emit_to_string(&text)))
}

/// The variable bound at (group, binding).
fn bound(module: &naga::Module, group: u32, binding: u32) -> Option<&naga::GlobalVariable> {
    let at = naga::ResourceBinding { group, binding };
    module.global_variables.iter().map(|(_, v)| v).find(|v| v.binding == Some(at))
}

/// The name and byte offset of each field of a variable's struct type.
fn fields(module: &naga::Module, variable: &naga::GlobalVariable) -> Vec<(String, usize)> {
    match &module.types[variable.ty].inner {
        TypeInner::Struct { members, .. } => members
            .iter()
            .map(|m| (m.name.clone().unwrap_or_default(), m.offset as usize))
            .collect(),
        other => panic!("not a struct: {other:?}"),
    }
}

#[test]
fn every_shader_is_valid_without_any_optional_feature() {
    for kernel in ALL.iter() {
        let (flags, core) =
            (naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
        naga::valid::Validator::new(flags, core)
            .validate(&parse(kernel))
            .unwrap_or_else(|e| panic!("{}: {e:?}", kernel.entry));
    }
}

fn has_matrices(kernel: &Kernel) -> bool {
    kernel.wgsl().contains("enable wgpu_cooperative_matrix;")
}

/// The SPIR-V of a kernel of mixed precision, for short sums and for long ones.
fn spirv(kernel: &Kernel) -> [Vec<u32>; 2] {
    use naga::valid::Capabilities;
    let more = match has_matrices(kernel) {
        true => Capabilities::COOPERATIVE_MATRIX,
        false => Capabilities::empty(),
    };
    let capabilities = Capabilities::SHADER_FLOAT16 | more;
    let module = parse(kernel);
    let flags = naga::valid::ValidationFlags::all();
    let info = naga::valid::Validator::new(flags, capabilities)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}: {e:?}", kernel.entry));
    [0.0, 1.0].map(|fold| {
        let constants = [("FOLD".to_string(), fold), ("WATCH".to_string(), 1.0)];
        let is_declared =
            |(name, _): &(String, f64)| kernel.wgsl().contains(&format!("override {name}:"));
        let constants = constants.into_iter().filter(is_declared).collect();
        let (module, info) =
            naga::back::pipeline_constants::process_overrides(&module, &info, None, &constants)
                .unwrap_or_else(|e| panic!("{}: {e:?}", kernel.entry));
        let options = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
        naga::back::spv::write_vec(&module, &info, &options, None)
            .unwrap_or_else(|e| panic!("{}: {e:?}", kernel.entry))
    })
}

/// Those of mixed precision need f16, and cooperative matrices if they declare them. No available adapter
/// has such matrices: instead, their SPIR-V is generated, in which naga panics for an
/// invalid stride.
#[test]
fn shaders_of_mixed_precision_need_f16_and_cooperative_matrices_only() {
    let mut with_matrices = 0;
    for kernel in mixed::ALL.iter() {
        with_matrices += usize::from(has_matrices(kernel));
        assert!(spirv(kernel).iter().all(|words| !words.is_empty()));
    }
    assert_eq!(with_matrices, 4 * mixed::Cooperative::ALL.len(), "four products in each block");
}

/// Modules with cooperative matrices in the SPIR-V validator for Vulkan, if there is one that supports
/// them. One rule of newer versions is disabled: no module of naga satisfies it.
#[test]
fn modules_of_cooperative_matrices_are_valid_for_vulkan() {
    let place = tempfile::tempdir().unwrap();
    for kernel in mixed::ALL.iter().filter(|kernel| has_matrices(kernel)) {
        for words in spirv(kernel) {
            let path = place.path().join("module.spv");
            let words = with_layout_of_buffers_only(&words);
            std::fs::write(&path, words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>())
                .unwrap();
            let mut validator = Command::new("spirv-val");
            let Ok(ran) = validator.args(["--target-env", "vulkan1.3"]).arg(&path).output() else {
                return eprintln!("skipped: no spirv-val: modules of cooperative matrices");
            };
            let said = String::from_utf8_lossy(&ran.stderr);
            if said.contains("Invalid capability operand") {
                return eprintln!("skipped: this spirv-val is too old for cooperative matrices");
            }
            assert!(ran.status.success(), "{}: {said}", kernel.entry);
        }
    }
}

#[test]
fn entry_points_and_workgroup_sizes_are_those_declared() {
    let mut entries = HashSet::new();
    for kernel in all() {
        assert!(entries.insert(kernel.entry), "{} is declared twice", kernel.entry);
        let module = parse(kernel);
        let entry = module.entry_points.iter().find(|e| e.name == kernel.entry);
        let entry = entry.unwrap_or_else(|| panic!("no entry point {}", kernel.entry));
        assert_eq!(entry.workgroup_size, [kernel.workgroup_size, 1, 1], "{}", kernel.entry);
        assert!(kernel.workgroup_size <= 256, "core WebGPU allows 256 invocations");
    }
}

#[test]
fn bindings_have_the_declared_names_and_access() {
    for kernel in all() {
        let module = parse(kernel);
        assert!(kernel.bindings.len() <= 8, "core WebGPU allows 8 storage buffers");
        for (binding, declared) in (1..).zip(kernel.bindings) {
            let variable = bound(&module, 1, binding)
                .unwrap_or_else(|| panic!("{}: no binding {binding}", kernel.entry));
            assert_eq!(variable.name.as_deref(), Some(declared.name), "{}", kernel.entry);
            let access = match variable.space {
                AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                    Access::ReadWrite
                }
                AddressSpace::Storage { .. } => Access::Read,
                other => panic!("{}: {} lies in {other:?}", kernel.entry, declared.name),
            };
            assert_eq!(access, declared.access, "{}: {}", kernel.entry, declared.name);
        }
        assert!(bound(&module, 1, kernel.bindings.len() as u32 + 1).is_none(), "{}", kernel.entry);
    }
}

#[test]
fn uniforms_have_the_layout_of_their_structs() {
    for kernel in all() {
        let module = parse(kernel);
        let uniform =
            bound(&module, 1, 0).unwrap_or_else(|| panic!("{}: no uniform", kernel.entry));
        assert_eq!(uniform.space, AddressSpace::Uniform, "{}", kernel.entry);
        let declared: Vec<_> = kernel.uniform.iter().map(|(n, o)| ((*n).to_string(), *o)).collect();
        assert_eq!(fields(&module, uniform), declared, "{}", kernel.entry);
    }
}

#[test]
fn the_step_has_the_layout_of_its_struct() {
    // `order` is five words in Rust and five named ones in WGSL.
    let order = std::mem::offset_of!(Step, order);
    let corrections = std::mem::offset_of!(Step, corrections);
    let expected = [
        ("rows", std::mem::offset_of!(Step, rows)),
        ("first", std::mem::offset_of!(Step, first)),
        ("order_n", order),
        ("order_a", order + 4),
        ("order_b", order + 8),
        ("key0", order + 12),
        ("key1", order + 16),
        ("lr", std::mem::offset_of!(Step, lr)),
        ("reduction_factor", std::mem::offset_of!(Step, reduction_factor)),
        ("correction1", corrections),
        ("correction2", corrections + 4),
        ("correction3", corrections + 8),
        ("correction4", corrections + 12),
        ("t", std::mem::offset_of!(Step, t)),
        ("epoch", std::mem::offset_of!(Step, epoch)),
        ("smoothing", std::mem::offset_of!(Step, smoothing)),
        ("position", std::mem::offset_of!(Step, position)),
        ("mixing", std::mem::offset_of!(Step, mixing)),
        ("momentum_change", std::mem::offset_of!(Step, momentum_change)),
    ]
    .map(|(name, offset)| (name.to_string(), offset));
    for kernel in all() {
        let module = parse(kernel);
        let step = bound(&module, 0, 0).unwrap_or_else(|| panic!("{}: no step", kernel.entry));
        assert_eq!(fields(&module, step), expected, "{}", kernel.entry);
    }
}

/// Devices with cooperative matrices have 32 KiB, twice what core WebGPU promises.
#[test]
fn workgroup_memory_stays_within_core_webgpu() {
    for kernel in all() {
        let module = parse(kernel);
        let layout = |ty| match &module.types[ty].inner {
            TypeInner::Array { size: naga::ArraySize::Constant(n), stride, .. } => n.get() * stride,
            other => panic!("{}: {other:?} in workgroup memory", kernel.entry),
        };
        let variables = module.global_variables.iter().map(|(_, v)| v);
        let bytes: u32 =
            variables.filter(|v| v.space == AddressSpace::WorkGroup).map(|v| layout(v.ty)).sum();
        let matrices = kernel.wgsl().contains("enable wgpu_cooperative_matrix;");
        let most = if matrices { 32 * 1024 } else { 16 * 1024 };
        assert!(bytes <= most, "{}: {bytes} bytes of workgroup memory", kernel.entry);
    }
}

/// The codes of the members of the closed sets in shaders.
#[test]
fn codes_in_shaders_are_the_places_in_the_lists() {
    let constant = |entry: &str, name: &str| -> u32 {
        let kernel = ALL.iter().find(|k| k.entry == entry).unwrap();
        let module = parse(kernel);
        let found = module.constants.iter().find(|(_, c)| c.name.as_deref() == Some(name));
        let (_, constant) = found.unwrap_or_else(|| panic!("{entry}: no constant {name}"));
        match module.global_expressions[constant.init] {
            naga::Expression::Literal(naga::Literal::U32(code)) => code,
            ref other => panic!("{name} is {other:?}"),
        }
    };
    let shout = |name: &str| name.to_uppercase().replace('-', "_");
    for activation in wgrad::Activation::ALL {
        assert_eq!(constant("activation", &shout(activation.name())), activation.code());
    }
    for loss in wgrad::Loss::ALL {
        assert_eq!(constant("loss", &shout(loss.name())), loss.code());
    }
    for optimizer in wgrad::Optimizer::ALL.into_iter().filter(|o| o.is_element_wise()) {
        assert_eq!(constant("optimizer", &shout(optimizer.name())), optimizer.code());
    }
}

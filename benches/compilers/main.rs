//! Every kernel, for the compilers of real GPUs, which need no GPU.
//!
//! ```text
//! cargo bench --bench compilers                    AMD's code for each: benches/results/compilers.md
//! cargo bench --bench compilers -- amd [FILTER]    the same for the family in RADV_FORCE_FAMILY, line by line
//! cargo bench --bench compilers -- dump DIR        each variant as WGSL, SPIR-V, HLSL and MSL, for scripts/compilers
//! ```
mod amd;
mod layout;
mod occupancy;
mod translate;
mod variants;

use layout::with_layout_of_buffers_only;
use naga::back::hlsl::ShaderModel;
use std::path::Path;
use std::process::ExitCode;
use translate::Module;
use variants::{Variant, variants};

/// Writes every variant of the kernels with `filter` in their names into `dir`, and their list. Returns what
/// naga refused.
fn dump(dir: &Path, filter: &str) -> Vec<String> {
    let mut variants: Vec<_> = variants().into_iter().enumerate().collect();
    variants.retain(|(_, variant)| variant.kernel.entry.contains(filter));
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let each = variants.chunks(variants.len().div_ceil(threads).max(1));
    let dumped: Vec<_> = std::thread::scope(|scope| {
        let write_each = |chunk: &[(usize, Variant)]| {
            chunk.iter().map(|(i, variant)| dump_variant(dir, *i, variant)).collect::<Vec<_>>()
        };
        let started: Vec<_> = each.map(|chunk| scope.spawn(move || write_each(chunk))).collect();
        started.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    let (lines, refused): (Vec<_>, Vec<_>) = dumped.into_iter().unzip();
    write(dir, "list", "tsv", lines.concat());
    refused.concat()
}

/// Writes a variant. Returns its line of the list and what naga refused.
fn dump_variant(dir: &Path, i: usize, variant: &Variant) -> (String, Vec<String>) {
    let mut refused = Vec::new();
    let entry = variant.kernel.entry;
    let name = format!("{i:04}_{entry}");
    let mut note = |by: &str, why: String| refused.push(format!("{by} refuses {name}: {why}"));
    let in_hlsl = match Module::of(variant) {
        Ok(module) => translate(&module, dir, &name, models(variant), &mut note),
        Err(why) => {
            note("naga", why);
            None
        }
    };
    // The directive that the standard asks for, and that naga doesn't know yet.
    let enable = if variant.subgroups.is_some() { "enable subgroups;\n" } else { "" };
    write(dir, &name, "wgsl", enable.to_string() + &variant.wgsl());
    let marks = [
        ("large", variant.is_large()),
        ("f16", variant.has_f16()),
        ("matrices", variant.has_matrices()),
        ("subgroups", variant.subgroups.is_some()),
    ];
    let marks: Vec<_> = marks.iter().filter(|(_, is)| *is).map(|(mark, _)| *mark).collect();
    let of: Vec<_> = variant.of.iter().cloned().collect();
    let fields = [
        &name,
        entry,
        &in_hlsl.unwrap_or_default(),
        &variant.constants(),
        &marks.join(","),
        &of.join("; "),
    ];
    (line(&fields), refused)
}

/// A line of a list: name, entry point, entry point in HLSL, constants, marks, of which programs.
fn line(fields: &[&str; 6]) -> String {
    fields.join("\t") + "\n"
}

/// The shader models that wgpu offers a variant on: FXC's has neither f16 nor subgroups, and none has
/// cooperative matrices.
fn models(variant: &Variant) -> &'static [ShaderModel] {
    match (variant.has_matrices(), variant.has_f16() || variant.subgroups.is_some()) {
        (true, _) => &[],
        (false, true) => &[ShaderModel::V6_2],
        (false, false) => &MODELS,
    }
}

const MODELS: [ShaderModel; 2] = [ShaderModel::V5_1, ShaderModel::V6_2];

/// Writes a module in all languages. Returns the name of its entry point in HLSL.
fn translate(
    module: &Module,
    dir: &Path,
    name: &str,
    models: &[ShaderModel],
    note: &mut impl FnMut(&str, String),
) -> Option<String> {
    let mut in_hlsl = None;
    // wgpu asks for SPIR-V of the device's version.
    match module.spirv((1, 6)) {
        Ok(words) => {
            write(dir, name, "spv", bytes(&words));
            write(dir, name, "vulkan.spv", bytes(&with_layout_of_buffers_only(&words)));
        }
        Err(why) => note("naga's SPIR-V", why),
    }
    for &model in models {
        let extension = if model == ShaderModel::V5_1 { "51.hlsl" } else { "62.hlsl" };
        match module.hlsl(model) {
            Ok([text, entry]) => {
                write(dir, name, extension, text);
                in_hlsl = Some(entry);
            }
            Err(why) => note("naga's HLSL", why),
        }
    }
    match module.msl((3, 1)) {
        Ok(text) => write(dir, name, "metal", text),
        Err(why) => note("naga's MSL", why),
    }
    in_hlsl
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn write(dir: &Path, name: &str, extension: &str, content: impl AsRef<[u8]>) {
    let path = dir.join(format!("{name}.{extension}"));
    std::fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// The shaders that a compiler must refuse: `refused/{compiler}-*.wgsl` with their names.
fn refused() -> Vec<(String, String)> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compilers/refused");
    let files = std::fs::read_dir(from).expect("the folder of refused shaders");
    let mut all: Vec<_> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a text"))
        })
        .collect();
    all.sort();
    all
}

/// Writes them into `dir/refused`, but those that naga has to refuse, which are tried here.
fn dump_refused(dir: &Path) {
    let dir = dir.join("refused");
    std::fs::create_dir_all(&dir).expect("a folder");
    let mut list = String::new();
    for (name, text) in refused() {
        let found = Module::core(&text);
        if name.starts_with("naga") {
            assert!(found.is_err(), "naga takes {name}");
            continue;
        }
        let module = found.unwrap_or_else(|e| panic!("{name}: {e}"));
        if name.starts_with("metal") {
            assert!(module.msl((1, 1)).is_err(), "naga translates {name} for Metal 1.1");
        }
        write(&dir, &name, "wgsl", &text);
        let mut note = |by: &str, why: String| panic!("{by}: {name}: {why}");
        let in_hlsl = translate(&module, &dir, &name, &MODELS, &mut note);
        list += &line(&[&name, "refused", &in_hlsl.unwrap_or_default(), "", "", ""]);
    }
    write(&dir, "list", "tsv", list);
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["dump", dir, filter @ ..] => {
            let dir = Path::new(dir);
            std::fs::create_dir_all(dir).expect("a folder");
            let refused = dump(dir, filter.first().unwrap_or(&""));
            dump_refused(dir);
            refused.iter().for_each(|line| println!("{line}"));
            ExitCode::from(u8::from(!refused.is_empty()))
        }
        ["amd", "--refused"] => occupancy::print_refused(),
        ["amd", arguments @ ..] => occupancy::print_family(arguments),
        ["table", files @ ..] => occupancy::read_table(files),
        [] => occupancy::compile_table(),
        _ => {
            eprintln!(
                "compilers [dump DIR [FILTER] | amd [--fast] [FILTER] | amd --refused | table FILE...]"
            );
            ExitCode::from(2)
        }
    }
}

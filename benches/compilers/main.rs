//! Every kernel for the compilers of real GPUs, which need no GPU.
//!
//! ```text
//! cargo bench --bench compilers                    what AMD's compiler makes of each: benches/compilers/README.md
//! cargo bench --bench compilers -- dump DIR        each variant as WGSL, SPIR-V, HLSL and MSL, for scripts/compilers
//! ```
mod translate;
mod variants;

use naga::back::hlsl::ShaderModel;
use naga::valid::Capabilities;
use std::path::Path;
use std::process::ExitCode;
use translate::Module;
use variants::{Variant, variants};

/// Writes every variant into `dir`, and its list. Returns what naga refused.
fn dump(dir: &Path) -> Vec<String> {
    let mut list = String::new();
    let mut refused = Vec::new();
    for (i, variant) in variants().iter().enumerate() {
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
        list += &line(&[
            &name,
            entry,
            &in_hlsl.unwrap_or_default(),
            &variant.constants(),
            &marks.join(","),
            &of.join("; "),
        ]);
    }
    write(dir, "list", "tsv", list);
    refused
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
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            write(dir, name, "spv", bytes);
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

fn write(dir: &Path, name: &str, extension: &str, content: impl AsRef<[u8]>) {
    let path = dir.join(format!("{name}.{extension}"));
    std::fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// The shaders that a compiler must refuse, into `dir/refused`: `refused/{compiler}-*.wgsl`.
fn dump_refused(dir: &Path) {
    let dir = dir.join("refused");
    std::fs::create_dir_all(&dir).expect("a folder");
    let mut list = String::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compilers/refused");
    for file in std::fs::read_dir(from).expect("the folder of refused shaders") {
        let path = file.expect("a file").path();
        let (Some(name), Ok(text)) = (path.file_stem(), std::fs::read_to_string(&path)) else {
            continue;
        };
        let name = name.to_string_lossy();
        let found = Module::new(&text, "refused", &[], Capabilities::empty());
        if name.starts_with("naga") {
            assert!(found.is_err(), "naga takes {name}");
            continue;
        }
        let module = found.unwrap_or_else(|e| panic!("{name}: {e}"));
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
        ["dump", dir] => {
            let dir = Path::new(dir);
            std::fs::create_dir_all(dir).expect("a folder");
            let refused = dump(dir);
            dump_refused(dir);
            refused.iter().for_each(|line| println!("{line}"));
            ExitCode::from(u8::from(!refused.is_empty()))
        }
        _ => {
            eprintln!("compilers dump DIR");
            ExitCode::from(2)
        }
    }
}

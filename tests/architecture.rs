//! The layers of `DESIGN.md`: a module imports its own level and lower ones only.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The level of each top-level module of `src`.
const LEVELS: [(u32, &[&str]); 8] = [
    (0, &["error", "files", "functions", "matrix", "memory", "pages", "random", "real"]),
    (
        1,
        &[
            "activation",
            "data",
            "embedding",
            "event",
            "gemm",
            "init",
            "loss",
            "metrics",
            "augment",
            "optim",
            "precision",
            "schedule",
            "snapshot",
            "spec",
            "stopping",
            "tensor",
            "vector",
        ],
    ),
    (2, &["kernels", "evaluation"]),
    (3, &["program", "plan"]),
    (4, &["backend", "session"]),
    (5, &["train", "bench", "findings", "gradcheck", "parity", "model", "linear", "range_test"]),
    (6, &["checkpoint", "config", "observe", "predictions"]),
    (7, &["cli"]),
];

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn sources() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    files(&src)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| {
            let first = path.strip_prefix(&src).unwrap().components().next().unwrap();
            let module = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_string();
            let text = fs::read_to_string(&path).unwrap();
            (module, path, text)
        })
        .collect()
}

/// The modules that a text names behind `crate::`, those in braces too; tests aside.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String =
        code.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let name = |s: &str| {
        s.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    code.split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(group) => {
                group.split('}').next().unwrap_or_default().split(',').map(name).collect()
            }
            None => vec![name(rest)],
        })
        .filter(|n| n.chars().next().is_some_and(char::is_lowercase))
        .collect()
}

#[test]
fn modules_import_lower_levels_only() {
    let level: HashMap<&str, u32> =
        LEVELS.iter().flat_map(|(level, names)| names.iter().map(|n| (*n, *level))).collect();
    for (module, path, text) in sources() {
        if module == "lib" || module == "main" {
            continue;
        }
        let own = *level.get(module.as_str()).unwrap_or_else(|| panic!("{module} has no level"));
        for import in imports(&text) {
            let Some(other) = level.get(import.as_str()) else { continue };
            assert!(
                *other <= own,
                "{} (level {own}) imports {import} (level {other})",
                path.display()
            );
        }
    }
}

#[test]
fn only_the_gpu_backend_names_wgpu() {
    for (_, path, text) in sources() {
        let gpu = path.components().any(|c| c.as_os_str() == "gpu");
        let code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
        assert!(gpu || !code.collect::<String>().contains("wgpu::"), "{}", path.display());
    }
}

#[test]
fn the_core_keeps_files_and_terminals_out() {
    for (module, path, text) in sources() {
        let core = LEVELS.iter().find(|(_, names)| names.contains(&module.as_str()));
        if core.is_some_and(|(level, _)| (2..=5).contains(level)) && module != "backend" {
            for word in ["println!", "eprintln!", "std::fs"] {
                assert!(!text.contains(word), "{} has {word}", path.display());
            }
        }
    }
}

#[test]
fn every_shader_belongs_to_a_kernel_family() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kernels: String =
        files(&root.join("src/kernels")).iter().map(|f| fs::read_to_string(f).unwrap()).collect();
    for shader in files(&root.join("shaders")) {
        let name = shader.file_name().unwrap().to_string_lossy();
        assert!(kernels.contains(&format!("shaders/{name}")), "{name} is used by no kernel");
    }
}

//! The layers of `DESIGN.md`: a module imports its own level and lower ones only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// The level of each top-level module of `src`.
const LEVELS: [(u32, &[&str]); 8] = [
    (
        0,
        &[
            "error",
            "files",
            "functions",
            "matrix",
            "memory",
            "pages",
            "random",
            "real",
            "system_memory",
        ],
    ),
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
    (2, &["calibration", "kernels", "evaluation"]),
    (3, &["program", "plan"]),
    (4, &["backend", "session"]),
    (5, &["train", "bench", "findings", "gradcheck", "parity", "model", "linear", "range_test"]),
    (
        6,
        &["checkpoint", "choose", "config", "export", "import", "observe", "predictions", "report"],
    ),
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

/// What of a text isn't a test.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

/// Whether a file holds tests only.
fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
}

/// The modules that a text names behind `crate::`, those in braces too; tests aside.
fn imports(text: &str) -> Vec<String> {
    let code: String = without_tests(text)
        .lines()
        .filter(|l| !l.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
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

/// Modules of one level that need each other, each with what closes the circle. A circle less is a line
/// less here; there is to be none more.
const CIRCLES: [(&str, &str); 4] = [
    // The loops over a loss's terms are compiled for vectors, and the loss is written with such loops.
    ("vector", "loss"),
    // Metrics of the best epoch stand in a checkpoint, and data sets are recognized by a fingerprint.
    ("snapshot", "metrics"),
    // A model is evaluated on samples as a trainer makes them, and a trainer gives a model.
    ("model", "train"),
    // Parity begins with a trainer's initial weights, and a trainer admits mixed precision by parity.
    ("parity", "train"),
];

/// What each top-level module imports of the others.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, path, text) in sources() {
        if module != "lib" && module != "main" && !is_test(&path) {
            graph.entry(module).or_default().extend(imports(&text));
        }
    }
    let modules: BTreeSet<String> = graph.keys().cloned().collect();
    for (module, imports) in &mut graph {
        imports.retain(|import| import != module && modules.contains(import));
    }
    graph
}

/// The modules of a circle, if there is one: those that are left when again and again the modules go
/// that import none that is left, or that none that is left imports.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut left: BTreeSet<String> = graph.keys().cloned().collect();
    loop {
        let imports = |a: &String, b: &String| graph[a].contains(b);
        let is_inner = |module: &&String| {
            left.iter().any(|other| imports(module, other))
                && left.iter().any(|other| imports(other, module))
        };
        let inner: BTreeSet<String> = left.iter().filter(is_inner).cloned().collect();
        if inner == left {
            return left;
        }
        left = inner;
    }
}

#[test]
fn modules_need_each_other_in_no_circle_but_those_that_are_known() {
    let without = |known: &[(&str, &str)]| {
        let mut graph = graph();
        for (from, to) in known {
            assert!(graph.get_mut(*from).unwrap().remove(*to), "{from} doesn't import {to}");
        }
        circle(&graph)
    };
    assert_eq!(without(&CIRCLES), BTreeSet::new(), "these modules import each other");
    for (i, known) in CIRCLES.iter().enumerate() {
        let others: Vec<_> = CIRCLES
            .into_iter()
            .enumerate()
            .filter(|(j, _)| *j != i)
            .map(|(_, pair)| pair)
            .collect();
        assert!(!without(&others).is_empty(), "{known:?} closes no circle any more");
    }
}

#[test]
fn a_circle_is_seen_and_what_leads_to_it_or_from_it_is_none() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            graph.entry(from.to_string()).or_default().insert(to.to_string());
            graph.entry(to.to_string()).or_default();
        }
        circle(&graph).into_iter().collect::<Vec<_>>()
    };
    assert!(graph(&[("a", "b"), ("b", "c"), ("a", "c")]).is_empty());
    let found = graph(&[("in", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("c", "out")]);
    assert_eq!(found, ["a", "b", "c"]);
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
        // Compiled pipelines and the tiles that were measured are kept in files.
        let is_cache = path.ends_with("backend/gpu/cache.rs");
        if core.is_some_and(|(level, _)| (2..=5).contains(level)) {
            let code = without_tests(&text);
            for word in ["print!", "println!", "eprint!", "eprintln!", "dbg!", "std::fs", "File::"]
            {
                let allowed = is_cache && word == "std::fs";
                assert!(allowed || !code.contains(word), "{} has {word}", path.display());
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

//! The modules of `DESIGN.md`: each file of `src` imports only from its own module or a lower one, and
//! files don't import each other in cycles.
//!
//! Imports are read from the text: paths and use trees, except in tests. A re-exported name
//! (`pub use`) is an import of the file that defines it; a `mod` line isn't an import.

mod imports;

use imports::{File, Sources, files, folders, is_test, root, tokens, without_tests};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The modules of `src`, from the lowest to the highest.
const MODULES: [&str; 14] = [
    "base", "math", "data", "net", "kernels", "plan", "backend", "proof", "train", "files",
    "front", "observe", "report", "cli",
];

/// Entries at the top of `src`, `lib.rs` and `main.rs` among them.
const MOST_ENTRIES: usize = 16;
/// Files in a directory, not counting subdirectories.
const MOST_FILES: usize = 20;

/// The existing cycles of files, each within files for one idea, with the reason. When a cycle is
/// removed, its line here is removed too; no new cycle may appear.
const CYCLES: [(&[&str], &str); 12] = [
    (
        &["math/loss/", "math/vector/"],
        "the loops over a loss's terms are compiled for vectors, and the loss is written with such loops",
    ),
    (
        &["data/streams/", "data/formats/json_lines.rs"],
        "a source is bytes, an entry of a zip file, or JSON that was inspected",
    ),
    (
        &["data/formats/delimited/"],
        "one parser: dialect, blocks, cells and forms look at each other's bytes",
    ),
    (&["data/encode/"], "an encoding names the known categories that unknown ones resemble"),
    (&["data/large/"], "the order of slabs belongs to a stored set, whose windows follow it"),
    (
        &["kernels/products/tile/", "kernels/mixed/"],
        "one table assigns tiles to products, in f32 and in f16",
    ),
    (&["plan/program/"], "a program prints its ops, with the shapes of its tensors"),
    (&["plan/"], "all builders and rules make plans, and `plan` chooses among them"),
    (&["backend/cpu/"], "an op is cut into pieces that the same team runs, with the same caches"),
    (&["backend/gpu/"], "bindings, preparation and submission are parts of one device"),
    (&["train/trainer/"], "the methods of a trainer, by subject"),
    (&["front/setup/"], "a job consists of options and data, and parts of it depend on the rest"),
];

fn module(file: &str) -> Option<usize> {
    let first = file.split('/').next().unwrap();
    MODULES.iter().position(|module| *module == first)
}

/// The cycles of a graph: its strongly connected components.
fn cycles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reached = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            for next in graph.get(at).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&String, BTreeSet<String>> =
        graph.keys().map(|file| (file, reached(file))).collect();
    let mut cycles = BTreeSet::new();
    for (file, there) in &reach {
        let cycle: BTreeSet<String> = there
            .iter()
            .filter(|other| reach.get(other).is_some_and(|back| back.contains(*file)))
            .cloned()
            .collect();
        if cycle.len() > 1 {
            cycles.insert(cycle);
        }
    }
    cycles.into_iter().collect()
}

#[test]
fn files_import_only_from_their_own_module_and_lower_ones() {
    for (file, imports) in Sources::read().graph() {
        if file == "lib.rs" {
            continue;
        }
        let own = module(&file).unwrap_or_else(|| panic!("{file} is in no module"));
        for import in imports {
            let other = module(&import).unwrap_or_else(|| panic!("{file} imports {import}"));
            assert!(other <= own, "{file} imports {import}, which is in a higher module");
        }
    }
}

#[test]
fn files_import_each_other_only_in_known_cycles() {
    let mut seen = BTreeSet::new();
    for cycle in cycles(&Sources::read().graph()) {
        let stands_in = |places: &[&str]| {
            cycle.iter().all(|file| places.iter().any(|place| file.starts_with(place)))
        };
        let known = CYCLES.iter().position(|(places, _)| stands_in(places));
        assert!(known.is_some(), "these files import each other: {cycle:#?}");
        seen.extend(known);
    }
    for (i, (places, why)) in CYCLES.iter().enumerate() {
        assert!(seen.contains(&i), "no cycle is left in {places:?}: {why}");
    }
}

#[test]
fn a_cycle_is_found_without_the_files_that_lead_to_or_from_it() {
    let found = |edges: &[(&str, &str)]| {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            graph.entry(from.to_string()).or_default().insert(to.to_string());
            graph.entry(to.to_string()).or_default();
        }
        cycles(&graph)
    };
    let set = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<BTreeSet<_>>();
    assert!(found(&[("a", "b"), ("b", "c"), ("a", "c")]).is_empty());
    let edges =
        [("in", "a"), ("a", "b"), ("b", "c"), ("c", "a"), ("c", "out"), ("out", "x"), ("x", "out")];
    assert_eq!(found(&edges), [set(&["a", "b", "c"]), set(&["out", "x"])]);
}

#[test]
fn paths_are_found_wherever_they_are_written() {
    let text = r##"
        //! crate::comment::a
        use crate::{a::{self, B}, c::D as E};
        pub use f::G;
        const TEXT: &str = r#"crate::text::a"#;
        fn h<'a>(x: &'a crate::i::J) -> char { k::l(); super::m::n(); 'x' }
        mod inner { use super::o::P; }
        #[cfg(test)]
        mod tests { use crate::only::tested; }
    "##;
    let mut file = File::default();
    file.take(&without_tests(tokens(text)), true);
    let paths: Vec<String> = file.paths.iter().map(|path| path.join("::")).collect();
    let expected = [
        "crate::a",
        "crate::a::B",
        "crate::c::D",
        "crate::i::J",
        "k::l",
        "super::m::n",
        "self::o::P",
    ];
    assert_eq!(paths, expected);
    assert_eq!(file.names["E"].join("::"), "crate::c::D");
    assert_eq!(file.names["G"].join("::"), "f::G");
}

#[test]
fn modules_are_few_and_directories_small() {
    let entries =
        |dir: &Path| fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let top = entries(&root().join("src"));
    assert!(top.len() <= MOST_ENTRIES, "{} entries at the top of src", top.len());
    for dir in ["src", "shaders"].iter().flat_map(|dir| folders(&root().join(dir))) {
        let flat = entries(&dir).iter().filter(|path| path.is_file()).count();
        assert!(flat <= MOST_FILES, "{} files in {}", flat, dir.display());
    }
}

#[test]
fn design_lists_the_modules_in_order() {
    let design = fs::read_to_string(root().join("DESIGN.md")).unwrap();
    let rows = design.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let named: Vec<&str> = rows.take(MODULES.len()).map(|(module, _)| module).collect();
    assert_eq!(named, MODULES);
}

#[test]
fn every_directory_states_its_contents() {
    for dir in folders(&root().join("src")).into_iter().filter(|dir| *dir != root().join("src")) {
        // `choose/tests.rs` belongs to `choose.rs`.
        let faces = [dir.join("mod.rs"), dir.with_extension("rs")];
        let text = faces.iter().find_map(|face| fs::read_to_string(face).ok()).unwrap_or_default();
        assert!(text.starts_with("//! "), "{} doesn't begin with a sentence", faces[0].display());
    }
}

#[test]
fn only_the_gpu_backend_names_wgpu() {
    for path in files(&root().join("src")) {
        let gpu = path.components().any(|c| c.as_os_str() == "gpu");
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
        assert!(gpu || !code.collect::<String>().contains("wgpu::"), "{}", path.display());
    }
}

#[test]
fn the_core_keeps_files_and_terminals_out() {
    for module in ["kernels", "plan", "backend", "proof", "train"] {
        for path in files(&root().join("src").join(module)) {
            // Compiled pipelines, and what was measured of devices, are kept in files.
            let is_cache =
                path.ends_with("backend/gpu/cache.rs") || path.ends_with("train/choose.rs");
            let text = fs::read_to_string(&path).unwrap();
            if is_test(&path) {
                continue;
            }
            let words = without_tests(tokens(&text));
            let has = |sequence: &[&str]| words.windows(sequence.len()).any(|w| w == sequence);
            for word in ["print", "println", "eprint", "eprintln", "dbg"] {
                assert!(!has(&[word, "!"]), "{} has {word}!", path.display());
            }
            assert!(is_cache || !has(&["std", "::", "fs"]), "{} has std::fs", path.display());
            assert!(!has(&["File", "::"]), "{} has File::", path.display());
        }
    }
}

#[test]
fn every_shader_is_in_the_family_of_a_kernel() {
    for shader in files(&root().join("shaders")) {
        let family = shader.parent().unwrap().file_name().unwrap().to_string_lossy().to_string();
        let name = format!("shaders/{family}/{}", shader.file_name().unwrap().to_string_lossy());
        let kernels = files(&root().join("src/kernels").join(&family));
        let is_used = kernels.iter().any(|file| fs::read_to_string(file).unwrap().contains(&name));
        assert!(is_used, "{name} is used by no kernel of its family");
    }
}

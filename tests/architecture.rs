//! The rooms of `DESIGN.md`: each file of `src` imports only from its own room or a lower one, and files
//! don't import each other in cycles.
//!
//! Imports are read from the text: paths and use trees, except in tests. A re-exported name
//! (`pub use`) is an import of the file that defines it; a `mod` line isn't an import.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `src`, from the ground up.
const ROOMS: [&str; 14] = [
    "base", "math", "data", "net", "kernels", "plan", "backend", "proof", "train", "files",
    "front", "observe", "report", "cli",
];

/// Entries at the top of `src`, `lib.rs` and `main.rs` among them.
const MOST_ENTRIES: usize = 16;
/// Files in a folder, folders in it aside.
const MOST_FILES: usize = 20;

/// The existing cycles of files, each within files for one idea, with the reason. When a cycle is
/// removed, its line here is removed too; no new cycle may appear.
const CIRCLES: [(&[&str], &str); 12] = [
    (
        &["math/loss/", "math/vector/"],
        "the loops over a loss's terms are compiled for vectors, and the loss is written with such loops",
    ),
    (
        &["data/streams/", "data/formats/json_lines.rs"],
        "a source is bytes, an entry of a zip file, or JSON that was looked at",
    ),
    (
        &["data/formats/delimited/"],
        "one parser: dialect, blocks, cells and forms look at each other's bytes",
    ),
    (
        &["data/encode/"],
        "an encoding says of categories that it doesn't know what they are nearly like",
    ),
    (&["data/large/"], "the order of slabs is that of a stored set, whose windows follow it"),
    (
        &["kernels/products/tile/", "kernels/mixed/"],
        "one table says which tile a product takes, in f32 and in f16",
    ),
    (&["plan/program/"], "a program writes its ops out, with the shapes of its tensors"),
    (&["plan/"], "a plan is what all builders and rules make, and `plan` chooses among these"),
    (
        &["backend/cpu/"],
        "an op is cut into pieces that are run by the same team, with the same caches",
    ),
    (&["backend/gpu/"], "what is bound, made ready and submitted are parts of one device"),
    (&["train/trainer/"], "a trainer: its methods are written down by subject"),
    (
        &["front/setup/"],
        "a job is made of options and data, and parts of it are made by looking at the rest",
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let inner = entries.filter(|path| path.is_dir()).flat_map(|path| folders(&path));
    inner.chain([dir.to_path_buf()]).collect()
}

/// The parts of a path.
type Parts = Vec<String>;

/// The imports of a file of `src`.
#[derive(Debug, Default)]
struct File {
    /// From `src` on, with `/`.
    name: String,
    /// Its module, from the crate on.
    module: Parts,
    /// The paths of the names in its use declarations, as written.
    names: BTreeMap<String, Parts>,
    /// All paths in it, as written, except for re-exports.
    paths: Vec<Parts>,
}

impl File {
    fn read(path: &Path) -> Self {
        let name =
            path.strip_prefix(root().join("src")).unwrap().to_string_lossy().replace('\\', "/");
        let module = name.trim_end_matches(".rs").trim_end_matches("mod").trim_end_matches('/');
        let module = match module {
            "lib" => Vec::new(),
            module => module.split('/').map(str::to_string).collect(),
        };
        let hands_on = name.ends_with("mod.rs") || name == "lib.rs";
        let mut file = File { name, module, ..File::default() };
        file.take(&without_tests(tokens(&fs::read_to_string(path).unwrap())), hands_on);
        file
    }

    /// Collects the paths of a text.
    fn take(&mut self, tokens: &[String], hands_on: bool) {
        // For each open brace, whether it is that of a module.
        let mut braces = Vec::new();
        let mut i = 0;
        while i < tokens.len() {
            let inner = braces.iter().filter(|is_module| **is_module).count();
            match tokens[i].as_str() {
                "use" => {
                    let is_public =
                        hands_on && i > 0 && ["pub", ")"].contains(&tokens[i - 1].as_str());
                    let mut leaves = Vec::new();
                    i = use_tree(tokens, i + 1, &mut Vec::new(), &mut leaves);
                    for (path, name) in leaves {
                        let path = outward(path, inner);
                        if !is_public && path.last().is_none_or(|last| last != "*") {
                            self.paths.push(path.clone());
                        }
                        self.names.insert(name, path);
                    }
                }
                "{" => {
                    braces.push(i > 1 && tokens[i - 2] == "mod");
                    i += 1;
                }
                "}" => {
                    braces.pop();
                    i += 1;
                }
                token if is_name(token) && (i == 0 || tokens[i - 1] != "::") => {
                    let mut path = vec![token.to_string()];
                    i += 1;
                    while tokens.get(i).is_some_and(|t| t == "::")
                        && tokens.get(i + 1).is_some_and(|t| is_name(t))
                    {
                        path.push(tokens[i + 1].clone());
                        i += 2;
                    }
                    if path.len() > 1 {
                        self.paths.push(outward(path, inner));
                    }
                }
                _ => i += 1,
            }
        }
    }
}

/// A path from within `inner` modules of a file, as the file would write it.
fn outward(path: Parts, inner: usize) -> Parts {
    let ups = path.iter().take_while(|part| *part == "super").count();
    match ups {
        0 => path,
        ups if ups <= inner => {
            std::iter::once("self".to_string()).chain(path.into_iter().skip(ups)).collect()
        }
        _ => path.into_iter().skip(inner).collect(),
    }
}

fn is_name(token: &str) -> bool {
    token.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single characters of a text; comments, strings and characters left out.
fn tokens(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let at = |i: usize| text.get(i).copied().unwrap_or('\n');
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < text.len() {
        let c = text[i];
        if c == '/' && at(i + 1) == '/' {
            while i < text.len() && text[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            while i < text.len() && !(text[i] == '*' && at(i + 1) == '/') {
                i += 1;
            }
            i += 2;
        } else if c.is_alphanumeric() || c == '_' {
            let begin = i;
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            let word: String = text[begin..i].iter().collect();
            let hashes = (i..).take_while(|&k| at(k) == '#').count();
            if ["r", "br", "cr"].contains(&word.as_str()) && at(i + hashes) == '"' {
                i += hashes + 1;
                while !(text[i] == '"' && (1..=hashes).all(|k| at(i + k) == '#')) {
                    i += 1;
                }
                i += 1 + hashes;
            } else if !(["b", "c"].contains(&word.as_str()) && at(i) == '"') {
                tokens.push(word);
            }
        } else if c == '"' {
            i += 1;
            while text[i] != '"' {
                i += if text[i] == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if c == '\'' && (at(i + 1) == '\\' || at(i + 2) == '\'') {
            i += if at(i + 1) == '\\' { 3 } else { 2 };
            while text[i] != '\'' {
                i += 1;
            }
            i += 1;
        } else if c == ':' && at(i + 1) == ':' {
            tokens.push("::".into());
            i += 2;
        } else {
            if !c.is_whitespace() {
                tokens.push(c.into());
            }
            i += 1;
        }
    }
    tokens
}

/// The tokens without the items that are compiled only for tests.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    let is = |i: usize, words: &[&str]| {
        words.iter().enumerate().all(|(k, w)| tokens.get(i + k).is_some_and(|t| t == w))
    };
    let mut left = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if is(i, &["#", "[", "cfg", "(", "test", ")"])
            || is(i, &["#", "[", "cfg", "(", "all", "(", "test", ","])
        {
            let mut depth = 0;
            while i < tokens.len() {
                match tokens[i].as_str() {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                let ends = depth == 0 && [";", "}"].contains(&tokens[i].as_str());
                i += 1;
                if ends {
                    break;
                }
            }
        } else {
            left.push(tokens[i].clone());
            i += 1;
        }
    }
    left
}

/// The leaves of a use tree, each with the name that it gives; the place behind it.
fn use_tree(
    tokens: &[String],
    mut i: usize,
    prefix: &mut Parts,
    leaves: &mut Vec<(Parts, String)>,
) -> usize {
    let depth = prefix.len();
    loop {
        match tokens[i].as_str() {
            "::" => i += 1,
            "{" => {
                i += 1;
                while tokens[i] != "}" {
                    i = if tokens[i] == "," { i + 1 } else { use_tree(tokens, i, prefix, leaves) };
                }
                i += 1;
                break;
            }
            part => {
                prefix.push(part.to_string());
                i += 1;
                if tokens[i] != "::" {
                    let mut path = prefix.clone();
                    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                        path.pop();
                    }
                    let mut name = path.last().cloned().unwrap_or_default();
                    if tokens[i] == "as" {
                        name.clone_from(&tokens[i + 1]);
                        i += 2;
                    }
                    leaves.push((path, name));
                    break;
                }
            }
        }
    }
    prefix.truncate(depth);
    i
}

/// All files of `src` by their modules.
struct Sources(BTreeMap<Parts, File>);

impl Sources {
    fn read() -> Self {
        let all = files(&root().join("src"));
        let all = all.iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
        let all = all.filter(|path| !is_test(path) && !path.ends_with("src/main.rs"));
        Sources(all.map(|path| File::read(path)).map(|file| (file.module.clone(), file)).collect())
    }

    /// The absolute path of a path in a file; none if it is outside of the crate.
    fn absolute(&self, file: &File, path: &[String]) -> Option<Parts> {
        let mut module = file.module.clone();
        match path[0].as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" | "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let rest = if ups == 0 { &path[1..] } else { &path[ups..] };
                module.truncate(module.len().checked_sub(ups)?);
                module.extend_from_slice(rest);
                return Some(module);
            }
            _ => {}
        }
        module.push(path[0].clone());
        if path.len() > 1 && self.0.contains_key(&module) {
            module.extend_from_slice(&path[1..]);
            return Some(module);
        }
        let named = file.names.get(&path[0]).filter(|named| named[0] != path[0])?;
        let mut absolute = self.absolute(file, named)?;
        absolute.extend_from_slice(&path[1..]);
        Some(absolute)
    }

    /// The file that defines the item of a path; none for the path of a module.
    fn definer(&self, path: &[String]) -> Option<&File> {
        let (file, rest) =
            (0..=path.len()).rev().find_map(|n| Some((self.0.get(&path[..n])?, &path[n..])))?;
        let handed = file.names.get(rest.first()?).and_then(|named| self.absolute(file, named));
        match handed {
            Some(mut there) => {
                there.extend_from_slice(&rest[1..]);
                if there == path { Some(file) } else { self.definer(&there) }
            }
            None => Some(file),
        }
    }

    /// Which files each file imports.
    fn graph(&self) -> BTreeMap<String, BTreeSet<String>> {
        let imports = |file: &File| {
            let absolute = file.paths.iter().filter_map(|path| self.absolute(file, path));
            let definers = absolute.filter_map(|path| Some(self.definer(&path)?.name.clone()));
            definers.filter(|name| *name != file.name).collect()
        };
        self.0.values().map(|file| (file.name.clone(), imports(file))).collect()
    }
}

/// Whether a file contains only tests.
fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
}

fn room(file: &str) -> Option<usize> {
    let first = file.split('/').next().unwrap();
    ROOMS.iter().position(|room| *room == first)
}

/// The cycles of a graph: its strongly connected components.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
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
    let mut circles = BTreeSet::new();
    for (file, there) in &reach {
        let circle: BTreeSet<String> = there
            .iter()
            .filter(|other| reach.get(other).is_some_and(|back| back.contains(*file)))
            .cloned()
            .collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

#[test]
fn files_import_their_own_room_and_lower_ones_only() {
    for (file, imports) in Sources::read().graph() {
        if file == "lib.rs" {
            continue;
        }
        let own = room(&file).unwrap_or_else(|| panic!("{file} stands in no room"));
        for import in imports {
            let other = room(&import).unwrap_or_else(|| panic!("{file} imports {import}"));
            assert!(other <= own, "{file} imports {import}, which stands higher");
        }
    }
}

#[test]
fn files_import_each_other_in_no_circle_but_those_that_are_known() {
    let mut seen = BTreeSet::new();
    for circle in circles(&Sources::read().graph()) {
        let stands_in = |places: &[&str]| {
            circle.iter().all(|file| places.iter().any(|place| file.starts_with(place)))
        };
        let known = CIRCLES.iter().position(|(places, _)| stands_in(places));
        assert!(known.is_some(), "these files import each other: {circle:#?}");
        seen.extend(known);
    }
    for (i, (places, why)) in CIRCLES.iter().enumerate() {
        assert!(seen.contains(&i), "no circle is left in {places:?}: {why}");
    }
}

#[test]
fn a_circle_is_seen_and_what_leads_to_it_or_from_it_is_none() {
    let found = |edges: &[(&str, &str)]| {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            graph.entry(from.to_string()).or_default().insert(to.to_string());
            graph.entry(to.to_string()).or_default();
        }
        circles(&graph)
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
fn rooms_are_few_and_folders_small() {
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
fn design_names_the_rooms_from_the_ground_up() {
    let design = fs::read_to_string(root().join("DESIGN.md")).unwrap();
    let rows = design.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let named: Vec<&str> = rows.take(ROOMS.len()).map(|(room, _)| room).collect();
    assert_eq!(named, ROOMS);
}

#[test]
fn every_folder_says_what_belongs_there() {
    for dir in folders(&root().join("src")).into_iter().filter(|dir| *dir != root().join("src")) {
        // `choose/tests.rs` stands beside `choose.rs`.
        let faces = [dir.join("mod.rs"), dir.with_extension("rs")];
        let text = faces.iter().find_map(|face| fs::read_to_string(face).ok()).unwrap_or_default();
        assert!(text.starts_with("//! "), "{} begins with no sentence", faces[0].display());
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
    for room in ["kernels", "plan", "backend", "proof", "train"] {
        for path in files(&root().join("src").join(room)) {
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
fn every_shader_stands_in_the_family_of_a_kernel() {
    for shader in files(&root().join("shaders")) {
        let family = shader.parent().unwrap().file_name().unwrap().to_string_lossy().to_string();
        let name = format!("shaders/{family}/{}", shader.file_name().unwrap().to_string_lossy());
        let kernels = files(&root().join("src/kernels").join(&family));
        let is_used = kernels.iter().any(|file| fs::read_to_string(file).unwrap().contains(&name));
        assert!(is_used, "{name} is used by no kernel of its family");
    }
}

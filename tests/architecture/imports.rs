//! What the files of `src` import, read from their text: paths and use trees, tests aside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

pub fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let inner = entries.filter(|path| path.is_dir()).flat_map(|path| folders(&path));
    inner.chain([dir.to_path_buf()]).collect()
}

/// The parts of a path.
pub type Parts = Vec<String>;

/// The imports of a file of `src`.
#[derive(Debug, Default)]
pub struct File {
    /// From `src` on, with `/`.
    name: String,
    /// Its module, from the crate on.
    module: Parts,
    /// The paths of the names in its use declarations, as written.
    pub names: BTreeMap<String, Parts>,
    /// All paths in it, as written, except for re-exports.
    pub paths: Vec<Parts>,
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
    pub fn take(&mut self, tokens: &[String], hands_on: bool) {
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
pub fn tokens(text: &str) -> Vec<String> {
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
pub fn without_tests(tokens: Vec<String>) -> Vec<String> {
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
pub struct Sources(BTreeMap<Parts, File>);

impl Sources {
    pub fn read() -> Self {
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
    pub fn graph(&self) -> BTreeMap<String, BTreeSet<String>> {
        let imports = |file: &File| {
            let absolute = file.paths.iter().filter_map(|path| self.absolute(file, path));
            let definers = absolute.filter_map(|path| Some(self.definer(&path)?.name.clone()));
            definers.filter(|name| *name != file.name).collect()
        };
        self.0.values().map(|file| (file.name.clone(), imports(file))).collect()
    }
}

/// Whether a file contains only tests.
pub fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
}

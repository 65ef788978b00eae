//! The public interface, stored as a text: it changes only on purpose.
//!
//! `WGRAD_WRITE_API=1 cargo test --test library api` updates `api.txt`.

use std::fs;
use std::path::Path;

/// The items at the root, and the signatures of `Classifier` and `Regressor`, from the source text.
fn interface() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(root.join("lib.rs")).unwrap();
    let mut all = String::from("# modules of the documentation\n");
    let mut is_hidden = false;
    for line in lib.lines() {
        if let Some(module) = line.strip_prefix("pub mod ") {
            if !is_hidden {
                all += &format!("{}\n", module.trim_end_matches(';'));
            }
            is_hidden = false;
        } else if line.starts_with("#[doc(hidden)]") {
            is_hidden = true;
        }
    }
    all += "\n# at the root\n";
    let mut names: Vec<String> = Vec::new();
    for (begin, _) in lib.match_indices("\npub use ") {
        let rest = &lib[begin + 9..];
        let text = &rest[..rest.find(';').unwrap()];
        let (path, list) = match text.split_once("::{") {
            Some((path, list)) => (path, list.trim_end_matches('}')),
            None => text.rsplit_once("::").unwrap(),
        };
        let of = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.extend(of.map(|name| format!("{path}::{name}")));
    }
    names.sort();
    all += &names.join("\n");
    all += "\n";
    let mut files: Vec<_> =
        fs::read_dir(root.join("front")).unwrap().map(|e| e.unwrap().path()).collect();
    files.push(root.join("base/error.rs"));
    files.sort();
    for file in files.iter().filter(|path| path.is_file()) {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        let text = fs::read_to_string(file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        let found = signatures(text);
        if !found.is_empty() {
            all += &format!("\n# {name}\n{}\n", found.join("\n"));
        }
    }
    all
}

/// The public items of a file, each on a line.
fn signatures(text: &str) -> Vec<String> {
    let begins = ["pub fn ", "pub struct ", "pub enum ", "pub trait ", "pub type ", "pub const "];
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        if !begins.iter().any(|begin| line.starts_with(begin)) {
            continue;
        }
        // Up to the body or the end of the item.
        let mut whole = String::new();
        for part in &lines[i..] {
            whole += if whole.is_empty() || whole.ends_with('(') { "" } else { " " };
            whole += part;
            if part.ends_with('{') || part.ends_with(';') || part.ends_with("{}") {
                break;
            }
        }
        let whole = whole.trim_end_matches(['{', ';', ' ']);
        found.push(whole.replace(", )", ")").replace("( ", "("));
    }
    found
}

#[test]
fn the_public_interface_is_the_one_that_is_written_down() {
    let found = interface();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/library/api.txt");
    if std::env::var("WGRAD_WRITE_API").is_ok_and(|value| value == "1") {
        fs::write(&file, &found).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let added: Vec<&str> = found.lines().filter(|line| !kept.lines().any(|k| k == *line)).collect();
    let gone: Vec<&str> = kept.lines().filter(|line| !found.lines().any(|f| f == *line)).collect();
    assert!(
        added.is_empty() && gone.is_empty(),
        "the public interface is another one\nadded: {added:#?}\ngone: {gone:#?}\non purpose: WGRAD_WRITE_API=1"
    );
}

#[test]
fn signatures_are_seen_on_one_line_and_on_several() {
    let text = "    pub fn a(\n        x: u8,\n    ) -> u8 {\n        x\n    }\npub(crate) fn b() {}\npub struct C;\n";
    assert_eq!(signatures(text), ["pub fn a(x: u8) -> u8", "pub struct C"]);
}

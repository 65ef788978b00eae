//! Texts use the standard terms: paraphrases and sentences that were hard to understand must
//! not come back. Links nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// Phrases that must not occur, in lower case, and what to write instead.
const INSTEAD: [(&str, &str); 27] = [
    ("added to the root that a step", "ε: term added to the denominator for numerical stability"),
    ("gaps are filled in", "missing values are imputed and flagged with an indicator input"),
    ("said to the net", "missing values are imputed and flagged with an indicator input"),
    ("how often all rows", "number of passes over the training set (epochs)"),
    ("what the loss is multiplied by", "initial loss scale"),
    ("the share ε of a class", "label smoothing ε"),
    ("train as many nets", "k-fold cross-validation"),
    ("the part of the rows that is held out", "fraction of the rows held out for validation"),
    ("done when the loss is no longer", "what to do when the loss becomes NaN or infinite"),
    ("/// rows of a batch", "batch size"),
    ("the most rows that go through", "largest micro-batch"),
    ("what lies between two rows", "mixup: convex combinations of pairs of rows"),
    ("not counted) columns do anyway", "one-hot encoded by default"),
    ("whatever they look like", "treat these columns as categorical"),
    ("is understood by a sample", "its columns are profiled on a sample of the rows"),
    (
        "run that was never interrupted",
        "reproduces the weights of an uninterrupted run, bit for bit",
    ),
    ("to who asks", "to whoever asks"),
    ("one thing too many", "unexpected argument"),
    ("to take it all the same", "use --categorical COL to include it"),
    ("as it is scaled", "overflows f32 after scaling"),
    ("is let off", "the tolerance includes"),
    ("lie scattered", "are scattered, so no tile is entirely zero"),
    ("held against", "compared with"),
    ("gone on with", "resumed"),
    ("an own parser", "our own parser; a custom parser"),
    ("loss are then wgrad's", "wgrad installs its own error and device-lost handlers"),
    ("of its kin", "that of related optimizers"),
];
/// Files by others or written by programs.
const SKIPPED: [&str; 6] = [".git", "target", "results", "golden", "node_modules", "shared"];

fn texts(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink() || SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            texts(&path, found);
            continue;
        }
        let is_script = path.parent().is_some_and(|parent| parent.ends_with("scripts"));
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if is_script || ["rs", "md", "wgsl", "py", "toml", "html"].contains(&extension.as_str()) {
            found.push(path);
        }
    }
}

/// The lines with a phrase, and the phrase: lines are joined, as a phrase may be broken.
fn found_in(text: &str) -> Vec<(usize, &'static str)> {
    let mut joined = String::new();
    let mut begins = Vec::new();
    let mut was_doc = false;
    for line in text.lines() {
        begins.push(joined.len());
        let line = line.trim();
        // A comment goes on in the next line.
        let rest = ["//!", "///", "//", "#", "|"].iter().find_map(|sign| line.strip_prefix(sign));
        let starts_doc = line.starts_with("///") && !was_doc;
        was_doc = line.starts_with("///");
        let line = if starts_doc { line } else { rest.unwrap_or(line).trim() };
        joined += &line.to_lowercase();
        joined.push(' ');
    }
    let at = |byte: usize| begins.partition_point(|&begin| begin <= byte);
    let hits = INSTEAD.iter().flat_map(|(phrase, _)| {
        let is_whole =
            |byte: usize| !joined[byte + phrase.len()..].starts_with(char::is_alphabetic);
        let places = joined.match_indices(phrase).filter(|(byte, _)| is_whole(*byte));
        places.map(|(byte, _)| (at(byte), *phrase)).collect::<Vec<_>>()
    });
    hits.collect()
}

#[test]
fn no_text_describes_what_has_a_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    texts(root, &mut files);
    assert!(files.len() > 300, "{} files", files.len());
    let mut wrong = String::new();
    for file in files.iter().filter(|file| !file.ends_with("tests/words.rs")) {
        let Ok(text) = fs::read_to_string(file) else { continue };
        for (line, phrase) in found_in(&text) {
            let name = file.strip_prefix(root).unwrap().display();
            let instead = INSTEAD.iter().find(|(other, _)| *other == phrase).unwrap().1;
            wrong += &format!("{name}:{line}: {phrase:?}; write: {instead}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_phrase_is_found_across_lines_and_in_comments() {
    assert_eq!(found_in("/// What a net is held\n/// against: one.\n"), [(1, "held against")]);
    assert_eq!(found_in("fn a() {}\n    //! it is gone\n    //! on with\n"), [(2, "gone on with")]);
    assert_eq!(found_in("/// Rows of a batch.\n"), [(1, "/// rows of a batch")]);
    assert_eq!(found_in("// two rows of a batch\nheld, against it\n"), []);
}

#[test]
fn design_is_an_index_and_readme_begins_with_how_to_install_and_run() {
    let read =
        |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let design = read("DESIGN.md");
    assert!(design.lines().count() <= 250, "{} lines in DESIGN.md", design.lines().count());
    let readme = read("README.md");
    let place =
        |text: &str| readme.find(text).unwrap_or_else(|| panic!("no {text:?} in README.md"));
    assert!(place("cargo install") < place("wgrad train\n"), "installation comes before usage");
    assert!(place("wgrad train\n") < place("wgrad train housing"), "the two commands come first");
    assert_eq!(readme.matches("![").count(), 1, "one picture");
    // One spelling, American; `grey` is a value of an option.
    let documents = [
        "README.md",
        "DESIGN.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "benches/RESULTS.md",
        "docs/rejected.md",
        "docs/exports.md",
        "docs/platforms.md",
        "src/files/config/options.rs",
        "src/files/config/training.rs",
        "src/files/config/text.rs",
        "src/cli/arguments/args.rs",
        "src/cli/arguments/texts.rs",
    ];
    let british =
        ["learnt", "ptimiser", "ormalis", "eighbour", "icence", "ehaviour", "egularis", "nitialis"];
    for document in documents {
        let text = read(document);
        for word in british {
            assert!(!text.contains(word), "{document}: {word}");
        }
    }
}

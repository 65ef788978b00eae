//! The content and size of help texts; completions and man pages.

use crate::cli_support::{Place, ran};

/// Standard output in a terminal with `columns` columns.
fn shown(args: &str, columns: usize) -> String {
    let place = Place::new();
    let mut command = place.command(args);
    let ran = ran(command.env("COLUMNS", columns.to_string()).output().unwrap());
    assert_eq!(ran.code, 0, "{args}: {}", ran.stderr);
    ran.stdout
}

/// The options that a help text lists, with their lines.
fn options(help: &str) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    let mut is_option = false;
    for line in help.lines() {
        let begins = line.trim_start();
        let indent = line.len() - begins.len();
        if begins.starts_with('-') && indent < 10 {
            let name = begins.split([' ', '=', '[']).find(|word| word.starts_with("--"));
            found.push((name.unwrap_or(begins).trim_end_matches(',').to_string(), 1));
            is_option = true;
        } else if indent >= 10 && is_option {
            found.last_mut().unwrap().1 += 1;
        } else {
            is_option = false;
        }
    }
    found
}

#[test]
fn the_short_help_of_train_is_one_screen() {
    let help = shown("train -h", 80);
    assert!(help.lines().count() <= 40, "{} lines:\n{help}", help.lines().count());
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    let names: Vec<String> = options(&help).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 16, "fifteen and --help: {names:?}");
    for name in ["--target", "--layers", "--epochs", "--lr", "--device", "--dry-run", "--help"] {
        assert!(names.iter().any(|n| n == name), "{name} in {help}");
    }
    let all = options(&shown("train --help", 100)).len();
    let more = format!("{} more options", all - names.len());
    assert!(help.contains(&more) && help.contains("wgrad train --help"), "{more} in {help}");
}

#[test]
fn the_whole_help_has_each_option_in_one_or_two_lines() {
    for command in
        ["train", "evaluate", "predict", "verify", "bench", "check-gradients", "init", "runs"]
    {
        let help = shown(&format!("{command} --help"), 100);
        assert!(help.lines().all(|line| line.chars().count() <= 110), "{command}: {help}");
        for (name, lines) in options(&help) {
            assert!(lines <= 2, "{command} {name} takes {lines} lines:\n{help}");
        }
    }
    let help = shown("train --help", 100);
    for heading in ["Data:", "Text files:", "Net:", "Training:", "Run:", "Device:"] {
        assert!(help.contains(&format!("\n{heading}\n")), "{heading} in {help}");
    }
    assert!(options(&help).len() > 80, "{}", options(&help).len());
    // The help of other commands is short where it can be.
    assert!(options(&shown("bench -h", 80)).len() < 25);
}

#[test]
fn there_are_completions_for_each_shell_and_a_man_page_for_each_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.ok(&format!("completions {shell}")).stdout;
        assert!(script.contains("batch-size") && script.contains("compare"), "{shell}");
    }
    let page = place.ok("completions man").stdout;
    assert!(page.contains(".TH wgrad 1") && page.contains("wgrad\\-train"), "{page}");
    place.ok("completions man --out pages");
    let names = place.names("pages");
    for name in ["wgrad.1", "wgrad-train.1", "wgrad-check-gradients.1", "wgrad-runs.1"] {
        assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
    }
    assert!(place.read("pages/wgrad-train.1").contains("batch\\-size"));
    assert_eq!(place.run("completions bash --out x").code, 2);
}

#[test]
fn each_option_in_the_documents_is_one_that_a_command_has() {
    // Of cargo, of TensorBoard, and what stands for all options of a name.
    const OTHERS: [&str; 6] =
        ["--release", "--path", "--open", "--logdir", "--no-default-features", "--features"];
    let place = Place::new();
    let commands = [
        "train",
        "evaluate",
        "predict",
        "runs",
        "compare",
        "inspect",
        "report",
        "init",
        "export",
        "import",
        "verify",
        "check-gradients",
        "bench",
        "devices",
        "completions",
    ];
    let all: Vec<String> = commands
        .iter()
        .flat_map(|command| options(&place.ok(&format!("{command} --help")).stdout))
        .map(|(name, _)| name)
        .collect();
    for file in ["README.md", "DESIGN.md", "docs/rejected.md"] {
        let text =
            std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        for begin in text.match_indices("--").map(|(place, _)| place) {
            let is_inner = text[..begin].ends_with(|c: char| c == '-' || c.is_alphanumeric());
            let rest =
                text[begin + 2..].split(|c: char| c != '-' && !c.is_ascii_alphanumeric()).next();
            let name = rest.unwrap_or_default().trim_end_matches('-');
            if is_inner || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
                continue;
            }
            let option = format!("--{name}");
            let is_known = all.contains(&option) || OTHERS.contains(&option.as_str());
            assert!(is_known, "{file} names {option}, which no command has");
        }
    }
}

//! Messages for programs: settings are named like builders' methods, not like command-line options.

use crate::base::error::Error;

/// Options that have other names in builders.
const OTHERS: [(&str, &str); 5] = [
    ("layers", "hidden_layers"),
    ("lr", "learning_rate"),
    ("patience", "early_stopping"),
    ("validation", "validation_fraction"),
    ("init", "configure(|options| options.run.init = …)"),
];

/// An error whose message, place and advice name settings as builders do.
pub(super) fn in_fields(error: Error) -> Error {
    error.reworded(fields)
}

/// A text with the names of settings instead of options: `batch_size` for `--batch-size`.
fn fields(text: &str) -> String {
    let mut found = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("--") {
        let (before, behind) = (&rest[..at], &rest[at + 2..]);
        let is_apart = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let end = behind.find(|c| !is_part(c)).unwrap_or(behind.len());
        let name = behind[..end].trim_end_matches('-');
        found += before;
        if is_apart && name.starts_with(|c: char| c.is_ascii_lowercase()) {
            match OTHERS.iter().find(|(option, _)| *option == name) {
                Some((_, field)) => found += field,
                None => found += &name.replace('-', "_"),
            }
            rest = &behind[name.len()..];
        } else {
            found += "--";
            rest = behind;
        }
    }
    found + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_the_names_of_settings() {
        for (text, expected) in [
            ("leave --augment out", "leave augment out"),
            ("--batch-size 7, or --lr", "batch_size 7, or learning_rate"),
            ("(--patience)", "(early_stopping)"),
            ("3 -- 4, a--b, --- and --", "3 -- 4, a--b, --- and --"),
            ("--layers", "hidden_layers"),
            ("näher --l1: ü", "näher l1: ü"),
        ] {
            assert_eq!(fields(text), expected);
        }
        let error = Error::usage("--a-b").at("--c").help("--d-e");
        assert_eq!(in_fields(error).to_string(), "a_b\n  where: c\n  help: d_e");
    }
}

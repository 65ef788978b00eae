//! Lines that fit a narrow terminal.

/// A part of a line: its priority, 0 first, and its text.
pub(super) type Part = (u8, String);

/// As many of the parts as fit into `width` columns, two spaces apart and in order; those of
/// higher priority are kept first, and the first part always. Without a width, all of them.
pub(super) fn fit(parts: &[Part], width: Option<usize>) -> String {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&i| parts[i].0);
    let (mut taken, mut used) = (vec![false; parts.len()], 0);
    for (n, i) in order.into_iter().enumerate() {
        let text = &parts[i].1;
        let length = text.chars().count() + if n > 0 { 2 } else { 0 };
        if !text.is_empty() && (n == 0 || width.is_none_or(|width| used + length <= width)) {
            taken[i] = true;
            used += length;
        }
    }
    let texts = parts.iter().zip(taken).filter(|(_, taken)| *taken);
    texts.map(|((_, text), _)| text.as_str()).collect::<Vec<_>>().join("  ")
}

/// The columns of the terminal, if there is one.
#[cfg(feature = "cli")]
#[must_use]
pub fn columns() -> Option<usize> {
    crossterm::terminal::size().ok().map(|(columns, _)| columns.into()).filter(|&n: &usize| n > 0)
}

/// Lines such as `trained     30 epochs, 8,730 steps` wrapped at words to `width` columns, continued
/// below their second column. Lines that fit are unchanged, and so are those with a command or a path, which
/// users copy.
#[cfg(feature = "cli")]
#[must_use]
pub fn wrap(text: &str, width: usize) -> String {
    const COPIED: [&str; 2] = ["model ", "next "];
    let wrapped = |line: &str| {
        if line.chars().count() <= width || COPIED.iter().any(|begin| line.starts_with(begin)) {
            return line.to_string();
        }
        let first = line.split("  ").next().unwrap_or_default();
        let behind = line.get(first.len()..).unwrap_or_default();
        let column = line.len() - behind.trim_start().len();
        // A table of names and values, unless there is no room for the values.
        let is_table = !behind.trim().is_empty() && column <= width / 2;
        let indent = " ".repeat(if is_table { column } else { 2.min(width / 2) });
        textwrap::fill(line, textwrap::Options::new(width).subsequent_indent(&indent))
    };
    let ends = text.ends_with('\n');
    let lines: Vec<String> = text.lines().map(wrapped).collect();
    lines.join("\n") + if ends { "\n" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_that_are_wanted_most_are_taken() {
        let parts = [(0, "epoch 1/9".into()), (3, "accuracy 0.9".into()), (1, "1 s left".into())];
        assert_eq!(fit(&parts, None), "epoch 1/9  accuracy 0.9  1 s left");
        assert_eq!(fit(&parts, Some(33)), "epoch 1/9  accuracy 0.9  1 s left");
        assert_eq!(fit(&parts, Some(32)), "epoch 1/9  1 s left");
        assert_eq!(fit(&parts, Some(1)), "epoch 1/9");
        assert_eq!(fit(&[], Some(1)), "");
    }

    #[cfg(feature = "cli")]
    #[test]
    fn lines_are_wrapped_at_words_below_their_second_column() {
        let text = "validation  accuracy 97.2%  (majority class 10.0%, linear model 96.7%)\n\
                    model       a/very/long/path/to/some/model.safetensors\n";
        assert_eq!(
            wrap(text, 40),
            "validation  accuracy 97.2%  (majority\n            class 10.0%, linear model\n            \
             96.7%)\nmodel       a/very/long/path/to/some/model.safetensors\n"
        );
        assert_eq!(wrap(text, 80), text);
        let sentence = "data: digits: 64 pixels and 10 different classes";
        assert_eq!(wrap(sentence, 40), "data: digits: 64 pixels and 10 different\n  classes");
        for width in 1..60 {
            // A word that is longer than a line is broken, and nothing is lost.
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(letters(&wrap(text, width)), letters(text), "{width}");
        }
    }
}

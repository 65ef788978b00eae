//! Spellings of categories: which are equal, and which are only similar.

use std::borrow::Cow;
#[cfg(feature = "data")]
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The canonical form of a category, a class or a label: without white space around
/// it (U+00A0 and similar characters are white space, and so are characters without width), composed (NFC), and
/// a whole number without a fraction of zeros. An empty text means a missing value.
///
/// `1.0` is `1` by its digits, so that no number is too long; `007`, `+1` and `1.10`, which may be a
/// version, are unchanged.
pub(in crate::data) fn canonical(text: &str) -> Cow<'_, str> {
    let text = without_fraction(text.trim_matches(is_blank));
    composed(text)
}

/// The text in Unicode's composed form (NFC).
#[cfg(feature = "data")]
fn composed(text: &str) -> Cow<'_, str> {
    match text.is_ascii() || is_nfc(text) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.nfc().collect()),
    }
}

/// The text unchanged: without the feature `data` no texts are read from files, and labels from programs are
/// assumed to be composed.
#[cfg(not(feature = "data"))]
fn composed(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// The characters of a text in Unicode's compatibility decomposition (NFKD).
#[cfg(feature = "data")]
fn decomposed(text: &str) -> impl Iterator<Item = char> {
    text.nfkd()
}

/// The characters of a text: see [`composed`].
#[cfg(not(feature = "data"))]
fn decomposed(text: &str) -> impl Iterator<Item = char> {
    text.chars()
}

/// White space and characters without width: a byte order mark, a zero-width space, a word joiner.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{FEFF}' | '\u{200B}' | '\u{2060}')
}

/// `1` for `1.0` and `1.00`, `0` for `-0` and `-0.0`; any other text unchanged.
fn without_fraction(text: &str) -> &str {
    if !text.ends_with('0') {
        return text;
    }
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => whole,
        Some(_) => return text,
        None => text,
    };
    match whole.strip_prefix('-').unwrap_or(whole).as_bytes() {
        b"0" => "0",
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => whole,
        _ => text,
    }
}

/// The common form of spellings that people confuse: `red` and `RED`, `01067` and `1067`, `1.10` and `1.1`, one
/// space and two; with `accents` also `Café` and `Cafe`.
pub(super) fn folded(text: &str, accents: bool) -> String {
    let is_kept = |c: &char| !(accents && matches!(c, '\u{300}'..='\u{36F}'));
    let lower: String = match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => decomposed(text).filter(is_kept).flat_map(char::to_lowercase).collect(),
    };
    let words: Vec<&str> = lower.split(is_blank).filter(|word| !word.is_empty()).collect();
    match &words[..] {
        [word] => without_zeros(word),
        words => words.join(" "),
    }
}

/// A number without plus sign and redundant zeros; any other text unchanged.
fn without_zeros(word: &str) -> String {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = !whole.is_empty()
        && whole.bytes().all(|b| b.is_ascii_digit())
        && fraction.bytes().all(|b| b.is_ascii_digit());
    if !is_number {
        return word.to_string();
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    match fraction {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

/// Similar spellings of a text, for finding it among hashes: each in its [`canonical`]
/// form.
pub(super) fn variants(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let mut letters = lower.chars();
    let capital = letters.next().map(|first| first.to_uppercase().chain(letters).collect());
    let plain = folded(text, true);
    let mut all = vec![lower, text.to_uppercase(), folded(text, false), plain];
    all.extend(capital);
    all.retain(|other| other != text);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_spellings_have_one_form() {
        for (text, form) in [
            ("red", "red"),
            ("  red\t", "red"),
            ("red\u{A0}", "red"),
            ("\u{202F}red\u{3000}", "red"),
            ("\u{FEFF}red\u{200B}", "red"),
            ("New York", "New York"),
            ("Cafe\u{301}", "Caf\u{E9}"),
            ("\u{212B}", "\u{C5}"),
            ("1.0", "1"),
            ("-12.000 ", "-12"),
            ("-0.0", "0"),
            ("-0", "0"),
            ("0.00", "0"),
            ("10", "10"),
            ("9007199254740993.0", "9007199254740993"),
            // Another category, or maybe.
            ("007", "007"),
            ("007.0", "007.0"),
            ("+1", "+1"),
            ("1.10", "1.10"),
            ("1.2.0", "1.2.0"),
            ("v1.0", "v1.0"),
            (".0", ".0"),
            ("-.0", "-.0"),
            ("1.", "1."),
            ("RED", "RED"),
            ("\u{FB01}", "\u{FB01}"),
            ("\u{A0} ", ""),
            ("", ""),
        ] {
            assert_eq!(canonical(text), form, "{text:?}");
            assert_eq!(canonical(&canonical(text)), form, "{text:?} twice");
        }
        assert!(matches!(canonical("red"), Cow::Borrowed(_)));
    }

    #[test]
    fn spellings_that_look_alike_are_folded_together() {
        for (one, other) in [
            ("red", "RED"),
            ("01067", "1067"),
            ("+1", "1"),
            ("-01.50", "-1.5"),
            ("0", "000"),
            ("new  york", "New\u{A0}York"),
            ("\u{FB01}n", "fin"),
        ] {
            assert_eq!(folded(one, false), folded(other, false), "{one} {other}");
        }
        assert_eq!(folded("Caf\u{E9}", true), "cafe");
        for (one, other) in [("Caf\u{E9}", "Cafe"), ("red", "reed"), ("1", "10"), ("-1", "1")] {
            assert_ne!(folded(one, false), folded(other, false), "{one} {other}");
        }
        // Marks that make another letter of a script without accents.
        assert_ne!(folded("\u{304C}", true), folded("\u{304B}", true));
    }

    #[test]
    fn variants_are_what_a_text_may_be_called_elsewhere() {
        let has = |text: &str, other: &str| variants(text).iter().any(|v| v == other);
        assert!(has("RED", "red") && has("red", "RED") && has("red", "Red"));
        assert!(has("01067", "1067") && has("Caf\u{E9}", "cafe"));
        assert!(!has("red", "red"));
    }
}

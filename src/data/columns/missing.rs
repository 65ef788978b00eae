//! The marks of missing values.

use super::frame::Values;
use super::texts::MISSING;

/// Marks of missing values in every column, in lower case: those of pandas, R, databases and
/// spreadsheets.
const MARKS: [&[u8]; 20] = [
    b"na", b"n/a", b"nan", b"null", b"?", b"<na>", b"nat", b"#n/a", b"#na", b"n.a.", b"\\n",
    b"#value!", b"#null!", b"#div/0!", b"#ref!", b"#num!", b"(null)", b"-nan", b"1.#qnan",
    b"-1.#ind",
];
/// Marks of missing values that may also be the name of a class.
const WORDS: [&[u8]; 6] = [b"none", b"nil", b"-", b"--", b"---", b"."];
/// The length of the longest mark.
const LONGEST: usize = 7;

/// The usual marks in lower case, upper case, capitalized, and as other programs write
/// them: for programs that compare texts byte by byte.
pub(in crate::data) fn spellings() -> impl Iterator<Item = String> {
    let marks = MARKS.iter().chain(&WORDS).map(|mark| String::from_utf8_lossy(mark).into_owned());
    marks.flat_map(|mark| cases(&mark)).chain(["NaN", "-NaN", "NaT", "1.#QNaN"].map(String::from))
}

/// A word in lower case, in upper case, and capitalized.
pub(in crate::data) fn cases(word: &str) -> [String; 3] {
    let lower = word.to_lowercase();
    let mut letters = lower.chars();
    let capital = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    [lower.clone(), lower.to_uppercase(), capital]
}

/// Marks that may also be a typo, or come from a broken formula: read as missing, but with a note.
const NOTED: [&[u8]; 11] = [
    b"?", b"-", b"--", b"---", b".", b"#value!", b"#null!", b"#div/0!", b"#ref!", b"#num!",
    b"-1.#ind",
];

/// Whether a note says that this cell, a mark, is read as missing.
pub(in crate::data) fn is_noted(cell: &[u8]) -> bool {
    NOTED.iter().any(|mark| mark.eq_ignore_ascii_case(cell))
}

/// Whether a cell without white space around it is empty or a usual mark.
pub(crate) fn is_missing(cell: &[u8]) -> bool {
    is_mark(cell) || is_word(cell)
}

/// Whether a cell is a mark that can't be anything else.
pub(in crate::data) fn is_mark(cell: &[u8]) -> bool {
    cell.len() <= LONGEST && (cell.is_empty() || is_one_of(cell, &MARKS))
}

/// Whether a cell is a mark that may also be a name.
pub(in crate::data) fn is_word(cell: &[u8]) -> bool {
    cell.len() <= LONGEST && is_one_of(cell, &WORDS)
}

fn is_one_of(cell: &[u8], marks: &[&[u8]]) -> bool {
    // Few other cells begin like a mark: most are rejected by their first byte.
    let begins = cell.first().is_some_and(|first| b"nN?<#\\(-.1".contains(first));
    begins && marks.iter().any(|mark| mark.eq_ignore_ascii_case(cell))
}

/// The marks that a user adds to the usual ones.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::data) struct Marks {
    texts: Vec<String>,
    /// The marks that are numbers: `-999` and `-999.0` are the same.
    numbers: Vec<f64>,
}

impl Marks {
    pub(in crate::data) fn new(texts: &[String]) -> Self {
        let texts: Vec<String> = texts.iter().map(|text| text.trim().to_string()).collect();
        let numbers = texts.iter().filter_map(|text| text.parse().ok()).collect();
        Marks { texts, numbers }
    }

    /// Whether a cell without white space around it is one of them.
    pub(in crate::data) fn has(&self, cell: &[u8]) -> bool {
        !self.texts.is_empty() && self.texts.iter().any(|text| text.as_bytes() == cell)
    }

    /// The values with these and the usual marks made missing; a class may be called
    /// `None`.
    pub(in crate::data) fn clear(&self, values: Values, are_classes: bool) -> Values {
        let is_missing = |x: f64| self.numbers.contains(&x);
        match values {
            Values::Texts(texts) => {
                let is_mark = |word: &str| {
                    let word = word.trim().as_bytes();
                    is_mark(word) || !are_classes && is_word(word) || self.has(word)
                };
                let are_marks: Vec<bool> = texts.words.iter().map(is_mark).collect();
                if !are_marks.contains(&true) {
                    return Values::Texts(texts);
                }
                // Texts that no longer occur are removed.
                let text = |&code: &u32| {
                    let is_there = code != MISSING && !are_marks[code as usize];
                    is_there.then(|| texts.words.get(code))
                };
                Values::Texts(texts.codes.iter().map(text).collect())
            }
            _ if self.numbers.is_empty() => values,
            Values::Times(_) => values,
            Values::Bytes(v) if !v.iter().any(|&x| is_missing(x.into())) => Values::Bytes(v),
            numbers => {
                let number = |row| match numbers.number(row) {
                    x if is_missing(x) => f64::NAN,
                    x => x,
                };
                Values::Numbers((0..numbers.len()).map(number).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_of_other_programs_are_known() {
        for cell in
            ["", "NA", "None", "-", "--", "#N/A", ".", "\\N", "<NA>", "nil", "NaT", "?", "NULL"]
        {
            assert!(is_missing(cell.as_bytes()), "{cell}");
        }
        for cell in ["0", "-1", "no", "nano", "n", "x.", "none of these", "-999"] {
            assert!(!is_missing(cell.as_bytes()), "{cell}");
        }
        assert!(spellings().all(|mark| is_missing(mark.as_bytes())));
        for mark in ["NA", "NaN", "None", "NULL", "null", "?", "-", "#N/A"] {
            assert!(spellings().any(|other| other == mark), "{mark}");
        }
        assert!(is_word(b"None") && !is_word(b"NaN"), "a class may be called None, but not NaN");
        let marks = Marks::new(&["-999".into(), " unknown ".into()]);
        assert!(marks.has(b"unknown") && marks.has(b"-999") && !marks.has(b""));
        let cleared = marks.clear(Values::Numbers(vec![1.5, -999.0]), false);
        assert_eq!((cleared.number(0), cleared.is_missing(1)), (1.5, true));
        assert_eq!(marks.clear(Values::Bytes(vec![1, 2]), false), Values::Bytes(vec![1, 2]));
        let texts = || [Some("a"), Some("unknown"), Some("None")].into_iter().collect();
        let texts_of = |values: Values| (0..3).map(|row| values.text(row)).collect::<Vec<_>>();
        let found = texts_of(marks.clear(Values::Texts(texts()), false));
        assert_eq!(found, [Some("a".into()), None, None]);
        let found = texts_of(marks.clear(Values::Texts(texts()), true));
        assert_eq!(found, [Some("a".into()), None, Some("None".into())], "a class");
    }
}

//! The texts of a column, each distinct one stored once.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// The code of a text that is missing.
pub const MISSING: u32 = u32::MAX;

/// The texts of a column: each distinct text is stored once.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// The index in `words` of each row's text; [`MISSING`] if it is missing.
    pub codes: Vec<u32>,
    /// The distinct texts, in order of first appearance.
    pub words: Words,
}

impl PartialEq for Texts {
    /// Equal texts row by row, independent of their order of first appearance.
    fn eq(&self, other: &Self) -> bool {
        let word = |t: &Self, code: u32| (code != MISSING).then(|| t.words.get(code).to_string());
        self.codes.len() == other.codes.len()
            && self.codes.iter().zip(&other.codes).all(|(&a, &b)| word(self, a) == word(other, b))
    }
}

impl Texts {
    /// Appends a row.
    pub fn push(&mut self, text: Option<&str>) {
        let code = text.map_or(MISSING, |text| self.words.code(text));
        self.codes.push(code);
    }

    pub(super) fn append(&mut self, more: &Texts) {
        let places: Vec<u32> = more.words.iter().map(|word| self.words.code(word)).collect();
        let place = |&code: &u32| places.get(code as usize).copied().unwrap_or(MISSING);
        self.codes.extend(more.codes.iter().map(place));
    }
}

impl<'a> FromIterator<Option<&'a str>> for Texts {
    fn from_iter<I: IntoIterator<Item = Option<&'a str>>>(texts: I) -> Self {
        let mut all = Texts::default();
        texts.into_iter().for_each(|text| all.push(text));
        all
    }
}

/// Distinct texts in one buffer, found by their hash.
#[derive(Debug, Clone, Default)]
pub struct Words {
    text: String,
    ends: Vec<usize>,
    codes: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Words {
    /// The number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no texts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The approximate number of bytes of memory that they use: texts, their ends, and the hash table.
    pub(super) fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * 16
    }

    /// The text of a code.
    #[must_use]
    pub fn get(&self, code: u32) -> &str {
        word(&self.text, &self.ends, code)
    }

    /// All texts in the order of their codes.
    pub fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        (0..self.ends.len() as u32).map(|code| self.get(code))
    }

    /// The code of a text, if it is stored.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        self.codes.find(hash, |&code| self.get(code).as_bytes() == text).copied()
    }

    /// The code of a text, which is added if it is new.
    pub fn code(&mut self, text: &str) -> u32 {
        let Words { text: all, ends, codes, hasher } = self;
        let hash = hasher.hash_one(text.as_bytes());
        if let Some(&code) = codes.find(hash, |&code| word(all, ends, code) == text) {
            return code;
        }
        let code = ends.len() as u32;
        all.push_str(text);
        ends.push(all.len());
        codes.insert_unique(hash, code, |&code| hasher.hash_one(word(all, ends, code).as_bytes()));
        code
    }
}

fn word<'a>(text: &'a str, ends: &[usize], code: u32) -> &'a str {
    let code = code as usize;
    let begin = if code == 0 { 0 } else { ends[code - 1] };
    &text[begin..ends[code]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_two_chunks_share_their_words() {
        let mut all: Texts = [Some("a"), None, Some("b")].into_iter().collect();
        let more: Texts = [Some("b"), Some("c"), None].into_iter().collect();
        all.append(&more);
        assert_eq!(all.words.iter().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(all.codes, [0, MISSING, 1, 1, 2, MISSING]);
        assert_eq!((all.words.find(b"c"), all.words.find(b"d")), (Some(2), None));
    }
}

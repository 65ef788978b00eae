//! A cache of recent short texts, found by their bytes in a register: it covers most cells of a column of
//! categories.

/// The initial and the largest number of slots of a cache.
const PLACES: [usize; 2] = [64, 4096];

/// A text of 1 to 15 bytes without white space around it: the bytes, the first one lowest, and the
/// length on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short(u128);

impl Short {
    /// The cell with which 16 bytes begin, if it ends within them.
    #[inline(always)]
    pub(super) fn first(bytes: [u8; 16], delimiter: u8, terminator: u8) -> Option<Self> {
        let window = u128::from_le_bytes(bytes);
        let ends = zero_bytes(window ^ each(delimiter)) | zero_bytes(window ^ each(terminator));
        if ends == 0 {
            return None;
        }
        Self::new(window, (ends.trailing_zeros() / 8) as usize)
    }

    /// The text of a cell whose end is known.
    pub(super) fn of(cell: &[u8]) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes.get_mut(..cell.len())?.copy_from_slice(cell);
        Self::new(u128::from_le_bytes(bytes), cell.len())
    }

    #[inline(always)]
    fn new(window: u128, len: usize) -> Option<Self> {
        if len == 0 || len > 15 {
            return None;
        }
        let bytes = window & ((1 << (8 * len)) - 1);
        let (first, last) = (window as u8, (bytes >> (8 * (len - 1))) as u8);
        (first > b' ' && last > b' ').then_some(Short(bytes | (len as u128) << 120))
    }

    /// The number of its bytes.
    #[inline(always)]
    pub(super) fn len(self) -> usize {
        (self.0 >> 120) as usize
    }

    /// A number that depends on every byte, its upper bits the most.
    #[inline(always)]
    fn hash(self) -> u64 {
        let folded = (self.0 as u64).rotate_left(29) ^ (self.0 >> 64) as u64;
        (folded ^ folded >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// The byte in all 16 places.
const fn each(byte: u8) -> u128 {
    u128::MAX / 255 * byte as u128
}

/// The upper bit of the lowest byte that is 0; maybe those of bytes above it too.
#[inline(always)]
const fn zero_bytes(x: u128) -> u128 {
    x.wrapping_sub(each(1)) & !x & each(0x80)
}

/// The codes of short texts, each in the slot given by its hash: a later text replaces
/// an earlier one.
pub(super) struct Recent {
    texts: Vec<Short>,
    codes: Vec<u32>,
}

/// An empty slot: no text has the length 0.
const NONE: Short = Short(0);

impl Recent {
    pub(super) fn new() -> Self {
        Recent { texts: vec![NONE; PLACES[0]], codes: vec![0; PLACES[0]] }
    }

    #[inline(always)]
    fn place(&self, text: Short) -> usize {
        (text.hash() >> (64 - self.texts.len().trailing_zeros())) as usize
    }

    /// The code of a text, if it is still stored.
    #[inline(always)]
    pub(super) fn find(&self, text: Short) -> Option<u32> {
        let place = self.place(text);
        (self.texts[place] == text).then(|| self.codes[place])
    }

    /// Stores the code of a text, one of `words` distinct ones.
    pub(super) fn keep(&mut self, text: Short, code: u32, words: usize) {
        if words > self.texts.len() && self.texts.len() < PLACES[1] {
            let places = (4 * self.texts.len()).min(PLACES[1]);
            (self.texts, self.codes) = (vec![NONE; places], vec![0; places]);
        }
        let place = self.place(text);
        (self.texts[place], self.codes[place]) = (text, code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<Short> {
        let mut bytes = [b'x'; 16];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Short::first(bytes, b',', b'\n')
    }

    #[test]
    fn a_cell_ends_with_the_first_separator() {
        for (text, cell) in [
            ("a,b", Some("a")),
            ("town 49,no,1\n", Some("town 49")),
            ("last\n1,2", Some("last")),
            ("-\u{e4}\u{80},", Some("-\u{e4}\u{80}")),
            ("123456789012345,", Some("123456789012345")),
            ("1234567890123456", None),
            (",a", None),
            (" a,", None),
            ("a ,", None),
            ("a\r\n", None),
        ] {
            let found = first(text);
            assert_eq!(found, cell.and_then(|cell| Short::of(cell.as_bytes())), "{text:?}");
            assert_eq!(found.map(Short::len), cell.map(str::len), "{text:?}");
        }
        assert_ne!(Short::of(b"a"), Short::of(b"a\0"));
        assert_eq!(Short::of(b"a text of 16 byt"), None);
    }

    #[test]
    fn a_code_is_found_until_another_takes_its_place() {
        let mut recent = Recent::new();
        let words: Vec<Short> =
            (0..5000).map(|i| Short::of(format!("w{i}").as_bytes()).unwrap()).collect();
        for (code, &word) in words.iter().enumerate() {
            assert_eq!(recent.find(word), None);
            recent.keep(word, code as u32, code + 1);
            assert_eq!(recent.find(word), Some(code as u32));
        }
        assert_eq!(recent.texts.len(), PLACES[1]);
        for (code, &word) in words.iter().enumerate() {
            assert!(recent.find(word).is_none_or(|found| found == code as u32));
        }
    }
}

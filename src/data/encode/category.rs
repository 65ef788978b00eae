//! Categories as inputs: one input for each, or a few shared ones if there are many.

use super::canonical::canonical;
use super::look::{Is, Looked, Names, look};
use super::seen::Seen;
use crate::data::columns::texts::{MISSING, Texts};
use crate::math::random::text_hash;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// More categories than this share inputs.
const ONE_HOT: usize = 100;
/// The inputs that many categories share. Each category has two of them, so that two categories
/// seldom have the same.
const BUCKETS: usize = 128;

/// An input for each category, 1 for rows with that category, otherwise 0.
///
/// Categories that are rare in the training rows share one input, which unknown categories use too.
/// Without rare ones, all inputs are 0 for an unknown category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryEncoder {
    /// The categories, in alphabetic order.
    pub names: Vec<String>,
    /// Whether there is an input for all others.
    pub other: bool,
    /// Whether there is an input for a missing value.
    pub missing: bool,
    /// The rare categories, if there are any; older models don't have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rare: Option<Seen>,
}

/// Inputs that categories share: each category has the two that its name hashes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashEncoder {
    /// The number of inputs for categories.
    pub buckets: usize,
    /// The categories of the training rows, counted.
    pub seen: usize,
    /// Whether there is an input for a missing value.
    pub missing: bool,
    /// The categories of the training rows, whose canonical form is hashed. Older models don't have
    /// them, and hash the texts unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Seen>,
}

/// The inputs of a category that are 1.
pub(super) type Places = Vec<u32>;

/// The categories of some rows.
pub(super) struct Counted<'a> {
    /// Each in its canonical form, with the number of its rows, in alphabetic order.
    counts: Vec<(Cow<'a, str>, usize)>,
    /// The number of rows that suffice to learn an input.
    enough: usize,
    /// Whether a value is missing.
    pub missing: bool,
}

/// The categories of a column, counted in chunks of rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Categories {
    counts: BTreeMap<String, usize>,
    missing: usize,
}

impl Categories {
    /// Adds the rows of a column for which `is_counted` is true; returns false without adding them if there
    /// would be more than `most` categories.
    pub(in crate::data) fn take(
        &mut self,
        texts: &Texts,
        is_counted: impl Fn(usize) -> bool,
        most: usize,
    ) -> bool {
        let rows: Vec<usize> = (0..texts.codes.len()).filter(|&row| is_counted(row)).collect();
        let Counted { counts, .. } = count(texts, &rows);
        let present: usize = counts.iter().map(|(_, count)| count).sum();
        for (name, count) in counts {
            if let Some(all) = self.counts.get_mut(&*name) {
                *all += count;
            } else if self.counts.len() < most {
                self.counts.insert(name.into_owned(), count);
            } else {
                return false;
            }
        }
        self.missing += rows.len() - present;
        true
    }

    /// The counts, as from all rows at once.
    pub(super) fn counted(&self) -> Counted<'_> {
        let counted = self.counts.iter();
        let counts: Vec<_> =
            counted.map(|(name, count)| (Cow::Borrowed(name.as_str()), *count)).collect();
        let rows = self.missing + counts.iter().map(|(_, count)| count).sum::<usize>();
        Counted { counts, enough: enough(rows), missing: self.missing > 0 }
    }
}

/// The number of rows, of `rows`, that suffice to learn an input.
fn enough(rows: usize) -> usize {
    (rows / 2000).clamp(1, 10)
}

impl Counted<'_> {
    /// The categories in at least `rows` rows, in alphabetic order.
    pub fn in_rows(&self, rows: usize) -> Vec<String> {
        let those = self.counts.iter().filter(|(_, count)| *count >= rows);
        those.map(|(name, _)| name.to_string()).collect()
    }

    /// The categories in fewer than `rows` rows.
    fn seen_in_fewer(&self, rows: usize) -> Seen {
        let those = self.counts.iter().filter(|(_, count)| *count < rows);
        Seen::of(those.map(|(name, _)| &**name))
    }

    /// Whether there are too many for one input each.
    pub fn too_many(&self) -> bool {
        self.counts.iter().filter(|(_, count)| *count >= self.enough).count() > ONE_HOT
    }
}

/// The categories of these rows.
pub(super) fn count<'a>(texts: &'a Texts, rows: &[usize]) -> Counted<'a> {
    let mut counts = vec![0usize; texts.words.len()];
    let mut missing = false;
    for &row in rows {
        match texts.codes[row] {
            MISSING => missing = true,
            code => counts[code as usize] += 1,
        }
    }
    let counted = texts.words.iter().zip(counts).filter(|(_, n)| *n > 0);
    let mut counts: Vec<_> = counted.map(|(word, n)| (canonical(word), n)).collect();
    counts.sort_unstable();
    // Spellings of one category are adjacent.
    counts.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        kept.1 += if is_same { next.1 } else { 0 };
        is_same
    });
    if counts.first().is_some_and(|(name, _)| name.is_empty()) {
        counts.remove(0);
        missing = true;
    }
    Counted { counts, enough: enough(rows.len()), missing }
}

impl CategoryEncoder {
    /// Fits to the categories of the training rows.
    pub(super) fn fit(counted: &Counted<'_>) -> Self {
        let names = counted.in_rows(counted.enough);
        let other = names.len() < counted.counts.len();
        let rare = other.then(|| counted.seen_in_fewer(counted.enough));
        CategoryEncoder { names, other, missing: counted.missing, rare }
    }

    /// The number of inputs.
    #[must_use]
    pub fn width(&self) -> usize {
        self.names.len() + usize::from(self.other) + usize::from(self.missing)
    }

    /// The inputs that are 1 for each text of a column, and for a missing one.
    pub(super) fn places(&self, texts: &Texts) -> Looked<Places> {
        let names = Names::new(&self.names);
        let other: Places = self.other.then_some(self.names.len() as u32).into_iter().collect();
        let missing = self.missing.then(|| self.width() as u32 - 1).into_iter().collect();
        look(texts, missing, |word, form| match (names.find(word, form), &self.rare) {
            (Some(place), _) => (vec![place], Is::Known),
            (None, Some(rare)) => (other.clone(), Is::of(rare.has(form))),
            (None, None) if self.other => (other.clone(), Is::Untold),
            (None, None) => (other.clone(), Is::Unknown),
        })
    }
}

impl HashEncoder {
    /// Fits to the categories of the training rows.
    pub(super) fn fit(counted: &Counted<'_>) -> Self {
        let (seen, missing) = (counted.counts.len(), counted.missing);
        let known = Some(counted.seen_in_fewer(usize::MAX));
        HashEncoder { buckets: BUCKETS, seen, missing, known }
    }

    /// The number of inputs.
    #[must_use]
    pub fn width(&self) -> usize {
        // A model file may contain any number: a width that is too large fits no net.
        self.buckets.saturating_add(self.missing.into())
    }

    /// The inputs that are 1 for each text of a column, and for a missing one.
    pub(super) fn places(&self, texts: &Texts) -> Looked<Places> {
        let buckets = self.buckets.max(1) as u64;
        let of = |text: &str| {
            let hash = text_hash(text);
            vec![((hash >> 32) % buckets) as u32, (hash % buckets) as u32]
        };
        let missing = self.missing.then_some(self.buckets as u32).into_iter().collect();
        look(texts, missing, |word, form| match &self.known {
            Some(known) => (of(form), Is::of(known.has(form))),
            None => (of(word), Is::Untold),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[&str]) -> Texts {
        words.iter().map(|w| (!w.is_empty()).then_some(*w)).collect()
    }

    fn all(texts: &Texts) -> Vec<usize> {
        (0..texts.codes.len()).collect()
    }

    #[test]
    fn each_category_of_the_training_rows_has_its_place() {
        let column = texts(&["b", "a", "", "b", "c"]);
        let encoder = CategoryEncoder::fit(&count(&column, &[0, 1, 2, 3]));
        assert_eq!(encoder.names, ["a", "b"]);
        assert_eq!((encoder.other, encoder.width()), (false, 3));
        let looked = encoder.places(&column);
        assert_eq!(looked.of, [vec![1], vec![0], vec![]], "c was never seen");
        assert_eq!(looked.missing, [2]);
        assert_eq!((looked.unknown, looked.is_untold), (vec![2], false));
    }

    #[test]
    fn spellings_of_one_category_are_one_at_fitting_and_at_lookup() {
        let column = texts(&["1", "1.0", "red\u{A0}", "red", "cafe\u{301}", "\u{A0}", "1"]);
        let counted = count(&column, &all(&column));
        assert_eq!(counted.in_rows(1), ["1", "caf\u{E9}", "red"]);
        assert_eq!(counted.in_rows(2), ["1", "red"]);
        assert!(counted.missing, "white space alone is nothing");
        let encoder = CategoryEncoder::fit(&counted);
        let other = texts(&["1.00", " red", "caf\u{E9}", "RED", "\u{2003}", "01"]);
        let looked = encoder.places(&other);
        assert_eq!(looked.of, [vec![0], vec![2], vec![1], vec![], vec![3], vec![]]);
        assert_eq!(looked.unknown, [3, 5]);
        let hashed = HashEncoder::fit(&counted).places(&other);
        assert_eq!(hashed.of[0], HashEncoder::fit(&counted).places(&texts(&["1"])).of[0]);
        assert_eq!(hashed.unknown, [3, 5]);
        let mut taken = Categories::default();
        assert!(taken.take(&column, |_| true, 3), "three categories, in however many spellings");
        assert_eq!(taken.counted().in_rows(1), counted.in_rows(1));
        assert!(taken.counted().missing);
    }

    #[test]
    fn true_and_false_are_found_in_each_others_words() {
        for names in [["False", "True"], ["0", "1"], ["no", "yes"]] {
            let encoder = CategoryEncoder::fit(&count(&texts(&names), &[0, 1]));
            for words in [["false", "TRUE"], ["0.0", "1.0"], ["0", "1"], ["No", "Yes"]] {
                let looked = encoder.places(&texts(&words));
                assert_eq!(looked.of, [vec![0], vec![1]], "{words:?} for {names:?}");
                assert!(looked.unknown.is_empty());
            }
        }
        let encoder = CategoryEncoder::fit(&count(&texts(&["0", "1", "2"]), &[0, 1, 2]));
        assert_eq!(encoder.places(&texts(&["true"])).unknown, [0]);
    }

    #[test]
    fn models_of_before_read_texts_as_they_did_and_say_what_they_cannot_tell() {
        let old: CategoryEncoder = serde_json::from_str(
            r#"{"names":["1.0","a","red\u00a0"],"other":true,"missing":false}"#,
        )
        .unwrap();
        let looked = old.places(&texts(&["1.0", "1", "red\u{A0}", "red", "b"]));
        assert_eq!(looked.of, [vec![0], vec![0], vec![2], vec![2], vec![3]]);
        assert_eq!((looked.unknown, looked.is_untold), (vec![], true), "b may have been rare");
        let old: HashEncoder =
            serde_json::from_str(r#"{"buckets":128,"seen":500,"missing":false}"#).unwrap();
        let column = texts(&["1.0"]);
        let looked = old.places(&column);
        assert_eq!((looked.unknown, looked.is_untold), (vec![], true));
        let hash = text_hash("1.0");
        let expected = [((hash >> 32) % 128) as u32, (hash % 128) as u32];
        assert_eq!(looked.of, [expected.to_vec()], "as it was hashed in training");
        let new = HashEncoder::fit(&count(&column, &[0]));
        assert_ne!(new.places(&column).of, looked.of, "1.0 is 1");
    }

    #[test]
    fn rare_categories_share_a_place_with_those_never_seen() {
        let mut words = vec!["a"; 4000];
        words.extend(["b"; 3000]);
        words.push("rare");
        let column = texts(&words);
        let encoder = CategoryEncoder::fit(&count(&column, &all(&column)));
        assert_eq!((encoder.names.len(), encoder.other), (2, true));
        let looked = encoder.places(&texts(&["new", "a", "rare"]));
        assert_eq!(looked.of, [vec![2], vec![0], vec![2]]);
        assert_eq!((looked.unknown, looked.is_untold), (vec![0], false), "rare was seen");
    }

    #[test]
    fn many_categories_are_told_apart_by_two_shared_places() {
        let words: Vec<String> = (0..500).map(|i| format!("city {i}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let column = texts(&words);
        let counted = count(&column, &all(&column));
        assert!(counted.too_many());
        let encoder = HashEncoder::fit(&counted);
        assert_eq!((encoder.width(), encoder.seen), (128, 500));
        let Looked { of: mut places, unknown, is_untold, .. } = encoder.places(&column);
        assert!(unknown.is_empty() && !is_untold);
        assert!(places.iter().flatten().all(|&place| place < 128));
        places.sort();
        places.dedup();
        assert!(places.len() > 480, "{}", places.len());
        assert_eq!(encoder.places(&texts(&["a"])).of, [vec![88, 91]], "part of every model file");
    }
}

//! Categories as inputs: one for each, or where there are many, a few shared ones.

use crate::data::frame::{MISSING, Texts};
use crate::random::text_hash;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// More categories than this share inputs.
const ONE_HOT: usize = 100;
/// The inputs that many categories share. Each category has two of them, so that two categories
/// seldom have the same.
const BUCKETS: usize = 128;

/// An input for each category, 1 where the row has it and else 0.
///
/// Categories that are rare in the training rows have one input together, which those that were
/// never seen share too. Without rare ones, what was never seen has no 1 at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryEncoder {
    /// The categories, in alphabetic order.
    pub names: Vec<String>,
    /// Whether there is an input for all others.
    pub other: bool,
    /// Whether there is an input for a missing value.
    pub missing: bool,
}

/// Inputs that categories share: each has the two that its name hashes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashEncoder {
    /// The number of inputs for categories.
    pub buckets: usize,
    /// The categories of the training rows, counted.
    pub seen: usize,
    /// Whether there is an input for a missing value.
    pub missing: bool,
}

/// The inputs of a category that are 1.
pub(super) type Places = Vec<u32>;

/// The categories of some rows.
pub(super) struct Counted<'a> {
    /// Each with the number of its rows, in alphabetic order.
    counts: Vec<(&'a str, usize)>,
    /// The rows that are enough to learn anything of an input from.
    enough: usize,
    /// Whether one is missing.
    pub missing: bool,
}

/// The categories of a column, counted in rows that are not all at hand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Categories {
    counts: BTreeMap<String, usize>,
    missing: usize,
}

impl Categories {
    /// Takes in those rows of a column that `is_counted` says; false, and without them, where there
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
            if let Some(all) = self.counts.get_mut(name) {
                *all += count;
            } else if self.counts.len() < most {
                self.counts.insert(name.to_string(), count);
            } else {
                return false;
            }
        }
        self.missing += rows.len() - present;
        true
    }

    /// As if all the rows were at hand.
    pub(super) fn counted(&self) -> Counted<'_> {
        let counts: Vec<(&str, usize)> =
            self.counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let rows = self.missing + counts.iter().map(|(_, count)| count).sum::<usize>();
        Counted { counts, enough: enough(rows), missing: self.missing > 0 }
    }
}

/// The rows, of so many, that are enough to learn anything of an input from.
fn enough(rows: usize) -> usize {
    (rows / 2000).clamp(1, 10)
}

impl Counted<'_> {
    /// The categories in at least `rows` rows, in alphabetic order.
    pub fn in_rows(&self, rows: usize) -> Vec<String> {
        let those = self.counts.iter().filter(|(_, count)| *count >= rows);
        those.map(|(name, _)| (*name).to_string()).collect()
    }

    /// Whether there are too many for an input each.
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
    let mut counts: Vec<(&str, usize)> =
        texts.words.iter().zip(counts).filter(|(_, n)| *n > 0).collect();
    counts.sort_unstable();
    Counted { counts, enough: enough(rows.len()), missing }
}

impl CategoryEncoder {
    /// Fits to the categories of the training rows.
    pub(super) fn fit(counted: &Counted<'_>) -> Self {
        let names = counted.in_rows(counted.enough);
        let other = names.len() < counted.counts.len();
        CategoryEncoder { names, other, missing: counted.missing }
    }

    /// The number of inputs.
    #[must_use]
    pub fn width(&self) -> usize {
        self.names.len() + usize::from(self.other) + usize::from(self.missing)
    }

    /// The places of each text of a column, and of a missing one.
    pub(super) fn places(&self, texts: &Texts) -> (Vec<Places>, Places) {
        let known: HashMap<&str, u32> = self.names.iter().map(String::as_str).zip(0..).collect();
        let other: Places = self.other.then_some(self.names.len() as u32).into_iter().collect();
        let of = |word| known.get(word).map_or_else(|| other.clone(), |&place| vec![place]);
        let missing = self.missing.then(|| self.width() as u32 - 1).into_iter().collect();
        (texts.words.iter().map(of).collect(), missing)
    }
}

impl HashEncoder {
    /// Fits to the categories of the training rows.
    pub(super) fn fit(counted: &Counted<'_>) -> Self {
        let (seen, missing) = (counted.counts.len(), counted.missing);
        HashEncoder { buckets: BUCKETS, seen, missing }
    }

    /// The number of inputs.
    #[must_use]
    pub fn width(&self) -> usize {
        // A model's file may say any number: a width that is too large fits no net.
        self.buckets.saturating_add(self.missing.into())
    }

    /// The places of each text of a column, and of a missing one.
    pub(super) fn places(&self, texts: &Texts) -> (Vec<Places>, Places) {
        let buckets = self.buckets.max(1) as u64;
        let of = |word: &str| {
            let hash = text_hash(word);
            vec![((hash >> 32) % buckets) as u32, (hash % buckets) as u32]
        };
        let missing = self.missing.then_some(self.buckets as u32).into_iter().collect();
        (texts.words.iter().map(of).collect(), missing)
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
        let (places, missing) = encoder.places(&column);
        assert_eq!(places, [vec![1], vec![0], vec![]], "c was never seen");
        assert_eq!(missing, [2]);
    }

    #[test]
    fn rare_categories_share_a_place_with_those_never_seen() {
        let mut words = vec!["a"; 4000];
        words.extend(["b"; 3000]);
        words.push("rare");
        let column = texts(&words);
        let encoder = CategoryEncoder::fit(&count(&column, &all(&column)));
        assert_eq!((encoder.names.len(), encoder.other), (2, true));
        assert_eq!(encoder.places(&texts(&["new", "a"])).0, [vec![2], vec![0]]);
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
        let (mut places, _) = encoder.places(&column);
        assert!(places.iter().flatten().all(|&place| place < 128));
        places.sort();
        places.dedup();
        assert!(places.len() > 480, "{}", places.len());
        assert_eq!(encoder.places(&texts(&["a"])).0, [vec![88, 91]], "part of every model file");
    }
}

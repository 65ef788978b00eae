//! The names of classes: which texts are the same class, and the order of the classes.

use crate::data::columns::texts::Texts;
use crate::data::encode::canonical;
use std::collections::{BTreeMap, HashMap};

/// The exact whole number in a text: 1, +1, -1, 1.0, 1e3 and numbers beyond 2⁵³.
pub(in crate::data) fn whole(text: &str) -> Option<i128> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    if let Some((number, zeros)) = text.split_once('.')
        && zeros.bytes().all(|b| b == b'0')
        && number.bytes().any(|b| b.is_ascii_digit())
    {
        return number.parse().ok();
    }
    let number: f64 = text.parse().ok()?;
    // f64 holds all whole numbers up to here.
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i128)
}

/// The classes of texts, found by name.
pub(in crate::data) struct ClassNames<'a> {
    exact: HashMap<&'a str, u32>,
    whole: HashMap<i128, u32>,
}

impl<'a> ClassNames<'a> {
    pub(in crate::data) fn new(names: &'a [String]) -> Self {
        let mut whole_names = HashMap::new();
        for (name, class) in names.iter().zip(0..) {
            if let Some(number) = whole(name) {
                whole_names.entry(number).or_insert(class);
            }
        }
        let exact = names.iter().map(String::as_str).zip(0..).collect();
        ClassNames { exact, whole: whole_names }
    }

    /// The class of a text: that of the same name in canonical form (see [`canonical`]), or of the
    /// same whole number.
    pub(in crate::data) fn find(&self, text: &str) -> Option<u32> {
        let by_name = self.exact.get(text).or_else(|| self.exact.get(&*canonical(text)));
        by_name.or_else(|| self.whole.get(&whole(text)?)).copied()
    }
}

/// The class of each row and the names of the classes: in numeric order if all are
/// whole numbers, otherwise alphabetically. Texts with the same [`canonical`] form are one class.
pub(super) fn in_order(texts: &Texts) -> (Vec<u32>, Vec<String>) {
    let numbers: Option<Vec<i128>> = texts.words.iter().map(whole).collect();
    match numbers {
        Some(numbers) => ordered(texts, numbers.into_iter()),
        None => ordered(texts, texts.words.iter().map(canonical)),
    }
}

fn ordered<K: Ord + ToString>(
    texts: &Texts,
    keys: impl Iterator<Item = K>,
) -> (Vec<u32>, Vec<String>) {
    let keys: Vec<K> = keys.collect();
    let mut order: BTreeMap<&K, u32> = keys.iter().map(|k| (k, 0)).collect();
    order.values_mut().zip(0..).for_each(|(class, place)| *class = place);
    let names = order.keys().map(|k| k.to_string()).collect();
    let class_of: Vec<u32> = keys.iter().map(|k| order[k]).collect();
    (texts.codes.iter().map(|&code| class_of[code as usize]).collect(), names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_exact_however_they_are_written() {
        for (text, number) in [
            ("1", Some(1)),
            ("+1", Some(1)),
            (" -1 ", Some(-1)),
            ("3.0", Some(3)),
            ("1e3", Some(1000)),
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("18446744073709551615", Some(u64::MAX.into())),
            ("1.5", None),
            (".", None),
            ("1.x", None),
            ("one", None),
        ] {
            assert_eq!(whole(text), number, "{text}");
        }
    }

    #[test]
    fn the_same_class_is_found_however_it_is_written() {
        let names = ["1", "2", "red", "9007199254740993", "caf\u{e9}"].map(String::from);
        let classes = ClassNames::new(&names);
        for (text, class) in [
            ("1.0", Some(0)),
            ("+2", Some(1)),
            ("2 ", Some(1)),
            ("red\u{a0}", Some(2)),
            ("9007199254740993", Some(3)),
            ("9007199254740992", None),
            ("cafe\u{301}", Some(4)),
            ("Red", None),
            ("3", None),
        ] {
            assert_eq!(classes.find(text), class, "{text}");
        }
    }

    #[test]
    fn numbers_come_in_their_order_with_their_exact_names() {
        let texts = ["9007199254740993", "+1", "-1", "9007199254740992", "1"];
        let (labels, names) = in_order(&texts.map(Some).into_iter().collect());
        assert_eq!(names, ["-1", "1", "9007199254740992", "9007199254740993"]);
        assert_eq!(labels, [3, 1, 0, 2, 1]);
        let (labels, names) = in_order(&["b ", "a", "b", "10"].map(Some).into_iter().collect());
        assert_eq!((labels, names), (vec![2, 1, 2, 0], vec!["10".into(), "a".into(), "b".into()]));
    }
}

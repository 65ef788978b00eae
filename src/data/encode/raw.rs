//! The columns of a table for programs without this crate: the inputs of an exported model, and the
//! texts that it must recognize.

use super::canonical::canonical;
use super::write::{is_0_and_1, sign};
use super::{Encoder, Encoding};
use crate::base::error::Result;
use crate::data::columns::frame::texts_of;
use crate::data::columns::frame::{Frame, Values};
use crate::data::columns::kind::{BOOLEANS, truth};
use crate::data::columns::missing::{self, cases};
use crate::data::columns::texts::Texts;
use std::collections::BTreeMap;
use unicode_normalization::UnicodeNormalization;

/// The values of a feature's column, one for each row.
#[derive(Debug, Clone, PartialEq)]
pub enum RawColumn {
    /// Numbers, NaN if missing; moments in seconds since 1970-01-01 00:00, times of day in
    /// seconds since midnight.
    Numbers(Vec<f64>),
    /// Texts, empty if missing.
    Texts(Vec<String>),
}

/// The encoding of a column's texts by exact comparison, ignoring the white space around them.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    /// The known spellings, including marks of missing values, in byte order, each with
    /// its index in `entries`.
    pub spellings: BTreeMap<String, usize>,
    /// The inputs of the column for each entry: (entries, width).
    pub entries: Vec<Vec<f32>>,
    /// The entry of a text that is none of the spellings.
    pub unknown: usize,
    /// The entry of a missing value, which is an empty text.
    pub missing: usize,
}

impl Lookup {
    /// The index of each entry's only 1, or the width if it has none; none if an entry has another
    /// form.
    #[must_use]
    pub fn places(&self) -> Option<Vec<usize>> {
        let place = |entry: &Vec<f32>| match entry.iter().filter(|x| **x != 0.0).count() {
            0 => Some(entry.len()),
            1 => entry.iter().position(|x| *x == 1.0),
            _ => None,
        };
        self.entries.iter().map(place).collect()
    }
}

impl Encoder {
    /// Whether the column is given as texts, otherwise as numbers.
    #[must_use]
    pub fn takes_texts(&self) -> bool {
        match self {
            Encoder::Plain | Encoder::Number(_) | Encoder::Moment(_) => false,
            Encoder::Boolean { texts } => !is_0_and_1(texts),
            Encoder::Category(_) | Encoder::Hash(_) | Encoder::Embedding(_) => true,
        }
    }

    /// The table of its known texts; none for an encoder of numbers, and for hashed categories,
    /// as every text has a hash.
    ///
    /// Programs that compare texts byte by byte don't use canonical forms: the table also has the usual
    /// spellings of each name, with a fraction of zeros, in decomposed Unicode, and for yes and no
    /// their other words. Each is encoded as by this encoder. Other texts that are in
    /// `marks` are missing.
    #[must_use]
    pub fn lookup(&self, marks: &[String]) -> Option<Lookup> {
        let (names, is_boolean): (Vec<&String>, bool) = match self {
            Encoder::Category(e) => (e.names.iter().collect(), e.names.len() == 2),
            Encoder::Embedding(e) => (e.names.iter().collect(), e.names.len() == 2),
            Encoder::Boolean { texts } if !is_0_and_1(texts) => (texts.iter().collect(), true),
            Encoder::Plain
            | Encoder::Number(_)
            | Encoder::Boolean { .. }
            | Encoder::Moment(_)
            | Encoder::Hash(_) => return None,
        };
        let mut texts = Texts::default();
        for name in &names {
            let form = canonical(name);
            let is_whole = form.parse::<i128>().is_ok();
            let others = if is_whole { vec![format!("{form}.0")] } else { Vec::new() };
            let cased = if is_boolean { cases(name).to_vec() } else { Vec::new() };
            let all = [name.to_string(), form.to_string(), form.nfd().collect()];
            all.iter().chain(&others).chain(&cased).for_each(|text| texts.push(Some(text)));
        }
        if is_boolean && names.iter().all(|name| truth(name).is_some()) {
            let words = BOOLEANS.iter().flatten().flat_map(|word| cases(word));
            words
                .chain(["0", "1", "0.0", "1.0"].map(String::from))
                .for_each(|w| texts.push(Some(&w)));
        }
        // Never a known name: it begins with two characters with which no text begins.
        let stranger = "\u{1}\u{2}";
        texts.push(Some(stranger));
        texts.push(Some(" "));
        texts.push(None);
        let mut lookup = self.look_up(&Values::Texts(texts), stranger);
        for mark in marks {
            lookup.spellings.entry(mark.clone()).or_insert(lookup.missing);
        }
        Some(lookup)
    }

    /// The table of the inputs for these texts, of which one is unknown and one missing.
    fn look_up(&self, values: &Values, stranger: &str) -> Lookup {
        let rows = values.len();
        let width = self.width();
        let mut inputs = vec![0.0f32; rows * width];
        let (write, _) = self.writer(values);
        write(super::Block { inputs: &mut inputs, width, own: 0..width, rows: None, first: 0 });
        let (mut entries, mut places): (Vec<Vec<f32>>, BTreeMap<Vec<u32>, usize>) =
            Default::default();
        let mut place = |inputs: &[f32]| {
            let bits = inputs.iter().map(|x| x.to_bits()).collect();
            *places.entry(bits).or_insert_with(|| {
                entries.push(inputs.to_vec());
                entries.len() - 1
            })
        };
        let (mut spellings, mut unknown, mut missing) = (BTreeMap::new(), 0, 0);
        for (row, inputs) in inputs.chunks_exact(width.max(1)).enumerate() {
            let entry = place(inputs);
            match values.text(row) {
                None => missing = entry,
                Some(text) if text == stranger => unknown = entry,
                Some(text) => drop(spellings.insert(text, entry)),
            }
        }
        Lookup { spellings, entries, unknown, missing }
    }
}

impl Encoding {
    /// The marks of missing values: the usual ones and the user's own, for programs
    /// that compare texts byte by byte.
    #[must_use]
    pub fn missing_marks(&self) -> Vec<String> {
        let own = self.header.missing.iter().map(|mark| mark.trim().to_string());
        let mut all: Vec<String> = missing::spellings().chain(own).collect();
        all.retain(|mark| !mark.is_empty());
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The columns of the features of a table, in their order, for programs without this crate.
    ///
    /// # Errors
    /// When a column is missing or has another type than in training.
    pub fn raw(&self, frame: &Frame) -> Result<Vec<RawColumn>> {
        let columns = self.columns(frame)?;
        Ok(self
            .features
            .iter()
            .zip(columns)
            .map(|(f, (_, values))| f.encoder.raw(values))
            .collect())
    }
}

impl Encoder {
    fn raw(&self, values: &Values) -> RawColumn {
        if self.takes_texts() {
            let texts = texts_of(values);
            let text = |&code: &u32| match texts.words.len() > code as usize {
                true => texts.words.get(code).to_string(),
                false => String::new(),
            };
            return RawColumn::Texts(texts.codes.iter().map(text).collect());
        }
        RawColumn::Numbers(match (self, values) {
            (Encoder::Moment(e), _) => e.moments(values),
            // Words for yes and no in a column that was one of 0 and 1.
            (Encoder::Boolean { texts }, Values::Texts(_)) => {
                let said = |row| {
                    let text = values.text(row)?;
                    Some((f64::from(sign(&text, texts)?) + 1.0) / 2.0)
                };
                (0..values.len()).map(|row| said(row).unwrap_or(f64::NAN)).collect()
            }
            _ => (0..values.len()).map(|row| values.number(row)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CategoryEncoder, EmbeddingEncoder, MomentEncoder};
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_string()).collect()
    }

    #[test]
    fn spellings_become_what_the_encoder_makes_of_them() {
        let names = strings(&["1", "caf\u{E9}", "red"]);
        let category = CategoryEncoder { names, other: true, missing: true, rare: None };
        let marks = strings(&["NA", "1", "unknown"]);
        let lookup = Encoder::Category(category).lookup(&marks).unwrap();
        let of = |text: &str| lookup.spellings.get(text).map(|&entry| &lookup.entries[entry][..]);
        assert_eq!(of("1.0"), of("1"));
        assert_eq!(of("1"), Some(&[1.0, 0.0, 0.0, 0.0, 0.0][..]));
        assert_eq!(of("cafe\u{301}"), Some(&[0.0, 1.0, 0.0, 0.0, 0.0][..]));
        assert_eq!((of("RED"), of(" ")), (None, Some(&[0.0, 0.0, 0.0, 0.0, 1.0][..])));
        assert_eq!(lookup.entries[lookup.unknown], [0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!(
            (of("NA"), of("unknown")),
            (of(" "), of(" ")),
            "marks, but 1, which is a category"
        );
        assert_eq!(lookup.entries[lookup.missing], [0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn an_embedded_category_has_its_index_and_an_unknown_one_the_first() {
        let names = strings(&["a", "b"]);
        let embedding = EmbeddingEncoder { names, missing: false, dims: 2 };
        let lookup = Encoder::Embedding(embedding).lookup(&[]).unwrap();
        assert_eq!(lookup.entries[lookup.spellings["b"]], [2.0]);
        assert_eq!((lookup.unknown, lookup.missing), (lookup.missing, lookup.unknown));
        assert_eq!(lookup.entries[lookup.unknown], [0.0]);
    }

    #[test]
    fn yes_and_no_are_known_in_all_their_words_and_another_text_is_no_number() {
        let encoder = Encoder::Boolean { texts: ["no".into(), "yes".into()] };
        let lookup = encoder.lookup(&[]).unwrap();
        let of = |text: &str| lookup.spellings.get(text).map(|&entry| lookup.entries[entry][0]);
        assert_eq!([of("Yes"), of("TRUE"), of("1"), of("t")], [Some(1.0); 4]);
        assert_eq!([of("No"), of("0.0"), of("off")], [Some(-1.0); 3]);
        assert_eq!(lookup.entries[lookup.missing], [0.0]);
        assert!(lookup.entries[lookup.unknown][0].is_nan());
        let digits = Encoder::Boolean { texts: ["0".into(), "1".into()] };
        assert!(digits.lookup(&[]).is_none() && !digits.takes_texts());
        let values = Values::Texts([Some("yes"), Some("0"), None].into_iter().collect());
        let RawColumn::Numbers(found) = digits.raw(&values) else { panic!("numbers") };
        assert!(found[0] == 1.0 && found[1] == 0.0 && found[2].is_nan(), "{found:?}");
    }

    #[test]
    fn dates_are_seconds() {
        let moment = MomentEncoder::fit(Some("%Y-%m-%d"), [(0.0, 1), (1e8, 1)].into_iter());
        let values = Values::Texts([Some("1970-01-02"), None].into_iter().collect());
        let RawColumn::Numbers(found) = Encoder::Moment(moment).raw(&values) else { panic!() };
        assert!(found[0] == 86_400.0 && found[1].is_nan());
    }
}

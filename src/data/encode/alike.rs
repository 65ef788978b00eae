//! Different categories with similar spellings.

use super::canonical::{canonical, folded};
use super::{Encoder, Encoding};
use crate::base::similarity::jaro_winkler;
use crate::data::columns::frame::{Frame, Values};
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};

/// The number of names among which the nearest are searched.
const LOOKED_AT: usize = 10_000;
/// The number of pairs that are reported for a column.
const SAID: usize = 3;

impl Encoder {
    /// The known categories whose names are stored.
    fn known(&self) -> impl Iterator<Item = &str> + Clone {
        let (names, seen) = match self {
            Encoder::Category(e) => (&e.names[..], &e.rare),
            Encoder::Hash(e) => (&[][..], &e.known),
            Encoder::Embedding(e) => (&e.names[..], &None),
            _ => (&[][..], &None),
        };
        let seen = seen.as_ref().map_or(&[][..], |seen| seen.names());
        names.iter().chain(seen).map(String::as_str)
    }
}

/// The categories of an encoder, by the folded form of their spellings.
pub(super) struct Alike<'a> {
    encoder: &'a Encoder,
    /// Without and with the accents folded.
    folded: [HashMap<String, &'a str>; 2],
}

impl<'a> Alike<'a> {
    pub(super) fn new(encoder: &'a Encoder) -> Self {
        let known = |accents| encoder.known().map(move |name| (folded(name, accents), name));
        Alike { encoder, folded: [false, true].map(|accents| known(accents).collect()) }
    }

    /// A known category that a text spells differently: in case, leading zeros, spaces or
    /// accents.
    pub(super) fn find(&self, text: &str) -> Option<String> {
        let form = canonical(text);
        let [plain, bare] = &self.folded;
        let named = plain.get(&folded(&form, false)).or_else(|| bare.get(&folded(&form, true)));
        let variant = || match self.encoder {
            Encoder::Category(e) => e.rare.as_ref()?.variant(&form),
            Encoder::Hash(e) => e.known.as_ref()?.variant(&form),
            _ => None,
        };
        named.map(|name| (*name).to_string()).or_else(variant)
    }

    /// The known categories nearest to a text, the nearest first; if there are many, only a part is
    /// searched.
    pub(super) fn nearest(&self, text: &str, most: usize) -> Vec<&'a str> {
        let lower = text.to_lowercase();
        let near = |name: &'a str| (jaro_winkler(&lower, &name.to_lowercase()), name);
        let mut names: Vec<_> = self.encoder.known().take(LOOKED_AT).map(near).collect();
        names.sort_by(|a, b| b.0.total_cmp(&a.0));
        names.into_iter().take(most).map(|(_, name)| name).collect()
    }
}

impl Encoding {
    /// A sentence for each column of categories some of which differ only in case, leading zeros or
    /// spaces, in the table that this was fitted to.
    #[must_use]
    pub fn lookalikes(&self, frame: &Frame) -> Vec<String> {
        let of = |feature: &super::Feature| {
            let is_category = feature.encoder.is_of_categories();
            let place = frame.header.place(&feature.column).filter(|_| is_category)?;
            let words = match &frame.columns[place] {
                Some(Values::Texts(texts)) => Some(texts.words.iter()),
                _ => None,
            };
            let words = words.into_iter().flatten().map(canonical);
            let all: BTreeSet<_> = words.chain(feature.encoder.known().map(canonical)).collect();
            let mut by_fold: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for name in all.iter().filter(|name| !name.is_empty()) {
                by_fold.entry(folded(name, false)).or_default().push(name);
            }
            let quoted = |names: &Vec<&str>| {
                let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
                names.join(" and ")
            };
            let pairs: Vec<String> =
                by_fold.values().filter(|names| names.len() > 1).map(quoted).collect();
            let more = match pairs.len().saturating_sub(SAID) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            (!pairs.is_empty()).then(|| {
                format!(
                    "{}: {}{more} are categories that differ only in case, leading zeros or spaces: if they mean the same, write them the same way",
                    frame.header.describe(place),
                    pairs[..pairs.len().min(SAID)].join(", ")
                )
            })
        };
        self.features.iter().filter_map(of).collect()
    }
}

//! The categories of training rows without their own input, stored to distinguish them from unknown
//! categories.

use super::canonical::variants;
use crate::math::random::text_hash;
use hashbrown::HashSet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The most categories that are stored as names, and the most bytes of names.
const NAMES: (usize, usize) = (1000, 32 << 10);
/// The most hashes that are stored: with more, their 16 bytes each would dominate many model files.
const HASHES: usize = 200_000;

/// Some categories of the training rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// Their names, in alphabetic order.
    Names(Vec<String>),
    /// The hashes of their names.
    Hashes(Hashes),
    /// None are stored: there were too many.
    TooMany,
}

impl Seen {
    /// Stores the names of categories in their [`canonical`](super::canonical::canonical) form, in
    /// alphabetic order.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Self {
        let (count, bytes) = names.clone().fold((0, 0), |(n, b), name| (n + 1, b + name.len()));
        if count <= NAMES.0 && bytes <= NAMES.1 {
            return Seen::Names(names.map(str::to_string).collect());
        }
        if count > HASHES {
            return Seen::TooMany;
        }
        Seen::Hashes(Hashes(names.map(text_hash).collect()))
    }

    /// Whether a category is one of them; none if there were too many to store.
    pub(super) fn has(&self, name: &str) -> Option<bool> {
        match self {
            Seen::Names(names) => Some(names.binary_search_by(|n| n.as_str().cmp(name)).is_ok()),
            Seen::Hashes(Hashes(all)) => Some(all.contains(&text_hash(name))),
            Seen::TooMany => None,
        }
    }

    /// The names, as far as they are stored.
    pub(super) fn names(&self) -> &[String] {
        match self {
            Seen::Names(names) => names,
            Seen::Hashes(_) | Seen::TooMany => &[],
        }
    }

    /// Another spelling of a category that is one of them, if only hashes are stored.
    pub(super) fn variant(&self, name: &str) -> Option<String> {
        match self {
            Seen::Hashes(_) => variants(name).into_iter().find(|v| self.has(v) == Some(true)),
            Seen::Names(_) | Seen::TooMany => None,
        }
    }
}

/// 64-bit hashes; as text: 16 hexadecimal digits each, concatenated in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes(HashSet<u64>);

impl fmt::Display for Hashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all: Vec<u64> = self.0.iter().copied().collect();
        all.sort_unstable();
        all.iter().try_for_each(|hash| write!(f, "{hash:016x}"))
    }
}

impl FromStr for Hashes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, rest) = text.as_bytes().as_chunks::<16>();
        let hash = |digits: &[u8; 16]| {
            let digits = std::str::from_utf8(digits).ok()?;
            u64::from_str_radix(digits, 16).ok()
        };
        let hashes: Option<Vec<u64>> = digits.iter().map(hash).collect();
        let hashes = hashes.filter(|all| rest.is_empty() && all.is_sorted_by(|a, b| a < b));
        hashes
            .map(|all| Hashes(all.into_iter().collect()))
            .ok_or_else(|| "these are not hashes in ascending order".into())
    }
}

crate::base::error::serde_as_text!(Hashes);

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("town {i:06}")).collect()
    }

    fn seen(names: &[String]) -> Seen {
        Seen::of(names.iter().map(String::as_str))
    }

    #[test]
    fn many_categories_are_told_from_others_in_bounded_room() {
        let few = seen(&names(1000));
        assert!(matches!(&few, Seen::Names(all) if all.len() == 1000));
        let many = seen(&names(200_000));
        assert!(matches!(many, Seen::Hashes(_)));
        for seen in [&few, &many] {
            assert_eq!(seen.has("town 000999"), Some(true));
            assert_eq!(seen.has("Town 000999"), Some(false));
            let text = serde_json::to_string(seen).unwrap();
            assert_eq!(serde_json::from_str::<Seen>(&text).unwrap(), *seen);
            assert!(text.len() < 16 * 200_000 + 20, "{}", text.len());
        }
        assert_eq!(many.variant("TOWN 000999").as_deref(), Some("town 000999"));
        assert_eq!(many.variant("TOWN 999999"), None);
        let too_many = seen(&names(200_001));
        assert_eq!((&too_many, too_many.has("town 000000")), (&Seen::TooMany, None));
        let long = ["x".repeat(40 << 10)];
        assert!(matches!(seen(&long), Seen::Hashes(_)));
    }

    #[test]
    fn hashes_of_a_damaged_file_are_refused() {
        let sound = "00000000000000010000000000000002";
        assert_eq!(sound.parse::<Hashes>().unwrap().to_string(), sound);
        for text in [&sound[1..], &sound.repeat(2), "000000000000000g", "+000000000000001é"] {
            assert!(text.parse::<Hashes>().is_err(), "{text}");
        }
    }
}

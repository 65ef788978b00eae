//! Categories as indices, for which the net learns embeddings.

use super::category::Counted;
use super::look::{Is, Looked, Names, look};
use crate::data::columns::texts::Texts;
use crate::math::embedding::Embedding;
use serde::{Deserialize, Serialize};

/// A single input that holds the index of the row's category, from 1 on, for an [`Embedding`] of the
/// net.
///
/// A category that wasn't in the training rows has the index 0. Rare categories have their own indices:
/// sharing one index made predictions worse than hashing
/// (`benches/tables/RESULTS.md`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingEncoder {
    /// The categories, in alphabetic order.
    pub names: Vec<String>,
    /// Whether a missing value has its own index, the last; otherwise it has the index 0.
    pub missing: bool,
    /// The dimensions of the embedding.
    pub dims: usize,
}

impl EmbeddingEncoder {
    /// Fits to the categories of the training rows.
    pub(super) fn fit(counted: &Counted<'_>, dims: Option<usize>) -> Self {
        let names = counted.in_rows(1);
        let mut encoder = EmbeddingEncoder { names, missing: counted.missing, dims: 0 };
        encoder.dims = dims.unwrap_or_else(|| Embedding::default_dims(encoder.values()));
        encoder
    }

    /// The number of indices.
    #[must_use]
    pub fn values(&self) -> usize {
        1 + self.names.len() + usize::from(self.missing)
    }

    /// The net's embedding of these indices.
    #[must_use]
    pub fn embedding(&self) -> Embedding {
        Embedding::new(self.values(), self.dims)
    }

    /// The index of each text of a column, and of a missing one.
    pub(super) fn indices(&self, texts: &Texts) -> Looked<f32> {
        let names = Names::new(&self.names);
        let missing = if self.missing { self.values() as f32 - 1.0 } else { 0.0 };
        look(texts, missing, |word, form| match names.find(word, form) {
            Some(place) => (1.0 + place as f32, Is::Known),
            None => (0.0, Is::Unknown),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::category::count;
    use super::*;

    fn texts(words: &[&str]) -> Texts {
        words.iter().map(|w| (!w.is_empty()).then_some(*w)).collect()
    }

    #[test]
    fn each_category_of_the_training_rows_has_its_index() {
        let column = texts(&["b", "a", "", "b", "c"]);
        let encoder = EmbeddingEncoder::fit(&count(&column, &[0, 1, 2, 3]), None);
        assert_eq!((&encoder.names[..], encoder.values()), (&["a".into(), "b".into()][..], 4));
        assert_eq!(encoder.dims, Embedding::default_dims(4));
        let looked = encoder.indices(&column);
        assert_eq!(looked.of, [2.0, 1.0, 0.0], "c was never seen");
        assert_eq!((looked.missing, looked.unknown), (3.0, vec![2]));
        let encoder = EmbeddingEncoder::fit(&count(&column, &[0, 1]), Some(7));
        assert_eq!((encoder.dims, encoder.values()), (7, 3));
        assert_eq!(encoder.indices(&column).missing, 0.0, "no training row misses a value");
    }
}

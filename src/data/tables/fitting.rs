//! Options for encoding the columns of a table.

use super::roles::places_of;
use crate::base::error::Result;
use crate::data::Scaling;
use crate::data::columns::frame::Header;
use crate::data::encode::Categories;
use std::collections::BTreeMap;

/// How a table's columns are encoded as inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitting {
    /// The scaling of numbers.
    pub scaling: Scaling,
    /// The columns whose logarithms are taken.
    pub log: Vec<String>,
    /// The columns of categories with one input for each category, for any number of categories; other
    /// columns have them for up to 100 categories.
    pub one_hot: Vec<String>,
    /// The columns of categories that are embedded, even with few categories.
    pub embed: Vec<String>,
    /// The columns of categories that are hashed into shared inputs, even with few categories.
    pub hash: Vec<String>,
    /// The dimensions of embeddings, by default [`crate::math::embedding::Embedding::default_dims`]; with 0
    /// many categories are hashed into shared inputs instead.
    pub embedding_dims: Option<usize>,
    /// Categories of columns that were counted in more rows than those in memory, by the columns' names:
    /// see [`StreamedTable`](crate::data::StreamedTable).
    pub counted: BTreeMap<String, Categories>,
}

impl Fitting {
    /// The defaults with this scaling of numbers.
    #[must_use]
    pub fn new(scaling: Scaling) -> Self {
        Fitting {
            scaling,
            log: Vec::new(),
            one_hot: Vec::new(),
            embed: Vec::new(),
            hash: Vec::new(),
            embedding_dims: None,
            counted: BTreeMap::new(),
        }
    }

    /// The same, with columns given by their names in that header.
    ///
    /// # Errors
    /// When it has no such column.
    pub(super) fn found_in(&self, header: &Header) -> Result<Self> {
        let found = |option: &str, names: &[String]| -> Result<Vec<String>> {
            let places = places_of(header, &format!("column for {option}"), names)?;
            Ok(places.into_iter().map(|place| header.names[place].clone()).collect())
        };
        Ok(Fitting {
            log: found("--log-transform", &self.log)?,
            one_hot: found("--one-hot", &self.one_hot)?,
            embed: found("--embed", &self.embed)?,
            hash: found("--hash", &self.hash)?,
            ..self.clone()
        })
    }
}

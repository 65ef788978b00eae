//! Options for encoding the columns of a table.

use super::column::Column;
use super::roles::{Role, places_of};
use crate::base::error::{Error, Result};
use crate::data::Scaling;
use crate::data::columns::frame::Header;
use crate::data::columns::kind::Kind;
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

    /// Refuses columns that can't have the encoding for which they are named;
    /// `pixels`: whether they are the pixels of an image.
    pub(super) fn check(&self, columns: &[Column], pixels: bool) -> Result<()> {
        self.log.iter().try_for_each(|name| check_log(name, columns, pixels))?;
        self.check_categories(columns, pixels)
    }

    /// Refuses an encoding of categories for a column without categories, and two encodings for one.
    fn check_categories(&self, columns: &[Column], pixels: bool) -> Result<()> {
        let ways = [("--one-hot", &self.one_hot), ("--embed", &self.embed), ("--hash", &self.hash)];
        for (i, (option, names)) in ways.into_iter().enumerate() {
            for name in names {
                let Some(column) = columns.iter().find(|c| c.name == *name) else { continue };
                let is_category =
                    (column.role, column.kind) == (Role::Feature, Some(Kind::Category));
                if !is_category || pixels {
                    return Err(Error::usage(format!("{option} {name}: it is not a column of categories"))
                        .help("this is for feature columns of categories; mark a column as categorical with --categorical"));
                }
                if let Some((other, _)) = ways[..i].iter().find(|(_, all)| all.contains(name)) {
                    return Err(Error::usage(format!(
                        "{other} {name} cannot be used with {option} {name}"
                    ))
                    .help("use one of the two"));
                }
            }
        }
        if self.embedding_dims == Some(0) && !self.embed.is_empty() {
            return Err(Error::usage("--embed contradicts --embedding-dims 0")
                .help("0 dimensions mean no embeddings: omit one of the two"));
        }
        Ok(())
    }
}

/// Refuses a logarithm of a column that isn't a numeric feature.
fn check_log(name: &str, columns: &[Column], pixels: bool) -> Result<()> {
    let Some(column) = columns.iter().find(|c| c.name == name) else { return Ok(()) };
    match (column.role, column.kind) {
        (Role::Feature, Some(Kind::Number)) if !pixels => Ok(()),
        (Role::Feature, Some(kind)) => Err(Error::usage(format!(
            "--log-transform {name}: the column isn't numeric, but of the kind {kind}"
        ))
        .help("logarithms are for numbers; mark a column as numeric with --numeric")),
        _ => Err(Error::usage(format!("--log-transform {name}: this column isn't a feature"))
            .help("name a feature column")),
    }
}

//! Embeddings of categories: a table of vectors, one for each category, learned with the net
//! (Guo, Berkhahn 2016, Entity embeddings of categorical variables, arXiv 1604.06737).

use crate::base::error::{Error, Result};
use crate::math::init::Init;
use crate::math::matrix::Matrix;
use crate::math::random::{Random, Stream};
use serde::{Deserialize, Serialize};

/// Indices are kept as f32, which holds whole numbers exactly up to here.
const MOST_VALUES: usize = 1 << 24;

/// An embedding: a feature column of indices 0…values − 1 becomes `dims` inputs of the net, the
/// index's row of a table E: (values, dims) of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// The number of indices. Index 0 is for unseen categories and for values that aren't an index.
    pub values: usize,
    /// The number of inputs that an index becomes.
    pub dims: usize,
    /// How the rows are initialized, except the first: it starts as zeros, so that an unseen category
    /// adds nothing.
    pub init: Init,
}

impl Embedding {
    /// An embedding of `values` indices whose rows are drawn from N(0, 0.05²): small compared with other
    /// inputs, so that the little that is learned of a rare category isn't lost in its initial values
    /// (`benches/tables/RESULTS.md`).
    #[must_use]
    pub fn new(values: usize, dims: usize) -> Self {
        Embedding { values, dims, init: Init::Normal(0.05) }
    }

    /// min(50, ⌈1.6 · values^0.56⌉), the rule of thumb of fastai (Howard, Gugger 2020).
    #[must_use]
    pub fn default_dims(values: usize) -> usize {
        ((1.6 * (values as f64).powf(0.56)).ceil() as usize).clamp(1, 50)
    }

    /// The number of parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.values.saturating_mul(self.dims)
    }

    /// The initial table of the net's embedding number `i`: (values, dims).
    #[must_use]
    pub fn draw(&self, seed: u64, i: usize) -> Matrix<f32> {
        let mut random = Random::new(seed, Stream::Embeddings, i as u64);
        let mut drawn = self.init.draw(self.values, self.dims, &mut random).into_iter();
        Matrix::from_fn(self.values, self.dims, |row, _| {
            let x = drawn.next().unwrap_or_default();
            if row == 0 { 0.0 } else { x }
        })
    }

    /// Refuses a table without elements, and more values than an index can distinguish.
    pub(crate) fn check(&self) -> Result<()> {
        let Embedding { values, dims, .. } = *self;
        if values == 0 || dims == 0 {
            return Err(Error::usage(format!("a table of ({values}, {dims})"))
                .help("give an embedding at least one value and one dimension"));
        }
        if values > MOST_VALUES || dims > MOST_VALUES {
            return Err(Error::usage(format!("a table of ({values}, {dims})"))
                .help("an embedding has up to 2²⁴ values and dimensions"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_grow_slowly_with_the_values() {
        let dims = [1, 2, 10, 100, 467, 468, 1_000_000].map(Embedding::default_dims);
        assert_eq!(dims, [2, 3, 6, 22, 50, 50, 50]);
    }

    #[test]
    fn a_table_is_drawn_by_the_seed_and_begins_with_zeros() {
        let table = Embedding::new(40, 7);
        let drawn = table.draw(3, 1);
        assert_eq!(drawn, table.draw(3, 1));
        assert_ne!(drawn, table.draw(3, 0));
        assert!(drawn.row(0).iter().all(|&x| x == 0.0));
        assert!(drawn.row(1).iter().all(|&x| x != 0.0));
    }

    #[test]
    fn tables_that_make_no_sense_are_refused() {
        for (values, dims) in [(0, 3), (3, 0), (MOST_VALUES + 1, 1)] {
            assert!(Embedding::new(values, dims).check().is_err());
        }
        Embedding::new(MOST_VALUES, 1).check().unwrap();
    }
}

//! The targets of a data set: classes, numbers or labels.

use crate::base::error::{Error, Result};
use crate::math::matrix::Matrix;

/// The targets of the rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// One class per row.
    Classes {
        /// The class of each row: an index into `names`.
        labels: Vec<u32>,
        /// The names of the classes.
        names: Vec<String>,
    },
    /// Numbers: (rows, outputs). In f64 until they are centered and scaled, after which f32 holds them.
    Numbers(Matrix<f64>),
    /// Any number of labels per row.
    Labels {
        /// 1 if the row has the label, otherwise 0: (rows, labels).
        values: Matrix<f32>,
        /// The names of the labels.
        names: Vec<String>,
    },
}

/// Numbers: (rows, outputs).
impl From<Matrix<f32>> for Targets {
    fn from(numbers: Matrix<f32>) -> Self {
        Targets::Numbers(numbers.map(|&x| x.into()))
    }
}

impl Targets {
    pub(crate) fn select_rows(&self, rows: &[usize]) -> Self {
        match self {
            Targets::Classes { labels, names } => Targets::Classes {
                labels: rows.iter().map(|&r| labels[r]).collect(),
                names: names.clone(),
            },
            Targets::Numbers(m) => Targets::Numbers(m.select_rows(rows)),
            Targets::Labels { values, names } => {
                Targets::Labels { values: values.select_rows(rows), names: names.clone() }
            }
        }
    }

    /// Appends the rows of `more`, which must be of the same kind.
    ///
    /// # Errors
    /// When they aren't.
    pub fn append(&mut self, more: &Targets) -> Result<()> {
        match (&mut *self, more) {
            (Targets::Classes { labels, names }, Targets::Classes { labels: more, names: of })
                if names == of =>
            {
                labels.extend(more);
            }
            (Targets::Numbers(all), Targets::Numbers(more)) => *all = joined(all, more)?,
            (Targets::Labels { values, names }, Targets::Labels { values: more, names: of })
                if names == of =>
            {
                *values = joined(values, more)?;
            }
            _ => return Err(Error::failed("rows with targets of another kind")),
        }
        Ok(())
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Targets::Classes { labels, .. } => labels.len(),
            Targets::Numbers(m) => m.rows(),
            Targets::Labels { values, .. } => values.rows(),
        }
    }

    /// The number of outputs that a net needs for them.
    #[must_use]
    pub fn outputs(&self) -> usize {
        match self {
            Targets::Classes { names, .. } => names.len(),
            Targets::Numbers(m) => m.cols(),
            Targets::Labels { values, .. } => values.cols(),
        }
    }
}

fn joined<T: Copy>(a: &Matrix<T>, b: &Matrix<T>) -> Result<Matrix<T>> {
    Matrix::new(a.rows() + b.rows(), a.cols(), [a.data(), b.data()].concat())
}

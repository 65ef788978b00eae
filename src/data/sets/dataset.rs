//! Rows of features with their targets: the data of a net.

use crate::base::error::{Error, Result};
use crate::base::parallel::*;
use crate::base::words::{count, verb};
use crate::data::{Features, ImageShape, Targets, split};
use crate::math::matrix::Matrix;
use num_traits::Float;
use std::fmt::Display;
use std::sync::Arc;

/// Rows of features with their targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    pub(in crate::data) name: String,
    pub(in crate::data) features: Arc<Features>,
    pub(in crate::data) targets: Targets,
    pub(in crate::data) weights: Option<Vec<f32>>,
    pub(in crate::data) is_image: bool,
    pub(in crate::data) shape: Option<ImageShape>,
}

impl Dataset {
    /// A data set of features and targets with the same number of rows.
    ///
    /// # Errors
    /// When the numbers of rows differ, there are none, a label has no class, or a number is NaN
    /// or infinite.
    pub fn new(name: impl Into<String>, features: Features, targets: Targets) -> Result<Self> {
        let name = name.into();
        let fail = |what: String, help: &str| Err(Error::data(what).at(name.clone()).help(help));
        let rows = features.rows();
        if rows != targets.rows() {
            return fail(
                format!("{} of features, but {} of targets", count(rows, "row"), targets.rows()),
                "every row needs a target",
            );
        }
        if rows == 0 || features.cols() == 0 {
            return fail(
                format!("{} of {}", count(rows, "row"), count(features.cols(), "feature")),
                "give at least one row and one feature column",
            );
        }
        if u32::try_from(rows).is_err() {
            return fail(format!("{rows} rows"), "a data set has at most 2³² rows: split it");
        }
        match &targets {
            Targets::Classes { labels, names } => {
                if let Some(row) = labels.iter().position(|&l| l as usize >= names.len()) {
                    let classes = names.len();
                    return fail(
                        format!("label {} in row {} is out of range", labels[row], row + 1),
                        &format!(
                            "there {} {}: labels are 0 to {}",
                            verb(classes, ["is", "are"]),
                            count(classes, "class"),
                            classes.saturating_sub(1)
                        ),
                    );
                }
            }
            Targets::Numbers(m) => check_finite(m, "target").map_err(|e| e.at(&name))?,
            Targets::Labels { values, .. } => {
                check_finite(values, "label").map_err(|e| e.at(&name))?;
            }
        }
        if let Features::F32(m) = &features {
            check_finite(m, "feature").map_err(|e| e.at(&name))?;
        }
        Ok(Dataset {
            name,
            features: Arc::new(features),
            targets,
            weights: None,
            is_image: false,
            shape: None,
        })
    }

    /// The same data with weights: (rows), finite and not negative. Existing weights
    /// are multiplied by them.
    ///
    /// # Errors
    /// When the number of weights isn't the number of rows, or one is negative or not finite.
    pub fn weighted(mut self, weights: Vec<f32>) -> Result<Self> {
        if weights.len() != self.rows() {
            return Err(Error::usage(format!("{} weights, {} rows", weights.len(), self.rows())));
        }
        if let Some(row) = weights.iter().position(|w| !(*w >= 0.0 && w.is_finite())) {
            return Err(Error::data(format!("the weight {}", weights[row]))
                .at(format!("row {}", row + 1))
                .help("weights must be finite and not negative"));
        }
        self.weights = Some(match self.weights {
            Some(before) => before.iter().zip(&weights).map(|(a, b)| a * b).collect(),
            None => weights,
        });
        Ok(self)
    }

    /// The same data with the weight of its class for each row; existing weights
    /// are multiplied by them.
    ///
    /// # Errors
    /// When there is no weight for a class of a row, or one is negative or not finite.
    pub fn class_weighted(self, of_class: &[f32]) -> Result<Self> {
        let Targets::Classes { labels, .. } = self.targets() else { return Ok(self) };
        let weight = |label: &u32| of_class.get(*label as usize).copied().unwrap_or(f32::NAN);
        let weights = labels.iter().map(weight).collect();
        self.weighted(weights)
    }

    /// The mean of the rows' weights; none if rows have no weights.
    ///
    /// # Errors
    /// When all of them are 0.
    pub fn mean_weight(&self) -> Result<Option<f64>> {
        let Some(weights) = self.weights() else { return Ok(None) };
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        if sum <= 0.0 {
            return Err(all_zero(self.name()));
        }
        Ok(Some(sum / weights.len() as f64))
    }

    /// The same data, with columns that are the pixels of one image and are scaled together.
    #[must_use]
    pub fn image(mut self) -> Self {
        self.is_image = true;
        self
    }

    /// The same data, with rows that are images of that shape.
    #[must_use]
    pub fn image_of(self, shape: ImageShape) -> Self {
        Dataset { shape: Some(shape), ..self.image() }
    }

    /// The shape of the images, if it is known.
    #[must_use]
    pub fn shape(&self) -> Option<ImageShape> {
        self.shape
    }

    /// The name, as shown to users.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The features: (rows, features).
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The features, shared rather than copied.
    #[must_use]
    pub fn features_shared(&self) -> Arc<Features> {
        self.features.clone()
    }

    /// The targets, one for every row.
    #[must_use]
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The weight of each row, if there are weights: (rows).
    #[must_use]
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// Whether the columns are the pixels of one image.
    #[must_use]
    pub fn is_image(&self) -> bool {
        self.is_image
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.features.rows()
    }

    /// The names of the classes, if the targets are classes.
    #[must_use]
    pub fn class_names(&self) -> Option<&[String]> {
        match &self.targets {
            Targets::Classes { names, .. } => Some(names),
            Targets::Numbers(_) | Targets::Labels { .. } => None,
        }
    }

    /// The number of outputs that a net needs for these targets.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.targets.outputs()
    }

    /// The given rows, in that order.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Dataset {
            name: self.name.clone(),
            features: Arc::new(self.features.select_rows(rows)),
            targets: self.targets.select_rows(rows),
            weights: self.weights.as_ref().map(|w| rows.iter().map(|&r| w[r]).collect()),
            is_image: self.is_image,
            shape: self.shape,
        }
    }

    /// Splits off a seeded random `fraction` of the rows: (the rest, the fraction).
    ///
    /// # Errors
    /// As [`split::random`].
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Self, Self)> {
        let subsets = split::random(self.rows(), fraction, seed)?;
        Ok((self.select(&subsets.training), self.select(&subsets.validation)))
    }
}

fn check_finite<T: Float + Display + Sync>(m: &Matrix<T>, what: &str) -> Result<()> {
    // In pieces on all processors, with many values at once.
    let is_finite = |piece: &[T]| piece.iter().fold(true, |all, x| all & x.is_finite());
    if m.data().par_chunks(1 << 16).all(is_finite) {
        return Ok(());
    }
    match m.data().iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::data(format!("a {what} is {}", m.data()[i]))
            .at(format!("row {}, column {}", i / m.cols() + 1, i % m.cols() + 1))
            .help("only finite numbers can be used: remove or replace it")),
    }
}

/// The error for rows whose weights are all 0.
pub(in crate::data) fn all_zero(place: &str) -> Error {
    Error::data("all rows have the weight 0")
        .at(place)
        .help("give at least one row a positive weight")
}

/// A set of matrices.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) struct Ready {
    pub(in crate::data) train: Dataset,
    pub(in crate::data) validation: Option<Dataset>,
    pub(in crate::data) test: Option<Dataset>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: usize) -> Dataset {
        let features = Features::F32(Matrix::from_fn(rows, 2, |r, c| (r * 2 + c) as f32));
        let targets = Targets::Numbers(Matrix::from_fn(rows, 1, |r, _| r as f64));
        Dataset::new("numbers", features, targets).unwrap()
    }

    #[test]
    fn a_split_holds_every_row_once_and_depends_on_the_seed() {
        let data = numbers(101);
        let (training, validation) = data.split(0.1, 0).unwrap();
        assert_eq!((training.rows(), validation.rows()), (91, 10));
        let mut seen: Vec<f32> = [&training, &validation]
            .iter()
            .flat_map(|d| (0..d.rows()).map(|r| d.features().value(r, 0)))
            .collect();
        seen.sort_by(f32::total_cmp);
        assert_eq!(seen, (0..101).map(|r| (r * 2) as f32).collect::<Vec<_>>());
        assert_eq!(data.split(0.1, 0).unwrap().1, validation);
        assert_ne!(data.split(0.1, 1).unwrap().1, validation);
        assert!(data.split(0.001, 0).is_err() && data.split(1.0, 0).is_err());
    }

    #[test]
    fn labels_and_numbers_out_of_range_are_named_with_their_row() {
        let features = Features::F32(Matrix::new(2, 1, vec![0.0, f32::NAN]).unwrap());
        let names = vec!["a".to_string(), "b".to_string()];
        let labels = |l| Targets::Classes { labels: l, names: names.clone() };
        let error = Dataset::new("set", features, labels(vec![0, 1])).unwrap_err();
        assert!(error.to_string().contains("set, row 2, column 1"), "{error}");
        let features = Features::U8(Matrix::new(2, 1, vec![0, 1]).unwrap());
        let error = Dataset::new("set", features, labels(vec![0, 2])).unwrap_err();
        assert!(error.to_string().contains("label 2 in row 2"), "{error}");
    }
}

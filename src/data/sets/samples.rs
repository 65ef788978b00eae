//! The conversion of a data set to rows for a backend, fitted to the training rows.

use super::matrix_scaling::transform;
use crate::base::error::{Error, Result};
use crate::data::encode::{Encoder, Encoding, Scaler};
use crate::data::{Affine, Dataset, Features, ImageShape, Scaling, TargetScaling, Targets};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Rows for a backend: features with their scaling, and targets ready for the loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// (N, n_0), in their own storage type.
    pub features: Arc<Features>,
    /// The scaling of the feature columns.
    pub affine: Affine,
    /// (N) classes or (N, n_L) numbers, which f32 holds; none if only predictions are needed.
    pub targets: Option<Targets>,
    /// The weight of each row's loss: (N), with a mean of 1, so that the divisor of the sum over a
    /// batch doesn't change. None if all rows have the same weight.
    pub weights: Option<Vec<f32>>,
}

impl Samples {
    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.features.rows()
    }

    /// The given rows, in that order.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Samples {
            features: Arc::new(self.features.select_rows(rows)),
            affine: self.affine.clone(),
            targets: self.targets.as_ref().map(|targets| targets.select_rows(rows)),
            weights: self.weights.as_ref().map(|w| rows.iter().map(|&row| w[row]).collect()),
        }
    }

    /// How the rows are stored on a device.
    #[must_use]
    pub fn storage(&self) -> Storage {
        Storage {
            bytes: matches!(*self.features, Features::U8(_)),
            classes: matches!(self.targets, Some(Targets::Classes { .. })),
            weighted: self.weights.is_some(),
        }
    }
}

/// How a data set is stored on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Storage {
    /// Whether the features are bytes, otherwise f32.
    pub bytes: bool,
    /// Whether the targets are classes, otherwise f32.
    pub classes: bool,
    /// Whether rows have weights.
    pub weighted: bool,
}

/// The conversion of features and targets for the net, fitted to the training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// The encoding of a table's columns as features; none if the data are a matrix of features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// The quantile transform of the columns of a matrix, before `features`; none if the scaling is
    /// linear or part of the encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<Vec<Scaler>>,
    /// The scaling of the feature columns, after the encoding if there is one.
    pub features: Affine,
    /// The scaling of the targets; the identity for classes.
    pub targets: TargetScaling,
    /// The smallest and the largest prediction of each target: the range of the training rows, extended by
    /// a tenth of it on either side. None if predictions are not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Vec<[f64; 2]>>,
    /// The names of the classes; none if the targets aren't classes.
    pub classes: Option<Vec<String>>,
    /// The shape of the images, if the data are folders of images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageShape>,
    /// The names of the labels, if a row may have any number of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
}

impl Preprocessing {
    /// Fits the scaling of `training`'s features, and with any scaling except `None`, also that of numeric
    /// targets, which are then standardized.
    #[must_use]
    pub fn fit(training: &Dataset, scaling: Scaling) -> Self {
        let together = scaling == Scaling::Minmax && training.is_image();
        let targets = match training.targets() {
            Targets::Numbers(m) if scaling != Scaling::None => TargetScaling::fit(m),
            _ => TargetScaling::identity(training.outputs()),
        };
        Preprocessing {
            encoding: None,
            quantiles: scaling.quantiles(training.features()),
            features: scaling.fit(training.features(), together),
            targets,
            bounds: None,
            classes: training.class_names().map(<[String]>::to_vec),
            image: training.shape(),
            labels: match training.targets() {
                Targets::Labels { names, .. } => Some(names.clone()),
                _ => None,
            },
        }
    }

    /// The identity: for data that the net uses unchanged.
    #[must_use]
    pub fn none(data: &Dataset) -> Self {
        Self::fit(data, Scaling::None)
    }

    /// Features alone, for predictions.
    ///
    /// # Errors
    /// When the number of columns differs from that of the training rows.
    pub fn features(&self, features: Arc<Features>) -> Result<Samples> {
        self.check_width(&features)?;
        let affine = self.features.clone();
        let features = match &self.quantiles {
            Some(quantiles) => Arc::new(transform(&features, quantiles)?),
            None => features,
        };
        Ok(Samples { features, affine, targets: None, weights: None })
    }

    /// Refuses a number of columns that differs from that of the training rows.
    pub(in crate::data) fn check_width(&self, features: &Features) -> Result<()> {
        let (expected, found) = (self.features.cols(), features.cols());
        if found != expected {
            return Err(Error::data(format!(
                "{found} feature columns, but the net was trained on {expected}"
            ))
            .help("give the columns of the training data, in the same order"));
        }
        Ok(())
    }

    /// Features and targets, and the rows' weights if there are any, divided by their mean.
    ///
    /// # Errors
    /// When the columns, classes or outputs differ from those of the training rows, or all weights are 0.
    pub fn samples(&self, data: &Dataset) -> Result<Samples> {
        self.samples_of(data, data.mean_weight()?)
    }

    /// As [`Preprocessing::samples`], for rows of a larger set, whose weights have that mean.
    ///
    /// # Errors
    /// When the columns, classes or outputs differ from those of the training rows.
    pub fn samples_of(&self, data: &Dataset, mean_weight: Option<f64>) -> Result<Samples> {
        let samples = self.features(data.features_shared()).map_err(|e| e.at(data.name()))?;
        let targets = match (data.targets(), &self.classes) {
            (Targets::Classes { .. }, Some(_)) => self.truth(data)?,
            (Targets::Numbers(m), None)
                if m.cols() == self.targets.cols() && self.labels.is_none() =>
            {
                Targets::Numbers(self.targets.apply(m, 0).map_err(|e| e.at(data.name()))?)
            }
            (Targets::Labels { names, .. }, None) if Some(names) == self.labels.as_ref() => {
                data.targets().clone()
            }
            (found, _) => {
                let (found, expected) = match (found, &self.classes, &self.labels) {
                    (Targets::Classes { .. }, None, None) => ("classes", "numbers"),
                    (Targets::Classes { .. }, ..) => ("classes", "labels"),
                    (Targets::Labels { .. }, Some(_), _) => ("labels", "classes"),
                    (Targets::Labels { .. }, _, Some(_)) => ("labels", "other labels"),
                    (Targets::Labels { .. }, ..) => ("labels", "numbers"),
                    (Targets::Numbers(_), Some(_), _) => ("numbers", "classes"),
                    (Targets::Numbers(_), _, Some(_)) => ("numbers", "labels"),
                    (Targets::Numbers(_), ..) => ("numbers", "numbers"),
                };
                return Err(Error::data(format!(
                    "the targets are {found} with {} outputs, but the net was trained on {expected} with {}",
                    data.outputs(),
                    self.targets.cols()
                ))
                .at(data.name())
                .help("give data of the same kind as the training data"));
            }
        };
        let mean = mean_weight.unwrap_or(1.0);
        let divided =
            |weights: &[f32]| weights.iter().map(|&w| (f64::from(w) / mean) as f32).collect();
        let weights = data.weights().map(divided);
        Ok(Samples { targets: Some(targets), weights, ..samples })
    }
}

impl Preprocessing {
    /// Whether all quantile transforms can be applied, and there is one for each column of a matrix.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let cols = self.features.cols();
        let of_matrix = self.quantiles.as_ref().is_none_or(|q| q.len() == cols);
        let of_table = self.encoding.iter().flat_map(|encoding| &encoding.features);
        let of_table = of_table.filter_map(|feature| match &feature.encoder {
            Encoder::Number(encoder) => Some(&encoder.scaler),
            _ => None,
        });
        of_matrix && of_table.chain(self.quantiles.iter().flatten()).all(Scaler::is_whole)
    }

    /// The targets in a model's terms: classes in its order, numbers in the user's units.
    ///
    /// # Errors
    /// As [`Preprocessing::samples`], for classes.
    pub fn truth(&self, data: &Dataset) -> Result<Targets> {
        Ok(match (data.targets(), &self.classes) {
            (Targets::Classes { labels, names }, Some(classes)) => Targets::Classes {
                labels: relabel(data.name(), labels, names, classes)?,
                names: classes.clone(),
            },
            (others, _) => others.clone(),
        })
    }
}

/// Labels that are indices into `names`, as indices into `classes`.
fn relabel(place: &str, labels: &[u32], names: &[String], classes: &[String]) -> Result<Vec<u32>> {
    if names == classes {
        return Ok(labels.to_vec());
    }
    let places: Vec<Option<u32>> =
        names.iter().map(|n| classes.iter().position(|c| c == n).map(|i| i as u32)).collect();
    let relabelled = labels.iter().enumerate().map(|(row, &label)| {
        places[label as usize].ok_or_else(|| {
            Error::data(format!("class {:?} was not in the training data", names[label as usize]))
                .at(format!("{place}, row {}", row + 1))
                .help(format!("the net's classes are {}", classes.join(", ")))
        })
    });
    relabelled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::matrix::Matrix;

    fn classes(names: &[&str], labels: Vec<u32>) -> Dataset {
        let features = Features::F32(Matrix::from_fn(labels.len(), 1, |r, _| r as f32));
        let names = names.iter().map(|n| (*n).to_string()).collect();
        Dataset::new("set", features, Targets::Classes { labels, names }).unwrap()
    }

    #[test]
    fn classes_are_matched_by_name() {
        let preprocessing = Preprocessing::fit(&classes(&["a", "b"], vec![0, 1]), Scaling::None);
        let samples = preprocessing.samples(&classes(&["b", "a"], vec![0, 1])).unwrap();
        assert!(
            matches!(samples.targets, Some(Targets::Classes { labels, .. }) if labels == [1, 0])
        );
        let error = preprocessing.samples(&classes(&["a", "c"], vec![0, 1])).unwrap_err();
        assert!(
            error.to_string().contains("\"c\"") && error.to_string().contains("row 2"),
            "{error}"
        );
    }

    #[test]
    fn weights_keep_their_ratios_and_get_a_mean_of_one() {
        let data = classes(&["a", "b"], vec![0, 1, 1, 0]);
        let preprocessing = Preprocessing::none(&data);
        assert_eq!(preprocessing.samples(&data).unwrap().weights, None);
        let weights =
            |w: [f32; 4]| preprocessing.samples(&data.clone().weighted(w.into()).unwrap());
        let found = weights([1.0, 0.0, 4.0, 3.0]).unwrap().weights.unwrap();
        assert_eq!(found, [0.5, 0.0, 2.0, 1.5]);
        assert!(weights([0.0; 4]).unwrap_err().to_string().contains("all rows have the weight 0"));
    }

    #[test]
    fn another_number_of_columns_is_refused() {
        let preprocessing = Preprocessing::fit(&classes(&["a", "b"], vec![0, 1]), Scaling::None);
        let features = Features::F32(Matrix::from_fn(1, 3, |_, _| 0.0));
        assert!(preprocessing.features(Arc::new(features)).is_err());
    }
}

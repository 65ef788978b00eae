//! The weights of a net: the distribution of each layer's, and those of the first layer as images.

use super::pictures::Layout;
use super::{Distribution, Picture, Subject};
use crate::data::Dataset;
use serde::{Deserialize, Serialize};

/// The most weights of a layer in its histogram: with more, evenly spaced ones are used.
const WEIGHTS: usize = 200_000;
/// The most units of the first layer that are shown.
const UNITS: usize = 32;
/// The most pixels of all images of units together.
const PIXELS: usize = 100_000;

/// The weights of a layer, those of all nets of an ensemble together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerHistogram {
    /// The layer, from 1.
    pub layer: usize,
    /// Its inputs and units.
    pub shape: [usize; 2],
    /// Its activation.
    pub activation: String,
    /// The number of its weights in one net.
    pub weights: usize,
    /// The fraction of them that is 0.
    pub zeros: f64,
    /// Their distribution.
    pub distribution: Option<Distribution>,
}

/// Each layer's weights.
pub(super) fn histograms(subject: &Subject<'_>) -> Vec<LayerHistogram> {
    let model = subject.model;
    let shapes = model.net.layers.iter().zip(model.net.shapes()).enumerate();
    let of =
        |(l, (layer, (units, inputs))): (usize, (&crate::net::spec::Layer, (usize, usize)))| {
            let of_net = units * inputs;
            let step = (of_net * model.members.len()).div_ceil(WEIGHTS).max(1);
            let all = model.members.iter().filter_map(|net| net.get(l));
            let values = all.flat_map(|weights| weights.weight.data());
            let seen: Vec<f64> = values.step_by(step).map(|&w| f64::from(w)).collect();
            let zeros = seen.iter().filter(|w| **w == 0.0).count() as f64;
            LayerHistogram {
                layer: l + 1,
                shape: [inputs, units],
                activation: layer.activation.to_string(),
                weights: of_net,
                zeros: zeros / seen.len().max(1) as f64,
                distribution: Distribution::of_numbers(seen.into_iter(), false),
            }
        };
    shapes.map(of).collect()
}

/// The weights of the first layer's first units as images, if the inputs are images; for an ensemble,
/// those of its first net.
pub(super) fn first_layer(subject: &Subject<'_>) -> Option<Picture> {
    let model = subject.model;
    let weight = &model.members.first()?.first()?.weight;
    let is_image = subject.training.is_some_and(Dataset::is_image);
    let layout = Layout::of(&model.preprocessing, is_image, weight.cols())?;
    let pixels = layout.width as usize * layout.height as usize;
    if pixels * layout.channels != weight.cols() || pixels > PIXELS {
        return None;
    }
    let most = UNITS.min(PIXELS / pixels).max(1);
    let units: Vec<&[f32]> = weight.iter_rows().take(most).collect();
    let about = format!(
        "The weights of {} of the {} units of the first layer, each as an image of {} × {} pixels: orange above 0, blue below, white 0",
        units.len(),
        weight.rows(),
        layout.width,
        layout.height
    );
    layout.weights(&units, 8, about).ok()
}

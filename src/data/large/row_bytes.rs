//! The rows of a stored set as bytes.

use crate::base::error::Result;
use crate::data::{Dataset, Features, ImageShape, Targets};
use crate::math::matrix::Matrix;

/// The common properties of the rows of a set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Form {
    pub name: String,
    /// Whether features are bytes, otherwise f32.
    pub bytes: bool,
    pub features: usize,
    /// Targets without rows: their kind, width and names.
    pub targets: Targets,
    pub weighted: bool,
    pub is_image: bool,
    pub shape: Option<ImageShape>,
}

impl Form {
    pub fn of(data: &Dataset) -> Self {
        Form {
            name: data.name().to_string(),
            bytes: matches!(data.features(), Features::U8(_)),
            features: data.features().cols(),
            targets: data.targets().select_rows(&[]),
            weighted: data.weights().is_some(),
            is_image: data.is_image(),
            shape: data.shape(),
        }
    }

    /// The number of bytes of a row: features, targets, weight.
    pub fn row_bytes(&self) -> usize {
        let feature = if self.bytes { 1 } else { 4 };
        self.features * feature + self.target_bytes() + if self.weighted { 4 } else { 0 }
    }

    fn target_bytes(&self) -> usize {
        match &self.targets {
            Targets::Classes { .. } => 4,
            Targets::Numbers(m) => 8 * m.cols(),
            Targets::Labels { values, .. } => 4 * values.cols(),
        }
    }

    /// The bytes of rows, with bytes as numbers where the set has numbers.
    pub fn encode(&self, data: &Dataset) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.row_bytes() * data.rows());
        for row in 0..data.rows() {
            match data.features() {
                Features::U8(m) if self.bytes => bytes.extend_from_slice(m.row(row)),
                Features::U8(m) => {
                    bytes.extend(m.row(row).iter().flat_map(|&b| f32::from(b).to_ne_bytes()));
                }
                Features::F32(m) => bytes.extend_from_slice(bytemuck::cast_slice(m.row(row))),
            }
            match data.targets() {
                Targets::Classes { labels, .. } => bytes.extend(labels[row].to_ne_bytes()),
                Targets::Numbers(m) => {
                    bytes.extend_from_slice(bytemuck::cast_slice(m.row(row)));
                }
                Targets::Labels { values, .. } => {
                    bytes.extend_from_slice(bytemuck::cast_slice(values.row(row)));
                }
            }
            if let Some(weights) = data.weights() {
                bytes.extend(weights[row].to_ne_bytes());
            }
        }
        bytes
    }
}

/// The columns of the rows that are read.
pub(super) struct Columns {
    bytes: Vec<u8>,
    numbers: Vec<f32>,
    classes: Vec<u32>,
    targets: Vec<f64>,
    labels: Vec<f32>,
    weights: Vec<f32>,
}

impl Columns {
    pub fn new(form: &Form, rows: usize) -> Self {
        let room = |is_there: bool, cols: usize| if is_there { rows * cols } else { 0 };
        let [mut classes, mut targets, mut labels] = [0; 3];
        match &form.targets {
            Targets::Classes { .. } => classes = rows,
            Targets::Numbers(m) => targets = rows * m.cols(),
            Targets::Labels { values, .. } => labels = rows * values.cols(),
        }
        Columns {
            bytes: Vec::with_capacity(room(form.bytes, form.features)),
            numbers: Vec::with_capacity(room(!form.bytes, form.features)),
            classes: Vec::with_capacity(classes),
            targets: Vec::with_capacity(targets),
            labels: Vec::with_capacity(labels),
            weights: Vec::with_capacity(room(form.weighted, 1)),
        }
    }

    /// Decodes a row.
    pub fn push(&mut self, form: &Form, row: &[u8]) {
        let words = |bytes| <[u8]>::as_chunks(bytes).0.iter();
        let (features, rest) = match form.bytes {
            true => row.split_at(form.features),
            false => row.split_at(form.features * 4),
        };
        let (targets, weight) = rest.split_at(form.target_bytes());
        match form.bytes {
            true => self.bytes.extend_from_slice(features),
            false => self.numbers.extend(words(features).map(|&w| f32::from_ne_bytes(w))),
        }
        match form.targets {
            Targets::Classes { .. } => {
                self.classes.extend(words(targets).map(|&w| u32::from_ne_bytes(w)));
            }
            Targets::Numbers(_) => {
                let words = <[u8]>::as_chunks(targets).0.iter();
                self.targets.extend(words.map(|&w| f64::from_ne_bytes(w)));
            }
            Targets::Labels { .. } => {
                self.labels.extend(words(targets).map(|&w| f32::from_ne_bytes(w)));
            }
        }
        self.weights.extend(words(weight).map(|&w| f32::from_ne_bytes(w)));
    }

    pub fn dataset(self, form: &Form) -> Result<Dataset> {
        let Columns { bytes, numbers, classes, targets, labels, weights } = self;
        let features = match form.bytes {
            true => Features::U8(Matrix::new(bytes.len() / form.features, form.features, bytes)?),
            false => {
                let rows = numbers.len() / form.features;
                Features::F32(Matrix::new(rows, form.features, numbers)?)
            }
        };
        let rows = features.rows();
        let targets = match &form.targets {
            Targets::Classes { names, .. } => {
                Targets::Classes { labels: classes, names: names.clone() }
            }
            Targets::Numbers(m) => Targets::Numbers(Matrix::new(rows, m.cols(), targets)?),
            Targets::Labels { values, names } => {
                let values = Matrix::new(rows, values.cols(), labels)?;
                Targets::Labels { values, names: names.clone() }
            }
        };
        let data = Dataset::new(form.name.clone(), features, targets)?;
        let data = match (form.shape, form.is_image) {
            (Some(shape), _) => data.image_of(shape),
            (None, true) => data.image(),
            (None, false) => data,
        };
        if form.weighted { data.weighted(weights) } else { Ok(data) }
    }
}

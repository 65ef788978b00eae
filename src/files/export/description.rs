//! A complete prediction as plain data, made from a model in one place: raw columns, their encodings,
//! the nets, and the meaning of their outputs. Every format is written from it.

use super::Bare;
use crate::backend::session::LayerWeights;
use crate::base::error::{Error, Result};
use crate::data::{
    Affine, Encoder, ImageShape, Lookup, NumberEncoder, Preprocessing, Scaler, TargetScaling,
};
use crate::math::loss::Link;
use crate::net::spec::Net;
use crate::train::model::Model;
use std::borrow::Cow;

/// A complete prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct Description<'a> {
    /// The inputs of each row.
    pub inputs: Inputs<'a>,
    /// The quantile transform of each feature; none if there is none.
    pub quantiles: Option<&'a [Scaler]>,
    /// The linear scaling of the features, in f32; none if it is the identity.
    pub affine: Option<&'a Affine>,
    /// The net, whose inputs are the features.
    pub net: &'a Net,
    /// The parameters of each net.
    pub members: &'a [Vec<LayerWeights>],
    /// The meaning of the outputs of the nets.
    pub output: Output<'a>,
}

/// The inputs of each row.
#[derive(Debug, Clone, PartialEq)]
pub enum Inputs<'a> {
    /// Values of columns, by name, in the order of their features.
    Columns(Vec<Column<'a>>),
    /// The numbers of a matrix or an image, which are the features; in a table of pixels they have
    /// names.
    Matrix {
        /// The number of features.
        width: usize,
        /// The names of the columns, if they have names.
        names: Vec<&'a str>,
        /// The shape of images, if they were read from files.
        image: Option<ImageShape>,
    },
}

/// A column of the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Column<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its encoding.
    pub step: Step<'a>,
}

/// The encoding of a column. Numbers are f64, NaN where they are missing; each feature is rounded to f32 at
/// the end.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<'a> {
    /// A number, unchanged.
    Plain,
    /// A number, imputed, scaled, with an indicator if values were missing.
    Number(&'a NumberEncoder),
    /// 2 x − 1, and 0 for a missing value.
    Sign,
    /// The features of a text, found in a table.
    Text(Lookup),
    /// The index of a category, found in a table, for an embedding.
    Index(Lookup),
    /// Ones at the two places that a text hashes to, and one for a missing value.
    Hash {
        /// The number of features for categories.
        buckets: usize,
        /// Whether another feature is 1 for a missing value.
        missing: bool,
        /// The texts that mean a missing value.
        marks: Vec<String>,
    },
    /// A moment in seconds.
    Moment(Moment<'a>),
}

/// How a moment, in seconds since 1970-01-01 00:00, becomes features: (x − mean) / deviation, then sine
/// and cosine of the fraction of the year, those of the fraction of the day, seven for the day of the week from
/// Monday on, and one that is 1 if it is missing; all others are then 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment<'a> {
    /// The form of the texts in the training data, as a `chrono` format.
    pub format: Option<&'a str>,
    /// Seconds.
    pub mean: f64,
    /// Seconds.
    pub deviation: f64,
    /// Whether the fraction of the year is a feature.
    pub year: bool,
    /// Whether the fraction of the day is a feature.
    pub day: bool,
    /// Whether the day of the week is a feature.
    pub week: bool,
    /// Whether a missing one is flagged.
    pub indicator: bool,
}

/// Seconds of a day, and of the mean year of the Gregorian calendar.
pub const DAY: f64 = 86_400.0;
/// See [`DAY`].
pub const YEAR: f64 = 365.2425 * DAY;

/// The meaning of the outputs of the nets.
#[derive(Debug, Clone, PartialEq)]
pub enum Output<'a> {
    /// The raw outputs of one net.
    Raw,
    /// Probabilities of classes; a single output is the probability of the second of two.
    Classes {
        /// Softmax or sigmoid.
        link: Link,
        /// In the order of the outputs.
        names: &'a [String],
    },
    /// Independent probabilities of labels.
    Labels {
        /// In the order of the outputs.
        names: &'a [String],
    },
    /// Numbers in the user's units.
    Values {
        /// Identity, exp, or means and logarithms of variances.
        link: Link,
        /// The names of the targets.
        names: Vec<Cow<'a, str>>,
        /// The scaling to undo.
        scaling: &'a TargetScaling,
        /// The least and the largest value of each target.
        bounds: Option<&'a [[f64; 2]]>,
    },
}

impl<'a> Description<'a> {
    /// The description of a model: all of it, or its net alone.
    ///
    /// # Errors
    /// For `bare` with an ensemble, which has several nets.
    pub fn new(model: &'a Model, bare: Bare) -> Result<Self> {
        let preprocessing = &model.preprocessing;
        let (net, members) = (&model.net, &model.members[..]);
        if bare.0 {
            if members.len() > 1 {
                let nets = members.len();
                return Err(Error::usage(format!(
                    "--bare cannot be used with an ensemble ({nets} nets)"
                ))
                .help("export one of them, RUN/net-1/model.safetensors, or omit --bare"));
            }
            let inputs = Inputs::Matrix { width: net.inputs, names: Vec::new(), image: None };
            let (quantiles, affine, output) = (None, None, Output::Raw);
            return Ok(Description { inputs, quantiles, affine, net, members, output });
        }
        let affine = Some(&preprocessing.features).filter(|a| !a.keeps_last(a.cols()));
        Ok(Description {
            inputs: inputs(preprocessing),
            quantiles: preprocessing.quantiles.as_deref(),
            affine,
            net,
            members,
            output: output(model),
        })
    }

    /// The number of targets, classes or labels; for raw outputs all of them.
    #[must_use]
    pub fn targets(&self) -> usize {
        match &self.output {
            Output::Raw => self.net.outputs(),
            Output::Classes { names, .. } | Output::Labels { names } => names.len(),
            Output::Values { scaling, .. } => scaling.cols(),
        }
    }

    /// The number of values predicted for a row.
    #[must_use]
    pub fn predicted(&self) -> usize {
        let is_normal = matches!(&self.output, Output::Values { link: Link::Deviation, .. });
        self.targets() * (1 + usize::from(is_normal))
    }
}

fn inputs(preprocessing: &Preprocessing) -> Inputs<'_> {
    let width = preprocessing.features.cols();
    match &preprocessing.encoding {
        None => Inputs::Matrix { width, names: Vec::new(), image: preprocessing.image },
        Some(encoding) if encoding.pixels || !encoding.header.named => {
            let is_plain = |e: &Encoder| matches!(e, Encoder::Plain);
            match encoding.features.iter().all(|f| is_plain(&f.encoder)) {
                true => {
                    let named = encoding.header.named;
                    let names = encoding.features.iter().filter(|_| named);
                    Inputs::Matrix {
                        width,
                        names: names.map(|f| f.column.as_str()).collect(),
                        image: None,
                    }
                }
                false => columns(encoding),
            }
        }
        Some(encoding) => columns(encoding),
    }
}

fn columns(encoding: &crate::data::Encoding) -> Inputs<'_> {
    let marks = encoding.missing_marks();
    let column = encoding.features.iter();
    let column = column.map(|f| Column { name: &f.column, step: step(&f.encoder, &marks) });
    Inputs::Columns(column.collect())
}

/// The step of an encoder, for texts of which `marks` mean missing values.
fn step<'a>(encoder: &'a Encoder, marks: &[String]) -> Step<'a> {
    match (encoder, encoder.lookup(marks)) {
        (Encoder::Plain, _) => Step::Plain,
        (Encoder::Number(e), _) => Step::Number(e),
        (Encoder::Boolean { .. } | Encoder::Category(_), Some(lookup)) => Step::Text(lookup),
        (Encoder::Embedding(_), Some(lookup)) => Step::Index(lookup),
        // Those of 0 and 1; the others have a table.
        (Encoder::Boolean { .. } | Encoder::Category(_) | Encoder::Embedding(_), None) => {
            Step::Sign
        }
        (Encoder::Hash(e), _) => {
            Step::Hash { buckets: e.buckets, missing: e.missing, marks: marks.to_vec() }
        }
        (Encoder::Moment(e), _) => Step::Moment(Moment {
            format: e.format.as_deref(),
            mean: e.mean,
            deviation: e.deviation,
            year: e.year,
            day: e.day,
            week: e.week,
            indicator: e.indicator,
        }),
    }
}

fn output(model: &Model) -> Output<'_> {
    let preprocessing = &model.preprocessing;
    let link = model.objective.loss.link();
    match (&preprocessing.classes, &preprocessing.labels) {
        (Some(names), _) => Output::Classes { link, names },
        (None, Some(names)) => Output::Labels { names },
        (None, None) => {
            let scaling = &preprocessing.targets;
            let named = preprocessing.encoding.iter().flat_map(|encoding| &encoding.targets);
            let mut names: Vec<Cow<'_, str>> =
                named.map(|name| Cow::Borrowed(name.as_str())).collect();
            if names.len() != scaling.cols() {
                names = (1..=scaling.cols()).map(|n| format!("target {n}").into()).collect();
            }
            Output::Values { link, names, scaling, bounds: preprocessing.bounds.as_deref() }
        }
    }
}

impl Step<'_> {
    /// The number of features.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Step::Plain | Step::Sign | Step::Index(_) => 1,
            Step::Number(e) => e.width(),
            Step::Text(lookup) => lookup.entries.first().map_or(0, Vec::len),
            Step::Hash { buckets, missing, .. } => buckets.saturating_add((*missing).into()),
            Step::Moment(m) => {
                1 + 2 * usize::from(m.year)
                    + 2 * usize::from(m.day)
                    + 7 * usize::from(m.week)
                    + usize::from(m.indicator)
            }
        }
    }

    /// Whether the column is given as texts.
    #[must_use]
    pub fn takes_texts(&self) -> bool {
        match self {
            Step::Plain | Step::Number(_) | Step::Sign | Step::Moment(_) => false,
            Step::Text(_) | Step::Index(_) | Step::Hash { .. } => true,
        }
    }

    /// The values that the column takes, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Step::Plain => "number, none missing".into(),
            Step::Number(_) => "number".into(),
            Step::Sign => "number, 0 for no and 1 for yes".into(),
            Step::Text(_) | Step::Index(_) => "text, compared byte by byte".into(),
            Step::Hash { .. } => "text, in composed Unicode (NFC)".into(),
            Step::Moment(m) => match m.format {
                Some(form) if !["%Y", "%y", "%G"].iter().any(|year| form.contains(year)) => {
                    format!("time of day as seconds since midnight (in training as {form})")
                }
                form => {
                    let form = form.map(|f| format!(" (in training as {f})")).unwrap_or_default();
                    format!("date or time as seconds since 1970-01-01 00:00{form}")
                }
            },
        }
    }
}

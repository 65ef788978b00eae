//! Random rows on which an exported file is tested, within the range that the preprocessing was fitted to, with
//! some missing values, unknown categories and values beyond that range.

use super::description::{DAY, Description, Inputs, Step};
use crate::base::error::{Error, Result};
use crate::data::{
    Features, Frame, Header, NumberEncoder, Preprocessing, RawColumn, Scaler, Texts, Values,
};
use crate::math::matrix::Matrix;
use crate::math::random::threefry;
use std::sync::Arc;

/// Rows as passed to other programs, and their features.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// The inputs.
    pub given: Given,
    /// The features: (rows, features).
    pub features: Arc<Features>,
}

/// The inputs of some rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// The columns of a table, in the order of the features.
    Columns(Vec<RawColumn>),
    /// A matrix: (rows, features).
    Matrix(Matrix<f32>),
}

impl Rows {
    /// The rows of a matrix, passed unchanged.
    #[must_use]
    pub fn of_features(features: &Arc<Features>) -> Self {
        let value = |r, c| features.value(r, c);
        let given = Matrix::from_fn(features.rows(), features.cols(), value);
        Rows { given: Given::Matrix(given), features: features.clone() }
    }

    /// The number of rows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.features.rows()
    }

    /// `rows` random rows for a model with this preprocessing, described in full.
    ///
    /// # Errors
    /// When the preprocessing can't encode the rows.
    pub fn draw(
        description: &Description,
        preprocessing: &Preprocessing,
        rows: usize,
    ) -> Result<Self> {
        let columns = match &description.inputs {
            Inputs::Columns(columns) => columns,
            Inputs::Matrix { width, .. } => {
                let features = Arc::new(Features::F32(matrix(description, *width, rows)));
                return Ok(Rows::of_features(&features));
            }
        };
        let encoding = preprocessing
            .encoding
            .as_ref()
            .ok_or_else(|| Error::failed("a description with columns of a model without any"))?;
        let given: Vec<RawColumn> =
            columns.iter().enumerate().map(|(c, column)| draw(&column.step, c, rows)).collect();
        let names = columns.iter().map(|column| column.name.to_string()).collect();
        let values = given.iter().zip(columns).map(|(raw, column)| {
            Some(match raw {
                RawColumn::Texts(all) => {
                    // Once read, a table has no markers of missing values.
                    let is_missing = |text: &str| match &column.step {
                        Step::Text(lookup) | Step::Index(lookup) => {
                            lookup.spellings.get(text.trim()) == Some(&lookup.missing)
                        }
                        _ => false,
                    };
                    let is_there = |t: &str| !t.is_empty() && !is_missing(t);
                    let texts = all.iter().map(|t| is_there(t).then_some(t.as_str()));
                    Values::Texts(texts.collect::<Texts>())
                }
                RawColumn::Numbers(all) => match column.step {
                    Step::Moment(_) => Values::Times(all.clone()),
                    _ => Values::Numbers(all.clone()),
                },
            })
        });
        let frame = Frame {
            header: Arc::new(Header::of_names(names)),
            columns: values.collect(),
            rows,
            ..Frame::default()
        };
        // Columns without names are found by position: here all have names.
        let mut encoding = encoding.clone();
        encoding.header.named = true;
        let features = Arc::new(encoding.encode(&frame, None)?);
        Ok(Rows { given: Given::Columns(given), features })
    }
}

/// A random number in [0, 1) for a value of a column.
fn uniform(column: usize, row: usize, which: u32) -> f64 {
    f64::from(threefry([0x5EED, which], [column as u32, row as u32])[0]) / 2f64.powi(32)
}

/// Features of a matrix.
fn matrix(description: &Description, width: usize, rows: usize) -> Matrix<f32> {
    let copied = description.net.copied_features();
    Matrix::from_fn(rows, width, |r, c| {
        let u = uniform(c, r, 0);
        if let Some(table) = c.checked_sub(copied) {
            // An index of a category.
            return (u * description.net.embeddings[table].values as f64).floor() as f32;
        }
        let quantiles = description.quantiles.map(|all| within(&all[c], u, r));
        let scaled = |x: f64| match description.affine {
            Some(affine) => x / f64::from(affine.scale[c]) + f64::from(affine.shift[c]),
            None => x,
        };
        quantiles.unwrap_or_else(|| scaled(3.0 * u - 1.5)) as f32
    })
}

/// A value within the range that a scaling was fitted to, or one beyond.
fn within(scaler: &Scaler, u: f64, row: usize) -> f64 {
    match scaler {
        Scaler::Linear { shift, scale } => shift + (6.0 * u - 3.0) / scale,
        Scaler::Quantile { values } => {
            let last = values.len() - 1;
            let place = ((u * values.len() as f64) as usize).min(last);
            let (x, next) = (values[place], values[(place + 1).min(last)]);
            let range = values[last] - values[0];
            match row % 8 {
                // A value of the training rows, many of which may be equal.
                0..=2 => x,
                3 => values[0] - range * u,
                4 => values[last] + range * u,
                _ => x + (next - x) * uniform(place, row, 1),
            }
        }
    }
}

/// Values of a column.
fn draw(step: &Step, column: usize, rows: usize) -> RawColumn {
    let is_missing = |row: usize| (row + column) % 9 == 4;
    let numbers = |of: &dyn Fn(usize, f64) -> f64| {
        let value = |row| if is_missing(row) { f64::NAN } else { of(row, uniform(column, row, 0)) };
        RawColumn::Numbers((0..rows).map(value).collect())
    };
    let texts = |of: &dyn Fn(usize, f64) -> String| {
        let text =
            |row| if is_missing(row) { String::new() } else { of(row, uniform(column, row, 0)) };
        RawColumn::Texts((0..rows).map(text).collect())
    };
    match step {
        Step::Plain => {
            RawColumn::Numbers((0..rows).map(|r| 2.0 * uniform(column, r, 0) - 1.0).collect())
        }
        Step::Number(NumberEncoder { log, scaler, .. }) => numbers(&|row, u| {
            let x = within(scaler, u, row);
            if *log { x.abs().min(80.0).exp_m1().copysign(x) } else { x }
        }),
        Step::Sign => numbers(&|row, u| if row % 5 == 0 { u } else { u.round() }),
        Step::Text(lookup) | Step::Index(lookup) => {
            let known: Vec<&String> =
                lookup.spellings.keys().filter(|text| !text.is_empty()).collect();
            let takes_any = lookup.entries[lookup.unknown].iter().all(|x| x.is_finite());
            texts(&|row, u| match known.get((u * known.len() as f64) as usize) {
                Some(text) if !(takes_any && row % 11 == 5) => match row % 7 {
                    2 => format!(" {text}"),
                    4 => format!("{text} "),
                    6 => format!(" {text} "),
                    _ => (*text).clone(),
                },
                _ if takes_any => format!("never seen {row}"),
                _ => String::new(),
            })
        }
        Step::Hash { .. } => texts(&|_, u| format!("category {}", (u * 1000.0) as u32)),
        Step::Moment(moment) => {
            let has_date = |form: &str| ["%Y", "%y", "%G"].iter().any(|year| form.contains(year));
            let is_dated = moment.format.map_or(!(0.0..DAY).contains(&moment.mean), has_date);
            numbers(&|_, u| {
                let x = (moment.mean + (4.0 * u - 2.0) * moment.deviation).round();
                if is_dated { x } else { x.rem_euclid(DAY) }
            })
        }
    }
}

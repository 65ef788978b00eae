//! The rows for calibrating and evaluating the nets of an ensemble.

use super::members::Nets;
use crate::backend::session::Session;
use crate::base::error::Result;
use crate::data::Dataset;
use crate::math::matrix::Matrix;
use crate::train::calibration::calibrate;
use crate::train::model::Model;

/// The rows for calibrating and evaluating an ensemble.
pub(crate) enum HeldOut<'a> {
    None,
    /// The same for all nets.
    Shared(&'a Dataset),
    Folds(Folds),
}

/// All rows, first those that the first net didn't see, and so on.
pub(crate) struct Folds {
    pub rows: Dataset,
    /// The rows of each net.
    pub parts: Vec<Dataset>,
}

impl<'a> HeldOut<'a> {
    pub fn new(nets: &'a Nets) -> Result<Self> {
        let job = &nets.whole;
        Ok(match (&nets.folds, &job.validation) {
            (Some(folds), _) => {
                let rows = job.preprocessing.dataset(&job.data, &folds.concat())?;
                let part = |of: &Vec<usize>| job.preprocessing.dataset(&job.data, of);
                HeldOut::Folds(Folds {
                    rows,
                    parts: folds.iter().map(part).collect::<Result<_>>()?,
                })
            }
            (None, Some(data)) => HeldOut::Shared(data),
            (None, None) => HeldOut::None,
        })
    }

    /// Calibrates a model: with folds, each row with the net that didn't see it.
    pub fn calibrate(&self, model: &mut Model, session: &mut Session) -> Result<Option<f64>> {
        match self {
            HeldOut::None => Ok(None),
            HeldOut::Shared(data) => {
                let outputs = model.outputs_of_nets(session, data)?;
                calibrate(model, &outputs, data)
            }
            HeldOut::Folds(folds) => {
                let mut values = Vec::new();
                for (i, part) in folds.parts.iter().enumerate() {
                    let outputs = alone(model, i, session)?.outputs_of_nets(session, part)?;
                    values.extend(outputs.into_iter().flat_map(Matrix::into_data));
                }
                let outputs = Matrix::new(folds.rows.rows(), model.net.outputs(), values)?;
                calibrate(model, &[outputs], &folds.rows)
            }
        }
    }
}

/// Net `i` of a model as a separate model, in the session.
pub(crate) fn alone(model: &Model, i: usize, session: &mut Session) -> Result<Model> {
    let net = Model { members: vec![model.members[i].clone()], ..model.clone() };
    session.set_weights(&net.net, &net.members[0])?;
    Ok(net)
}

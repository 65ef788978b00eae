//! Rows of a data set, ready for a device, with targets that are valid for the loss.

use crate::base::error::{Error, Result};
use crate::data::{Dataset, Preprocessing, Samples, Targets};
use crate::math::loss::Loss;

/// Rows of a set with that mean weight, ready for the device.
///
/// # Errors
/// As [`Preprocessing::samples`] and [`check_targets`].
pub(crate) fn samples(
    loss: Loss,
    preprocessing: &Preprocessing,
    data: &Dataset,
    mean_weight: Option<f64>,
) -> Result<Samples> {
    let samples = preprocessing.samples_of(data, mean_weight)?;
    if let Some(targets) = &samples.targets {
        let place = |row, output| format!("row {}, target {}", row + 1, output + 1);
        check_targets(loss, targets, place).map_err(|e| e.at(data.name()))?;
    }
    Ok(samples)
}

/// Refuses targets that are invalid for the loss; `place` describes the place of one, by its row and
/// output.
///
/// # Errors
/// For the first of them.
pub fn check_targets(
    loss: Loss,
    targets: &Targets,
    place: impl Fn(usize, usize) -> String,
) -> Result<()> {
    let Targets::Numbers(m) = targets else { return Ok(()) };
    if !matches!(loss, Loss::Poisson | Loss::KlDivergence) {
        return Ok(());
    }
    match m.data().iter().position(|&t| t < 0.0) {
        None => Ok(()),
        Some(i) => Err(Error::data(format!("the target {} with the loss {loss}", m.data()[i]))
            .at(place(i / m.cols(), i % m.cols()))
            .help("counts and fractions must be 0 or more: correct it, or use another loss")),
    }
}

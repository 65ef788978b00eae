//! The linear model that a net is compared with: the same net without its hidden layers.

use crate::backend::Backend;
use crate::base::error::{ErrorKind, Result};
use crate::data::{Dataset, Preprocessing};
use crate::math::schedule::Schedule;
use crate::net::spec::{Net, Spec};
use crate::train::model::Model;
use crate::train::trainer::Trainer;

/// Batch size.
const BATCH: usize = 64;
/// The number of steps that gets close to the optimum of a convex loss on standardized columns.
const STEPS: f64 = 2000.0;
/// With fewer steps the baseline would be unfairly weak: there is no linear model then.
const FEWEST_STEPS: f64 = 200.0;
/// Its fraction of the operations of the whole training.
const SHARE: f64 = 0.1;
/// The operations that are always allowed, however short the training, about a quarter of a second on
/// one core, and the most for any training, about a second.
const OPERATIONS: [f64; 2] = [1e9, 4e9];
/// η of Adam, from here to 0 by the cosine.
const RATE: f32 = 0.02;

/// Trains the linear model of a run: logistic, softmax or linear regression by the run's own loss
/// and output activation, on the same samples. None if the net has no hidden layers and is
/// itself that model, if the model would cost too much (see below), or if it diverged.
///
/// It takes up to 2,000 steps of Adam over 64 rows, and stays within 10% of the operations of the
/// training; if that is less than 10⁹ operations, within 10⁹, and always within 4 · 10⁹. The
/// bounds count operations rather than seconds, so that the same run gives the same model.
///
/// # Errors
/// When the data don't fit the spec, or the device was lost.
pub fn fit(
    spec: &Spec,
    training: &Dataset,
    preprocessing: &Preprocessing,
    backend: Box<dyn Backend>,
) -> Result<Option<Model>> {
    Ok(fit_on(spec, training, preprocessing, backend)?.0)
}

/// As [`fit`]; also returns the backend for other uses.
///
/// # Errors
/// As [`fit`].
pub fn fit_on(
    spec: &Spec,
    training: &Dataset,
    preprocessing: &Preprocessing,
    backend: Box<dyn Backend>,
) -> Result<(Option<Model>, Box<dyn Backend>)> {
    let (Some(output), true) = (spec.net.layers.last(), spec.net.layers.len() > 1) else {
        return Ok((None, backend));
    };
    let layers = vec![output.clone()];
    let net = Net { input_dropout: 0.0, layers, ..spec.net.clone() };
    let rows = training.rows();
    let batch = BATCH.min(rows);
    let whole = operations(&spec.net) * rows as f64 * spec.epochs as f64;
    let budget = (SHARE * whole).clamp(OPERATIONS[0], OPERATIONS[1]);
    let steps = (budget / (operations(&net) * batch as f64)).min(STEPS);
    if steps < FEWEST_STEPS {
        return Ok((None, backend));
    }
    let steps = steps as usize;
    let linear = Spec {
        lr: RATE,
        schedule: Schedule::Cosine,
        batch_size: batch,
        epochs: steps.div_ceil(rows.div_ceil(batch)),
        seed: spec.seed,
        ..Spec::new(net, spec.objective)
    };
    let mut trainer = Trainer::new(&linear, training, preprocessing.clone(), backend)?;
    let model = match trainer.run_steps(steps) {
        Err(error) if error.kind() == ErrorKind::Diverged => None,
        done => done.and_then(|()| trainer.model().map(Some))?,
    };
    Ok((model, trainer.into_backend()))
}

/// Forward, backward and the gradients: about six operations for each parameter and row.
fn operations(net: &Net) -> f64 {
    6.0 * net.parameters() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::device::{self, Device};
    use crate::data::{Features, Scaling, Targets, digits};
    use crate::math::activation::Activation;
    use crate::math::loss::Loss;
    use crate::math::matrix::Matrix;

    fn cpu() -> Box<dyn Backend> {
        device::open(&Device::Cpu, Some(1)).unwrap().backend
    }

    fn net(inputs: usize, outputs: usize) -> Net {
        Net::new(inputs).layer(32, Activation::Relu).layer(outputs, Activation::Identity)
    }

    /// scikit-learn's `LogisticRegression`, run to convergence on this split, reaches 0.956.
    #[test]
    fn softmax_regression_learns_the_digits() {
        let (training, held_out) = digits().split(0.1, 0).unwrap();
        let spec = Spec::new(net(64, 10), Loss::CrossEntropy);
        let scaling = Preprocessing::fit(&training, Scaling::Minmax);
        let model = fit(&spec, &training, &scaling, cpu()).unwrap().unwrap();
        assert_eq!(model.net.layers.len(), 1);
        let accuracy = model.evaluate(&held_out, cpu()).unwrap().get("accuracy").unwrap();
        assert!(accuracy > 0.94, "{accuracy}");
        assert_eq!(fit(&spec, &training, &scaling, cpu()).unwrap().unwrap(), model);
    }

    #[test]
    fn linear_regression_finds_the_plane() {
        let features = Features::F32(Matrix::from_fn(500, 2, |r, c| {
            if c == 0 { r as f32 } else { (r * 7 % 31) as f32 }
        }));
        let plane = |r: usize| 3.0 * r as f32 - 20.0 * (r * 7 % 31) as f32 + 5.0;
        let targets = Targets::from(Matrix::from_fn(500, 1, |r, _| plane(r)));
        let data = Dataset::new("plane", features, targets).unwrap();
        let spec = Spec::new(net(2, 1), Loss::SquaredError);
        let scaling = Preprocessing::fit(&data, Scaling::Standard);
        let model = fit(&spec, &data, &scaling, cpu()).unwrap().unwrap();
        let r2 = model.evaluate(&data, cpu()).unwrap().get("r2").unwrap();
        assert!(r2 > 0.9999, "{r2}");
    }

    #[test]
    fn there_is_none_where_the_net_is_linear_or_too_wide() {
        let data = digits();
        let scaling = Preprocessing::fit(&data, Scaling::Minmax);
        let linear = Net::new(64).layer(10, Activation::Identity);
        let spec = Spec::new(linear, Loss::CrossEntropy);
        assert_eq!(fit(&spec, &data, &scaling, cpu()).unwrap(), None);
        assert!(operations(&net(100_000, 1000)) * 64.0 * FEWEST_STEPS > OPERATIONS[1]);
    }
}

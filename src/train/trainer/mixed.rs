//! Whether a device trains in mixed precision: only if it passes a self-test and, unless
//! the spec says otherwise, runs steps of this net faster than in f32.

use super::run::Run;
use crate::backend::session::{self, LayerWeights, initial_weights};
use crate::backend::{Backend, Values, ValuesMut};
use crate::base::clock::Instant;
use crate::base::error::{Error, Result};
use crate::base::wait::BlockOn as _;
use crate::data::{Dataset, Features, Preprocessing, Samples, Targets};
use crate::kernels::mixed::{BLOCKS, Multiplier};
use crate::kernels::products::dense;
use crate::math::activation::Activation;
use crate::math::loss::Loss;
use crate::math::matrix::Matrix;
use crate::math::optim::Optimizer;
use crate::math::random::{Random, Stream};
use crate::net::precision::{Gate, MixedPrecision, Precision};
use crate::net::spec::{Net, Spec};
use crate::plan::{self, Purpose, Traits};
use crate::proof::parity::{OpReport, Replay};
use std::fmt;
use std::sync::Arc;

/// The results of the tests of a device before it trains in mixed precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Admission {
    /// The multiplier: the fastest that computes correctly; cooperative matrices if they are
    /// clearly faster.
    pub multiplier: Multiplier,
    /// Seconds of a step in f16 and in f32, if the gate requires them.
    pub seconds: Option<[f64; 2]>,
}

impl fmt::Display for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.multiplier)?;
        match self.seconds {
            Some([half, single]) => write!(f, ", {}", pace(half, single)),
            None => Ok(()),
        }
    }
}

/// A step in f16 must take at most this fraction of the time of one in f32, so that chance decides little.
const WORTH_IT: f64 = 0.95;
/// Cooperative matrices are chosen if they are at least this many times as fast as tiles: they give
/// other bits, and two runs shouldn't differ by chance.
const CLEARLY: f64 = 1.5;

/// The test results of a device for training in mixed precision, with the first rows of `training` as a batch; none
/// in f32. Programs and rows that it held are dropped.
///
/// # Errors
/// When it supports only f32, computes incorrectly, or isn't faster, with the measurement.
pub(super) fn admission(
    spec: &Spec,
    training: &Dataset,
    preprocessing: &Preprocessing,
    mean_weight: Option<f64>,
    backend: &mut dyn Backend,
) -> Result<Option<Admission>> {
    if spec.precision == Precision::F32 {
        return Ok(None);
    }
    let batch: Vec<usize> = (0..spec.batch_size.min(training.rows())).collect();
    let samples = preprocessing.samples_of(&training.select(&batch), mean_weight)?;
    admit(spec, samples, backend).map(Some)
}

/// Tests `backend` for mixed precision by the spec's gate, with `samples`, a batch of the run.
fn admit(spec: &Spec, samples: Samples, backend: &mut dyn Backend) -> Result<Admission> {
    let offered = backend.open_mixed().block_on()?;
    let batch = samples.rows();
    let widest = spec.net.shapes().map(|(units, inputs)| units.max(inputs)).max();
    if widest.unwrap_or(0).max(batch) > dense::TERMS {
        return Err(Error::device(
            "--precision f16 doesn't support layers or batches beyond 65,536",
        )
        .help("sums of that length lose precision: train in f32"));
    }
    if let Gate::Chosen(multiplier) = spec.mixed.gate {
        if !offered.contains(&multiplier) {
            let what = format!("{} offers no {multiplier}", backend.info());
            return Err(Error::device(format!("{what}, with which the run was started"))
                .help("resume it on the device that it was started on"));
        }
        self_test(multiplier, backend)?;
        return Ok(Admission { multiplier, seconds: None });
    }
    let mut right = Vec::new();
    let mut wrong = None;
    for multiplier in offered {
        match self_test(multiplier, backend) {
            Ok(()) => right.push(multiplier),
            Err(error) => {
                wrong.get_or_insert(error);
                if multiplier != Multiplier::Fma {
                    backend.without_matrices().block_on()?;
                    right.retain(|right| *right == Multiplier::Fma);
                    break;
                }
            }
        }
    }
    let Some(&first) = right.first() else {
        let error = Error::device(format!("{} doesn't support f16", backend.info()));
        return Err(wrong.unwrap_or(error));
    };
    if right.len() == 1 && spec.mixed.gate == Gate::SelfTestOnly {
        backend.multiply_by(first);
        return Ok(Admission { multiplier: first, seconds: None });
    }
    let work = Work { spec, weights: initial_weights(spec), samples: Arc::new(samples), batch };
    let (multiplier, half) = work.multiplier(&right, backend)?;
    backend.multiply_by(multiplier);
    if spec.mixed.gate == Gate::SelfTestOnly {
        return Ok(Admission { multiplier, seconds: None });
    }
    let single = work.seconds(Precision::F32, backend)?;
    if !is_worth_it(half, single) {
        let what = format!("f16 is not faster for this net on {}", backend.info());
        return Err(Error::device(format!("{what}: with {multiplier}, {}", pace(half, single)))
            .help("train in f32: omit --precision f16"));
    }
    Ok(Admission { multiplier, seconds: Some([half, single]) })
}

/// Whether a step in f16 that takes `half` is worth its different bits compared with f32.
fn is_worth_it(half: f64, single: f64) -> bool {
    half <= WORTH_IT * single
}

/// Whether a step that takes `seconds` is so much faster than one that takes `before` that no run chooses
/// differently by chance.
fn is_clearly_faster(seconds: f64, before: f64) -> bool {
    CLEARLY * seconds <= before
}

/// The seconds of steps as text.
fn pace(half: f64, single: f64) -> String {
    format!("a step takes {:.3} ms, in f32 {:.3} ms", half * 1e3, single * 1e3)
}

/// Replays steps of small nets of ragged shapes op by op by the rule of [`crate::proof::parity`]: in the
/// default tile, as all tiles have the same code and give the same bits, or in every block of matrices.
fn self_test(multiplier: Multiplier, backend: &mut dyn Backend) -> Result<()> {
    backend.multiply_by(multiplier);
    if multiplier == Multiplier::Fma {
        return self_test_in(multiplier, backend);
    }
    let mut blocks = (0..BLOCKS.len()).filter(|&block| BLOCKS[block].multiplier() == multiplier);
    let tested = blocks.try_for_each(|block| {
        backend.multiply_in(Some(block));
        self_test_in(multiplier, backend)
            .map_err(|error| error.at(format!("blocks of {}", BLOCKS[block])))
    });
    backend.multiply_in(None);
    tested
}

fn self_test_in(multiplier: Multiplier, backend: &mut dyn Backend) -> Result<()> {
    // Every kind of op, with Z and A in one tensor and in two.
    let mut nets = vec![(67, [37, 70, 33, 5].to_vec())];
    if multiplier != Multiplier::Fma {
        // Sums of many segments.
        nets.push((97, [41, 12_300, 9].to_vec()));
    }
    for (rows, widths) in nets {
        let outputs = widths.last().copied().unwrap_or_default();
        let mut net = Net::new(widths[0]);
        for (l, &units) in widths.iter().enumerate().skip(1) {
            let hidden = [Activation::Relu, Activation::Tanh][l % 2];
            let is_last = l + 1 == widths.len();
            net = net.layer(units, if is_last { Activation::Identity } else { hidden });
        }
        // The rules share the code of f32. This one is smooth where a gradient is nearly 0.
        let rule = Optimizer::Momentum { momentum: 0.9 };
        let mut spec = Spec::new(net, Loss::SquaredError).optimizer(rule);
        spec.precision = Precision::F16;
        // Small enough that nothing overflows.
        spec.mixed = MixedPrecision { scale: 256.0, ..MixedPrecision::default() };
        spec.batch_size = rows;
        let mut random = Random::new(1, Stream::Check, rows as u64);
        let mut normal = |cols| Matrix::from_fn(rows, cols, |_, _| random.normal() as f32);
        let (features, targets) = (normal(widths[0]), normal(outputs));
        let data = Dataset::new("self-test", Features::F32(features), Targets::from(targets))?;
        let samples = Preprocessing::none(&data).samples(&data)?;
        let plan = plan::plan(&spec, rows, Purpose::Train, Traits::LAYERS);
        let name = backend.info().to_string();
        let mut replay = Replay::new(plan.program.clone(), samples, Box::new(&mut *backend))?;
        let reports = replay.steps(&spec, &plan);
        drop(replay.into_device());
        if let Some(failed) = reports?.into_iter().find(|report| !report.passed) {
            let OpReport { op, tensor, device_error, allowed, .. } = failed;
            return Err(Error::device(format!(
                "{name} computes incorrectly in f16 with {multiplier}: {tensor} is off by {device_error:.1e}, \
                 where {allowed:.1e} is allowed"
            ))
            .at(op.split_whitespace().collect::<Vec<_>>().join(" "))
            .help("train in f32: omit --precision f16; wgrad verify shows more"));
        }
    }
    Ok(())
}

/// Steps that are timed.
struct Work<'a> {
    spec: &'a Spec,
    weights: Vec<LayerWeights>,
    samples: Arc<Samples>,
    batch: usize,
}

impl Work<'_> {
    /// The multiplier among those that compute correctly, and the seconds of a step: the first, unless
    /// another is clearly faster.
    fn multiplier(
        &self,
        right: &[Multiplier],
        backend: &mut dyn Backend,
    ) -> Result<(Multiplier, f64)> {
        let mut taken: Option<(Multiplier, f64)> = None;
        for &multiplier in right {
            backend.multiply_by(multiplier);
            match (self.seconds(Precision::F16, backend), taken) {
                (Ok(seconds), Some((_, before))) if !is_clearly_faster(seconds, before) => {}
                (Ok(seconds), _) => taken = Some((multiplier, seconds)),
                (Err(_), Some((Multiplier::Fma, _))) => {
                    backend.without_matrices().block_on()?;
                    break;
                }
                (Err(error), _) => return Err(error),
            }
        }
        taken.ok_or_else(|| Error::device(format!("{} doesn't support f16", backend.info())))
    }

    /// Seconds of a step in a precision, without the first: the least of several series.
    fn seconds(&self, precision: Precision, backend: &mut dyn Backend) -> Result<f64> {
        /// The least seconds of a series, the most of all of them, and their number.
        const LEAST: f64 = 0.02;
        const MOST: f64 = 0.5;
        const SERIES: usize = 5;
        let spec = Spec { precision, ..self.spec.clone() };
        let plan = plan::plan(&spec, self.batch, Purpose::Train, backend.traits());
        backend.unload();
        backend.load(Arc::new(plan.program.clone())).block_on()?;
        for (tensor, values) in session::tensors(&plan, &self.weights) {
            backend.write(tensor, Values::F32(&values)).block_on()?;
        }
        let data = backend.upload(self.samples.clone()).block_on()?;
        let run = Run::new(spec, self.batch);
        let order = run.order(self.batch, 0);
        let mut time = |count: usize| -> Result<f64> {
            let step = run.step(0, self.batch, 0, &order, run.lr(0));
            let steps = vec![step; count];
            let begin = Instant::now();
            backend.run(plan.program.routines.step.clone(), data, &steps).block_on()?;
            // Reading waits for the steps.
            backend.read(plan.sums, ValuesMut::F32(&mut [0.0; 4])).block_on()?;
            Ok(begin.elapsed().as_secs_f64() / count as f64)
        };
        time(1)?;
        let begin = Instant::now();
        let (mut count, mut least) = (1, f64::INFINITY);
        let mut series = 0;
        while series < SERIES && (series == 0 || begin.elapsed().as_secs_f64() < MOST) {
            let seconds = time(count)?;
            least = least.min(seconds);
            if seconds * (count as f64) < LEAST && count < 1 << 12 {
                count *= 2;
            } else {
                series += 1;
            }
        }
        backend.forget(data);
        Ok(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_decides_at_the_right_ratio() {
        for unit in [1e-6, 1e-3, 1.0] {
            assert!(is_worth_it(0.94 * unit, unit) && !is_worth_it(0.96 * unit, unit));
            assert!(is_clearly_faster(0.66 * unit, unit) && !is_clearly_faster(0.67 * unit, unit));
        }
        assert!(!is_worth_it(f64::NAN, 1.0) && !is_clearly_faster(f64::NAN, 1.0));
        assert_eq!(pace(0.001, 0.0025), "a step takes 1.000 ms, in f32 2.500 ms");
    }
}

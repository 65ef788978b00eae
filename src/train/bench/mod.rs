//! Measures training steps, and compares them with the peak performance of the device.

pub mod cases;
pub mod ceilings;

pub use cases::{CASES, Case};
pub use ceilings::Ceilings;

use crate::backend::Backend;
use crate::base::clock::Instant;
use crate::base::error::Result;
use crate::data::{Dataset, Preprocessing};
use crate::net::spec::{Net, Spec};
use crate::train::trainer::Trainer;
use std::fmt;

/// A training to be measured.
pub struct Bench {
    trainer: Trainer,
    spec: Spec,
    /// Rows of a step.
    batch: usize,
    /// Steps of a series, which are timed together.
    steps_timed: usize,
    /// The fraction of a step's operations that is skipped, because inputs are 0.
    left_out: f64,
}

/// How fast a net trains.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Pace {
    /// Training rows per second, the median over several series of steps.
    pub samples_per_second: f64,
    /// Seconds for a step, the median.
    pub step_seconds: f64,
    /// The first and third quartile of that.
    pub step_seconds_quartiles: [f64; 2],
    /// 10⁹ floating-point operations per second, counting 6BP − 2B·n_0·n_1 per step.
    pub gflops: f64,
    /// The approximate fraction of these operations that was skipped, because inputs are 0.
    pub left_out: f64,
    /// The number of steps that were timed.
    pub steps: usize,
    /// Kernel launches per step; on the CPU its ops.
    pub dispatches_per_step: f64,
    /// Submissions to the device's queue per step; 0 on the CPU.
    pub submissions_per_step: f64,
    /// Seconds of the host to encode and submit a step; 0 on the CPU.
    pub host_seconds: f64,
}

/// Lower bounds for the time of a step on this device, from its peak performance.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Floor {
    /// The time of its floating-point operations, without skipped ones, at the speed of the best matrix
    /// product.
    pub arithmetic_seconds: f64,
    /// The time of its memory traffic, at the speed of a copy.
    pub bandwidth_seconds: f64,
    /// The time of its launches, at that of the smallest op.
    pub dispatch_seconds: f64,
    /// The time of the host.
    pub host_seconds: f64,
    /// The largest of these.
    pub bound: Bound,
    /// The largest of these as a fraction of the time of a step.
    pub share: f64,
}

/// The bound of a step's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "named as in the fields of the floor")]
pub enum Bound {
    Arithmetic,
    Bandwidth,
    Dispatches,
    Host,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bound::Arithmetic => "arithmetic",
            Bound::Bandwidth => "bandwidth",
            Bound::Dispatches => "dispatches",
            Bound::Host => "the host",
        })
    }
}

impl Bench {
    /// Loads the program and the data, and trains the first step.
    ///
    /// # Errors
    /// When the spec, the data and the device don't fit together, or the device was lost.
    pub fn start(
        spec: &Spec,
        data: &Dataset,
        preprocessing: Preprocessing,
        backend: Box<dyn Backend>,
    ) -> Result<Self> {
        let samples = preprocessing.features(data.features_shared())?;
        let mut trainer = Trainer::new(spec, data, preprocessing, backend)?;
        trainer.run_steps(1)?;
        let batch = spec.batch_size.min(data.rows());
        let first = spec.net.shapes().next().map_or(0, |(out, cols)| out * cols);
        let of_first = trainer.session().backend().left_out(&samples);
        let left_out = of_first * (4 * batch * first) as f64 / step_flops(&spec.net, batch);
        Ok(Bench { trainer, spec: spec.clone(), batch, steps_timed: 1, left_out })
    }

    /// Trains for about `seconds` seconds.
    ///
    /// # Errors
    /// When the device was lost, or the loss is no longer a finite number.
    pub fn measure(&mut self, seconds: f64) -> Result<Pace> {
        let before = self.trainer.session().backend().traffic();
        let mut times = Vec::new();
        let mut steps = 0;
        let clock = Instant::now();
        while clock.elapsed().as_secs_f64() < seconds || times.is_empty() {
            let begin = Instant::now();
            self.trainer.run_steps(self.steps_timed)?;
            let took = begin.elapsed().as_secs_f64();
            steps += self.steps_timed;
            // The first series find the number of steps that takes a twentieth of the time.
            if took < seconds / 40.0 && self.steps_timed < 1 << 16 {
                self.steps_timed *= 2;
            } else {
                times.push(took / self.steps_timed as f64);
            }
        }
        let after = self.trainer.session().backend().traffic();
        times.sort_by(f64::total_cmp);
        let quantile = |q: f64| times[((times.len() - 1) as f64 * q).round() as usize];
        let step_seconds = quantile(0.5);
        let per_step = |count: u64| count as f64 / steps as f64;
        let mut pace = Pace {
            samples_per_second: self.batch as f64 / step_seconds,
            step_seconds,
            step_seconds_quartiles: [quantile(0.25), quantile(0.75)],
            gflops: step_flops(&self.spec.net, self.batch) / step_seconds / 1e9,
            left_out: self.left_out,
            steps,
            dispatches_per_step: per_step(after.dispatches - before.dispatches),
            submissions_per_step: per_step(after.submissions - before.submissions),
            host_seconds: 0.0,
        };
        if after.submissions > 0 {
            pace.host_seconds = self.host_seconds(pace.submissions_per_step)?;
        } else {
            pace.dispatches_per_step =
                self.trainer.session().plan().program.routines.step.len() as f64;
        }
        Ok(pace)
    }

    /// The host's time for a step: the time to submit as many steps as an idle device accepts without
    /// blocking the host.
    fn host_seconds(&mut self, submissions_per_step: f64) -> Result<f64> {
        let steps = ((2.0 / submissions_per_step) as usize).clamp(1, self.steps_timed);
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let begin = Instant::now();
            self.trainer.queue_steps(steps)?;
            best = best.min(begin.elapsed().as_secs_f64() / steps as f64);
            self.trainer.run_steps(1)?;
        }
        Ok(best)
    }

    /// The bytes that a step must move; see [`Ceilings::measure`].
    #[must_use]
    pub fn step_bytes(&self) -> f64 {
        step_bytes(&self.spec, self.batch)
    }

    /// Lower bounds for the time of a step, and how close it comes to them.
    #[must_use]
    pub fn floor(&self, pace: &Pace, ceilings: &Ceilings) -> Floor {
        let flops = step_flops(&self.spec.net, self.batch) * (1.0 - self.left_out);
        let arithmetic_seconds = flops / ceilings.gflops / 1e9;
        let bandwidth_seconds = self.step_bytes() / ceilings.copy_gigabytes / 1e9;
        let dispatch_seconds = pace.dispatches_per_step * ceilings.smallest_op_seconds;
        let parts = [
            (Bound::Arithmetic, arithmetic_seconds),
            (Bound::Bandwidth, bandwidth_seconds),
            (Bound::Dispatches, dispatch_seconds),
            (Bound::Host, pace.host_seconds),
        ];
        let (bound, largest) =
            parts.into_iter().fold(parts[0], |a, b| if b.1 > a.1 { b } else { a });
        Floor {
            arithmetic_seconds,
            bandwidth_seconds,
            dispatch_seconds,
            host_seconds: pace.host_seconds,
            bound,
            share: largest / pace.step_seconds,
        }
    }
}

/// The number of operations of a step: 6BP − 2B·n_0·n_1: forward, both products of the backward pass, and none
/// for the input.
#[must_use]
pub fn step_flops(net: &Net, batch: usize) -> f64 {
    let weights: Vec<f64> = net.shapes().map(|(out, cols)| (out * cols) as f64).collect();
    let first = weights.first().copied().unwrap_or_default();
    batch as f64 * (6.0 * weights.iter().sum::<f64>() - 2.0 * first)
}

/// The bytes of parameters and optimizer state, each read and written once, and of activations
/// and δ.
fn step_bytes(spec: &Spec, batch: usize) -> f64 {
    let net = &spec.net;
    let parameters = (8 + 8 * spec.optimizer.state_slots()) * net.parameters();
    let units: usize = net.layers.iter().map(|l| l.units).sum();
    (parameters + 4 * batch * (2 * net.inputs + 6 * units)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Cpu;
    use crate::data::{Features, Scaling};
    use crate::math::matrix::Matrix;

    #[test]
    fn what_is_left_out_is_no_part_of_the_floor() {
        let spec = Spec::new(cases::relu_net(&[16, 4, 2]), crate::Loss::SquaredError);
        let data = cases::random_numbers("random", 64, 16, 2).unwrap();
        let half = Matrix::from_fn(64, 16, |row, col| {
            f32::from(col < 8) * data.features().value(row, col)
        });
        let half = Dataset::new("half", Features::F32(half), data.targets().clone()).unwrap();
        let of = |data: &Dataset| {
            let backend = Box::new(Cpu::<f32>::new(Some(1)).unwrap());
            let mut bench = Bench::start(&spec, data, Preprocessing::none(data), backend).unwrap();
            let pace = bench.measure(0.01).unwrap();
            let ceilings = Ceilings { gflops: 1e-9, copy_gigabytes: 1.0, smallest_op_seconds: 1.0 };
            (pace.left_out, bench.floor(&pace, &ceilings).arithmetic_seconds)
        };
        // 4·64·64 operations of the first layer, of which half are left out, and 6·64·8 others.
        let (first, others) = (16_384.0, 3072.0);
        assert_eq!(of(&data), (0.0, first + others));
        let (left_out, floor) = of(&half);
        assert!((left_out - 0.5 * first / (first + others)).abs() < 1e-12);
        assert!((floor - (0.5 * first + others)).abs() < 1e-6);
    }

    #[test]
    fn a_floor_is_bound_by_its_largest_part() {
        let spec = Spec::new(cases::relu_net(&[8, 4, 2]), crate::Loss::SquaredError);
        let data = cases::random_numbers("random", 64, 8, 2).unwrap();
        let preprocessing = Preprocessing::fit(&data, Scaling::None);
        let backend = Box::new(Cpu::<f32>::new(Some(1)).unwrap());
        let mut bench = Bench::start(&spec, &data, preprocessing, backend).unwrap();
        let pace = bench.measure(0.01).unwrap();
        assert!(pace.samples_per_second > 0.0 && pace.steps > 0);
        assert_eq!(pace.samples_per_second, 64.0 / pace.step_seconds);

        let fast = Ceilings { gflops: 1e9, copy_gigabytes: 1e9, smallest_op_seconds: 1e-12 };
        // 6·64·40 − 2·64·32 operations, by hand.
        let slow_products = Ceilings { gflops: 1e-9, ..fast };
        let floor = bench.floor(&pace, &slow_products);
        assert_eq!((floor.bound, floor.arithmetic_seconds), (Bound::Arithmetic, 11_264.0));
        let floor = bench.floor(&pace, &Ceilings { copy_gigabytes: 1e-9, ..fast });
        assert_eq!(floor.bound, Bound::Bandwidth);
        let floor = bench.floor(&pace, &Ceilings { smallest_op_seconds: 1.0, ..fast });
        assert_eq!((floor.bound, floor.dispatch_seconds), (Bound::Dispatches, 3.0));
    }
}

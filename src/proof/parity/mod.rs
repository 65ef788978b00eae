//! Parity: a program replayed op by op on a device and on the CPU in f32 and f64, from identical
//! inputs. It names the first op and tensor that differ.
//!
//! The rule, stated once: err(device, f64) ≤ 4 · err(CPU f32, f64) + 16 ε · scale, in the largest
//! error of a tensor, ε = 2⁻²⁴. The scale is the largest sum of the magnitudes of the terms if
//! an op sums terms, inside of fused ops too (`scale`), and otherwise the largest result. Where the
//! optimizer's step follows a gradient inside an op, the tolerance of each parameter includes the effect of
//! the gradient's rounding, 16 ε · scale. Integers are bit-equal.
//!
//! A tensor that the device stores in f16 is computed in f32 by the same rule and rounded once, which
//! both CPU backends don't: fl(y) − x is at most |y − x| + ε₁₆ max(|y|, 2⁻¹⁴) with ε₁₆ = 2⁻¹¹. So
//! the tolerance of each element includes ε₁₆ max(|x|, 2⁻¹⁴), its own rounding, and the rest of the error is
//! compared with the rule, times 1 + ε₁₆ for |y| instead of |x|. The next op's input is the f64 result,
//! rounded to f16.

mod scale;

use crate::backend::cpu::Cpu;
use crate::backend::session::initial_weights;
use crate::backend::session::{self, LayerWeights};
use crate::backend::{Backend, DataId, Values, ValuesMut};
use crate::base::error::Result;
use crate::base::wait::BlockOn as _;
use crate::data::{Dataset, Preprocessing, Samples};
use crate::kernels::inputs::mixup::mixing;
use crate::kernels::mixed::Multiplier;
use crate::kernels::tensor::TensorId;
use crate::kernels::{Access, Step};
use crate::math::activation::Activation;
use crate::math::random::{Permutation, Stream, stream_key};
use crate::net::precision::{EPSILON, Precision};
use crate::net::spec::{Spec, Units};
use crate::plan::program::{Op, Program};
use crate::plan::{self, Plan, Purpose};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The allowed error of a device, as a multiple of that of the CPU in f32.
pub const FACTOR: f64 = 4.0;
/// The error that is always allowed, as a fraction of the scale: 16 ε.
pub const FLOOR: f64 = 16.0 / (1 << 24) as f64;

/// The comparison of a tensor that an op wrote.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct OpReport {
    /// The op, as [`Program::describe`] writes it.
    pub op: String,
    /// The tensor.
    pub tensor: String,
    /// The multiplier, in mixed precision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier: Option<String>,
    /// The rows of the batch.
    pub rows: u32,
    /// The device's largest error against f64.
    pub device_error: f64,
    /// The largest error of the CPU in f32.
    pub cpu_error: f64,
    /// The tolerance of the rule.
    pub allowed: f64,
    /// Whether the device's error is within the tolerance.
    pub passed: bool,
}

/// The comparison of a whole program.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// Every tensor that an op wrote, in order.
    pub ops: Vec<OpReport>,
    /// Whether all of them passed.
    pub passed: bool,
}

/// Replays one training step of `spec` on `device`, with a full batch, a ragged one and a single
/// row of `data`: first the plain program, op by op, and, if the device runs the spec as a
/// fused program, that one too; in mixed precision once with each multiplier that the device offers.
///
/// A fused op computes z and its derivative together, and a z that is zero up to rounding may get
/// the slope of either side if the activation has a kink. The fused program is therefore replayed
/// with tanh in place of activations with kinks, which the plain one has tested.
///
/// # Errors
/// When spec, data and device don't fit together, or the device was lost.
pub fn verify(
    spec: &Spec,
    preprocessing: &Preprocessing,
    data: &Dataset,
    device: Box<dyn Backend>,
) -> Result<Report> {
    spec.check()?;
    let batch = spec.rows_at_a_time().min(data.rows());
    let samples = preprocessing.samples(data)?;
    let mut device = device;
    let multipliers = match spec.precision {
        Precision::F16 => device.open_mixed().block_on()?,
        Precision::F32 => Vec::new(),
    };
    let traits = device.traits();
    let plan = plan::plain(spec, batch, Purpose::Train);
    let mut replay = Replay::new(plan.program.clone(), samples.clone(), device)?;
    let mut ops = replay.steps(spec, &plan)?;
    if plan::plan(spec, batch, Purpose::Train, traits).is_fused() {
        let mut smooth = spec.clone();
        // No update is skipped.
        smooth.mixed.scale = smooth.mixed.scale.min(256.0);
        for layer in &mut smooth.net.layers {
            if let Units::Same(activation) = &mut layer.activation
                && activation.has_kink()
            {
                *activation = Activation::Tanh;
            }
        }
        let plan = plan::plan(&smooth, batch, Purpose::Train, traits);
        let mut device = replay.into_device();
        let mut step = |multiplier: Option<Multiplier>| -> Result<()> {
            if let Some(multiplier) = multiplier {
                device.multiply_by(multiplier);
            }
            let lent = Box::new(&mut *device);
            let mut replay = Replay::new(plan.program.clone(), samples.clone(), lent)?;
            let mut reports = replay.steps(&smooth, &plan)?;
            drop(replay.into_device());
            reports.iter_mut().for_each(|r| r.multiplier = multiplier.map(|m| m.to_string()));
            ops.extend(reports);
            Ok(())
        };
        match &multipliers[..] {
            [] => step(None)?,
            offered => offered.iter().try_for_each(|multiplier| step(Some(*multiplier)))?,
        }
    }
    let passed = !ops.is_empty() && ops.iter().all(|op| op.passed);
    Ok(Report { ops, passed })
}

/// A program on a device and on the CPU in both precisions, with the inputs of the next op.
pub struct Replay<'a> {
    program: Arc<Program>,
    /// The device, the CPU in f32, the CPU in f64, each with the data set on it.
    backends: [(Box<dyn Backend + 'a>, DataId); 3],
    /// The rows of the data set.
    rows: usize,
    /// The values of each tensor, rounded to f32.
    values: HashMap<TensorId, Vec<f32>>,
}

impl<'a> Replay<'a> {
    /// Loads `program` and `samples` on `device` and on the CPU.
    ///
    /// # Errors
    /// When the device can't hold them.
    pub fn new(program: Program, samples: Samples, device: Box<dyn Backend + 'a>) -> Result<Self> {
        let rows = samples.rows();
        let unrounded = Arc::new(program.unrounded());
        let (program, samples) = (Arc::new(program), Arc::new(samples));
        let load = |mut backend: Box<dyn Backend + 'a>, program: &Arc<Program>| {
            backend.load(program.clone()).block_on()?;
            let id = backend.upload(samples.clone()).block_on()?;
            Ok((backend, id))
        };
        let backends = [
            load(device, &program)?,
            load(Box::new(Cpu::<f32>::new(None)?), &unrounded)?,
            load(Box::new(Cpu::<f64>::new(None)?), &unrounded)?,
        ];
        let values = program.constants.iter().cloned().collect();
        Ok(Replay { program, backends, rows, values })
    }

    /// Sets the values of a tensor before the next op.
    pub fn set(&mut self, tensor: TensorId, mut values: Vec<f32>) {
        let precision = self.program.tensor(tensor).precision;
        if precision != Precision::F32 {
            values.iter_mut().for_each(|x| *x = precision.round(*x));
        }
        self.values.insert(tensor, values);
    }

    /// The values of a tensor: the f64 result of the ops so far, rounded to its precision.
    #[must_use]
    pub fn get(&self, tensor: TensorId) -> Vec<f32> {
        self.values.get(&tensor).cloned().unwrap_or_else(|| vec![0.0; self.program.len(tensor)])
    }

    /// Sets the parameters of all layers.
    pub fn set_weights(&mut self, plan: &Plan, weights: &[LayerWeights]) {
        for (tensor, values) in session::tensors(plan, weights) {
            self.set(tensor, values.into_owned());
        }
    }

    /// The device, for other uses.
    #[must_use]
    pub fn into_device(self) -> Box<dyn Backend + 'a> {
        let [(mut device, data), ..] = self.backends;
        device.forget(data);
        device
    }

    /// One training step from the spec's initial weights, with a full batch, a ragged one and a
    /// single row.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn steps(&mut self, spec: &Spec, plan: &Plan) -> Result<Vec<OpReport>> {
        let (all, batch) = (self.rows, self.program.batch);
        let ragged = all % batch;
        let mut sizes = vec![batch, if ragged > 0 { ragged } else { batch.div_ceil(2) }, 1];
        sizes.dedup();
        let mut reports = Vec::new();
        for (t, rows) in (1u64..).zip(sizes) {
            self.set_weights(plan, &initial_weights(spec));
            let key = stream_key(spec.seed, Stream::Check, t);
            let divisor = spec.objective.divisor(rows, spec.net.outputs());
            let step = Step {
                rows: rows as u32,
                // The last rows of the order: positions beyond the first batch, if there are any.
                first: (all - rows) as u32,
                order: Permutation::new(all as u32, Some(key)).words(),
                lr: spec.lr,
                reduction_factor: (1.0 / divisor) as f32,
                corrections: spec.optimizer.corrections(t),
                t: t as u32 - 1,
                epoch: 0,
                smoothing: spec.label_smoothing,
                position: (all - rows) as u32,
                mixing: mixing(spec, t),
                momentum_change: 0.0,
            };
            reports.extend(self.run_ops(self.program.routines.step.clone(), &step)?);
        }
        Ok(reports)
    }

    /// Runs every op once from identical inputs and compares what it wrote.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn run(&mut self, step: &Step) -> Result<Vec<OpReport>> {
        self.run_ops(0..self.program.ops.len(), step)
    }

    fn run_ops(&mut self, ops: Range<usize>, step: &Step) -> Result<Vec<OpReport>> {
        let mut reports = Vec::new();
        for i in ops {
            reports.extend(self.run_op(i, step)?);
        }
        Ok(reports)
    }

    fn run_op(&mut self, i: usize, step: &Step) -> Result<Vec<OpReport>> {
        let program = self.program.clone();
        let op = &program.ops[i];
        let uses = program.uses(op);
        self.gather(&uses);
        let scale = self.scale(i, op, &uses, step)?;
        let floors = self.floors_of_updates(op, step, FLOOR);
        let mut results = Vec::new();
        for (backend, data) in &mut self.backends {
            for (tensor, _) in &uses {
                let len = program.range(*tensor, step.rows as usize).len();
                let mut values = self.values.get(tensor).cloned().unwrap_or_default();
                values.resize(len, 0.0);
                backend.write(*tensor, Values::F32(&values)).block_on()?;
            }
            backend.run(i..i + 1, *data, &[*step]).block_on()?;
            let mut written = Vec::new();
            for (tensor, _) in uses.iter().filter(|(_, access)| *access == Access::ReadWrite) {
                let mut values = vec![0.0; program.range(*tensor, step.rows as usize).len()];
                backend.read(*tensor, ValuesMut::F64(&mut values)).block_on()?;
                written.push((*tensor, values));
            }
            results.push(written);
        }
        let mut reports = Vec::new();
        let [device, cpu, exact] = &results[..] else { return Ok(reports) };
        let within = self.scales_within(op, step.rows as usize, |tensor| {
            let written = exact.iter().find_map(|(whole, values)| {
                let [inner, outer] = [tensor, *whole].map(|t| program.tensor(t));
                let range = program.range(tensor, step.rows as usize);
                let range = range.start.checked_sub(outer.offset)?..range.end - outer.offset;
                (inner.buffer == outer.buffer).then(|| values.get(range).map(<[f64]>::to_vec))?
            });
            written.unwrap_or_else(|| self.get(tensor).into_iter().map(f64::from).collect())
        });
        for ((device, cpu), (tensor, exact)) in device.iter().zip(cpu).zip(exact) {
            self.set(*tensor, exact.iter().map(|&x| x as f32).collect());
            let start = program.tensor(*tensor).offset;
            // For a tensor that contains others, each of those.
            let mut each: Vec<TensorId> = program.inside(*tensor).collect();
            if each.is_empty() {
                each.push(*tensor);
            }
            for id in each {
                let range = program.range(id, step.rows as usize);
                let range = range.start - start..range.end - start;
                let found = [&device.1, &cpu.1, exact].map(|values| &values[range.clone()]);
                let own = within.iter().find(|(tensor, _)| *tensor == id).map(|(_, s)| *s);
                let floor = floors.iter().find(|(tensor, _)| *tensor == id);
                let floor = floor.map_or(&[][..], |(_, floor)| floor);
                reports.push(self.compare(op, id, step, scale.or(own), floor, found));
            }
        }
        self.scatter(&uses);
        Ok(reports)
    }

    /// Compares what the device wrote with the rule.
    fn compare(
        &self,
        op: &Op,
        tensor: TensorId,
        step: &Step,
        scale: Option<f64>,
        floor: &[f64],
        [device, cpu, exact]: [&[f64]; 3],
    ) -> OpReport {
        let precision = self.program.tensor(tensor).precision;
        let device_error = largest_error(device, exact, floor, precision);
        let cpu_error = largest_error(cpu, exact, floor, Precision::F32);
        let largest = exact.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        let integers = matches!(
            op,
            Op::Gather { .. }
                | Op::Embed { .. }
                | Op::Augment { .. }
                | Op::Targets { .. }
                | Op::Nonfinite { .. }
                | Op::Uniform { .. }
                | Op::Permutation { .. }
        );
        let in_f32 = FACTOR * cpu_error + FLOOR * scale.unwrap_or(largest);
        let allowed = match precision {
            _ if integers => 0.0,
            Precision::F32 => in_f32,
            Precision::F16 => (1.0 + EPSILON) * in_f32,
        };
        OpReport {
            op: self.program.describe(op),
            tensor: self.program.tensor(tensor).name.clone(),
            multiplier: None,
            rows: step.rows,
            device_error,
            cpu_error,
            allowed,
            // Not its negation, so that a NaN doesn't pass.
            passed: device_error <= allowed && allowed.is_finite(),
        }
    }

    /// Fills tensors that contain others from those.
    fn gather(&mut self, uses: &[(TensorId, Access)]) {
        let program = self.program.clone();
        for &(whole, _) in uses {
            let mut all = None;
            for id in program.inside(whole) {
                let all = all.get_or_insert_with(|| self.get(whole));
                if let Some(values) = self.values.get(&id) {
                    let start = program.tensor(id).offset;
                    all[start..start + values.len()].copy_from_slice(values);
                }
            }
            if let Some(all) = all {
                self.values.insert(whole, all);
            }
        }
    }

    /// The reverse of [`Replay::gather`].
    fn scatter(&mut self, uses: &[(TensorId, Access)]) {
        let program = self.program.clone();
        for &(whole, _) in uses {
            for id in program.inside(whole) {
                let values = self.get(whole)[program.range(id, program.batch)].to_vec();
                self.values.insert(id, values);
            }
        }
    }
}

/// The largest error beyond an element's rounding to `precision` and its `floor`, if there is one;
/// NaN if only one side has a NaN.
fn largest_error(found: &[f64], exact: &[f64], floor: &[f64], precision: Precision) -> f64 {
    let error = |f: f64, e: f64, floor: f64| match (f - e).abs() - precision.rounding(e) - floor {
        // Overflows are infinite, as they should be.
        _ if f.to_bits() == e.to_bits() || f == precision.round(e) => 0.0,
        // Not `max`, which swallows a NaN.
        left if left < 0.0 => 0.0,
        left => left,
    };
    let floors = floor.iter().copied().chain(std::iter::repeat(0.0));
    let errors = found.iter().zip(exact).zip(floors).map(|((&f, &e), floor)| error(f, e, floor));
    errors.fold(0.0, |m: f64, e| if e.is_nan() || m.is_nan() { f64::NAN } else { m.max(e) })
}

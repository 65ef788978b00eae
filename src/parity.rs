//! Parity: a program replayed op by op on a device and on the CPU in f32 and f64, from identical
//! inputs. It names the first op and tensor that differ.
//!
//! The rule, stated once: err(device, f64) ≤ 4 · err(CPU f32, f64) + 16 ε · scale, in the largest
//! error of a tensor, ε = 2⁻²⁴. The scale is the largest sum of the magnitudes of the terms where
//! an op adds terms up, and elsewhere the largest result. What is made of integers is bit-equal.

use crate::backend::cpu::Cpu;
use crate::backend::{Backend, DataId, Values, ValuesMut};
use crate::data::{Dataset, Preprocessing, Samples};
use crate::error::Result;
use crate::kernels::{Access, Step};
use crate::plan::{self, Plan, Purpose};
use crate::program::{Op, Program};
use crate::random::{Permutation, Stream, stream_key};
use crate::session::LayerWeights;
use crate::spec::Spec;
use crate::tensor::TensorId;
use crate::train::initial_weights;
use std::collections::HashMap;
use std::sync::Arc;

/// How many times the error of the CPU in f32 a device may have.
pub const FACTOR: f64 = 4.0;
/// The error that is always allowed, as a part of the scale: 16 ε.
pub const FLOOR: f64 = 16.0 / (1 << 24) as f64;

/// How one tensor that an op wrote compares.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct OpReport {
    /// The op, as [`Program::describe`] writes it.
    pub op: String,
    /// The tensor.
    pub tensor: String,
    /// The rows of the batch.
    pub rows: u32,
    /// The device's largest error against f64.
    pub device_error: f64,
    /// The largest error of the CPU in f32.
    pub cpu_error: f64,
    /// What the rule allows the device.
    pub allowed: f64,
    /// Whether the device keeps the rule.
    pub passed: bool,
}

/// How a whole program compares.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// Every tensor that an op wrote, in order.
    pub ops: Vec<OpReport>,
    /// Whether all of them passed.
    pub passed: bool,
}

/// Replays one training step of `spec` on `device`, with a full batch, a ragged one and a single
/// row of `data`.
///
/// # Errors
/// When spec, data and device don't go together, or the device was lost.
pub fn verify(
    spec: &Spec,
    preprocessing: &Preprocessing,
    data: &Dataset,
    device: Box<dyn Backend>,
) -> Result<Report> {
    spec.check()?;
    let batch = spec.batch_size.min(data.rows());
    let plan = plan::plain(spec, batch, Purpose::Train);
    let samples = preprocessing.samples(data)?;
    let weights = initial_weights(spec);
    let mut replay = Replay::new(plan.program.clone(), samples, device)?;
    let ragged = data.rows() % batch;
    let mut ops = Vec::new();
    let mut sizes = vec![batch, if ragged > 0 { ragged } else { batch.div_ceil(2) }, 1];
    sizes.dedup();
    for (t, rows) in (1u64..).zip(sizes) {
        replay.set_weights(&plan, &weights);
        let key = stream_key(spec.seed, Stream::Check, t);
        let step = Step {
            rows: rows as u32,
            first: 0,
            order: Permutation::new(data.rows() as u32, Some(key)).words(),
            lr: spec.lr,
            loss_scale: (1.0 / spec.objective.reduction.divisor(rows, spec.net.outputs())) as f32,
            corrections: spec.optimizer.corrections(t),
            padding: 0,
        };
        ops.extend(replay.run(&step)?);
    }
    let passed = ops.iter().all(|op| op.passed);
    Ok(Report { ops, passed })
}

/// A program on a device and on the CPU in both precisions, with the inputs of the next op.
pub struct Replay {
    program: Arc<Program>,
    /// The device, the CPU in f32, the CPU in f64, each with the data set on it.
    backends: [(Box<dyn Backend>, DataId); 3],
    /// What each tensor holds, rounded to f32.
    values: HashMap<TensorId, Vec<f32>>,
}

impl Replay {
    /// Loads `program` and `samples` on `device` and on the CPU.
    ///
    /// # Errors
    /// When the device can't hold them.
    pub fn new(program: Program, samples: Samples, device: Box<dyn Backend>) -> Result<Self> {
        let (program, samples) = (Arc::new(program), Arc::new(samples));
        let load = |mut backend: Box<dyn Backend>| -> Result<(Box<dyn Backend>, DataId)> {
            backend.load(program.clone())?;
            let id = backend.upload(samples.clone())?;
            Ok((backend, id))
        };
        let backends = [
            load(device)?,
            load(Box::new(Cpu::<f32>::new(None)?))?,
            load(Box::new(Cpu::<f64>::new(None)?))?,
        ];
        let values = program.constants.iter().cloned().collect();
        Ok(Replay { program, backends, values })
    }

    /// Sets what a tensor holds before the next op.
    pub fn set(&mut self, tensor: TensorId, values: Vec<f32>) {
        self.values.insert(tensor, values);
    }

    /// What a tensor holds: the f64 result of the ops so far, rounded.
    #[must_use]
    pub fn get(&self, tensor: TensorId) -> Vec<f32> {
        self.values.get(&tensor).cloned().unwrap_or_else(|| vec![0.0; self.program.len(tensor)])
    }

    /// Sets the parameters of all layers.
    pub fn set_weights(&mut self, plan: &Plan, weights: &[LayerWeights]) {
        for (tensors, layer) in plan.layers.iter().zip(weights) {
            self.set(tensors.weight, layer.weight.data().to_vec());
            if let (Some(tensor), Some(bias)) = (tensors.bias, &layer.bias) {
                self.set(tensor, bias.clone());
            }
        }
    }

    /// Runs every op once from identical inputs and compares what it wrote.
    ///
    /// # Errors
    /// When the device was lost.
    pub fn run(&mut self, step: &Step) -> Result<Vec<OpReport>> {
        let mut reports = Vec::new();
        for i in 0..self.program.ops.len() {
            reports.extend(self.run_op(i, step)?);
        }
        Ok(reports)
    }

    fn run_op(&mut self, i: usize, step: &Step) -> Result<Vec<OpReport>> {
        let program = self.program.clone();
        let op = &program.ops[i];
        let uses = program.uses(op);
        let whole = matches!(op, Op::Update { .. });
        if whole {
            self.gather_parts(&uses);
        }
        let scale = self.scale(i, op, &uses, step)?;
        let mut results = Vec::new();
        for (backend, data) in &mut self.backends {
            for (tensor, _) in &uses {
                let len = program.range(*tensor, step.rows as usize).len();
                let mut values = self.values.get(tensor).cloned().unwrap_or_default();
                values.resize(len, 0.0);
                backend.write(*tensor, Values::F32(&values))?;
            }
            backend.run(i..i + 1, *data, &[*step])?;
            let mut written = Vec::new();
            for (tensor, _) in uses.iter().filter(|(_, access)| *access == Access::ReadWrite) {
                let mut values = vec![0.0; program.range(*tensor, step.rows as usize).len()];
                backend.read(*tensor, ValuesMut::F64(&mut values))?;
                written.push((*tensor, values));
            }
            results.push(written);
        }
        let mut reports = Vec::new();
        let [device, cpu, exact] = &results[..] else { return Ok(reports) };
        for ((device, cpu), (tensor, exact)) in device.iter().zip(cpu).zip(exact) {
            let (device_error, cpu_error) =
                (largest_error(&device.1, exact), largest_error(&cpu.1, exact));
            let largest = exact.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
            let integers = matches!(
                op,
                Op::Gather { .. }
                    | Op::Targets { .. }
                    | Op::Uniform { .. }
                    | Op::Permutation { .. }
            );
            let allowed =
                if integers { 0.0 } else { FACTOR * cpu_error + FLOOR * scale.unwrap_or(largest) };
            reports.push(OpReport {
                op: program.describe(op),
                tensor: program.tensor(*tensor).name.clone(),
                rows: step.rows,
                device_error,
                cpu_error,
                allowed,
                // Not <=, so that a NaN doesn't pass.
                passed: device_error <= allowed,
            });
            self.values.insert(*tensor, exact.iter().map(|&x| x as f32).collect());
        }
        if whole {
            self.scatter_parts(&uses);
        }
        Ok(reports)
    }

    /// The largest sum of the magnitudes of the terms, of an op that adds terms up: the op itself
    /// on the magnitudes of its inputs.
    fn scale(
        &mut self,
        i: usize,
        op: &Op,
        uses: &[(TensorId, Access)],
        step: &Step,
    ) -> Result<Option<f64>> {
        if !matches!(op, Op::Matmul { .. } | Op::ColumnSums { .. } | Op::Accumulate { .. }) {
            return Ok(None);
        }
        let (backend, data) = &mut self.backends[2];
        for (tensor, _) in uses {
            let magnitudes: Vec<f32> =
                self.values.get(tensor).into_iter().flatten().map(|x| x.abs()).collect();
            backend.write(*tensor, Values::F32(&magnitudes))?;
        }
        backend.run(i..i + 1, *data, &[*step])?;
        let mut largest = 0.0f64;
        for (tensor, _) in uses.iter().filter(|(_, access)| *access == Access::ReadWrite) {
            let mut values = vec![0.0; self.program.range(*tensor, step.rows as usize).len()];
            backend.read(*tensor, ValuesMut::F64(&mut values))?;
            largest = values.iter().fold(largest, |m, x| m.max(x.abs()));
        }
        Ok(Some(largest))
    }

    /// Fills tensors that span a buffer from the tensors inside it.
    fn gather_parts(&mut self, uses: &[(TensorId, Access)]) {
        for (whole, _) in uses {
            let mut all = self.get(*whole);
            for part in self.parts(*whole) {
                let start = self.program.tensor(part).offset;
                if let Some(values) = self.values.get(&part) {
                    all[start..start + values.len()].copy_from_slice(values);
                }
            }
            self.values.insert(*whole, all);
        }
    }

    /// The reverse of [`Replay::gather_parts`].
    fn scatter_parts(&mut self, uses: &[(TensorId, Access)]) {
        for (whole, _) in uses {
            for part in self.parts(*whole) {
                let range = self.program.range(part, self.program.batch);
                let values = self.get(*whole)[range].to_vec();
                self.values.insert(part, values);
            }
        }
    }

    /// The tensors that lie inside `whole`'s buffer.
    fn parts(&self, whole: TensorId) -> Vec<TensorId> {
        let buffer = self.program.tensor(whole).buffer;
        let tensors = self.program.tensors.iter().enumerate();
        tensors
            .filter(|(i, t)| t.buffer == buffer && *i != whole.0)
            .map(|(i, _)| TensorId(i))
            .collect()
    }
}

/// The largest error; NaN where either side has one that the other hasn't.
fn largest_error(found: &[f64], exact: &[f64]) -> f64 {
    let errors = found
        .iter()
        .zip(exact)
        .map(|(f, e)| if f.to_bits() == e.to_bits() { 0.0 } else { (f - e).abs() });
    errors.fold(0.0, |m: f64, e| if e.is_nan() { e } else { m.max(e) })
}

//! Batch normalization over ranks: its statistics are those of the whole batch, whoever computes which rows, as
//! SyncBatchNorm has them in PyTorch.
//!
//! The ops up to the gradients are cut into phases, each of which ends where a layer needs sums over all rows: in the
//! forward pass the mean and variance of Z, in the backward pass ∂E/∂γ and ∂E/∂β. There all ranks exchange what they
//! have of each of their blocks of rows, and go on with what follows for the whole batch. All combine the blocks in the
//! same order, so that the bits don't depend on who computed which.
//!
//! A rank with several blocks takes each of them through a phase before it goes on. What a later phase reads of a
//! block is kept on the host in between.

use super::rows::LocalRows;
use super::{SUMS, gradient};
use crate::backend::{Backend, Values, ValuesMut};
use crate::base::error::{Error, Result};
use crate::base::wait::BlockOn as _;
use crate::kernels::Step;
use crate::kernels::layers::norm::MOMENTUM;
use crate::kernels::tensor::{Extent, Role, TensorId};
use crate::net::spec::{Norm, Spec};
use crate::plan::Plan;
use crate::plan::program::{Op, Program, Task};
use crate::train::ranks::Ranks;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// What all ranks exchange at the end of a phase, of each block of rows.
#[derive(Debug, Clone, Copy)]
enum Meeting {
    /// Mean and variance of each unit: (2, n), from which its running averages follow: (2, n).
    Statistics { statistics: TensorId, running: TensorId },
    /// ∂E/∂γ and ∂E/∂β: (1, n) each.
    Sums { scale: TensorId, shift: TensorId },
}

/// Ops between two meetings.
struct Phase {
    ops: Range<usize>,
    /// None behind the last one.
    meeting: Option<Meeting>,
    /// Of several blocks: what it reads of earlier phases, and what it writes for later ones.
    loads: Vec<TensorId>,
    saves: Vec<TensorId>,
    /// Whether the losses of the rows are added up in it.
    accumulates: bool,
}

/// The rows of a batch, and the ranks that compute them.
pub(in crate::train::trainer) struct Blocks {
    /// The blocks of all ranks, in their order.
    pub all: Vec<Range<usize>>,
    /// Those of this rank.
    pub own: Range<usize>,
}

/// Where a step runs.
pub(in crate::train::trainer) struct Place<'a> {
    pub plan: &'a Plan,
    pub backend: &'a mut dyn Backend,
    pub local: &'a LocalRows,
    pub step: &'a Step,
}

/// Steps of a net with batch normalization over several blocks of rows.
pub(in crate::train::trainer) struct SyncBatchNorm {
    phases: Vec<Phase>,
    /// What is kept of each block of this rank, by tensor.
    kept: Vec<HashMap<TensorId, Vec<f32>>>,
    sums: Vec<[f32; SUMS]>,
    /// ∂E/∂γ and ∂E/∂β over the batch that the phase at hand begins with.
    begins_with: Option<[(TensorId, Vec<f64>); 2]>,
}

/// Whether a net has batch normalization.
pub(in crate::train::trainer) fn has_batch_norm(spec: &Spec) -> bool {
    spec.net.layers.iter().any(|layer| layer.norm == Some(Norm::Batch))
}

impl SyncBatchNorm {
    /// Steps by the program of a plan, which is not fused.
    pub(in crate::train::trainer) fn new(plan: &Plan) -> Self {
        let ops = gradient(plan);
        let mut phases = Vec::new();
        let mut start = ops.start;
        for at in ops.clone() {
            let meeting = match &plan.program.ops[at] {
                Op::BatchStatistics { statistics, running, .. } => {
                    Some(Meeting::Statistics { statistics: *statistics, running: *running })
                }
                Op::NormalizeSums(g) if g.of.statistics.is_some() => {
                    Some(Meeting::Sums { scale: g.scale, shift: g.shift })
                }
                _ => None,
            };
            if meeting.is_some() {
                phases.push(Phase::new(start..at + 1, meeting));
                start = at + 1;
            }
        }
        phases.push(Phase::new(start..ops.end, None));
        note_transfers(&mut phases, &plan.program);
        SyncBatchNorm { phases, kept: Vec::new(), sums: Vec::new(), begins_with: None }
    }

    /// Takes all blocks of this rank through all phases but the last.
    pub(in crate::train::trainer) fn begin(
        &mut self,
        at: &mut Place<'_>,
        ranks: &mut dyn Ranks,
        blocks: &Blocks,
    ) -> Result<()> {
        self.kept.resize_with(blocks.own.len(), HashMap::new);
        self.sums.clear();
        self.sums.resize(blocks.own.len(), [0.0; SUMS]);
        self.begins_with = None;
        for number in 0..self.phases.len() - 1 {
            let Some(meeting) = self.phases[number].meeting else { continue };
            let before = match meeting {
                Meeting::Statistics { running, .. } => read(at, running, None)?,
                Meeting::Sums { .. } => Vec::new(),
            };
            let mut own = Vec::new();
            for i in 0..blocks.own.len() {
                let rows = &blocks.all[blocks.own.start + i];
                if !rows.is_empty() {
                    self.phase(at, number, i, blocks)?;
                    match meeting {
                        Meeting::Statistics { statistics, .. } => {
                            own.extend(read(at, statistics, None)?);
                        }
                        Meeting::Sums { scale, shift } => {
                            own.extend(read(at, scale, None)?);
                            own.extend(read(at, shift, None)?);
                        }
                    }
                }
            }
            self.begins_with = None;
            let all = exchanged(ranks, &own, blocks)?;
            match meeting {
                Meeting::Statistics { statistics, running } => {
                    let (now, running_now) = combined(&all, blocks, &before);
                    at.backend.write(statistics, Values::F32(&now)).block_on()?;
                    at.backend.write(running, Values::F32(&running_now)).block_on()?;
                }
                Meeting::Sums { scale, shift } => {
                    let [of_scale, of_shift] = added(&all);
                    self.begins_with = Some([(scale, of_scale), (shift, of_shift)]);
                }
            }
        }
        Ok(())
    }

    /// Takes block `i` of this rank through the last phase: its gradients are in their places then. The sums of its
    /// losses and scores.
    pub(in crate::train::trainer) fn end(
        &mut self,
        at: &mut Place<'_>,
        blocks: &Blocks,
        i: usize,
    ) -> Result<[f32; SUMS]> {
        self.phase(at, self.phases.len() - 1, i, blocks)?;
        Ok(self.sums[i])
    }

    fn phase(
        &mut self,
        at: &mut Place<'_>,
        number: usize,
        i: usize,
        blocks: &Blocks,
    ) -> Result<()> {
        let rows = &blocks.all[blocks.own.start + i];
        let (phase, kept) = (&self.phases[number], &mut self.kept[i]);
        let is_alone = blocks.own.len() == 1;
        for (id, sums) in self.begins_with.iter().flatten() {
            // δ takes the means over the batch, as sums over the rows of the block by their number. The gradients of
            // all blocks add up to that of the batch again.
            let part = rows.len() as f64 / f64::from(at.step.rows);
            let values: Vec<f32> = sums.iter().map(|sum| (sum * part) as f32).collect();
            at.backend.write(*id, Values::F32(&values)).block_on()?;
        }
        if !is_alone {
            for id in &phase.loads {
                if let Some(values) = kept.get(id) {
                    at.backend.write(*id, Values::F32(values)).block_on()?;
                }
            }
        }
        if phase.accumulates {
            at.backend.write(at.plan.sums, Values::F32(&[0.0; SUMS])).block_on()?;
        }
        let (data, step) = at.local.of(at.step, rows)?;
        at.backend.run(phase.ops.clone(), data, &[step]).block_on()?;
        if phase.accumulates {
            at.backend.read(at.plan.sums, ValuesMut::F32(&mut self.sums[i])).block_on()?;
        }
        if !is_alone {
            for &id in &phase.saves {
                kept.insert(id, read(at, id, Some(rows.len()))?);
            }
        }
        Ok(())
    }
}

impl Phase {
    fn new(ops: Range<usize>, meeting: Option<Meeting>) -> Self {
        Phase { ops, meeting, loads: Vec::new(), saves: Vec::new(), accumulates: false }
    }
}

/// Notes what goes from phase to phase, and that all gradients are to be there at the end.
fn note_transfers(phases: &mut [Phase], program: &Program) {
    let is_of_block = |id: &TensorId| {
        matches!(program.tensor(*id).role, Role::Transient | Role::Gradient)
            && !program.tensor(*id).name.ends_with(".norm.statistics")
    };
    let effects = |ops: &Range<usize>| -> Vec<Task> {
        program.ops[ops.clone()].iter().flat_map(|op| program.effects(op)).collect()
    };
    let mut written: HashSet<TensorId> = HashSet::new();
    let mut writes: Vec<HashSet<TensorId>> = Vec::new();
    let last = phases.len() - 1;
    // A phase begins with sums that the meeting before it left.
    let mut begins_with: Vec<TensorId> = Vec::new();
    for (number, phase) in phases.iter_mut().enumerate() {
        let tasks = effects(&phase.ops);
        let reads = tasks.iter().flat_map(Task::read).map(|slice| slice.tensor);
        let gradients = written
            .iter()
            .copied()
            .filter(|id| number == last && program.tensor(*id).role == Role::Gradient);
        let loads: HashSet<TensorId> = reads
            .chain(gradients)
            .filter(|id| written.contains(id) && !begins_with.contains(id))
            .collect();
        phase.loads = loads.into_iter().collect();
        phase.loads.sort();
        let own = tasks.iter().flat_map(Task::written).map(|slice| slice.tensor);
        let mut own: HashSet<TensorId> = own.chain(begins_with.drain(..)).collect();
        if let Some(Meeting::Sums { scale, shift }) = phase.meeting {
            [scale, shift].iter().for_each(|id| {
                own.remove(id);
            });
            begins_with = vec![scale, shift];
        }
        phase.accumulates = own.iter().any(|id| program.tensor(*id).role == Role::Metric);
        own.retain(is_of_block);
        written.extend(&own);
        writes.push(own);
    }
    let mut later: HashSet<TensorId> = HashSet::new();
    for (phase, own) in phases.iter_mut().zip(writes).rev() {
        phase.saves = own.into_iter().filter(|id| later.contains(id)).collect();
        phase.saves.sort();
        later.extend(&phase.loads);
    }
}

/// A tensor; of one with a row for each row of the batch, the first rows.
fn read(at: &mut Place<'_>, id: TensorId, rows: Option<usize>) -> Result<Vec<f32>> {
    let (t, program) = (at.plan.program.tensor(id), &at.plan.program);
    let len = match (t.rows, rows) {
        (Extent::Batch, Some(rows)) => rows * t.cols,
        _ => program.len(id),
    };
    let mut values = vec![0.0; len];
    at.backend.read(id, ValuesMut::F32(&mut values)).block_on()?;
    Ok(values)
}

/// What all ranks have of all blocks with rows, in the order of the blocks.
fn exchanged(ranks: &mut dyn Ranks, own: &[f32], blocks: &Blocks) -> Result<Vec<Vec<f32>>> {
    let all = ranks.gather(bytemuck::cast_slice(own))?.concat();
    let count = blocks.all.iter().filter(|rows| !rows.is_empty()).count();
    let numbers: Vec<f32> = all
        .chunks_exact(size_of::<f32>())
        .map(|bytes| bytes.try_into().map_or(f32::NAN, f32::from_ne_bytes))
        .collect();
    let each = numbers.len() / count.max(1);
    if each == 0 || each * count != numbers.len() {
        return Err(Error::failed("ranks disagree about the rows of a batch")
            .help("all ranks must train the same net on the same rows"));
    }
    Ok(numbers.chunks_exact(each).map(<[f32]>::to_vec).collect())
}

/// Mean and variance over the batch from those of its blocks (Chan, Golub, LeVeque 1979), and the running averages
/// that follow from those before.
fn combined(all: &[Vec<f32>], blocks: &Blocks, running: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let units = running.len() / 2;
    let rows = blocks.all.iter().map(Range::len).filter(|&rows| rows > 0);
    let parts: Vec<(f64, &[f32])> =
        rows.zip(all).map(|(rows, values)| (rows as f64, values.as_slice())).collect();
    let count: f64 = parts.iter().map(|(rows, _)| rows).sum();
    let (mut now, mut after) = (vec![0.0; 2 * units], running.to_vec());
    for unit in 0..units {
        let of = |values: &[f32], row: usize| f64::from(values[row * units + unit]);
        let mean = parts.iter().map(|(rows, b)| rows * of(b, 0)).sum::<f64>() / count;
        let squares = parts.iter().map(|(rows, b)| rows * (of(b, 1) + (of(b, 0) - mean).powi(2)));
        let variance = squares.sum::<f64>() / count;
        (now[unit], now[units + unit]) = (mean as f32, variance as f32);
        // A batch of one row has no variance to learn from.
        if count > 1.0 {
            let follow = |running: &mut f32, now: f64| {
                *running += MOMENTUM * (now as f32 - *running);
            };
            follow(&mut after[unit], mean);
            follow(&mut after[units + unit], variance * count / (count - 1.0));
        }
    }
    (now, after)
}

/// The sums of ∂E/∂γ and ∂E/∂β over all blocks.
fn added(all: &[Vec<f32>]) -> [Vec<f64>; 2] {
    let mut sums = vec![0.0; all.first().map_or(0, Vec::len)];
    for block in all {
        sums.iter_mut().zip(block).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let shift = sums.split_off(sums.len() / 2);
    [sums, shift]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_blocks_combine_to_those_of_the_batch() {
        let z = [3.0, -1.0, 4.0, 1.5, -9.0, 2.5, 6.0_f64];
        let of = |z: &[f64]| {
            let mean = z.iter().sum::<f64>() / z.len() as f64;
            [mean, z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / z.len() as f64]
        };
        let parts = vec![0..3, 3..6, 6..7, 7..7];
        let all: Vec<Vec<f32>> =
            parts[..3].iter().map(|rows| of(&z[rows.clone()]).map(|x| x as f32).to_vec()).collect();
        let blocks = Blocks { all: parts, own: 0..4 };
        let (now, running) = combined(&all, &blocks, &[0.0, 1.0]);
        let expected = of(&z);
        assert!((f64::from(now[0]) - expected[0]).abs() < 1e-6);
        assert!((f64::from(now[1]) - expected[1]).abs() < 1e-5);
        assert!((f64::from(running[0]) - 0.1 * expected[0]).abs() < 1e-6);
        assert!((f64::from(running[1]) - (0.9 + 0.1 * expected[1] * 7.0 / 6.0)).abs() < 1e-5);
    }

    #[test]
    fn a_batch_of_one_row_leaves_the_running_averages() {
        let blocks = Blocks { all: vec![0..1, 1..1], own: 0..2 };
        let (now, running) = combined(&[vec![3.0, 0.0]], &blocks, &[0.5, 2.0]);
        assert_eq!((now, running), (vec![3.0, 0.0], vec![0.5, 2.0]));
    }
}

//! The ops of normalizations: over the batch by units, over the layer by rows.

use super::memory::Shared;
use super::team::Worker;
use crate::kernels::layers::norm;
use crate::kernels::tensor::TensorId;
use crate::math::gemm::Gemm;
use crate::plan::program::Op;
use std::ops::Range;

/// Units of a piece of sums over the batch.
const UNITS: usize = 64;
/// Elements of a piece of work by rows.
const PIECE: usize = 1 << 14;

/// Runs one of these ops on a batch of `rows` rows.
pub(super) fn run<T: Gemm>(op: &Op, rows: usize, memory: &Shared<'_, T>, worker: &Worker<'_>) {
    let program = memory.program();
    let cols = |id: TensorId| program.tensor(id).cols;
    // SAFETY: no op writes a tensor that it also reads by this (`Program::check`).
    let read = |id: TensorId| unsafe { memory.read(id, 0..program.range(id, rows).len()) };
    // SAFETY: as of a whole tensor, no piece writes any element of it.
    let part = |id: TensorId, range: Range<usize>| unsafe { memory.read(id, range) };
    // SAFETY: a piece takes each range once, of its own units (`by_units`) or rows (`by_rows`); the
    // tensors that an op writes don't overlap.
    let write = |id: TensorId, range: Range<usize>| unsafe { memory.write(id, range) };
    let halves = |id: TensorId| read(id).split_at(cols(id));
    let by_units = |n: usize, piece: &dyn Fn(Range<usize>)| {
        worker.share(n.div_ceil(UNITS), |i| piece(i * UNITS..((i + 1) * UNITS).min(n)));
    };
    let by_rows = |n: usize, piece: &dyn Fn(Range<usize>)| {
        let block = (PIECE / n).max(1);
        worker.share(rows.div_ceil(block), |i| {
            piece(i * block * n..((i + 1) * block).min(rows) * n);
        });
    };
    match op {
        Op::BatchStatistics { z, statistics, running } => {
            let n = cols(*z);
            by_units(n, &|units| {
                let of = |id: TensorId| {
                    [units.clone(), n + units.start..n + units.end].map(|range| write(id, range))
                };
                norm::statistics(n, units.clone(), read(*z), of(*statistics), of(*running));
            });
        }
        Op::Normalize(op) => by_rows(cols(op.z), &|range| {
            let (z, affine) = (part(op.z, range.clone()), [read(op.scale), read(op.shift)]);
            let (normal, out) = (write(op.normal, range.clone()), write(op.out, range));
            match op.statistics {
                Some(statistics) => {
                    norm::batch(z, halves(statistics).into(), affine, normal, out);
                }
                None => norm::layer(z, affine, normal, out),
            }
        }),
        Op::NormalizeSums(op) => by_units(cols(op.delta), &|units| {
            let (gradient, normal) = (read(op.gradient), read(op.of.normal));
            let (scale, shift) = (write(op.scale, units.clone()), write(op.shift, units.clone()));
            norm::sums(cols(op.delta), units, gradient, normal, scale, shift);
        }),
        Op::NormalizeGradient(op) => by_rows(cols(op.delta), &|range| {
            let (gradient, normal) =
                (part(op.gradient, range.clone()), part(op.of.normal, range.clone()));
            let (scale, delta) = (read(op.of.scale), write(op.delta, range.clone()));
            match op.of.statistics {
                Some(statistics) => {
                    let (_, variance) = halves(statistics);
                    let sums = [read(op.scale), read(op.shift)];
                    norm::batch_gradient(rows, [gradient, normal], variance, scale, sums, delta);
                }
                None => norm::layer_gradient(part(op.of.z, range), gradient, normal, scale, delta),
            }
        }),
        _ => {}
    }
}

//! The ops of embeddings.

use super::memory::Shared;
use super::team::Worker;
use crate::kernels::inputs::embed;
use crate::kernels::tensor::TensorId;
use crate::math::gemm::Gemm;
use crate::plan::program::Op;
use std::ops::Range;

/// The number of elements in a piece of element-wise work.
const PIECE: usize = 1 << 14;

/// Runs one of these ops on a batch of `rows` rows.
pub(super) fn run<T: Gemm>(op: &Op, rows: usize, memory: &Shared<'_, T>, worker: &Worker<'_>) {
    let program = memory.program();
    // SAFETY: what an op reads it doesn't write (`Program::check`).
    let read = |id: TensorId| unsafe { memory.read(id, 0..program.range(id, rows).len()) };
    // SAFETY: only of features, which these ops don't write.
    let part = |id: TensorId, range: Range<usize>| unsafe { memory.read(id, range) };
    // SAFETY: each piece takes its own block of the one tensor that is written before the next barrier.
    let write = |id: TensorId, range: Range<usize>| unsafe { memory.write(id, range) };
    // Blocks of `block` of all rows of a tensor.
    let each_block = |rows: usize, block: usize, piece: &dyn Fn(Range<usize>)| {
        worker.share(rows.div_ceil(block), |i| piece(i * block..((i + 1) * block).min(rows)));
    };
    let of = |block: &Range<usize>, cols: usize| block.start * cols..block.end * cols;
    match op {
        Op::Embed { lookup, features, table, x } => {
            each_block(rows, (PIECE / lookup.inputs).max(1), &|block| {
                let features = part(*features, of(&block, lookup.features));
                embed::reference(
                    *lookup,
                    features,
                    read(*table),
                    write(*x, of(&block, lookup.inputs)),
                );
            });
        }
        Op::EmbedGradient { features, gradient, tables } => {
            for &(lookup, out) in &tables.each {
                each_block(lookup.values, (PIECE / lookup.dims).max(1), &|block| {
                    let out = write(out, of(&block, lookup.dims));
                    embed::gradient(lookup, block, read(*features), read(*gradient), out);
                });
            }
        }
        _ => {}
    }
}

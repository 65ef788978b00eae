//! How each op is split into pieces: always by the shape, never by the number of threads.

use super::Caches;
use super::embed;
use super::half;
use super::layers;
use super::memory::Shared;
use super::norm;
use super::taken::{Taker, take_step};
use super::team::Worker;
use super::update::Gradients;
use super::whole_net::Pass;
use crate::data::Samples;
use crate::kernels::common::random;
use crate::kernels::fused::whole_net::{LARGEST_BLOCK, Reach, unit_pieces, units_of};
use crate::kernels::inputs::{augment, gather, mixup};
use crate::kernels::layers::{activation, dropout, nonfinite, softmax};
use crate::kernels::loss::SCORES;
use crate::kernels::mixed::{SCALE_STATE, next_scale};
use crate::kernels::optim::combine::{self, Factors};
use crate::kernels::optim::edits::{self, Edit};
use crate::kernels::optim::optimizer::RuleStep;
use crate::kernels::optim::{average, collect, direction, max_norm, vector_norm};
use crate::kernels::products::matmul::{self, Pieces};
use crate::kernels::products::sums;
use crate::kernels::tensor::TensorId;
use crate::kernels::{Step, loss};
use crate::math::gemm::Gemm;
use crate::plan::program::Op;
use std::ops::Range;

/// The number of elements in a piece of element-wise work.
const PIECE: usize = 1 << 14;
/// The most rows in a piece of work by rows.
pub(super) const ROWS: usize = LARGEST_BLOCK;

/// The step whose batch begins at row `row` of this step's batch.
pub(super) fn from(step: &Step, row: usize) -> Step {
    step.from_row(row as u32)
}

/// Runs one op for one step, together with the other threads of the team.
pub(super) fn run<T: Gemm>(
    op: &Op,
    data: &Samples,
    step: &Step,
    memory: &Shared<'_, T>,
    caches: Caches<'_, T>,
    worker: &Worker<'_>,
) {
    let program = memory.program();
    let rows = step.rows as usize;
    let cols = |id: TensorId| program.tensor(id).cols;
    let len = |id: TensorId| program.range(id, rows).len();
    let each_row_block = |rows: usize, f: &dyn Fn(Range<usize>)| {
        worker.share(rows.div_ceil(ROWS), |i| f(i * ROWS..((i + 1) * ROWS).min(rows)));
    };
    // A whole tensor.
    // SAFETY: between two barriers no piece writes a tensor that the op reads by this: such a tensor is
    // among the op's `reads`, which `Program::check` holds apart from all that the op writes.
    let read = |id: TensorId| unsafe { memory.read(id, 0..len(id)) };
    // SAFETY: no piece writes such a tensor either, but for the partial sums of a vector norm, which are
    // written before a barrier and read behind it.
    let part = |id: TensorId, range: Range<usize>| unsafe { memory.read(id, range) };
    // SAFETY: each op takes each range once, of tensors that overlap neither each other nor what it reads
    // (`Program::check`), and other pieces have other rows or elements: they are cut by `each_row_block`,
    // `each_block` or `unit_pieces`, or there is one piece.
    let write = |id: TensorId, range: Range<usize>| unsafe { memory.write(id, range) };
    // Blocks of whole rows of a (rows, cols) tensor: the first row, and the elements.
    let each_block = |rows: usize, cols: usize, block: usize, f: &dyn Fn(usize, Range<usize>)| {
        worker.share(rows.div_ceil(block), |i| {
            let first = i * block;
            f(first, first * cols..(first + block).min(rows) * cols);
        });
    };
    let each_piece = |cols: usize, f: &dyn Fn(usize, Range<usize>)| {
        each_block(rows, cols, (PIECE / cols).max(1), f);
    };
    match op {
        Op::Gather { x } => {
            each_row_block(rows, &|range| {
                let (found, cols) = (&mut [0; ROWS][..range.len()], cols(*x));
                gather::rows(&from(step, range.start), found);
                let x = write(*x, range.start * cols..range.end * cols);
                gather::features(found, &data.features, &data.affine, x);
            });
            half::store(&[*x], None, rows, memory, worker);
        }
        Op::Augment { augmentation, x } => each_row_block(rows, &|range| {
            let (found, cols) = (&mut [0; ROWS][..range.len()], cols(*x));
            gather::rows(&from(step, range.start), found);
            let x = write(*x, range.start * cols..range.end * cols);
            let (features, affine) = (&data.features, &data.affine);
            augment::features(augmentation, step, range.start, found, features, affine, x);
        }),
        Op::Embed { .. } | Op::EmbedGradient { .. } => embed::run(op, rows, memory, worker),
        Op::Targets { t } => each_row_block(rows, &|range| {
            let (found, cols) = (&mut [0; ROWS][..range.len()], cols(*t));
            gather::rows(&from(step, range.start), found);
            if let Some(targets) = &data.targets {
                gather::targets(
                    found,
                    targets,
                    cols,
                    write(*t, range.start * cols..range.end * cols),
                );
            }
        }),
        Op::Matmul { form, a, b, bias, c } => {
            let shape = program.matmul_shape(*form, *a, *c);
            let (m, n, k) = (shape.m.rows(rows), shape.n, shape.k.rows(rows));
            let pieces = Pieces::new(m, n);
            worker.share(pieces.count(), |i| {
                let (rows, cols) = pieces.get(i);
                let bias = bias.map(|(t, sign)| (read(t), T::of(sign.into())));
                let at = memory.span(*c).block(n, rows.clone(), cols.clone());
                // SAFETY: `block` found these rows and columns of C inside, other pieces have others, and C
                // overlaps neither operand (`Program::check`).
                unsafe {
                    matmul::reference(*form, [m, n, k], read(*a), read(*b), bias, (rows, cols), at);
                }
            });
        }
        Op::Activation { functions, z, a } => each_piece(cols(*z), &|_, range| {
            activation::value(functions, cols(*z), part(*z, range.clone()), write(*a, range));
        }),
        Op::ActivationGradient { functions, z, delta } => each_piece(cols(*z), &|_, range| {
            activation::gradient(
                functions,
                0..cols(*z),
                part(*z, range.clone()),
                write(*delta, range),
            );
        }),
        Op::Softmax { z, y } => each_piece(cols(*z), &|_, range| {
            softmax::value(cols(*z), part(*z, range.clone()), write(*y, range));
        }),
        Op::SoftmaxGradient { y, delta } => each_piece(cols(*y), &|_, range| {
            softmax::gradient(cols(*y), part(*y, range.clone()), write(*delta, range));
        }),
        Op::Loss { loss, y, t, unit, gradient, scores } => each_piece(cols(*y), &|first, range| {
            let count = range.len() / cols(*y);
            let scored = write(*scores, first * SCORES..(first + count) * SCORES);
            let gradient = write(*gradient, range.clone());
            let t = part(*t, first * cols(*t)..(first + count) * cols(*t));
            let y = part(*y, range);
            loss::rows(*loss, step, y, t, read(*unit), gradient, scored);
            if let Some(weights) = &data.weights {
                let mut found = vec![0; count];
                gather::rows(&from(step, first), &mut found);
                loss::weigh(weights, &found, gradient, scored);
            }
        }),
        Op::Accumulate { scores, sums } => worker.share(1, |_| {
            loss::accumulate(read(*scores), write(*sums, 0..SCORES));
        }),
        Op::ColumnSums { delta, sign, out } => worker.share(1, |_| {
            let sign = T::of((*sign).into());
            sums::reference(cols(*delta), sign, read(*delta), write(*out, 0..cols(*out)));
        }),
        Op::VectorNorm { x, partial, norm } => {
            let chunks = len(*x).div_ceil(vector_norm::CHUNK);
            worker.share(chunks, |i| {
                let range = i * vector_norm::CHUNK..((i + 1) * vector_norm::CHUNK).min(len(*x));
                write(*partial, i..i + 1)[0] = vector_norm::square_sum(part(*x, range));
            });
            worker.share(1, |_| {
                write(*norm, 0..1)[0] = vector_norm::root_of_sum(part(*partial, 0..chunks));
            });
        }
        Op::Edit { edit, g } => each_block(len(*g), 1, PIECE, &|start, range| {
            let other = match edit {
                Edit::SignPenalty { w, .. } => part(*w, range.clone()),
                other => other.reads().map_or(&[][..], read),
            };
            edits::reference(*edit, step, start, other, write(*g, range));
        }),
        Op::Average { share, w, average } => each_block(len(*w), 1, PIECE, &|_, range| {
            average::reference(*share, step, part(*w, range.clone()), write(*average, range));
        }),
        Op::Collect { g, total, last } => each_block(len(*g), 1, PIECE, &|_, range| {
            collect::reference(*last, write(*g, range.clone()), write(*total, range));
        }),
        Op::Swap { a, b } => each_block(len(*a), 1, PIECE, &|_, range| {
            write(*a, range.clone()).swap_with_slice(write(*b, range));
        }),
        Op::Direction { rule, w, g, state, at, u } => {
            each_block(len(*w), 1, PIECE, &|_, range| {
                let from = [part(*w, range.clone()), part(*g, range.clone())];
                let place = at + range.start;
                let of_state = place..place + range.len();
                let state = state.map(|t| write(t, of_state.clone()));
                direction::reference(*rule, step, place, from, state, write(*u, range));
            });
        }
        Op::Combine { factors, x, y } => {
            let norms = match factors {
                Factors::Trust { norms } => norms.map(|norm| read(norm)[0]),
                _ => [T::zero(); 2],
            };
            each_block(len(*x), 1, PIECE, &|_, range| {
                combine::reference(
                    *factors,
                    step,
                    norms,
                    part(*y, range.clone()),
                    write(*x, range),
                );
            });
        }
        Op::Update { rule, w, g, state, range: Range { start, end } } => {
            let step = RuleStep::new(*rule, step);
            each_block(end - start, 1, PIECE, &|_, range| {
                let range = start + range.start..start + range.end;
                let g = part(*g, range.clone());
                // SAFETY: no other piece has this range of the parameters and their state, and no
                // reference to it is left: g is another tensor.
                unsafe { take_step(&step, *state, memory, *w, range, g) };
            });
        }
        Op::Add { y, x } => each_piece(cols(*x), &|_, range| {
            T::add_scaled(T::one(), part(*y, range.clone()), write(*x, range));
        }),
        Op::BatchStatistics { .. }
        | Op::Normalize(_)
        | Op::NormalizeSums(_)
        | Op::NormalizeGradient(_) => norm::run(op, rows, memory, worker),
        Op::Dropout { dropout, x } => {
            let n = cols(*x);
            each_piece(n, &|first, range| {
                for (i, x) in write(*x, range).chunks_exact_mut(n).enumerate() {
                    dropout::reference(*dropout, step, first + i, 0..n, x);
                }
            });
        }
        Op::Mixup { x } => {
            let pairs = (PIECE / cols(*x) / 2).max(1);
            each_block(rows, cols(*x), 2 * pairs, &|_, range| {
                mixup::reference(step.mixing, cols(*x), write(*x, range));
            });
        }
        Op::MaxNorm { w, limit } => {
            let (units, inputs) = (program.tensor(*w).rows.rows(rows), cols(*w));
            worker.deal(
                1,
                |_| unit_pieces(units),
                |_, pieces| {
                    let units = units_of(units, pieces);
                    let range = units.start * inputs..units.end * inputs;
                    if max_norm::reference(*limit, inputs, write(*w, range)) {
                        // SAFETY: these units are this piece's, packed or not, and `write`'s
                        // reference to them is gone.
                        unsafe { caches.packed.part(memory, *w, units, 0..inputs) };
                    }
                },
            );
        }
        Op::WholeNet(op) => {
            let caches = match op.reach() {
                Reach::Deltas => caches,
                _ => Caches { partial: None, inputs: None, ..caches },
            };
            Pass { op, data, step, memory, caches, thread: worker.index() }.run(worker);
        }
        Op::GradientUpdate(op) => {
            let taker = &Taker::step(op, step);
            let (layers, norms, scores) = (&op.layers, &op.norms, op.scores);
            Gradients { layers, norms, scores, rows, memory, caches, taker }.run(worker);
        }
        Op::GradientParts(op) if op.rows >= program.batch => {
            let taker = &Taker::keep(op, step);
            let (layers, norms, scores) = (&op.layers, &op.norms, op.scores);
            Gradients { layers, norms, scores, rows, memory, caches, taker }.run(worker);
        }
        Op::GradientParts(op) => layers::gradient_parts(op, step, memory, worker),
        Op::SumUpdate(op) => layers::sum_update(op, step, memory, worker),
        Op::Dense(op) => layers::dense(op, data, step, memory, worker),
        Op::Output(op) => layers::output(op, data, step, memory, worker),
        Op::Backward(op) => layers::backward(op, step, memory, worker),
        Op::Rescale { x, y, loss_scale } => {
            let scale = read(*loss_scale)[0];
            each_piece(cols(*x), &|_, range| {
                let x = part(*x, range.clone());
                write(*y, range).iter_mut().zip(x).for_each(|(y, &x)| *y = scale * x);
            });
            half::store(&[*y], Some(*loss_scale), rows, memory, worker);
        }
        Op::LossScale { loss_scale, interval } => worker.share(1, |_| {
            let state = write(*loss_scale, 0..SCALE_STATE);
            let mut before = [T::zero(); SCALE_STATE];
            before.copy_from_slice(state);
            state.copy_from_slice(&next_scale(*interval, before));
        }),
        Op::Nonfinite { x, found } => {
            let (rows, cols) = (len(*found), cols(*x));
            each_block(rows, cols, (PIECE / cols).max(1), &|first, range| {
                let found = write(*found, first..first + range.len() / cols);
                nonfinite::reference(cols, part(*x, range), found);
            });
        }
        Op::Uniform { key, out } => worker.share(1, |_| {
            random::uniform_numbers(step, *key, write(*out, 0..len(*out)));
        }),
        Op::Permutation { out } => worker.share(1, |_| {
            random::permutation(step, write(*out, 0..len(*out)));
        }),
    }
}

//! The ops of mixed precision, for reference: computed in `T`, rounded to f16 where a GPU stores f16.

use super::layers;
use super::memory::Shared;
use super::ops::{ROWS, from};
use super::taken::take_step;
use super::team::Worker;
use crate::data::Samples;
use crate::kernels::Step;
use crate::kernels::inputs::gather;
use crate::kernels::mixed::{Mixed, SCALE_STATE, Update, next_scale};
use crate::kernels::optim::optimizer::RuleStep;
use crate::kernels::products::dense::Dense;
use crate::kernels::tensor::TensorId;
use crate::math::gemm::Gemm;
use crate::net::precision::{OVERFLOW, Precision};
use std::ops::Range;

/// The number of units whose gradients are one piece of work.
const UNITS: usize = 64;

/// Runs one op for one step, together with the other threads of the team.
pub(super) fn run<T: Gemm>(
    op: &Mixed,
    data: &Samples,
    step: &Step,
    memory: &Shared<'_, T>,
    worker: &Worker<'_>,
) {
    let run = Run { step, memory, worker };
    match op {
        Mixed::Gather { x } => {
            run.each_block(*x, |block, x| {
                let mut found = vec![0; block.len()];
                gather::rows(&from(step, block.start), &mut found);
                gather::features(&found, &data.features, &data.affine, x);
            });
            run.store(&[*x], None);
        }
        Mixed::Dense { dense, loss_scale } => {
            let Dense { z, a, .. } = *dense;
            layers::dense(dense, data, step, memory, worker);
            let written = if z == a { vec![a] } else { vec![z, a] };
            run.store(&written, *loss_scale);
        }
        Mixed::Rescale { x, y, loss_scale } => {
            let [scale, ..] = run.state(*loss_scale);
            let cols = run.cols(*x);
            run.each_block(*y, |block, y| {
                let x = run.read(*x, block.start * cols..block.end * cols);
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = scale * x);
            });
            run.store(&[*y], Some(*loss_scale));
        }
        Mixed::Delta { delta, loss_scale } => {
            let rows = step.rows as usize;
            layers::blocks(rows, worker, |block| layers::delta_rows(delta, memory, block));
            run.store(&[delta.out], Some(*loss_scale));
        }
        Mixed::Update(op) => {
            let (units, overflow) = (run.cols(op.gradient.delta), run.state(op.loss_scale)[3]);
            // Always shared: every thread must take part.
            worker.share(units.div_ceil(UNITS), |i| {
                if overflow == T::zero() {
                    run.update(op, i * UNITS..((i + 1) * UNITS).min(units));
                }
            });
        }
        Mixed::Scale { loss_scale, interval } => worker.share(1, |_| {
            let next = next_scale(*interval, run.state(*loss_scale));
            // SAFETY: the one piece holds no other reference to it: `state` gave a copy.
            unsafe { memory.write(*loss_scale, 0..SCALE_STATE) }.copy_from_slice(&next);
        }),
    }
}

/// The state of a running step.
struct Run<'a, 'b, T> {
    step: &'a Step,
    memory: &'a Shared<'b, T>,
    worker: &'a Worker<'a>,
}

impl<T: Gemm> Run<'_, '_, T> {
    fn cols(&self, id: TensorId) -> usize {
        self.memory.program().tensor(id).cols
    }

    /// Elements of a tensor that nothing writes before the next barrier while the reference lives.
    fn read(&self, id: TensorId, range: Range<usize>) -> &[T] {
        // SAFETY: it is called for X, which the op doesn't write, and to copy the state of the loss scale,
        // which one piece of its own writes: behind a barrier, or after it copied it.
        unsafe { self.memory.read(id, range) }
    }

    /// The tensor `loss_scale`.
    fn state(&self, id: TensorId) -> [T; SCALE_STATE] {
        let mut state = [T::zero(); SCALE_STATE];
        state.copy_from_slice(self.read(id, 0..SCALE_STATE));
        state
    }

    /// Calls `piece` with each block of the batch's rows, and those of `to`.
    fn each_block(&self, to: TensorId, piece: impl Fn(Range<usize>, &mut [T])) {
        let (cols, rows) = (self.cols(to), self.step.rows as usize);
        self.worker.share(rows.div_ceil(ROWS), |i| {
            let block = i * ROWS..((i + 1) * ROWS).min(rows);
            // SAFETY: other pieces have other rows, and `piece` reads other tensors.
            let to = unsafe { self.memory.write(to, block.start * cols..block.end * cols) };
            piece(block, to);
        });
    }

    /// Rounds what the op wrote to its precision, and records overflows in `loss_scale`.
    fn store(&self, written: &[TensorId], loss_scale: Option<TensorId>) {
        let limit = T::of(OVERFLOW.into());
        for &id in written {
            let precision = self.memory.program().tensor(id).precision;
            self.worker.share(1, |_| {
                let len = self.step.rows as usize * self.cols(id);
                // SAFETY: the one piece has the tensor to itself: all that wrote it is behind a barrier.
                let values = unsafe { self.memory.write(id, 0..len) };
                // A NaN is not below the limit.
                let fits = values.iter().all(|x| x.abs() < limit);
                if let (false, Some(state)) = (fits, loss_scale) {
                    // SAFETY: the one piece, and the state overlaps no tensor that is stored.
                    let state = unsafe { self.memory.write(state, 0..SCALE_STATE) };
                    state[3] = T::one();
                }
                if precision != Precision::F32 {
                    values.iter_mut().for_each(|x| *x = precision.round(*x));
                }
            });
        }
    }

    /// The update of some units' weights and biases.
    fn update(&self, op: &Update, units: Range<usize>) {
        let (layer, [scale, ..]) = (&op.gradient, self.state(op.loss_scale));
        let [first, second] = op.state;
        let state = [first, second, second];
        let (memory, rows) = (self.memory, self.step.rows as usize);
        let step = RuleStep::new(op.rule, self.step);
        layers::unit_gradients(layer, rows, memory, units.clone(), |w, range, gradient| {
            gradient.iter_mut().for_each(|g| *g = *g / scale);
            // SAFETY: these units' parameters and their state belong to this piece, and the rule
            // has no third state.
            unsafe { take_step(&step, state, memory, w, range, gradient) };
        });
        let k = self.cols(layer.input);
        let range = units.start * k..units.end * k;
        let precision = self.memory.program().tensor(op.shadow).precision;
        // SAFETY: other pieces have other units of both, and the step's references are gone.
        let (weights, shadow) = unsafe {
            (self.memory.read(layer.weight, range.clone()), self.memory.write(op.shadow, range))
        };
        shadow.iter_mut().zip(weights).for_each(|(to, &w)| *to = precision.round(w));
    }
}

//! How each op is cut into pieces: always by the shape, never by the number of threads.

use super::memory::Shared;
use super::merged;
use super::team::Worker;
use crate::data::Samples;
use crate::kernels::fused::{
    GradientUpdate, LARGEST_BLOCK, ParameterGradient, Reach, Rows, piece_units,
};
use crate::kernels::loss::SCORES;
use crate::kernels::matmul::{self, Form, Gemm, Tile};
use crate::kernels::{Step, activation, gather, loss, optimizer, random, softmax, sums};
use crate::program::Op;
use crate::tensor::TensorId;
use std::ops::Range;

/// Elements of a piece of element-wise work.
const PIECE: usize = 1 << 14;
/// Rows of a piece of work by rows, at most.
pub(super) const ROWS: usize = LARGEST_BLOCK;

/// The step whose batch begins at `row` of this one's.
pub(super) fn from(step: &Step, row: usize) -> Step {
    Step { first: step.first + row as u32, ..*step }
}

/// Runs one op for one step, together with the other threads of the team.
pub(super) fn run<T: Gemm>(
    op: &Op,
    data: &Samples,
    step: &Step,
    memory: &Shared<'_, T>,
    worker: &Worker<'_>,
) {
    let program = memory.program();
    let rows = step.rows as usize;
    let cols = |id: TensorId| program.tensor(id).cols;
    let len = |id: TensorId| program.range(id, rows).len();
    let each_row_block = |rows: usize, f: &dyn Fn(Range<usize>)| {
        worker.share(rows.div_ceil(ROWS), |i| f(i * ROWS..((i + 1) * ROWS).min(rows)));
    };
    // SAFETY, for all of this function: no op of a program writes a tensor that it also reads
    // through `read`, and `each_block` deals out disjoint rows of what it writes.
    let read = |id: TensorId| unsafe { memory.read(id, 0..len(id)) };
    let part = |id: TensorId, range: Range<usize>| unsafe { memory.read(id, range) };
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
        Op::Gather { x } => each_row_block(rows, &|range| {
            let (found, cols) = (&mut [0; ROWS][..range.len()], cols(*x));
            gather::rows(&from(step, range.start), found);
            let x = write(*x, range.start * cols..range.end * cols);
            gather::features(found, &data.features, &data.affine, x);
        }),
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
            each_block(m, n, matmul::block_rows(m), &|first, range| {
                let bias = bias.map(|(t, sign)| (read(t), T::of(sign.into())));
                matmul::reference(
                    *form,
                    [m, n, k],
                    read(*a),
                    read(*b),
                    bias,
                    first,
                    write(*c, range),
                );
            });
        }
        Op::Activation { functions, z, a } => each_piece(cols(*z), &|_, range| {
            activation::value(functions, cols(*z), part(*z, range.clone()), write(*a, range));
        }),
        Op::ActivationGradient { functions, z, delta } => each_piece(cols(*z), &|_, range| {
            activation::gradient(
                functions,
                cols(*z),
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
            let (y, t) = (part(*y, range.clone()), part(*t, range));
            loss::rows(*loss, step, y, t, read(*unit), gradient, scored);
        }),
        Op::Accumulate { scores, sums } => worker.share(1, |_| {
            loss::accumulate(read(*scores), write(*sums, 0..SCORES));
        }),
        Op::ColumnSums { delta, sign, out } => worker.share(1, |_| {
            let sign = T::of((*sign).into());
            sums::reference(cols(*delta), sign, read(*delta), write(*out, 0..cols(*out)));
        }),
        Op::Update { optimizer, decay, w, g, first, second } => {
            each_block(cols(*w), 1, PIECE, &|_, range| {
                let slots = optimizer.state_slots();
                let state = |id, used: bool| write(id, if used { range.clone() } else { 0..0 });
                let state = [state(*first, slots > 0), state(*second, slots > 1)];
                let (w, g) = (write(*w, range.clone()), part(*g, range.clone()));
                optimizer::reference(*optimizer, *decay, step, w, g, state);
            });
        }
        Op::Rows(op) => worker.share(rows.div_ceil(op.block), |i| {
            let first = i * op.block;
            fused_rows(op, data, step, memory, first..(first + op.block).min(rows));
        }),
        Op::GradientUpdate(op) => worker.share(op.pieces.len(), |i| {
            let (layer, unit) = op.pieces[i];
            gradient_update(op, &op.layers[layer], unit, step, memory);
        }),
        Op::Dense(op) => merged::dense(op, data, step, memory, worker),
        Op::Output(op) => merged::output(op, data, step, memory, worker),
        Op::Backward(op) => merged::backward(op, step, memory, worker),
        Op::Uniform { key, out } => worker.share(1, |_| {
            random::uniform_numbers(step, *key, write(*out, 0..len(*out)));
        }),
        Op::Permutation { out } => worker.share(1, |_| {
            random::permutation(step, write(*out, 0..len(*out)));
        }),
    }
}

/// Rows `block` of the batch through the whole net, and back as far as `op` reaches.
fn fused_rows<T: Gemm>(
    op: &Rows,
    data: &Samples,
    step: &Step,
    memory: &Shared<'_, T>,
    block: Range<usize>,
) {
    let program = memory.program();
    let cols = |id: TensorId| program.tensor(id).cols;
    let rows = block.len();
    let span = |id: TensorId| block.start * cols(id)..block.end * cols(id);
    // SAFETY, for all of this function: other pieces have other rows of everything that is
    // written, parameters are only read, and no two references to the same rows live at a time.
    let part = |id: TensorId| unsafe { memory.read(id, span(id)) };
    let write = |id: TensorId| unsafe { memory.write(id, span(id)) };
    let whole = |id: TensorId| unsafe { memory.read(id, 0..program.range(id, 0).len()) };
    let found = &mut [0; ROWS][..rows];
    gather::rows(&from(step, block.start), found);
    gather::features(found, &data.features, &data.affine, write(op.x));
    let mut input = op.x;
    for layer in &op.layers {
        let (n, k) = (cols(layer.z), cols(input));
        let bias = layer.bias.map(|(b, sign)| (whole(b), T::of(sign.into())));
        let shape = [rows, n, k];
        matmul::reference(
            Form::Nt,
            shape,
            part(input),
            whole(layer.weight),
            bias,
            0,
            write(layer.z),
        );
        match &layer.functions {
            None => softmax::value(n, part(layer.z), write(layer.a)),
            Some(functions) if layer.a == layer.z => {
                activation::value_in_place(functions, n, write(layer.a));
            }
            Some(functions) => activation::value(functions, n, part(layer.z), write(layer.a)),
        }
        input = layer.a;
    }
    if op.reach == Reach::Outputs {
        return;
    }

    if let Some(targets) = &data.targets {
        gather::targets(found, targets, cols(op.t), write(op.t));
    }
    let (y, t, unit) = (part(input), part(op.t), whole(op.unit));
    loss::rows(op.loss, step, y, t, unit, write(op.gradient), write(op.scores));
    if op.reach == Reach::Loss {
        return;
    }

    for (l, layer) in op.layers.iter().enumerate().rev() {
        let Some(delta) = layer.delta else { return };
        let n = cols(delta);
        match &layer.functions {
            None => softmax::gradient(n, part(layer.a), write(delta)),
            Some(functions) => activation::gradient(functions, n, part(layer.z), write(delta)),
        }
        let below = l.checked_sub(1).and_then(|below| op.layers[below].delta);
        if let Some(below) = below {
            let shape = [rows, cols(below), n];
            matmul::reference(
                Form::Nn,
                shape,
                part(delta),
                whole(layer.weight),
                None,
                0,
                write(below),
            );
        }
    }
}

/// The gradients of some units' weights and biases, and the optimiser's step on them.
fn gradient_update<T: Gemm>(
    op: &GradientUpdate,
    layer: &ParameterGradient,
    unit: usize,
    step: &Step,
    memory: &Shared<'_, T>,
) {
    let program = memory.program();
    let rows = step.rows as usize;
    let (n, k) = (program.tensor(layer.delta).cols, program.tensor(layer.input).cols);
    let units = unit..(unit + piece_units(n)).min(n);
    // SAFETY, for all of this function: δ and inputs are only read, and other pieces have other
    // units.
    let read = |id: TensorId| unsafe { memory.read(id, 0..program.range(id, rows).len()) };
    let update = |[w, g]: [TensorId; 2], range: Range<usize>| {
        let state = |slot: usize| {
            let offset = program.tensor(w).offset;
            let used = op.optimizer.state_slots() > slot;
            let range = if used { offset + range.start..offset + range.end } else { 0..0 };
            unsafe { memory.write(op.state[slot], range) }
        };
        let (w, g) = unsafe { (memory.write(w, range.clone()), memory.read(g, range.clone())) };
        optimizer::reference(op.optimizer, op.decay, step, w, g, [state(0), state(1)]);
    };

    let (delta, input) = (read(layer.delta), read(layer.input));
    let range = units.start * k..units.end * k;
    let gradient = unsafe { memory.write(layer.weight[1], range.clone()) };
    let tile = Tile { rows: units.clone(), cols: 0..k };
    // SAFETY: the gradient of these units is k elements for each, one after the other.
    unsafe {
        matmul::product(Form::Tn, [n, k, rows], delta, input, &tile, gradient.as_mut_ptr(), k);
    }
    update(layer.weight, range);
    if let Some((bias, sign)) = layer.bias {
        let gradient = unsafe { memory.write(bias[1], units.clone()) };
        sums::some_columns(n, units.clone(), T::of(sign.into()), delta, gradient);
        update(bias, units);
    }
}

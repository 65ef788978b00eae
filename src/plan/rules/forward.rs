//! The rules of the forward pass, up to the loss.

use super::{Routine, ensure, is_same};
use crate::kernels::layers::activation::UnitFunctions;
use crate::kernels::loss::output::{Output, PartialSums};
use crate::kernels::products::dense::{self, Dense, TERMS};
use crate::kernels::products::matmul::Form;
use crate::kernels::products::tile::short_segments;
use crate::kernels::tensor::{Extent, Role};
use crate::math::activation::Activation;
use crate::plan::program::Op;

impl Routine {
    /// Z = A Wᵀ ± b, A = σ(Z) → one op. A softmax stays an op after it.
    pub(super) fn dense(&mut self) {
        self.each("dense", |r, i| {
            let Op::Matmul { form: Form::Nt, a: input, b: weight, bias, c: z } = *r.op(i) else {
                return Err(None);
            };
            if !r.is_parameter(weight) {
                return Err(None);
            }
            ensure(r.cols(input) <= TERMS, "sums of more than 65,536 terms")?;
            let (mut functions, mut a) = (Some(UnitFunctions::Same(Activation::Identity)), z);
            let j = r.next(i, z);
            match j.map(|j| (j, r.op(j))) {
                Some((j, Op::Activation { functions: f, z: of, a: to }))
                    if *of == z && is_same(f) =>
                {
                    let is_free = (i + 1..j).all(|k| !r.touches(k, *to));
                    if is_free {
                        (functions, a) = (Some(f.clone()), *to);
                        r.remove(j);
                    }
                }
                Some((_, Op::Softmax { z: of, y })) if *of == z => (functions, a) = (None, *y),
                _ => {}
            }
            let gathers = false;
            let (partial_sums, overflows) = (None, None);
            let dense =
                Dense { input, gathers, weight, bias, functions, z, a, partial_sums, overflows };
            r.set(i, Op::Dense(Box::new(dense)));
            Ok(())
        });
    }

    /// Gathers X within the product that reads it.
    pub(super) fn gathered(&mut self) {
        self.each("gather", |r, i| {
            let Op::Gather { x } = *r.op(i) else { return Err(None) };
            let j = r.next(i, x).ok_or(None)?;
            let Op::Dense(dense) = r.op(j) else {
                return Err(Some("X is changed before the first layer"));
            };
            ensure(dense.input == x, "X is not the input of a layer")?;
            let dense = Dense { gathers: true, ..(**dense).clone() };
            r.set(j, Op::Dense(Box::new(dense)));
            r.remove(i);
            Ok(())
        });
    }

    /// Targets, the loss and the op that turns its gradient into δ_L → one op that reads the data set's
    /// targets.
    pub(super) fn output(&mut self) {
        self.each("output", |r, i| {
            let Op::Loss { loss, y, t, unit, gradient, scores } = *r.op(i) else {
                return Err(None);
            };
            let targets = r.previous(i, t).ok_or(None)?;
            let is_as_it_was = matches!(r.op(targets), Op::Targets { .. });
            ensure(is_as_it_was && r.next(i, t).is_none(), "T is changed before the loss")?;
            let (mut functions, mut z) = (Some(UnitFunctions::Same(Activation::Identity)), y);
            let j = r.next(i, gradient);
            match j.map(|j| (j, r.op(j))) {
                Some((j, Op::ActivationGradient { functions: f, z: of, .. }))
                    if is_same(f) && (i..j).all(|k| !r.writes(k, *of)) =>
                {
                    (functions, z) = (Some(f.clone()), *of);
                    r.remove(j);
                }
                Some((j, Op::SoftmaxGradient { y: of, .. })) if *of == y => {
                    functions = None;
                    r.remove(j);
                }
                _ => {}
            }
            let delta = j.map(|_| gradient);
            let output = Output { loss, functions, z, y, partial_sums: None, unit, delta, scores };
            r.set(i, Op::Output(Box::new(output)));
            r.remove(targets);
            Ok(())
        });
    }

    /// The last layer's product split along its inner dimension k, with partial sums that the output op adds up.
    pub(super) fn split_k(&mut self) {
        self.each("split k", |r, i| {
            let Op::Dense(dense) = r.op(i) else { return Err(None) };
            let j = r.next(i, dense.a).ok_or(None)?;
            let Op::Output(output) = r.op(j) else { return Err(None) };
            let has_functions = output.functions.is_some() && dense.functions.is_some();
            ensure(output.y == dense.a && has_functions, "a softmax needs all of Z")?;
            // Z itself isn't stored.
            let is_read = dense.z != dense.a && r.next(j, dense.z).is_some();
            ensure(!is_read, "Z is read after the loss")?;
            let (n, k) = (r.cols(dense.z), r.cols(dense.input));
            let is_worth_it = dense::is_worth_splitting([r.program.batch, n, k]);
            ensure(is_worth_it, "the sums are short, or the blocks many")?;
            let (mut dense, mut output) = ((**dense).clone(), (**output).clone());
            let name = format!("{}.partial_sums", r.program.tensor(dense.a).name);
            let cols = short_segments(k) * n;
            let sums = r.program.find(&name);
            let sums =
                sums.unwrap_or_else(|| r.program.add(name, Role::Transient, Extent::Batch, cols));
            (dense.partial_sums, dense.z) = (Some(sums), dense.a);
            output.partial_sums = Some(PartialSums { sums, bias: dense.bias });
            output.z = output.y;
            // The output op already has the argument of σ′.
            r.set(i, Op::Dense(Box::new(dense)));
            r.set(j, Op::Output(Box::new(output)));
            Ok(())
        });
    }
}

//! Storage in f16, the CPU reference: values are computed in `T` and rounded when they are stored.

use super::memory::Shared;
use super::team::Worker;
use crate::kernels::mixed::SCALE_STATE;
use crate::kernels::products::backward::Scaled;
use crate::kernels::tensor::TensorId;
use crate::math::gemm::Gemm;
use crate::net::precision::{OVERFLOW, Precision};
use std::ops::Range;

/// Rounds the `rows` rows that an op wrote of some tensors to the precision of each, and records overflows in
/// `loss_scale`. Every thread of the team must call it.
pub(super) fn store<T: Gemm>(
    written: &[TensorId],
    loss_scale: Option<TensorId>,
    rows: usize,
    memory: &Shared<'_, T>,
    worker: &Worker<'_>,
) {
    let limit = T::of(OVERFLOW.into());
    for &id in written {
        let tensor = memory.program().tensor(id);
        if tensor.precision == Precision::F32 && loss_scale.is_none() {
            continue;
        }
        worker.share(1, |_| {
            // SAFETY: the one piece has the tensor to itself: all that wrote it is behind a barrier.
            let values = unsafe { memory.write(id, 0..rows * tensor.cols) };
            // A NaN is not below the limit.
            let fits = values.iter().all(|x| x.abs() < limit);
            if let (false, Some(state)) = (fits, loss_scale) {
                // SAFETY: the one piece, and the state overlaps no tensor that is stored.
                let state = unsafe { memory.write(state, 0..SCALE_STATE) };
                state[3] = T::one();
            }
            if tensor.precision != Precision::F32 {
                values.iter_mut().for_each(|x| *x = tensor.precision.round(*x));
            }
        });
    }
}

/// The loss scale S; none after an overflow.
pub(super) fn scale<T: Gemm>(scaled: Scaled, memory: &Shared<'_, T>) -> Option<T> {
    // SAFETY: an update reads the state and doesn't write it (`Program::check`).
    let state = unsafe { memory.read(scaled.loss_scale, 0..SCALE_STATE) };
    (state[3] == T::zero()).then_some(state[0])
}

/// Copies weights to their f16 copy.
///
/// # Safety
/// No other piece of the current op reads or writes these elements of either tensor.
pub(super) unsafe fn shadow<T: Gemm>(
    weight: TensorId,
    shadow: TensorId,
    range: Range<usize>,
    memory: &Shared<'_, T>,
) {
    let precision = memory.program().tensor(shadow).precision;
    // SAFETY: the caller has these elements of both, which are different tensors (`Program::check`).
    let (weights, shadow) =
        unsafe { (memory.read(weight, range.clone()), memory.write(shadow, range)) };
    shadow.iter_mut().zip(weights).for_each(|(to, &w)| *to = precision.round(w));
}

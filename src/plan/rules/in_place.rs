//! The rule that saves a tensor for each layer.

use super::{Routine, ensure};
use crate::kernels::layers::activation::UnitFunctions;
use crate::kernels::products::dense::Dense;
use crate::kernels::tensor::TensorId;
use crate::plan::program::Op;

impl Routine {
    /// A in the place of Z, if all that read Z need σ′ of a σ whose derivative follows from its value.
    /// Dropout of A in between must be mirrored by that of δ.
    pub(super) fn a_for_z(&mut self) {
        self.each("A in the place of Z", |r, i| {
            let Op::Dense(dense) = r.op(i) else { return Err(None) };
            let dense = (**dense).clone();
            let (Some(UnitFunctions::Same(of)), z, a) = (&dense.functions, dense.z, dense.a) else {
                return Err(None);
            };
            if z == a {
                return Err(None);
            }
            ensure(of.derivative_follows_from_value(), "σ′ doesn't follow from A")?;
            let readers: Vec<_> = (0..r.nodes.len()).filter(|&k| k != i && r.reads(k, z)).collect();
            let deltas: Option<Vec<_>> = readers.iter().map(|&k| r.wants(k, &dense)).collect();
            let deltas = deltas.ok_or(Some("Z is read for more than σ′"))?;
            for k in (i + 1..r.nodes.len()).filter(|&k| r.writes(k, a)) {
                let Op::Dropout { dropout, .. } = *r.op(k) else {
                    return Err(Some("A is changed after the layer"));
                };
                let is_mirrored = |x: &TensorId| {
                    let mirror = Op::Dropout { dropout, x: *x };
                    r.nodes.iter().any(|node| node.op == mirror)
                };
                ensure(deltas.iter().all(is_mirrored), "A is dropped otherwise than δ")?;
            }
            for k in readers.into_iter().chain([i]) {
                let mut op = r.op(k).clone();
                op.tensors_mut().into_iter().filter(|id| **id == z).for_each(|id| *id = a);
                r.set(k, op);
            }
            Ok(())
        });
    }

    /// The δ that op `k` computes with σ′(Z), if it reads Z for nothing else.
    fn wants(&self, k: usize, dense: &Dense) -> Option<TensorId> {
        let Dense { functions, z, .. } = dense;
        match self.op(k) {
            Op::Backward(b) => {
                let delta = b.delta.as_ref()?;
                (delta.z == *z && Some(&delta.functions) == functions.as_ref()).then_some(delta.out)
            }
            Op::Output(o) => (o.z == *z && o.functions == *functions).then_some(o.delta)?,
            _ => None,
        }
    }
}

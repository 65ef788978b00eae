//! The rules of the backward pass: δ of one layer from that of the layer above.

use super::{Routine, ensure, is_same, no_update_rule};
use crate::kernels::inputs::embed::{TABLES, TableGradients};
use crate::kernels::layers::activation::UnitFunctions;
use crate::kernels::products::backward::{Backward, Delta};
use crate::kernels::products::dense::TERMS;
use crate::kernels::products::matmul::Form;
use crate::math::activation::Activation;
use crate::plan::program::Op;

impl Routine {
    /// Dropout of δ, then δ ⊙ σ′ → swapped, so that σ′ can be fused with the product before: both
    /// are element-wise products.
    pub(super) fn dropout_behind(&mut self) {
        self.each("dropout after σ′", |r, i| {
            let Op::Dropout { x, .. } = *r.op(i) else { return Err(None) };
            let j = r.next(i, x).ok_or(None)?;
            let Op::ActivationGradient { z, delta, .. } = *r.op(j) else { return Err(None) };
            let is_free = delta == x && (i..j).all(|k| !r.writes(k, z));
            ensure(is_free, "Z is written between")?;
            let gradient = r.remove(j);
            r.insert(i, gradient);
            Ok(())
        });
    }

    /// δ_{l+1} W_{l+1}, ⊙ σ_l′ → one op. If another op is in between, or σ_l is the identity, the
    /// op is the δ of an identity, beside which an update can still run.
    pub(super) fn deltas(&mut self) {
        // That of the updates, so that a single variant of the kernel suffices.
        let rule = self.step().map_or_else(no_update_rule, |step| step.rule);
        self.each("δ", |r, i| {
            let Op::Matmul { form: Form::Nn, a: above, b: weight, c: out, .. } = *r.op(i) else {
                return Err(None);
            };
            let Some([first, second, _]) = r.state.filter(|_| r.is_parameter(weight)) else {
                return Err(None);
            };
            ensure(r.cols(above) <= TERMS, "sums of more than 65,536 terms")?;
            // For the identity, any tensor of δ's shape: the input of the layer above.
            let of_layer = |op: &Op| match op {
                Op::Dense(dense) if dense.weight == weight => Some(dense.input),
                _ => None,
            };
            let input = r.nodes.iter().find_map(|node| of_layer(&node.op));
            let mut z = input.ok_or(Some("W is not a dense layer's"))?;
            let mut functions = UnitFunctions::Same(Activation::Identity);
            let j = r.next(i, out);
            if let Some((j, Op::ActivationGradient { functions: f, z: of, delta })) =
                j.map(|j| (j, r.op(j)))
                && is_same(f)
                && *delta == out
                && (i..j).all(|k| !r.writes(k, *of))
            {
                (functions, z) = (f.clone(), *of);
                r.remove(j);
            }
            let delta = Some(Delta { above, weight, functions, z, out });
            let (state, parameters) = ([first, second], r.parameters);
            let (updates, parts, scaled) = (vec![], None, None);
            let made = Backward { delta, updates, rule, state, parameters, parts, scaled };
            r.set(i, Op::Backward(Box::new(made)));
            Ok(())
        });
    }

    /// Consecutive gradients of tables → one op.
    pub(super) fn tables(&mut self) {
        let within = self.gradients;
        self.each("tables", |r, i| {
            let Op::EmbedGradient { features, gradient, tables } = r.op(i).clone() else {
                return Err(None);
            };
            let mut each = tables.each;
            while each.len() < TABLES
                && let Some(next) = r.nodes.get(i + 1)
                && let Op::EmbedGradient { features: f, gradient: g, tables: more } = &next.op
                && [*f, *g] == [features, gradient]
            {
                each.extend(more.each.clone());
                r.remove(i + 1);
            }
            if each.len() > 1 {
                let tables = TableGradients { each, within };
                r.set(i, Op::EmbedGradient { features, gradient, tables });
                return Ok(());
            }
            Err(None)
        });
    }
}

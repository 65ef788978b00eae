//! The rule that takes rows through a whole net in one op: the ops from the gathering of X to the loss, and
//! back to the gradients of all parameters, must be exactly those of a net, in order.

use super::{Refused, Routine, ensure};
use crate::kernels::fused::gradient::GradientParts;
use crate::kernels::fused::whole_net::{Embedded, LARGEST_BLOCK, NetLayer, NetLoss, WholeNet};
use crate::kernels::layers::activation::UnitFunctions;
use crate::kernels::layers::dropout::Dropout;
use crate::kernels::layers::norm::NormTensors;
use crate::kernels::optim::gradient_update::{NormParameters, ParameterGradient};
use crate::kernels::products::dense::Dense;
use crate::kernels::products::matmul::Form;
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::activation::Activation;
use crate::plan::program::Op;

/// The ops of a routine, from the first on.
struct Ops<'a> {
    routine: &'a Routine,
    /// The next op.
    at: usize,
}

impl Ops<'_> {
    /// The next op, if it is of this kind.
    fn take<T>(&mut self, kind: impl Fn(&Op) -> Option<T>) -> Option<T> {
        let found = kind(&self.routine.nodes.get(self.at)?.op)?;
        self.at += 1;
        Some(found)
    }

    /// The next op, which must be of this kind.
    fn require<T>(&mut self, what: Refused, kind: impl Fn(&Op) -> Option<T>) -> Result<T, Refused> {
        self.take(kind).ok_or(what)
    }
}

/// A net as the ops of a routine compute it.
struct Found {
    net: WholeNet,
    /// The argument of each σ in the plain program: Z, or Z normalized.
    before: Vec<TensorId>,
    /// The op that sums the scores, after the loss.
    accumulate: Option<Op>,
    gradients: Vec<ParameterGradient>,
    norms: Vec<NormParameters>,
}

impl Routine {
    /// Gathering, layers, loss, and in training the backward pass → `WholeNet`, followed by an op that keeps
    /// all gradients of the batch. The ops that compute gradients of tables from ∂E/∂X stay as they are.
    pub(super) fn whole_net(&mut self, trains: bool) -> Result<(), Refused> {
        let mut ops = Ops { routine: self, at: 0 };
        let mut found = forward(&mut ops)?;
        if trains {
            backward(&mut ops, &mut found)?;
        }
        let end = ops.at;
        let Found { mut net, accumulate, gradients, norms, .. } = found;
        ensure(trains || end == self.nodes.len(), "there are more ops after the outputs")?;
        net.layers.iter_mut().for_each(put_in_place);
        let arena = self.lay_out(&mut net);
        let mut made = vec![Op::WholeNet(Box::new(net))];
        made.extend(accumulate);
        if trains {
            let (Some(parts), rows) = (self.gradients, self.program.batch) else {
                return Err("there are no gradients");
            };
            let (layers, scores, adds, collected) = (gradients, None, false, None);
            let kept = GradientParts { layers, arena, parts, rows, scores, norms, adds, collected };
            made.push(Op::GradientParts(Box::new(kept)));
        }
        let made: Vec<_> = made.into_iter().map(|op| self.node(op)).collect();
        self.nodes.splice(..end, made);
        Ok(())
    }

    /// Puts all tensors with a row for each row of the batch, except the scores, into one buffer.
    fn lay_out(&mut self, net: &mut WholeNet) -> TensorId {
        let scores = net.loss.as_ref().map(|loss| loss.scores);
        let mut op = Op::WholeNet(Box::new(net.clone()));
        let ids: Vec<_> = op.tensors_mut().into_iter().map(|id| *id).collect();
        let p = &mut self.program;
        let of_rows = |id: &TensorId| p.tensor(*id).rows == Extent::Batch && Some(*id) != scores;
        let ids: Vec<_> = ids.into_iter().filter(of_rows).collect();
        net.arena = p.share_buffer("arena", &ids);
        net.arena
    }

    /// The first layer as a separate product, shared by more workgroups, if it is wide; with `parts`,
    /// gradients are split instead. Dropout of X and A₁ is only in the op of the whole net.
    pub(super) fn wide_input(&mut self, parts: bool) {
        /// The number of inputs from which the first layer is worth a launch.
        const WIDE: usize = 256;
        let Op::WholeNet(net) = self.op(0) else { return };
        let Some(first) = net.layers.first() else { return };
        // A softmax runs with the layers above, and tables are looked up by the op that gathers.
        let is_apart = net.embedded.is_none() && first.functions.is_some();
        if self.cols(net.x) < WIDE || parts || net.drops() || !is_apart {
            return;
        }
        let dense = Dense {
            input: net.x,
            gathers: true,
            weight: first.weight,
            bias: first.bias,
            functions: first.functions.clone(),
            z: first.z,
            a: first.a,
            partial_sums: None,
            overflows: None,
        };
        let net = WholeNet { from: 1, ..(**net).clone() };
        self.set(0, Op::WholeNet(Box::new(net)));
        self.insert(0, Op::Dense(Box::new(dense)));
    }
}

/// The ops up to the outputs, or to the loss.
fn forward(ops: &mut Ops<'_>) -> Result<Found, Refused> {
    let gathered = |op: &Op| match *op {
        Op::Gather { x } => Some((x, None)),
        Op::Augment { augmentation, x } => Some((x, Some(augmentation))),
        _ => None,
    };
    let (features, augmentation) = ops.require("rows are not gathered first", gathered)?;
    let (mut x, mut tables) = (features, Vec::new());
    let embed = |op: &Op| match *op {
        Op::Embed { lookup, features: of, table, x } if of == features => Some((lookup, table, x)),
        _ => None,
    };
    while let Some((lookup, table, to)) = ops.take(embed) {
        tables.push((lookup, table));
        x = to;
    }
    let mixup = ops.take(|op| (*op == Op::Mixup { x }).then_some(())).is_some();
    let input_dropout = ops.take(|op| dropped(op, x));
    let (mut layers, mut before, mut input) = (Vec::new(), Vec::new(), x);
    while let Some((layer, of)) = layer(ops, input) {
        input = layer.a;
        layers.push(layer);
        before.push(of);
    }
    ensure(!layers.is_empty(), "X is not the input of a layer")?;
    let program = &ops.routine.program;
    let (batch, parameters) = (program.batch, ops.routine.parameters);
    let loss = loss(ops, input, mixup)?;
    let is_sum = |op: &Op| matches!(op, Op::Accumulate { .. }).then(|| op.clone());
    let accumulate = match loss {
        Some(_) => Some(ops.require("scores are not added up", is_sum)?),
        None => None,
    };
    let embedded = (!tables.is_empty()).then_some(Embedded { features, tables, gradient: None });
    let block = batch.div_ceil(16).next_multiple_of(32).clamp(32, LARGEST_BLOCK);
    let net = WholeNet {
        from: 0,
        x,
        augmentation,
        input_dropout,
        embedded,
        mixup,
        layers,
        loss,
        block,
        // Their future places.
        arena: x,
        parameters,
    };
    Ok(Found { net, before, accumulate, gradients: Vec::new(), norms: Vec::new() })
}

/// A layer that reads `input`, and the argument of its σ.
fn layer(ops: &mut Ops<'_>, input: TensorId) -> Option<(NetLayer, TensorId)> {
    let is_parameter = |id| ops.routine.is_parameter(id);
    let (weight, bias, z) = match ops.routine.nodes.get(ops.at)?.op {
        Op::Matmul { form: Form::Nt, a, b, bias, c } if a == input && is_parameter(b) => {
            (b, bias, c)
        }
        _ => return None,
    };
    ops.at += 1;
    let running = ops.take(|op| match *op {
        Op::BatchStatistics { z: of, running, .. } if of == z => Some(running),
        _ => None,
    });
    let forward = ops.take(|op| match op {
        Op::Normalize(n) if n.z == z => Some(**n),
        _ => None,
    });
    // Predictions use the running statistics instead of the batch's.
    let norm = forward.map(|forward| NormTensors {
        forward,
        running: running.or(forward.statistics),
        backward: None,
    });
    let before = forward.map_or(z, |n| n.out);
    let skip = ops.take(|op| match *op {
        Op::Add { y, x } if x == before => Some(y),
        _ => None,
    });
    let activation = ops.take(|op| match op {
        Op::Softmax { z, y } if *z == before => Some((None, *y)),
        Op::Activation { functions, z, a } if *z == before => Some((Some(functions.clone()), *a)),
        _ => None,
    });
    let identity = || (Some(UnitFunctions::Same(Activation::Identity)), before);
    let (functions, a) = activation.unwrap_or_else(identity);
    let dropout = ops.take(|op| dropped(op, a));
    let delta = None;
    Some((NetLayer { weight, bias, functions, z, a, delta, dropout, norm, skip }, before))
}

/// The loss of outputs `y`, if it comes next.
fn loss(ops: &mut Ops<'_>, y: TensorId, mixup: bool) -> Result<Option<NetLoss>, Refused> {
    let targets = |op: &Op| match *op {
        Op::Targets { t } => Some(t),
        _ => None,
    };
    let Some(t) = ops.take(targets) else { return Ok(None) };
    let mixed = ops.take(|op| (*op == Op::Mixup { x: t }).then_some(())).is_some();
    ensure(mixed == mixup, "X and T are not mixed alike")?;
    let of = |op: &Op| match *op {
        Op::Loss { loss, y: of, t: to, unit, gradient, scores } if of == y && to == t => {
            Some(NetLoss { loss, t, unit, gradient, scores })
        }
        _ => None,
    };
    ops.require("the outputs are changed before the loss", of).map(Some)
}

/// From the loss's gradient to those of all parameters, and of X if it is embedded.
fn backward(ops: &mut Ops<'_>, found: &mut Found) -> Result<(), Refused> {
    let Found { net, before, gradients, norms, .. } = found;
    let mut delta = net.loss.as_ref().ok_or("there is no loss")?.gradient;
    for l in (0..net.layers.len()).rev() {
        let (below, above) = net.layers.split_at_mut(l + 1);
        let input = l.checked_sub(1).map_or(net.x, |l| below[l].a);
        let layer = &mut below[l];
        connected(ops, layer.a, above, delta)?;
        let dropout = ops.take(|op| dropped(op, delta));
        ensure(dropout == layer.dropout, "A and δ are not dropped alike")?;
        through(ops, layer, before[l], delta)?;
        layer.delta = Some(delta);
        if let Some(norm) = &mut layer.norm {
            let back = |op: &Op| match op {
                Op::NormalizeSums(n) if n.gradient == delta && n.of == norm.forward => Some(**n),
                _ => None,
            };
            let back = ops.require("a normalization has no way back", back)?;
            let same = |op: &Op| (*op == Op::NormalizeGradient(Box::new(back))).then_some(());
            ops.require("a normalization has no way back", same)?;
            norm.backward = Some(back);
            norms.push(NormParameters::new(&back));
        }
        let of_z = layer.delta_of_z().ok_or("a layer has no δ")?;
        gradients.push(gradient(ops, layer.weight, of_z, input)?);
        let embeds = net.embedded.is_some();
        if l == 0 && !embeds {
            break;
        }
        let weight = layer.weight;
        let product = |op: &Op| match *op {
            Op::Matmul { form: Form::Nn, a, b, c, .. } if a == of_z && b == weight => Some(c),
            _ => None,
        };
        delta = ops.require("δ goes no further back", product)?;
    }
    gradients.reverse();
    norms.reverse();
    let Some(embedded) = &mut net.embedded else { return Ok(()) };
    embedded.gradient = Some(delta);
    connected(ops, net.x, &net.layers, delta)?;
    let dropout = ops.take(|op| dropped(op, delta));
    ensure(dropout == net.input_dropout, "X and its gradient are not dropped alike")?;
    let mixed = ops.take(|op| (*op == Op::Mixup { x: delta }).then_some(())).is_some();
    ensure(mixed == net.mixup, "X and its gradient are not mixed alike")
}

/// Adds the gradients through residual connections from `a` to the layers `above`.
fn connected(
    ops: &mut Ops<'_>,
    a: TensorId,
    above: &[NetLayer],
    gradient: TensorId,
) -> Result<(), Refused> {
    let back = above.iter().filter(|layer| layer.skip == Some(a));
    for y in back.filter_map(|layer| layer.delta) {
        let add = |op: &Op| (*op == Op::Add { y, x: gradient }).then_some(());
        ops.require("a residual connection has no way back", add)?;
    }
    Ok(())
}

/// δ ⊙ σ′, or Jᵀ δ; nothing for the identity, where A is the argument of σ.
fn through(
    ops: &mut Ops<'_>,
    layer: &NetLayer,
    before: TensorId,
    delta: TensorId,
) -> Result<(), Refused> {
    let expected = match &layer.functions {
        None => Op::SoftmaxGradient { y: layer.a, delta },
        Some(_) if layer.a == before => return Ok(()),
        Some(functions) => {
            Op::ActivationGradient { functions: functions.clone(), z: before, delta }
        }
    };
    ops.require("δ doesn't go through σ′", |op| (*op == expected).then_some(()))
}

/// ∂E/∂W = δᵀ A, and ∂E/∂b = ± Σ_rows δ where there is a bias.
fn gradient(
    ops: &mut Ops<'_>,
    weight: TensorId,
    delta: TensorId,
    input: TensorId,
) -> Result<ParameterGradient, Refused> {
    let routine = ops.routine;
    let product = |op: &Op| match *op {
        Op::Matmul { form: Form::Tn, a, b, c, .. } if a == delta && b == input => {
            (routine.parameter(c) == Some(weight)).then_some(())
        }
        _ => None,
    };
    ops.require("a layer's gradient is not in its place", product)?;
    let bias = ops.take(|op| match *op {
        Op::ColumnSums { delta: of, sign, out } if of == delta => {
            routine.parameter(out).map(|bias| (bias, sign))
        }
        _ => None,
    });
    Ok(ParameterGradient { delta, input, weight, bias })
}

/// A in the place of the argument of σ, if σ′ follows from A.
fn put_in_place(layer: &mut NetLayer) {
    let Some(UnitFunctions::Same(of)) = &layer.functions else { return };
    if !of.derivative_follows_from_value() {
        return;
    }
    match &mut layer.norm {
        None => layer.z = layer.a,
        Some(norm) => {
            norm.forward.out = layer.a;
            if let Some(backward) = &mut norm.backward {
                backward.of.out = layer.a;
            }
        }
    }
}

/// The dropout of `x` by an op, if it is one.
fn dropped(op: &Op, x: TensorId) -> Option<Dropout> {
    match *op {
        Op::Dropout { dropout, x: of } if of == x => Some(dropout),
        _ => None,
    }
}

//! A pass of rows through the whole net: forward, or forward and backward.

use super::super::operand::{Launching, Operand, Text};
use super::super::{Program, Task};
use super::{normalize, normalize_gradient};
use crate::kernels::Launch;
use crate::kernels::fused::whole_net::{self, NetLayer, Reach, WholeNet};
use crate::kernels::tensor::TensorId;
use std::fmt::{self, Formatter};

pub fn tensors_mut(op: &mut WholeNet) -> Vec<&mut TensorId> {
    let mut all = vec![&mut op.x, &mut op.arena, &mut op.parameters];
    if let Some(of) = &mut op.loss {
        all.extend([&mut of.t, &mut of.unit, &mut of.gradient, &mut of.scores]);
    }
    for l in &mut op.layers {
        all.extend([&mut l.weight, &mut l.z, &mut l.a]);
        all.extend(l.bias.tensors_mut().chain(&mut l.delta));
        all.extend(l.functions.iter_mut().flat_map(Operand::tensors_mut));
        if let Some(norm) = &mut l.norm {
            all.extend(normalize::tensors_mut(&mut norm.forward));
            all.extend(&mut norm.running);
            all.extend(norm.backward.iter_mut().flat_map(normalize_gradient::tensors_mut));
        }
        all.extend(&mut l.skip);
    }
    if let Some(embedded) = &mut op.embedded {
        all.push(&mut embedded.features);
        all.extend(embedded.tables.iter_mut().map(|(_, table)| table));
        all.extend(&mut embedded.gradient);
    }
    all
}

/// The effects of a pass: A may take the place of Z, and the last δ that of the loss's gradient.
pub fn effects(op: &WholeNet, program: &Program) -> Vec<Task> {
    let (computed, layers) = op.layers.split_at(op.from.min(op.layers.len()));
    let trains = op.reach() == Reach::Deltas;
    let (mut reads, mut writes, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    match computed.last() {
        None => writes.push(op.x),
        Some(below) => {
            reads.push(below.a);
            reads.extend((trains && below.z != below.a).then_some(below.z));
        }
    }
    if let Some(embedded) = &op.embedded {
        writes.push(embedded.features);
        reads.extend(embedded.tables.iter().map(|(_, table)| *table));
        writes.extend(embedded.gradient.filter(|_| trains));
    }
    let in_place = |l: &NetLayer| l.a == l.before_activation() && l.functions.is_some();
    for layer in layers {
        reads.push(layer.weight);
        reads.extend(layer.bias.tensors());
        reads.extend(layer.functions.iter().flat_map(Operand::tensors));
        writes.push(layer.z);
        writes.extend((!in_place(layer)).then_some(layer.a));
        let Some(norm) = &layer.norm else { continue };
        reads.extend([norm.forward.scale, norm.forward.shift]);
        writes.extend([norm.forward.normal, norm.forward.out]);
        match (norm.running, norm.forward.statistics) {
            (Some(running), Some(statistics)) if trains => {
                writes.push(statistics);
                changes.push(running);
            }
            (running, _) => reads.extend(running),
        }
        let Some(backward) = norm.backward.filter(|_| trains) else { continue };
        writes.push(backward.delta);
        if layer.has_batch_norm() {
            writes.extend([backward.scale, backward.shift]);
        }
    }
    if let Some(loss) = &op.loss {
        reads.push(loss.unit);
        writes.extend([loss.t, loss.gradient, loss.scores]);
    }
    if trains {
        let last = op.layers.len().saturating_sub(1);
        let deltas = op.layers.iter().enumerate().filter_map(|(l, layer)| Some((l, layer.delta?)));
        let gradient = op.loss.as_ref().map(|loss| loss.gradient);
        let deltas = deltas.filter(|(l, delta)| *l != last || Some(*delta) != gradient);
        writes.extend(deltas.map(|(_, delta)| delta));
    }
    program.task(&reads, &writes, &changes)
}

pub fn launch(op: &WholeNet, on: &Launching<'_>) -> Launch {
    whole_net::launch(op, on.program.batch, on.storage, &|id| on.layout(id))
}

pub fn line(op: &WholeNet, _: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    let reach = match op.reach() {
        Reach::Outputs => "",
        Reach::Loss => ", loss",
        Reach::Deltas => ", loss, δ of all layers",
    };
    let embed = if op.embedded.is_some() { "embed, " } else { "" };
    let (layers, block) = (op.layers.len(), op.block);
    write!(f, "whole net            gather, {embed}{layers} layers{reach}: {block} rows at a time")
}

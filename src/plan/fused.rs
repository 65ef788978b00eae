//! The fused programs of a small net: whole rows through the whole net, then all parameters.

use super::plain::collect;
use super::update::{lamb, update};
use super::{
    ARENA, Layout, Plan, Purpose, Tensors, allocate, augmentation, dropout, functions, max_norm,
};
use crate::kernels::dense::Dense;
use crate::kernels::edits::Edit;
use crate::kernels::fused::{
    Companions, Embedded, FusedLayer, GradientUpdate, LARGEST_BLOCK, NormParameters,
    ParameterGradient, Reach, Rows,
};
use crate::kernels::gradient::{GradientParts, SumUpdate, part_rows};
use crate::optim::Optimizer;
use crate::program::{EmbeddingTensors, Op, Program, Routines};
use crate::spec::{Spec, Units};
use crate::tensor::{Extent, Role, TensorId};
use std::ops::Range;

/// The fused program of the CPU: the same numbers from two ops, of which the first takes a block
/// of rows through the whole net while it lies in cache, and the second gives each part of the
/// parameters its gradient and its step.
///
/// Where a step needs all gradients before it begins, the second keeps them and the ops of the plain
/// program follow. Tables of embeddings always have such ops.
#[must_use]
pub fn fused(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    let keeps = keeps_gradients(spec);
    let layout = match keeps || !spec.net.embeddings.is_empty() {
        true => Layout::ArenaAndGradients,
        false => Layout::Arena,
    };
    let mut tensors = allocate(spec, batch, purpose, layout);
    let pass = pass(spec, &mut tensors, 0);
    let accumulate = Op::Accumulate { scores: tensors.scores, sums: tensors.plan.sums };
    let rows = |reach| Op::Rows(Box::new(Rows { reach, ..pass.clone() }));
    let mut ops = vec![rows(Reach::Outputs)];
    let predict = 0..ops.len();
    ops.extend([rows(Reach::Loss), accumulate.clone()]);
    let evaluate = predict.end..ops.len();
    let mut routines = Routines { predict, evaluate, ..Routines::default() };
    if let Some(state) = tensors.state {
        let mut gradient = vec![rows(Reach::Deltas), accumulate];
        gradient.extend(tables(&pass, &mut tensors));
        if spec.accumulates() {
            let start = ops.len();
            ops.extend(gradient.iter().cloned());
            ops.extend(collected(spec, &mut tensors, &pass, false));
            routines.part = start..ops.len();
        }
        let start = ops.len();
        ops.extend(gradient);
        if keeps {
            ops.extend(collected(spec, &mut tensors, &pass, true));
            ops.extend(update(spec, &mut tensors));
        } else {
            ops.extend(steps(spec, &mut tensors, &pass, state));
        }
        ops.extend(max_norm(spec, &tensors));
        routines.step = start..ops.len();
    }
    tensors.plan.program.ops = ops;
    tensors.plan.program.routines = routines;
    let mut plan = tensors.finish(spec);
    average_beside_update(&mut plan.program);
    plan
}

/// Whether a step needs all gradients before it begins.
fn keeps_gradients(spec: &Spec) -> bool {
    let edits = &spec.edits;
    let has_tables = !spec.net.embeddings.is_empty();
    edits.clip_norm.is_some()
        || edits.clip_global_norm.is_some()
        || edits.noise > 0.0
        || matches!(spec.optimizer, Optimizer::Muon { .. })
        || has_tables && (spec.accumulates() || matches!(spec.optimizer, Optimizer::Lamb { .. }))
}

/// The ops that give tables of embeddings their gradients, by those of X.
fn tables(pass: &Rows, tensors: &mut Tensors) -> Vec<Op> {
    let embedded = pass.embedded.as_ref();
    let Some((embedded, gradient)) = embedded.and_then(|e| e.gradient.map(|g| (e, g))) else {
        return Vec::new();
    };
    let features = embedded.features;
    let mut add = |name: &str| tensors.plan.program.add(name, Role::Transient, Extent::Batch, 2);
    let [order, spare] = ["order", "order.spare"].map(&mut add);
    let mut ops = Vec::new();
    for EmbeddingTensors { place, gradient: of_table, .. } in tensors.plan.embeddings.clone() {
        let Some(out) = of_table else { continue };
        ops.push(Op::SortIndices { place, features, order, spare });
        ops.push(Op::EmbedGradient { place, order, gradient, out });
    }
    ops
}

/// What the gradients of layers are made from, and those of normalizations.
fn gradients_of(spec: &Spec, pass: &Rows) -> (Vec<ParameterGradient>, Vec<NormParameters>) {
    let mut input = pass.x;
    let mut layers = Vec::new();
    for (layer, fused) in spec.net.layers.iter().zip(&pass.layers) {
        let Some(delta) = fused.delta_of_z() else { continue };
        let bias = fused.bias.map(|(bias, _)| (bias, layer.bias.sign()));
        layers.push(ParameterGradient { delta, input, weight: fused.weight, bias });
        input = fused.a;
    }
    let norms = pass.layers.iter().filter_map(|layer| layer.norm.and_then(|norm| norm.backward));
    (layers, norms.map(|norm| NormParameters::new(&norm)).collect())
}

/// The gradients of a micro-batch added to those of the batch's earlier ones; or behind the last, the
/// gradients of the batch in their places.
fn collected(spec: &Spec, tensors: &mut Tensors, pass: &Rows, last: bool) -> Vec<Op> {
    let (layers, norms) = gradients_of(spec, pass);
    let rows = tensors.plan.program.batch;
    let keep = |parts, adds, collected| {
        let (layers, norms) = (layers.clone(), norms.clone());
        let (arena, scores) = (pass.arena, None);
        let parts = GradientParts { layers, arena, parts, rows, scores, norms, adds, collected };
        Op::GradientParts(Box::new(parts))
    };
    let has_tables = !spec.net.embeddings.is_empty();
    match (spec.accumulates(), tensors.gradients()) {
        (false, Some(g)) => vec![keep(g, false, None)],
        // Those of tables lie there already.
        (true, Some(g)) if has_tables => {
            let mut ops = vec![keep(g, false, None)];
            ops.extend(collect(tensors, last));
            ops
        }
        (true, Some(g)) if last => vec![keep(g, false, Some(tensors.collected()))],
        (true, _) => vec![keep(tensors.collected(), true, None)],
        (false, None) => vec![],
    }
}

/// The optimizer's step on each part of the layers' parameters as soon as its gradient is there, and on
/// the tables.
fn steps(spec: &Spec, tensors: &mut Tensors, pass: &Rows, state: [TensorId; 3]) -> Vec<Op> {
    let (layers, norms) = gradients_of(spec, pass);
    let (rule, w) = (tensors.rule, tensors.plan.parameters);
    let is_lamb = matches!(spec.optimizer, Optimizer::Lamb { .. });
    let (direction, behind) = match is_lamb.then(|| lamb(tensors)) {
        Some((u, steps)) => (Some(u), steps),
        None => (None, Vec::new()),
    };
    let with = Companions {
        collected: spec.accumulates().then(|| tensors.collected()),
        l1: spec.edits.l1,
        clip_value: spec.edits.clip_value,
        direction,
        average: None,
    };
    let (arena, scores) = (pass.arena, None);
    let update = GradientUpdate { layers, rule, state, arena, parameters: w, scores, norms, with };
    let mut ops = vec![Op::GradientUpdate(Box::new(update))];
    ops.extend(behind);
    if let (Some(range), Some(g)) = (tables_of(tensors), tensors.gradients()) {
        let edit = spec.edits.clip_value.map(|limit| Edit::ClipValue { limit });
        let tables = tensors.plan.embeddings.iter().filter_map(|table| table.gradient);
        ops.extend(tables.filter_map(|g| edit.map(|edit| Op::Edit { edit, g })));
        ops.push(Op::Update { rule, w, g, state, range });
    }
    ops
}

/// Where the tables of embeddings stand among the parameters: one behind the other.
fn tables_of(tensors: &Tensors) -> Option<Range<usize>> {
    let p = &tensors.plan.program;
    let mut ranges = tensors.plan.embeddings.iter().map(|table| p.range(table.table, 0));
    let first = ranges.next()?;
    Some(ranges.fold(first, |all, range| all.start.min(range.start)..all.end.max(range.end)))
}

/// Has the moving average of the parameters follow the update part by part, where it is the op behind
/// it: while the new parameters lie in cache.
fn average_beside_update(program: &mut Program) {
    let step = program.routines.step.clone();
    let has_tables = step.clone().any(|i| matches!(program.ops[i], Op::EmbedGradient { .. }));
    let Some([_, Op::Average { share, average, .. }]) = program.ops[step.clone()].last_chunk()
    else {
        return;
    };
    let (share, average) = (*share, *average);
    let (update, at) = (step.end - 2, step.end - 1);
    let Op::GradientUpdate(op) = &mut program.ops[update] else { return };
    if has_tables || op.with.direction.is_some() {
        return;
    }
    op.with.average = Some((share, average));
    program.ops.remove(at);
    let routines = &mut program.routines;
    routines.step.end = at;
    routines.swap = routines.swap.start - 1..routines.swap.end - 1;
}

/// The fused program with ops enough to fill a GPU, three at most for a step: a wide first layer
/// is an op of its own, or a long batch is cut into parts whose gradients are added up by another. Where a
/// step needs all gradients before it begins, they are kept, and the ops of the plain program follow.
#[must_use]
pub fn rows(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    /// Inputs from which on the first layer is worth a launch.
    const WIDE: usize = 256;
    let keeps = keeps_on_gpu(spec);
    let part = if keeps { batch } else { part_rows(&spec.net, batch) };
    // What it drops of X and A_1, only the op that does all drops beside.
    let drops = spec.net.differs_in_training();
    let from = usize::from(spec.net.inputs >= WIDE && part >= batch && !drops);
    let layout = if keeps { Layout::ArenaAndGradients } else { Layout::Arena };
    let mut tensors = allocate(spec, batch, purpose, layout);
    let pass = pass(spec, &mut tensors, from);
    let first = pass.layers[..from].iter().map(|layer| {
        Op::Dense(Box::new(Dense {
            input: pass.x,
            gathers: true,
            weight: layer.weight,
            bias: layer.bias,
            functions: layer.functions.clone(),
            z: layer.z,
            a: layer.a,
            parts: None,
        }))
    });
    let first: Vec<Op> = first.collect();
    let rows = |reach| Op::Rows(Box::new(Rows { reach, ..pass.clone() }));
    let mut ops = Vec::new();
    let mut routine = |ops_of: Vec<Op>| {
        let start = ops.len();
        ops.extend(first.iter().cloned().chain(ops_of));
        start..ops.len()
    };
    let accumulate = Op::Accumulate { scores: tensors.scores, sums: tensors.plan.sums };
    let predict = routine(vec![rows(Reach::Outputs)]);
    let evaluate = routine(vec![rows(Reach::Loss), accumulate]);
    let mut routines = Routines { predict, evaluate, ..Routines::default() };
    if let Some(state) = tensors.state {
        let mut of_step = vec![rows(Reach::Deltas)];
        if let Some(g) = tensors.gradients() {
            of_step.push(kept(spec, &tensors, &pass, g));
            if spec.accumulates() {
                let [part, last] = [false, true].map(|last| collect(&mut tensors, last));
                routines.part = routine(of_step.iter().cloned().chain(part).collect());
                of_step.extend(last);
            }
            of_step.extend(update(spec, &mut tensors));
        } else {
            of_step.extend(updates(spec, &mut tensors, &pass, state, part));
        }
        of_step.extend(max_norm(spec, &tensors));
        routines.step = routine(of_step);
    }
    tensors.plan.program.ops = ops;
    tensors.plan.program.routines = routines;
    tensors.finish(spec)
}

/// Whether a GPU's step needs all gradients before it begins: its kernels have no other way to edit them.
fn keeps_on_gpu(spec: &Spec) -> bool {
    !spec.edits.is_empty() || !spec.optimizer.is_element_wise() || spec.accumulates()
}

/// Whether [`rows`] takes a step of `spec` with `batch` rows: gradients that are kept are those of the whole
/// batch, which takes longer than to cut it where [`part_rows`] would.
pub(super) fn rows_take(spec: &Spec, batch: usize) -> bool {
    !keeps_on_gpu(spec) || part_rows(&spec.net, batch) >= batch
}

/// The gradients of all parameters in their places, with the sums of the scores beside them.
fn kept(spec: &Spec, tensors: &Tensors, pass: &Rows, parts: TensorId) -> Op {
    let (layers, norms) = gradients_of(spec, pass);
    let scores = Some([tensors.scores, tensors.plan.sums]);
    let (arena, rows, adds, collected) = (pass.arena, tensors.plan.program.batch, false, None);
    let of_all = GradientParts { layers, arena, parts, rows, scores, norms, adds, collected };
    Op::GradientParts(Box::new(of_all))
}

/// The gradients of all parameters over parts of `part` rows, and the step on them, with the sums of
/// the scores beside them.
fn updates(
    spec: &Spec,
    tensors: &mut Tensors,
    pass: &Rows,
    state: [TensorId; 3],
    part: usize,
) -> Vec<Op> {
    let (batch, parameters) = (tensors.plan.program.batch, tensors.plan.parameters);
    let scores = Some([tensors.scores, tensors.plan.sums]);
    let (layers, norms) = gradients_of(spec, pass);
    let (rule, arena, with) = (tensors.rule, pass.arena, Companions::default());
    if part >= batch {
        let update = GradientUpdate { layers, rule, state, arena, parameters, scores, norms, with };
        return vec![Op::GradientUpdate(Box::new(update))];
    }
    let p = &mut tensors.plan.program;
    let (count, len) = (Extent::Fixed(batch.div_ceil(part)), p.len(parameters));
    let parts = p.add("gradients.parts", Role::Gradient, count, len);
    let (rows, adds, collected) = (part, false, None);
    let of_parts = GradientParts { layers, arena, parts, rows, scores, norms, adds, collected };
    vec![
        Op::GradientParts(Box::new(of_parts)),
        Op::SumUpdate(Box::new(SumUpdate { parts, rule, parameters, state, scores: None })),
    ]
}

/// A pass over the rows that computes layers from `from` on, whatever its reach.
fn pass(spec: &Spec, tensors: &mut Tensors, from: usize) -> Rows {
    let (t, gradient) = (tensors.target(spec), tensors.output_gradient());
    let embedded = (!spec.net.embeddings.is_empty()).then(|| {
        let width = spec.net.input_width();
        let learns = tensors.state.is_some();
        Embedded {
            features: tensors.features(&spec.net),
            tables: tensors.plan.embeddings.iter().map(|e| (e.place, e.table)).collect(),
            gradient: learns.then(|| tensors.transient("input.gradient", width)),
        }
    });
    let arena = tensors.plan.program.add_whole(ARENA, "arena", Role::Transient);
    let p = &mut tensors.plan.program;
    let of_layers = &tensors.plan.layers;
    let output = |l: usize| l.checked_sub(1).map_or(tensors.x, |l| of_layers[l].a);
    let layers =
        spec.net.layers.iter().zip(of_layers).enumerate().map(|(l, (layer, t))| FusedLayer {
            weight: t.weight,
            bias: t.bias.map(|bias| (bias, layer.bias.sign())),
            functions: (layer.activation != Units::Softmax).then(|| functions(p, layer, t.z)),
            z: t.z,
            a: t.a,
            delta: t.delta,
            dropout: dropout(spec, l + 1),
            norm: t.norm,
            skip: (layer.skip > 0).then(|| output(l + 1 - layer.skip)),
        });
    let layers = layers.collect();
    Rows {
        reach: Reach::Outputs,
        from,
        x: tensors.x,
        augmentation: augmentation(spec),
        input_dropout: dropout(spec, 0),
        embedded,
        mixup: spec.mixup.is_some(),
        layers,
        loss: spec.objective.loss,
        t,
        unit: tensors.plan.unit,
        gradient,
        scores: tensors.scores,
        block: block(tensors.plan.program.batch),
        arena,
        parameters: tensors.plan.parameters,
    }
}

/// Rows of a block of a fused pass: enough for a matrix product to be fast, few enough to stay in
/// cache and to occupy all threads.
fn block(batch: usize) -> usize {
    batch.div_ceil(16).next_multiple_of(32).clamp(32, LARGEST_BLOCK)
}

//! From a spec to a program: the only place that knows the order of backpropagation.
//!
//! `plain` is the program as the mathematics names it. `rules` derive from it what gives the same numbers
//! from fewer ops, or in mixed precision; `fused` takes rows through the whole of a small net.

mod average;
mod fused;
mod plain;
mod rules;
mod update;
mod watched;

pub use fused::{fused, rows};
pub use plain::plain;
pub use rules::Verdict;
pub use watched::{Watch, Watched, watched};

use crate::activation::Activation;
use crate::augment::Augmentation;
use crate::kernels::activation::{UnitFunctions, unit_table};
use crate::kernels::dropout::Dropout;
use crate::kernels::embed::Place;
use crate::kernels::loss::SCORES;
use crate::kernels::norm::{Normalized, NormalizedGradient};
use crate::optim::{Optimizer, Rule};
use crate::precision::Precision;
use crate::program::{EmbeddingTensors, LayerGradients, LayerTensors, NormTensors, Op, Program};
use crate::random::{Stream, stream_key};
use crate::spec::{Bias, Layer, Net, Norm, PlanKind, Spec, Units};
use crate::tensor::{Extent, Role, TensorId};

/// A program for a spec, and where its tensors are.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The ops.
    pub program: Program,
    /// The tensors of each embedding; there are none in a fused plan.
    pub embeddings: Vec<EmbeddingTensors>,
    /// The tensors of each layer.
    pub layers: Vec<LayerTensors>,
    /// The net's output: (B, n_L).
    pub output: TensorId,
    /// The running sums of losses and scores: (1, 4).
    pub sums: TensorId,
    /// Users' units in one of ours, for each target: (1, targets).
    pub unit: TensorId,
    /// All parameters in one row.
    pub parameters: TensorId,
    /// What became of the rules that fuse its step; there are none in a plain program.
    pub rules: Vec<Verdict>,
}

impl Plan {
    /// The same in a program whose tensors have other numbers, and where some are gone.
    fn renumber(&mut self, place: &impl Fn(TensorId) -> Option<TensorId>) {
        let there = |id: TensorId| place(id).unwrap_or(id);
        for id in [&mut self.output, &mut self.sums, &mut self.unit, &mut self.parameters] {
            *id = there(*id);
        }
        for embedding in &mut self.embeddings {
            embedding.table = there(embedding.table);
            embedding.gradient = embedding.gradient.and_then(place);
        }
        for layer in &mut self.layers {
            (layer.weight, layer.bias) = (there(layer.weight), layer.bias.and_then(place));
            layer.a = there(layer.a);
            layer.z = place(layer.z).unwrap_or(layer.a);
            (layer.shadow, layer.delta) =
                (layer.shadow.and_then(place), layer.delta.and_then(place));
            layer.gradients = layer.gradients.and_then(|g| {
                let bias = g.bias.and_then(place);
                Some(LayerGradients { weight: place(g.weight)?, bias })
            });
            if let Some(norm) = &mut layer.norm {
                norm.renumber(place);
            }
        }
        for (id, _) in &mut self.program.constants {
            *id = there(*id);
        }
    }
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Training: with gradients and optimiser state.
    Train,
    /// Predictions and losses only.
    Evaluate,
}

/// Rows that predictions and losses take at a time: no more than there are, and fewer for a wide net.
#[must_use]
pub fn evaluation_rows(net: &Net, rows: usize) -> usize {
    let widest = net.shapes().map(|(out, cols)| out.max(cols)).max().unwrap_or(1);
    ((1 << 21) / widest).clamp(1, 1024).min(rows.max(1))
}

/// How a backend runs a spec in fewer ops than the plain program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fusion {
    /// It doesn't: the plain program.
    None,
    /// [`fused`]: a block of rows through the whole net while it lies in cache.
    Blocks,
    /// [`rows`]: the same with launches enough to fill a GPU.
    Rows,
    /// [`layers`]: about two ops for each layer, made by rules.
    Layers,
    /// [`layers`] in mixed precision.
    Mixed,
}

/// How `spec` is fused on a backend that can do it as `offered`: not at all where that isn't asked for. The
/// CPU's blocks take every feature but L-BFGS, whose steps the host leads. On a GPU, what takes rows through
/// the whole net takes no augmentation, mixup, embeddings, normalisations or residual connections: those are
/// ops beside those of layers. Mixed precision has one program, whatever is offered.
#[must_use]
pub fn fusion(spec: &Spec, offered: Fusion) -> Fusion {
    match spec.plan {
        _ if spec.precision == Precision::F16 => Fusion::Mixed,
        PlanKind::Plain => Fusion::None,
        PlanKind::Fused => {
            let is_led_by_host = spec.optimizer == Optimizer::Lbfgs;
            let is_one_pass = spec.net.is_plain()
                && spec.mixup.is_none()
                && spec.augment.is_none()
                && !is_led_by_host
                && fused::rows_take(spec, spec.rows_at_a_time());
            match offered {
                Fusion::Rows if !is_one_pass => Fusion::Layers,
                Fusion::Blocks if is_led_by_host => Fusion::None,
                offered => offered,
            }
        }
    }
}

/// The program that `spec` asks for, on a backend that fuses as `offered`.
#[must_use]
pub fn plan(spec: &Spec, batch: usize, purpose: Purpose, offered: Fusion) -> Plan {
    match fusion(spec, offered) {
        Fusion::None => plain(spec, batch, purpose),
        Fusion::Blocks => fused(spec, batch, purpose),
        Fusion::Rows => rows(spec, batch, purpose),
        Fusion::Layers | Fusion::Mixed => layers(spec, batch, purpose),
    }
}

/// The program of fused layers, in f32 or mixed precision as `spec` says: what rules make of the plain one.
///
/// A step of L layers takes 2L + 2 ops where all rules fire (one more behind a softmax), δ_l beside the
/// update of W_{l+2}; in mixed precision 3L + 4, since all updates wait for the last δ, which may still
/// overflow. [`Plan::rules`] says which fired, and why not.
#[must_use]
pub fn layers(spec: &Spec, batch: usize, purpose: Purpose) -> Plan {
    rules::derive(plain(spec, batch, purpose), spec.precision, &spec.mixed)
}

/// Where the tensors of a program lie. Parameters lie in one buffer, so that one op updates them
/// all: first all weights, then all tables of embeddings and all biases, so that one number tells what
/// is decayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Gradients in a second buffer, in the same places; everything else has a buffer of its own.
    Plain,
    /// What has a row for each row of the batch shares the second buffer, A takes the place of Z
    /// where the derivative follows from it, and gradients are not kept.
    Arena,
    /// As [`Layout::Arena`], with gradients in a third buffer, in the places of the parameters.
    ArenaAndGradients,
}

const PARAMETERS: usize = 0;
const ARENA: usize = 1;

impl Layout {
    /// Whether rows share a buffer.
    fn has_arena(self) -> bool {
        matches!(self, Layout::Arena | Layout::ArenaAndGradients)
    }

    /// The buffer of the gradients, where they are kept.
    fn gradients(self) -> Option<usize> {
        match self {
            Layout::Plain => Some(1),
            Layout::ArenaAndGradients => Some(2),
            Layout::Arena => None,
        }
    }

    /// The buffers that stand before all others.
    fn buffers(self) -> usize {
        match self {
            Layout::Plain | Layout::Arena => 2,
            Layout::ArenaAndGradients => 3,
        }
    }
}

/// The tensors of a spec before there are ops.
struct Tensors {
    plan: Plan,
    layout: Layout,
    x: TensorId,
    /// δ of each layer, in training.
    deltas: Vec<TensorId>,
    scores: TensorId,
    /// The rule of the update, and what it decays.
    rule: Rule,
    /// The states of the optimiser, in training.
    state: Option<[TensorId; 3]>,
}

impl Tensors {
    /// A new tensor with a row for each row of the batch.
    fn transient(&mut self, name: &str, cols: usize) -> TensorId {
        transient(&mut self.plan.program, self.layout, name.into(), cols)
    }

    /// The feature columns of a net that embeds some: (B, features).
    fn features(&mut self, net: &Net) -> TensorId {
        let found = self.plan.program.find("features");
        found.unwrap_or_else(|| self.transient("features", net.inputs))
    }

    /// T: (B, targets).
    fn target(&mut self, spec: &Spec) -> TensorId {
        self.transient("target", spec.objective.loss.targets(spec.net.outputs()))
    }

    /// ∂E/∂A_L: (B, n_L); in training the last layer's δ, which is made from it in place.
    fn output_gradient(&mut self) -> TensorId {
        let outputs = self.plan.program.tensor(self.plan.output).cols;
        match self.deltas.last() {
            Some(last) => *last,
            None => self.transient("output.gradient", outputs),
        }
    }

    /// All gradients in one row, in a layout that keeps them.
    fn gradients(&mut self) -> Option<TensorId> {
        let buffer = self.layout.gradients()?;
        let p = &mut self.plan.program;
        let found = p.find("gradients");
        Some(found.unwrap_or_else(|| p.add_whole(buffer, "gradients", Role::Gradient)))
    }

    /// The gradients of a batch's earlier micro-batches: (1, len).
    fn collected(&mut self) -> TensorId {
        const NAME: &str = "gradients.total";
        let p = &mut self.plan.program;
        let len = p.len(self.plan.parameters);
        p.find(NAME).unwrap_or_else(|| p.add(NAME, Role::Total, Extent::Fixed(1), len))
    }
}

fn transient(p: &mut Program, layout: Layout, name: String, cols: usize) -> TensorId {
    match layout.has_arena() {
        true => p.add_to(ARENA, name, Role::Transient, Extent::Batch, cols),
        false => p.add(name, Role::Transient, Extent::Batch, cols),
    }
}

/// The tensors that `spec` needs in every program.
fn allocate(spec: &Spec, batch: usize, purpose: Purpose, layout: Layout) -> Tensors {
    let net = &spec.net;
    let training = purpose == Purpose::Train;
    let mut p = Program::new(batch);
    p.buffers = vec![0; layout.buffers()];
    let x = transient(&mut p, layout, "input".into(), net.input_width());
    let (weights, places) = add_parameters(&mut p, net, PARAMETERS, Role::Parameter, "");
    let gradients = layout.gradients().filter(|_| training);
    let gradients =
        gradients.map(|buffer| add_parameters(&mut p, net, buffer, Role::Gradient, ".gradient").1);
    let embeddings = embeddings(net, &places, gradients.as_ref());
    let (mut layers, mut deltas) = (Vec::new(), Vec::new());
    for (l, (layer, (weight, bias))) in net.layers.iter().zip(places.layers).enumerate() {
        let out = layer.units;
        let name = |what: &str| format!("layers.{l}.{what}");
        let gradients = gradients.as_ref().map(|places| places.layers[l]);
        let gradients = gradients.map(|(weight, bias)| LayerGradients { weight, bias });
        let z = transient(&mut p, layout, name("z"), out);
        let in_place = match layer.activation {
            Units::Same(Activation::Identity) => true,
            Units::Same(activation) => {
                layout != Layout::Plain && activation.derivative_follows_from_value()
            }
            _ => false,
        };
        let a = match layer.norm {
            None if in_place => z,
            // In the place of what its normalization makes of Z.
            Some(_) if in_place && layout.has_arena() => z,
            _ => transient(&mut p, layout, name("a"), out),
        };
        let delta = training.then(|| transient(&mut p, layout, name("delta"), out));
        deltas.extend(delta);
        let of = LayerTensors { weight, shadow: None, bias, z, a, delta, gradients, norm: None };
        let norm = layer.norm.map(|norm| normalisation(&mut p, layout, l, norm, &of));
        let a = norm.filter(|_| a == z).map_or(a, |norm| norm.forward.out);
        layers.push(LayerTensors { norm, a, ..of });
    }

    let outputs = net.outputs();
    let output = layers.last().map_or(x, |t| t.a);
    let scores = p.add("scores", Role::Transient, Extent::Batch, SCORES);
    let sums = p.add("sums", Role::Metric, Extent::Fixed(1), SCORES);
    let targets = spec.objective.loss.targets(outputs);
    let unit = p.add("unit", Role::Constant, Extent::Fixed(1), targets);
    p.constants.push((unit, vec![1.0; targets]));
    let parameters = p.add_whole(PARAMETERS, "parameters", Role::Parameter);
    let state = training.then(|| {
        let len = p.len(parameters);
        let slots = spec.optimizer.state_slots();
        let mut state = |name, used: bool| {
            p.add(name, Role::State, Extent::Fixed(1), if used { len } else { 1 })
        };
        [
            state("optimizer.first", slots > 0),
            state("optimizer.second", slots > 1),
            state("optimizer.third", slots > 2),
        ]
    });
    let rules = Vec::new();
    let plan = Plan { program: p, embeddings, layers, output, sums, unit, parameters, rules };
    let decayed = if spec.decay_all { usize::MAX } else { weights };
    let rule = Rule { optimizer: spec.optimizer, decay: spec.weight_decay, decayed };
    Tensors { plan, layout, x, deltas, scores, rule, state }
}

/// W and b of every layer, and the tables of embeddings.
struct Places {
    layers: Vec<(TensorId, Option<TensorId>)>,
    tables: Vec<TensorId>,
}

/// The elements that all W take up, which stand before all else, and the places of all parameters,
/// with `suffix` behind their names.
fn add_parameters(
    p: &mut Program,
    net: &Net,
    buffer: usize,
    role: Role,
    suffix: &str,
) -> (usize, Places) {
    let mut add = |l: usize, what: &str, rows: usize, cols: usize| {
        p.add_to(buffer, format!("layers.{l}.{what}{suffix}"), role, Extent::Fixed(rows), cols)
    };
    let shapes = net.shapes().enumerate();
    let weights: Vec<_> = shapes.map(|(l, (out, cols))| add(l, "weight", out, cols)).collect();
    let len = p.buffers[buffer];
    let mut add_table = |i: usize, rows: usize, cols: usize| {
        let name = format!("embeddings.{i}.weight{suffix}");
        p.add_to(buffer, name, role, Extent::Fixed(rows), cols)
    };
    let tables = net.embeddings.iter().enumerate();
    let tables = tables.map(|(i, e)| add_table(i, e.values, e.dims)).collect();
    let mut add_bias = |l: usize, out: usize| {
        p.add_to(buffer, format!("layers.{l}.bias{suffix}"), role, Extent::Fixed(1), out)
    };
    let biases = net
        .layers
        .iter()
        .enumerate()
        .map(|(l, layer)| (layer.bias != Bias::None).then(|| add_bias(l, layer.units)));
    let biases: Vec<_> = biases.collect();
    (len, Places { layers: weights.into_iter().zip(biases).collect(), tables })
}

/// The embeddings of the last feature columns, one behind the other in the net's input.
fn embeddings(net: &Net, tables: &Places, gradients: Option<&Places>) -> Vec<EmbeddingTensors> {
    let mut at = net.copied_features();
    let tensors = net.embeddings.iter().zip(&tables.tables).enumerate();
    tensors
        .map(|(i, (embedding, &table))| {
            let place = Place {
                features: net.inputs,
                column: net.copied_features() + i,
                inputs: net.input_width(),
                at,
                values: embedding.values,
                dims: embedding.dims,
                copies: i == 0,
            };
            at += embedding.dims;
            EmbeddingTensors { place, table, gradient: gradients.map(|g| g.tables[i]) }
        })
        .collect()
}

/// What happens to the images of a batch in training.
fn augmentation(spec: &Spec) -> Option<Augmentation> {
    let key = stream_key(spec.seed, Stream::Augment, 0);
    spec.augment.map(|(augment, shape)| Augmentation::new(&augment, shape, key))
}

/// What dropout drops of the outputs of layer `l`, counted from 1, or of the inputs, `l` = 0.
fn dropout(spec: &Spec, l: usize) -> Option<Dropout> {
    let rate = match l.checked_sub(1) {
        Some(l) => spec.net.layers[l].dropout,
        None => spec.net.input_dropout,
    };
    let key = stream_key(spec.seed, Stream::Dropout, l as u64);
    (rate > 0.0).then_some(Dropout { rate, key })
}

/// What holds the weights within their largest norm, after a step.
fn max_norm(spec: &Spec, tensors: &Tensors) -> impl Iterator<Item = Op> {
    let layers = tensors.plan.layers.iter();
    let limit = spec.max_norm;
    layers.filter_map(move |t| limit.map(|limit| Op::MaxNorm { w: t.weight, limit }))
}

/// The tensors of a normalisation between `of.z` and the activation of layer `l`.
fn normalisation(
    p: &mut Program,
    layout: Layout,
    l: usize,
    norm: Norm,
    of: &LayerTensors,
) -> NormTensors {
    let n = p.tensor(of.z).cols;
    let name = |what: &str| format!("layers.{l}.norm.{what}");
    let pair = |p: &mut Program, buffer, role, suffix: &str| {
        ["weight", "bias"].map(|what| {
            let name = name(&format!("{what}{suffix}"));
            match buffer {
                Some(buffer) => p.add_to(buffer, name, role, Extent::Fixed(1), n),
                None => p.add(name, role, Extent::Fixed(1), n),
            }
        })
    };
    let [scale, shift] = pair(p, Some(PARAMETERS), Role::Parameter, "");
    let gradients = of.delta.map(|_| pair(p, layout.gradients(), Role::Gradient, ".gradient"));
    let is_batch = norm == Norm::Batch;
    let whole = |p: &mut Program, what: &str, role| p.add(name(what), role, Extent::Fixed(2), n);
    let forward = Normalized {
        z: of.z,
        statistics: is_batch.then(|| whole(p, "statistics", Role::Transient)),
        scale,
        shift,
        normal: transient(p, layout, name("normal"), n),
        out: transient(p, layout, name("out"), n),
    };
    let running = is_batch.then(|| whole(p, "running", Role::State));
    let backward = of.delta.zip(gradients).map(|(gradient, [scale, shift])| NormalizedGradient {
        of: forward,
        gradient,
        scale,
        shift,
        delta: transient(p, layout, name("delta"), n),
    });
    NormTensors { forward, running, backward }
}

/// The functions of a layer's units, with their table on the device where they differ.
fn functions(p: &mut Program, layer: &Layer, z: TensorId) -> UnitFunctions {
    match &layer.activation {
        Units::Same(activation) => UnitFunctions::Same(*activation),
        Units::Each(each) => {
            let name = p.tensor(z).name.replace(".z", ".units");
            let table = p.find(&name).unwrap_or_else(|| {
                let table = p.add(name, Role::Constant, Extent::Fixed(each.len()), 2);
                p.constants.push((table, unit_table(each)));
                table
            });
            UnitFunctions::Each(each.clone(), table)
        }
        Units::Softmax => UnitFunctions::Same(Activation::Identity),
    }
}

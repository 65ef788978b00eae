//! The tensors of a spec.

use super::{Plan, Purpose};
use crate::kernels::inputs::embed::Lookup;
use crate::kernels::layers::activation::{UnitFunctions, unit_table};
use crate::kernels::layers::norm::{Normalized, NormalizedGradient};
use crate::kernels::loss::SCORES;
use crate::kernels::tensor::{Extent, Role, TensorId};
use crate::math::activation::Activation;
use crate::math::optim::UpdateRule;
use crate::net::spec::{Bias, Layer, Net, Norm, Spec, Units};
use crate::plan::program::{EmbeddingTensors, LayerGradients, LayerTensors, NormTensors, Program};

/// Parameters share one buffer, so that one op updates them all: first all weights, then all tables of
/// embeddings and all biases, so that one offset separates what is decayed.
const PARAMETERS: usize = 0;
/// Gradients at the same offsets. All other tensors have their own buffers.
const GRADIENTS: usize = 1;

/// The tensors of a spec, before the ops.
pub(super) struct Tensors {
    pub(super) plan: Plan,
    pub(super) x: TensorId,
    pub(super) scores: TensorId,
    /// The rule of the update, and what it decays.
    pub(super) rule: UpdateRule,
}

impl Tensors {
    /// A new tensor with a row for each row of the batch.
    pub(super) fn transient(&mut self, name: &str, cols: usize) -> TensorId {
        transient(&mut self.plan.program, name, cols)
    }

    /// The feature columns of a net that embeds some: (B, features).
    pub(super) fn features(&mut self, net: &Net) -> TensorId {
        let found = self.plan.program.find("features");
        found.unwrap_or_else(|| self.transient("features", net.inputs))
    }

    /// T: (B, targets).
    pub(super) fn target(&mut self, spec: &Spec) -> TensorId {
        self.transient("target", spec.objective.loss.targets(spec.net.outputs()))
    }

    /// ∂E/∂A_L: (B, n_L); in training the last layer's δ, which is computed from it in place.
    pub(super) fn output_gradient(&mut self) -> TensorId {
        let outputs = self.plan.program.tensor(self.plan.output).cols;
        match self.plan.layers.last().and_then(|layer| layer.delta) {
            Some(last) => last,
            None => self.transient("output.gradient", outputs),
        }
    }

    /// All gradients in one row.
    pub(super) fn gradients(&mut self) -> TensorId {
        let Plan { program, gradients, .. } = &mut self.plan;
        let add = || program.add_whole(GRADIENTS, "gradients", Role::Gradient);
        *gradients.get_or_insert_with(add)
    }

    /// The gradients of a batch's earlier micro-batches: (1, len).
    pub(super) fn collected(&mut self) -> TensorId {
        const NAME: &str = "gradients.total";
        let p = &mut self.plan.program;
        let len = p.len(self.plan.parameters);
        p.find(NAME).unwrap_or_else(|| p.add(NAME, Role::Total, Extent::Fixed(1), len))
    }
}

fn transient(p: &mut Program, name: impl Into<String>, cols: usize) -> TensorId {
    p.add(name, Role::Transient, Extent::Batch, cols)
}

/// The tensors that `spec` needs in every program.
pub(super) fn allocate(spec: &Spec, batch: usize, purpose: Purpose) -> Tensors {
    let net = &spec.net;
    let training = purpose != Purpose::Evaluate;
    let mut p = Program::new(batch);
    p.buffers = vec![0; 2];
    let x = transient(&mut p, "input", net.input_width());
    let (weights, places) = add_parameters(&mut p, net, PARAMETERS, Role::Parameter, "");
    let gradients =
        training.then(|| add_parameters(&mut p, net, GRADIENTS, Role::Gradient, ".gradient").1);
    let embeddings = embeddings(net, &places, gradients.as_ref());
    let mut layers = Vec::new();
    for (l, (layer, (weight, bias))) in net.layers.iter().zip(places.layers).enumerate() {
        let out = layer.units;
        let name = |what: &str| format!("layers.{l}.{what}");
        let gradients = gradients.as_ref().map(|places| places.layers[l]);
        let gradients = gradients.map(|(weight, bias)| LayerGradients { weight, bias });
        let z = transient(&mut p, name("z"), out);
        let is_identity = layer.activation == Units::Same(Activation::Identity);
        let a = match layer.norm {
            None if is_identity => z,
            _ => transient(&mut p, name("a"), out),
        };
        let delta = training.then(|| transient(&mut p, name("delta"), out));
        let of = LayerTensors { weight, shadow: None, bias, z, a, delta, gradients, norm: None };
        let norm = layer.norm.map(|norm| normalisation(&mut p, l, norm, &of));
        layers.push(LayerTensors { norm, ..of });
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
    let plan = Plan {
        program: p,
        embeddings,
        layers,
        output,
        sums,
        unit,
        parameters,
        gradients: None,
        state,
        loss_scale: None,
        rules: Vec::new(),
    };
    let decayed = if spec.decay_all { usize::MAX } else { weights };
    let rule = UpdateRule { optimizer: spec.optimizer, decay: spec.weight_decay, decayed };
    Tensors { plan, x, scores, rule }
}

/// W and b of every layer, and the tables of embeddings.
struct Places {
    layers: Vec<(TensorId, Option<TensorId>)>,
    tables: Vec<TensorId>,
}

/// The number of elements of all W, which come first, and the places of all parameters,
/// with `suffix` appended to their names.
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

/// The embeddings of the last feature columns, one after the other in the net's input.
fn embeddings(net: &Net, tables: &Places, gradients: Option<&Places>) -> Vec<EmbeddingTensors> {
    let mut at = net.copied_features();
    let tensors = net.embeddings.iter().zip(&tables.tables).enumerate();
    tensors
        .map(|(i, (embedding, &table))| {
            let lookup = Lookup {
                features: net.inputs,
                column: net.copied_features() + i,
                inputs: net.input_width(),
                at,
                values: embedding.values,
                dims: embedding.dims,
                copies: i == 0,
            };
            at += embedding.dims;
            EmbeddingTensors { lookup, table, gradient: gradients.map(|g| g.tables[i]) }
        })
        .collect()
}

/// The tensors of a normalization between `of.z` and the activation of layer `l`.
fn normalisation(p: &mut Program, l: usize, norm: Norm, of: &LayerTensors) -> NormTensors {
    let n = p.tensor(of.z).cols;
    let name = |what: &str| format!("layers.{l}.norm.{what}");
    let pair = |p: &mut Program, buffer, role, suffix: &str| {
        ["weight", "bias"].map(|what| {
            p.add_to(buffer, name(&format!("{what}{suffix}")), role, Extent::Fixed(1), n)
        })
    };
    let [scale, shift] = pair(p, PARAMETERS, Role::Parameter, "");
    let gradients = of.delta.map(|_| pair(p, GRADIENTS, Role::Gradient, ".gradient"));
    let is_batch = norm == Norm::Batch;
    let whole = |p: &mut Program, what: &str, role| p.add(name(what), role, Extent::Fixed(2), n);
    let forward = Normalized {
        z: of.z,
        statistics: is_batch.then(|| whole(p, "statistics", Role::Transient)),
        scale,
        shift,
        normal: transient(p, name("normal"), n),
        out: transient(p, name("out"), n),
    };
    let running = is_batch.then(|| whole(p, "running", Role::State));
    let backward = of.delta.zip(gradients).map(|(gradient, [scale, shift])| NormalizedGradient {
        of: forward,
        gradient,
        scale,
        shift,
        delta: transient(p, name("delta"), n),
    });
    NormTensors { forward, running, backward }
}

/// The functions of a layer's units, with their table on the device where they differ.
pub(super) fn functions(p: &mut Program, layer: &Layer, z: TensorId) -> UnitFunctions {
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

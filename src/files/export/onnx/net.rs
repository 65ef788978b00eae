//! Nets as ONNX operations: (N, n_0) features to (N, n_L) outputs, in f32.

use super::graph::{Attribute, Graph, Name};
use super::proto::INT64;
use crate::backend::session::{LayerWeights, NormWeights};
use crate::kernels::layers::norm::EPSILON;
use crate::math::activation::{Activation, GELU_CUBIC, SELU_ALPHA, SELU_LAMBDA};
use crate::net::spec::{Bias, Net, Norm, Units};

/// The outputs of a net with these parameters.
pub fn outputs(graph: &mut Graph, features: &Name, net: &Net, weights: &[LayerWeights]) -> Name {
    // A₀, A₁, …
    let mut all = vec![input(graph, features, net, weights)];
    for (l, (layer, own)) in net.layers.iter().zip(weights).enumerate() {
        let below = all[l].clone();
        let (units, inputs) = (own.weight.rows(), own.weight.cols());
        let w = graph.floats(&[units, inputs], own.weight.data());
        let transposed = ("transB", Attribute::Int(1));
        let mut z = match &own.bias {
            Some(bias) => {
                let sign = if layer.bias == Bias::Subtract { -1.0 } else { 1.0 };
                let bias: Vec<f32> = bias.iter().map(|b| sign * b).collect();
                let bias = graph.floats(&[units], &bias);
                graph.node_with("Gemm", &[&below, &w, &bias], &[transposed])
            }
            None => graph.node_with("Gemm", &[&below, &w], &[transposed]),
        };
        if let (Some(norm), Some(own)) = (layer.norm, &own.norm) {
            z = normalize(graph, &z, norm, own);
        }
        if layer.skip > 0 {
            let from = all[l + 1 - layer.skip].clone();
            z = graph.node("Add", &[&z, &from]);
        }
        all.push(match &layer.activation {
            Units::Same(activation) => activate(graph, &z, *activation),
            Units::Each(each) => activate_each(graph, &z, each),
            Units::Softmax => graph.node_with("Softmax", &[&z], &[("axis", Attribute::Int(1))]),
        });
    }
    all.pop().unwrap_or_else(|| features.clone())
}

/// The features that aren't embedded, and then the rows of each embedding's table: (N, n_0).
fn input(graph: &mut Graph, features: &Name, net: &Net, weights: &[LayerWeights]) -> Name {
    let tables = weights.first().map_or(&[][..], |first| &first.embeddings);
    if tables.is_empty() {
        return features.clone();
    }
    let copied = net.copied_features();
    let mut parts = Vec::new();
    if copied > 0 {
        parts.push(graph.columns(features, 0, copied));
    }
    for (i, table) in tables.iter().enumerate() {
        let index = graph.columns(features, copied + i, copied + i + 1);
        let axis = graph.ints(&[1], &[1]);
        let index = graph.node("Squeeze", &[&index, &axis]);
        let index = graph.cast(&index, INT64);
        let table = graph.floats(&[table.rows(), table.cols()], table.data());
        parts.push(graph.node("Gather", &[&table, &index]));
    }
    graph.beside(&parts)
}

/// γ x̂ + β.
fn normalize(graph: &mut Graph, z: &Name, norm: Norm, own: &NormWeights) -> Name {
    let units = own.scale.len();
    let row = [1, units];
    match (norm, &own.running) {
        (Norm::Batch, Some([mean, variance])) => {
            // One product and one sum for each unit.
            let scale = |u: usize| {
                f64::from(own.scale[u]) / (f64::from(variance[u]) + f64::from(EPSILON)).sqrt()
            };
            let scales: Vec<f32> = (0..units).map(|u| scale(u) as f32).collect();
            let shift = |u: usize| f64::from(own.shift[u]) - f64::from(mean[u]) * scale(u);
            let shifts: Vec<f32> = (0..units).map(|u| shift(u) as f32).collect();
            let scales = graph.floats(&row, &scales);
            let shifts = graph.floats(&row, &shifts);
            let z = graph.node("Mul", &[z, &scales]);
            graph.node("Add", &[&z, &shifts])
        }
        (Norm::Layer | Norm::Batch, _) => {
            let mean = |graph: &mut Graph, x: &Name| {
                graph.node_with("ReduceMean", &[x], &[("axes", Attribute::Ints(vec![1]))])
            };
            let center = mean(graph, z);
            let centered = graph.node("Sub", &[z, &center]);
            let squares = graph.node("Mul", &[&centered, &centered]);
            let variance = mean(graph, &squares);
            let epsilon = graph.float(EPSILON);
            let variance = graph.node("Add", &[&variance, &epsilon]);
            let deviation = graph.node("Sqrt", &[&variance]);
            let x = graph.node("Div", &[&centered, &deviation]);
            let scale = graph.floats(&row, &own.scale);
            let shift = graph.floats(&row, &own.shift);
            let x = graph.node("Mul", &[&x, &scale]);
            graph.node("Add", &[&x, &shift])
        }
    }
}

/// σ for units that each have their own: neighbors with the same one together.
fn activate_each(graph: &mut Graph, z: &Name, each: &[Activation]) -> Name {
    let mut parts = Vec::new();
    let mut begin = 0;
    for group in each.chunk_by(|a, b| a == b) {
        let part = graph.columns(z, begin, begin + group.len());
        parts.push(activate(graph, &part, group[0]));
        begin += group.len();
    }
    graph.beside(&parts)
}

/// σ(z).
fn activate(graph: &mut Graph, z: &Name, activation: Activation) -> Name {
    let alpha = |x: f32| [("alpha", Attribute::Float(x))];
    let relu6 = |graph: &mut Graph, z: &Name| {
        let [least, most] = [0.0, 6.0].map(|v| graph.floats(&[], &[v]));
        graph.node("Clip", &[z, &least, &most])
    };
    match activation {
        Activation::Identity => z.clone(),
        Activation::Sigmoid => graph.node("Sigmoid", &[z]),
        Activation::Tanh => graph.node("Tanh", &[z]),
        Activation::Relu => graph.node("Relu", &[z]),
        Activation::Relu6 => relu6(graph, z),
        Activation::LeakyRelu(slope) => graph.node_with("LeakyRelu", &[z], &alpha(slope)),
        Activation::Elu(a) => graph.node_with("Elu", &[z], &alpha(a)),
        Activation::Selu => {
            let gamma = ("gamma", Attribute::Float(SELU_LAMBDA as f32));
            graph.node_with("Selu", &[z], &[("alpha", Attribute::Float(SELU_ALPHA as f32)), gamma])
        }
        Activation::Gelu => {
            let [root, one, half] =
                [std::f32::consts::FRAC_1_SQRT_2, 1.0, 0.5].map(|v| graph.float(v));
            let inner = graph.node("Mul", &[z, &root]);
            let erf = graph.node("Erf", &[&inner]);
            let twice = graph.node("Add", &[&erf, &one]);
            let cdf = graph.node("Mul", &[&twice, &half]);
            graph.node("Mul", &[z, &cdf])
        }
        Activation::GeluTanh => {
            let root = (2.0 / std::f64::consts::PI).sqrt() as f32;
            let [root, cubic, one, half] =
                [root, GELU_CUBIC as f32, 1.0, 0.5].map(|v| graph.float(v));
            let square = graph.node("Mul", &[z, z]);
            let factor = graph.node("Mul", &[&square, &cubic]);
            let factor = graph.node("Add", &[&factor, &one]);
            let inner = graph.node("Mul", &[z, &factor]);
            let inner = graph.node("Mul", &[&inner, &root]);
            let tanh = graph.node("Tanh", &[&inner]);
            let twice = graph.node("Add", &[&tanh, &one]);
            let share = graph.node("Mul", &[&twice, &half]);
            graph.node("Mul", &[z, &share])
        }
        Activation::Silu => {
            let share = graph.node("Sigmoid", &[z]);
            graph.node("Mul", &[z, &share])
        }
        Activation::Softplus => graph.node("Softplus", &[z]),
        Activation::Softsign => graph.node("Softsign", &[z]),
        Activation::Mish => {
            let softplus = graph.node("Softplus", &[z]);
            let tanh = graph.node("Tanh", &[&softplus]);
            graph.node("Mul", &[z, &tanh])
        }
        Activation::HardSigmoid | Activation::HardSwish => {
            let [three, sixth] = [3.0, 1.0 / 6.0].map(|v| graph.float(v));
            let moved = graph.node("Add", &[z, &three]);
            let clipped = relu6(graph, &moved);
            let share = graph.node("Mul", &[&clipped, &sixth]);
            match activation {
                Activation::HardSwish => graph.node("Mul", &[z, &share]),
                _ => share,
            }
        }
        Activation::Sine => graph.node("Sin", &[z]),
        Activation::Gaussian => {
            let square = graph.node("Mul", &[z, z]);
            let minus = graph.node("Neg", &[&square]);
            graph.node("Exp", &[&minus])
        }
    }
}

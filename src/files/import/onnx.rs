//! ONNX graphs that are chains of dense layers, as `torch.onnx.export`, `skl2onnx` and this program write
//! them.

use super::constants::{attribute, class_names, op, values};
use super::{Dense, Parts};
use crate::base::error::{Error, Result};
use crate::data::Affine;
use crate::files::export::onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use crate::math::activation::Activation;
use crate::math::matrix::Matrix;
use prost::Message;
use std::collections::{HashMap, HashSet};

/// Operations after the probabilities of classifiers that don't belong to the net.
const BEHIND: [&str; 17] = [
    "ArgMax",
    "ArrayFeatureExtractor",
    "Cast",
    "CategoryMapper",
    "Concat",
    "Identity",
    "LabelEncoder",
    "Reshape",
    "Squeeze",
    "Sub",
    "TopK",
    "Unsqueeze",
    "ZipMap",
    "Flatten",
    "Slice",
    "Equal",
    "Where",
];

/// The parts of an ONNX file.
///
/// # Errors
/// For what isn't one, and for operations that aren't part of a chain of dense layers, by name.
pub(super) fn parts(bytes: &[u8]) -> Result<Parts> {
    let model = ModelProto::decode(bytes).map_err(|e| {
        Error::data(format!("not an ONNX file: {e}")).help("give a complete file of an exporter")
    })?;
    let graph = model.graph.as_ref().filter(|graph| !graph.node.is_empty()).ok_or_else(|| {
        Error::data("an ONNX file without operations").help("give a complete file of an exporter")
    })?;
    let mut chain = Chain::new(graph)?;
    while chain.step()? {}
    let Chain { layers, shift, scale, is_probability, .. } = chain;
    let scaling = match (shift.is_empty(), scale.is_empty()) {
        (true, true) => None,
        _ => {
            let cols = layers.first().map_or(0, |first| first.weight.cols());
            let spread = |values: Vec<f32>, usual: f32| match values.len() {
                0 => vec![usual; cols],
                1 => vec![values[0]; cols],
                _ => values,
            };
            Some(Affine { shift: spread(shift, 0.0), scale: spread(scale, 1.0) })
        }
    };
    if let (Some(scaling), Some(first)) = (&scaling, layers.first())
        && [scaling.shift.len(), scaling.scale.len()] != [first.weight.cols(); 2]
    {
        return Err(Error::data(
            "the scaling and the first layer have different numbers of inputs",
        )
        .help("give a net that scales its inputs column by column, or none"));
    }
    Ok(Parts { layers, scaling, classes: is_probability.then(|| class_names(&model, graph)) })
}

/// The chain of operations from the input on.
struct Chain<'a> {
    constants: HashMap<&'a str, &'a TensorProto>,
    nodes: Vec<&'a NodeProto>,
    outputs: HashSet<&'a str>,
    /// The current tensor.
    at: &'a str,
    layers: Vec<Dense>,
    /// Whether the current tensor is W x + b of the last layer.
    is_linear: bool,
    /// The scaling of the input so far: (x − shift) · scale.
    shift: Vec<f32>,
    scale: Vec<f32>,
    is_probability: bool,
}

impl<'a> Chain<'a> {
    fn new(graph: &'a GraphProto) -> Result<Self> {
        let mut constants: HashMap<&str, &TensorProto> = HashMap::new();
        for tensor in &graph.initializer {
            constants.insert(tensor.name.as_deref().unwrap_or_default(), tensor);
        }
        for node in graph.node.iter().filter(|node| op(node) == "Constant") {
            let value = attribute(node, "value").and_then(|a| a.t.as_ref());
            constants.extend(node.output.first().map(String::as_str).zip(value));
        }
        let names = graph.input.iter().filter_map(|input| input.name.as_deref());
        let inputs: Vec<&str> = names.filter(|name| !constants.contains_key(name)).collect();
        let [at] = inputs[..] else {
            return Err(Error::data(format!("{} inputs: {}", inputs.len(), inputs.join(", ")))
                .help("only a net with a single input, (N, features), can be imported; for tables, train with wgrad"));
        };
        let nodes = graph.node.iter().filter(|node| op(node) != "Constant").collect();
        let outputs = graph.output.iter().filter_map(|output| output.name.as_deref()).collect();
        let (layers, shift, scale) = Default::default();
        let (is_linear, is_probability) = (false, false);
        Ok(Chain { constants, nodes, outputs, at, layers, is_linear, shift, scale, is_probability })
    }

    /// Takes the next operation; false at the end.
    fn step(&mut self) -> Result<bool> {
        let at = self.at;
        let takes = |node: &&&NodeProto| node.input.iter().any(|input| input == at);
        let next: Vec<&NodeProto> = self.nodes.iter().filter(takes).copied().collect();
        if self.is_probability {
            return self.check_rest();
        }
        let node = match next[..] {
            [] if self.outputs.contains(at) => return Ok(false),
            [] => return Err(refused("the chain ends before its output")),
            [node] => node,
            [node, ..] => {
                return Err(refused(&format!(
                    "{at:?} goes to {} operations, one of them {}",
                    next.len(),
                    op(node)
                )));
            }
        };
        self.take(node)?;
        self.at = node.output.first().map_or("", String::as_str);
        Ok(true)
    }

    fn take(&mut self, node: &'a NodeProto) -> Result<()> {
        let activation = |chain: &mut Self, activation: Activation| {
            match chain.layers.last_mut() {
                Some(last) if last.activation == Activation::Identity => {
                    last.activation = activation
                }
                _ => return Err(refused(&format!("{} that follows no dense layer", op(node)))),
            }
            chain.is_linear = false;
            Ok(())
        };
        let float =
            |name: &str, usual: f32| attribute(node, name).and_then(|a| a.f).unwrap_or(usual);
        match op(node) {
            "Identity" | "Dropout" | "Flatten" | "Reshape" | "Cast" | "Squeeze" => Ok(()),
            "Gemm" => self.gemm(node),
            "MatMul" => {
                let weight = self.matrix(node, 1)?;
                let bias = vec![0.0; weight.cols()];
                self.push(transposed(&weight), bias);
                Ok(())
            }
            "Add" | "Sub" | "Mul" | "Div" => self.arithmetic(node),
            "Scaler" => {
                let floats = |name: &str| attribute(node, name).map(|a| a.floats.clone());
                if !self.layers.is_empty() || !self.shift.is_empty() || !self.scale.is_empty() {
                    return Err(refused("a Scaler after another operation"));
                }
                self.shift = floats("offset").unwrap_or_default();
                self.scale = floats("scale").unwrap_or_default();
                Ok(())
            }
            "Relu" => activation(self, Activation::Relu),
            "Sigmoid" => {
                // The sigmoid of a single output, followed only by labels.
                activation(self, Activation::Sigmoid)?;
                let single = self.layers.last().is_some_and(|last| last.weight.rows() == 1);
                let name = node.output.first().map_or("", String::as_str);
                let reaches = |n: &&NodeProto| {
                    ["Gemm", "MatMul"].contains(&op(n)) && n.input.iter().any(|i| i == name)
                };
                if single && !self.nodes.iter().any(reaches) {
                    self.layers
                        .iter_mut()
                        .last()
                        .iter_mut()
                        .for_each(|l| l.activation = Activation::Identity);
                    self.is_probability = true;
                }
                Ok(())
            }
            "Tanh" => activation(self, Activation::Tanh),
            "LeakyRelu" => activation(self, Activation::LeakyRelu(float("alpha", 0.01))),
            "Elu" => activation(self, Activation::Elu(float("alpha", 1.0))),
            "Selu" => activation(self, Activation::Selu),
            "Softplus" => activation(self, Activation::Softplus),
            "Softsign" => activation(self, Activation::Softsign),
            "Mish" => activation(self, Activation::Mish),
            "HardSwish" => activation(self, Activation::HardSwish),
            "Sin" => activation(self, Activation::Sine),
            "Gelu" => {
                let form = attribute(node, "approximate").and_then(|a| a.s.clone());
                let is_tanh = form.as_deref() == Some(b"tanh");
                activation(self, if is_tanh { Activation::GeluTanh } else { Activation::Gelu })
            }
            "HardSigmoid"
                if (float("alpha", 0.2) * 6.0 - 1.0).abs() < 1e-6 && float("beta", 0.5) == 0.5 =>
            {
                activation(self, Activation::HardSigmoid)
            }
            "Softmax" | "LogSoftmax" if self.is_linear => {
                self.is_probability = true;
                Ok(())
            }
            other => Err(refused(&format!("the operation {other}"))),
        }
    }

    fn push(&mut self, weight: Matrix<f32>, bias: Vec<f32>) {
        self.layers.push(Dense { weight, bias, activation: Activation::Identity });
        self.is_linear = true;
    }

    fn gemm(&mut self, node: &'a NodeProto) -> Result<()> {
        let float = |name: &str| attribute(node, name).and_then(|a| a.f).unwrap_or(1.0);
        let flag = |name: &str| attribute(node, name).and_then(|a| a.i).unwrap_or(0) != 0;
        if flag("transA") || float("alpha") != 1.0 || float("beta") != 1.0 {
            return Err(refused("a Gemm with alpha, beta or transA"));
        }
        let weight = self.matrix(node, 1)?;
        let weight = if flag("transB") { weight } else { transposed(&weight) };
        let units = weight.rows();
        let bias = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => spread(self.values(name)?, units, "Gemm")?,
            None => vec![0.0; units],
        };
        self.push(weight, bias);
        Ok(())
    }

    /// A sum or product with a constant: a part of the layer before, or of the scaling of the inputs.
    fn arithmetic(&mut self, node: &'a NodeProto) -> Result<()> {
        let is_first = node.input.first().is_some_and(|input| input == self.at);
        let other = node.input.get(usize::from(is_first)).map_or("", String::as_str);
        let values = self.values(other)?;
        let what = op(node);
        if !is_first && ["Sub", "Div"].contains(&what) {
            return Err(refused(&format!("a {what} from a constant")));
        }
        let is_product = ["Mul", "Div"].contains(&what);
        let values: Vec<f32> = match what {
            "Sub" => values.iter().map(|x| -x).collect(),
            "Div" => values.iter().map(|x| 1.0 / x).collect(),
            _ => values,
        };
        let Some(last) = self.layers.last_mut() else {
            return match (is_product, self.scale.is_empty(), self.shift.is_empty()) {
                (false, true, true) => {
                    self.shift = values.iter().map(|x| -x).collect();
                    Ok(())
                }
                (true, true, _) => {
                    self.scale = values;
                    Ok(())
                }
                _ => Err(refused(&format!("{what} before the first layer, after another scaling"))),
            };
        };
        if !self.is_linear {
            return Err(refused(&format!("a {what} after an activation")));
        }
        let units = last.bias.len();
        let values = spread(values, units, what)?;
        match is_product {
            false => last.bias.iter_mut().zip(&values).for_each(|(b, x)| *b += x),
            true => {
                let cols = last.weight.cols();
                let rows = last.weight.data_mut().chunks_exact_mut(cols.max(1));
                rows.zip(&values).for_each(|(row, x)| row.iter_mut().for_each(|w| *w *= x));
                last.bias.iter_mut().zip(&values).for_each(|(b, x)| *b *= x);
            }
        }
        Ok(())
    }

    /// After probabilities, only operations that name classes are allowed.
    fn check_rest(&self) -> Result<bool> {
        let mut reached: HashSet<&str> = HashSet::from([self.at]);
        for node in &self.nodes {
            if node.input.iter().any(|input| reached.contains(input.as_str())) {
                if !BEHIND.contains(&op(node)) {
                    return Err(refused(&format!(
                        "the operation {} after the probabilities",
                        op(node)
                    )));
                }
                reached.extend(node.output.iter().map(String::as_str));
            }
        }
        Ok(false)
    }

    fn constant(&self, name: &str) -> Result<&'a TensorProto> {
        self.constants
            .get(name)
            .copied()
            .ok_or_else(|| refused(&format!("{name:?}, which is not a constant")))
    }

    fn values(&self, name: &str) -> Result<Vec<f32>> {
        values(self.constant(name)?)
    }

    /// The constant input of a product, whose other input is the current tensor.
    fn matrix(&self, node: &NodeProto, place: usize) -> Result<Matrix<f32>> {
        if node.input.first().is_none_or(|input| input != self.at) {
            return Err(refused(&format!("{} of a constant with the inputs", op(node))));
        }
        let tensor = self.constant(node.input.get(place).map_or("", String::as_str))?;
        let shape: Vec<usize> =
            tensor.dims.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
        let [rows, cols] = shape[..] else {
            return Err(refused(&format!("{} with a tensor of shape {shape:?}", op(node))));
        };
        Matrix::new(rows, cols, values(tensor)?)
    }
}

fn refused(what: &str) -> Error {
    Error::data(format!("not a chain of dense layers: {what}")).help(
        "only nets of dense layers can be imported: Gemm, or MatMul and Add, with activations between, and softmax or sigmoid at the end",
    )
}

fn transposed(m: &Matrix<f32>) -> Matrix<f32> {
    Matrix::from_fn(m.cols(), m.rows(), |r, c| m.row(c)[r])
}

/// A value for each unit.
fn spread(values: Vec<f32>, units: usize, what: &str) -> Result<Vec<f32>> {
    match values.len() {
        1 => Ok(vec![values[0]; units]),
        n if n == units => Ok(values),
        n => Err(refused(&format!("{what} with {n} values for {units} units"))),
    }
}

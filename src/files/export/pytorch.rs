//! PyTorch: weights as safetensors under the names of an `nn.Sequential`, and a README with the lines that
//! build it, load them and predict.

use super::description::{Description, Inputs, Output, Step};
use crate::backend::session::{LayerWeights, NormWeights};
use crate::base::error::{Error, Result};
use crate::data::{DoubleAffine, Scaler, TargetScaling};
use crate::kernels::layers::norm::EPSILON;
use crate::math::activation::Activation;
use crate::math::loss::Link;
use crate::net::spec::{Bias, Net, Norm, Units};
use safetensors::tensor::{Dtype, TensorView};
use std::fmt::Write;

/// The first line of the README.
pub const TITLE: &str = "# A net trained by wgrad, for PyTorch";

/// A tensor's name, type, shape and bytes.
type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// The bytes of the safetensors file, named `file`, and its README.
///
/// # Errors
/// For what an `nn.Sequential` doesn't have: residual connections, and functions without a module.
pub fn write(description: &Description, file: &str) -> Result<(Vec<u8>, String)> {
    let modules = modules(description.net)?;
    let mut tensors = Vec::new();
    for (k, weights) in description.members.iter().enumerate() {
        let of = if description.members.len() > 1 { format!("{k}.") } else { String::new() };
        net_tensors(&of, description.net, weights, &mut tensors);
    }
    let scaling = Numbers::of(description);
    if let Some(numbers) = &scaling {
        tensors.extend(numbers.tensors());
    }
    let views: Vec<(&str, TensorView)> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            view.map(|view| (name.as_str(), view))
        })
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| Error::failed(format!("the tensors can't be written: {e}")))?;
    let bytes = safetensors::serialize(views, None)
        .map_err(|e| Error::failed(format!("the tensors can't be written: {e}")))?;
    Ok((bytes, readme(description, file, &modules, scaling.is_some())))
}

/// The modules of the sequence.
fn modules(net: &Net) -> Result<Vec<String>> {
    let mut modules = Vec::new();
    if !net.embeddings.is_empty() {
        modules.push("Embed()".to_string());
    }
    for (l, (layer, (units, inputs))) in net.layers.iter().zip(net.shapes()).enumerate() {
        let place = || format!("layer {}", l + 1);
        let refuse = |what: &str| {
            Err(Error::usage(format!("an nn.Sequential has no {what}"))
                .at(place())
                .help("export ONNX, C or Rust, which have it"))
        };
        if layer.skip > 0 {
            return refuse("residual connections");
        }
        let bias = if layer.bias == Bias::None { ", bias=False" } else { "" };
        modules.push(format!("nn.Linear({inputs}, {units}{bias})"));
        match layer.norm {
            Some(Norm::Batch) => modules.push(format!("nn.BatchNorm1d({units}, eps={EPSILON:?})")),
            Some(Norm::Layer) => modules.push(format!("nn.LayerNorm({units}, eps={EPSILON:?})")),
            None => {}
        }
        modules.push(match &layer.activation {
            Units::Softmax => "nn.Softmax(dim=1)".into(),
            Units::Each(_) => return refuse("layer with a separate activation for each unit"),
            Units::Same(activation) => match activation {
                Activation::Identity => continue,
                Activation::Sigmoid => "nn.Sigmoid()".into(),
                Activation::Tanh => "nn.Tanh()".into(),
                Activation::Relu => "nn.ReLU()".into(),
                Activation::Relu6 => "nn.ReLU6()".into(),
                Activation::LeakyRelu(slope) => format!("nn.LeakyReLU({slope:?})"),
                Activation::Elu(alpha) => format!("nn.ELU({alpha:?})"),
                Activation::Selu => "nn.SELU()".into(),
                Activation::Gelu => "nn.GELU()".into(),
                Activation::GeluTanh => "nn.GELU(approximate=\"tanh\")".into(),
                Activation::Silu => "nn.SiLU()".into(),
                Activation::Softplus => "nn.Softplus()".into(),
                Activation::Softsign => "nn.Softsign()".into(),
                Activation::Mish => "nn.Mish()".into(),
                Activation::HardSigmoid => "nn.Hardsigmoid()".into(),
                Activation::HardSwish => "nn.Hardswish()".into(),
                Activation::Sine => return refuse("module for the activation sine"),
                Activation::Gaussian => return refuse("module for the activation gaussian"),
            },
        });
    }
    Ok(modules)
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The parameters of a net, by their places in the sequence.
fn net_tensors(of: &str, net: &Net, weights: &[LayerWeights], tensors: &mut Vec<Tensor>) {
    let mut place = 0;
    let mut push = |name: String, shape: Vec<usize>, values: &[f32]| {
        tensors.push((format!("{of}{name}"), Dtype::F32, shape, floats(values)));
    };
    if !net.embeddings.is_empty() {
        for (i, table) in weights.iter().flat_map(|own| &own.embeddings).enumerate() {
            let shape = vec![table.rows(), table.cols()];
            push(format!("0.tables.{i}.weight"), shape, table.data());
        }
        place += 1;
    }
    for (layer, own) in net.layers.iter().zip(weights) {
        let (units, inputs) = (own.weight.rows(), own.weight.cols());
        push(format!("{place}.weight"), vec![units, inputs], own.weight.data());
        if let Some(bias) = &own.bias {
            let sign = if layer.bias == Bias::Subtract { -1.0 } else { 1.0 };
            let bias: Vec<f32> = bias.iter().map(|b| sign * b).collect();
            push(format!("{place}.bias"), vec![units], &bias);
        }
        place += 1;
        if layer.norm.is_some() {
            for (name, values) in own.norm.iter().flat_map(NormWeights::named) {
                push(format!("{place}.{name}"), vec![units], values);
            }
            place += 1;
        }
        place += usize::from(layer.activation != Units::Same(Activation::Identity));
    }
}

/// The preprocessing of columns of numbers alone: imputed, scaled linearly, flagged where they were
/// missing.
struct Numbers {
    fill: Vec<f64>,
    shift: Vec<f64>,
    scale: Vec<f64>,
    /// The index of each feature among the scaled columns, followed by their indicators.
    order: Vec<i64>,
}

impl Numbers {
    fn of(description: &Description) -> Option<Self> {
        if description.quantiles.is_some() || description.affine.is_some() {
            return None;
        }
        let Inputs::Columns(columns) = &description.inputs else { return None };
        let (fill, shift, scale, order) = Default::default();
        let mut all = Numbers { fill, shift, scale, order };
        for (c, column) in columns.iter().enumerate() {
            let (fill, shift, scale, indicator) = match &column.step {
                Step::Number(e) if !e.log => match e.scaler {
                    Scaler::Linear { shift, scale } => (e.fill, shift, scale, e.indicator),
                    Scaler::Quantile { .. } => return None,
                },
                // 2 x − 1, and 0 in the middle.
                Step::Sign => (0.5, 0.5, 2.0, false),
                Step::Plain => (f64::NAN, 0.0, 1.0, false),
                Step::Number(_)
                | Step::Text(_)
                | Step::Index(_)
                | Step::Hash { .. }
                | Step::Moment(_) => {
                    return None;
                }
            };
            all.fill.push(fill);
            all.shift.push(shift);
            all.scale.push(scale);
            all.order.push(c as i64);
            all.order.extend(indicator.then_some((columns.len() + c) as i64));
        }
        Some(all)
    }

    fn tensors(&self) -> Vec<Tensor> {
        let doubles = |name: &str, values: &[f64]| {
            let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            (name.to_string(), Dtype::F64, vec![values.len()], bytes)
        };
        let order = self.order.iter().flat_map(|x| x.to_le_bytes()).collect();
        vec![
            doubles("fill", &self.fill),
            doubles("shift", &self.shift),
            doubles("scale", &self.scale),
            ("order".into(), Dtype::I64, vec![self.order.len()], order),
        ]
    }
}

fn readme(description: &Description, file: &str, modules: &[String], has_numbers: bool) -> String {
    let mut text = format!(
        "{TITLE}\n\nWritten by wgrad {}. It needs the packages `torch` and `safetensors`.\n\n```python\nimport torch\n\
         from torch import nn\nfrom safetensors.torch import load_file\n\nstate = load_file({file:?})\n",
        env!("CARGO_PKG_VERSION")
    );
    if has_numbers {
        text.push_str(
            "fill, shift, scale, order = (state.pop(name) for name in (\"fill\", \"shift\", \"scale\", \"order\"))\n",
        );
    }
    let net = description.net;
    if !net.embeddings.is_empty() {
        let shapes: Vec<String> =
            net.embeddings.iter().map(|e| format!("({}, {})", e.values, e.dims)).collect();
        let copied = net.copied_features();
        let _ = write!(
            text,
            "\nclass Embed(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.tables = \
             nn.ModuleList(nn.Embedding(n, dims) for n, dims in [{}])\n\n    def forward(self, x):\n        parts = \
             [table(x[:, {copied} + i].long()) for i, table in enumerate(self.tables)]\n        return \
             torch.cat([x[:, :{copied}], *parts], dim=1)\n\n",
            shapes.join(", ")
        );
    }
    let sequence = format!("nn.Sequential(\n    {},\n)", modules.join(",\n    "));
    match description.members.len() {
        1 => drop(writeln!(text, "net = {sequence}")),
        nets => drop(writeln!(text, "net = nn.ModuleList({sequence} for _ in range({nets}))")),
    }
    text.push_str(
        "net.load_state_dict(state)\nnet.eval()\n\n\n@torch.no_grad()\ndef predict(x):\n",
    );
    if has_numbers {
        text.push_str(
            "    missing = x.isnan()\n    scaled = (torch.where(missing, fill, x) - shift) * scale\n    x = \
             torch.cat([scaled, missing.double()], dim=1)[:, order].float()\n",
        );
    } else if let Some(affine) = description.affine {
        let _ = writeln!(
            text,
            "    x = (x - torch.tensor({:?})) * torch.tensor({:?})",
            affine.shift, affine.scale
        );
    }
    let nets = if description.members.len() > 1 { "net" } else { "[net]" };
    let _ = writeln!(text, "    y = torch.stack([part(x) for part in {nets}])");
    text.push_str(&predicted(description));
    text.push_str("```\n\n");
    text.push_str(&given(description, has_numbers));
    text
}

/// The statements from the outputs `y` of all nets, (nets, N, outputs), to the predictions.
fn predicted(description: &Description) -> String {
    let targets = description.targets();
    let link = |link: Link| match link {
        Link::Identity | Link::Deviation => "y",
        Link::Margin if description.net.outputs() == 1 => "y.sigmoid()",
        Link::Softmax | Link::Margin => "y.softmax(dim=2)",
        Link::Sigmoid => "y.sigmoid()",
        Link::Exp => "y.exp()",
    };
    match &description.output {
        Output::Raw => "    return y[0]\n".into(),
        Output::Classes { link: of, .. } if description.net.outputs() == 1 => {
            format!("    p = {}.mean(dim=0)\n    return torch.cat([1 - p, p], dim=1)\n", link(*of))
        }
        Output::Classes { link: of, .. } => format!("    return {}.mean(dim=0)\n", link(*of)),
        Output::Labels { .. } => "    return y.sigmoid().mean(dim=0)\n".into(),
        Output::Values { link: of, scaling, bounds, .. } => {
            let (shift, scale, double) = match scaling {
                TargetScaling::Single(a) => {
                    (format!("{:?}", a.shift), format!("{:?}", a.scale), "")
                }
                TargetScaling::Double(DoubleAffine { shift_f64, scale_f64 }) => {
                    (format!("{shift_f64:?}"), format!("{scale_f64:?}"), ", dtype=torch.float64")
                }
            };
            let mut text = format!(
                "    unit, zero = torch.tensor({scale}{double}), torch.tensor({shift}{double})\n"
            );
            if *of == Link::Deviation {
                let _ = write!(
                    text,
                    "    mean = y[:, :, :{targets}].mean(dim=0)\n    variance = (y[:, :, {targets}:].exp() + (y[:, :, \
                     :{targets}] - mean) ** 2).mean(dim=0)\n    value = mean / unit + zero\n"
                );
            } else {
                let _ = writeln!(text, "    value = {}.mean(dim=0) / unit + zero", link(*of));
            }
            if let Some(bounds) = bounds {
                let side = |i: usize| bounds.iter().map(|b| b[i]).collect::<Vec<f64>>();
                let (least, most) = (side(0), side(1));
                let _ = writeln!(
                    text,
                    "    value = value.clamp(torch.tensor({least:?}, dtype=value.dtype), torch.tensor({most:?}, \
                     dtype=value.dtype))"
                );
            }
            match of {
                Link::Deviation => {
                    text + "    return torch.cat([value, variance.sqrt() / unit], dim=1)\n"
                }
                _ => text + "    return value\n",
            }
        }
    }
}

/// The inputs and outputs, for people.
fn given(description: &Description, has_numbers: bool) -> String {
    let mut text = String::new();
    match &description.inputs {
        Inputs::Columns(columns) if has_numbers => {
            let names: Vec<String> = columns.iter().map(|c| format!("`{}`", c.name)).collect();
            let _ = writeln!(
                text,
                "`predict` takes the columns {} as a tensor of float64, (N, {}), NaN where a value is missing.",
                names.join(", "),
                columns.len()
            );
        }
        Inputs::Columns(columns) => {
            let _ = writeln!(
                text,
                "`predict` takes prepared features, a tensor of float32 of shape (N, {}). `wgrad export` to ONNX, C or \
                 Rust includes the preparation. The features are:\n\n| features | column | from |\n| --- | --- | --- |",
                description.net.inputs
            );
            let mut at = 0;
            for column in columns {
                let end = at + column.step.width();
                let places =
                    if end == at + 1 { at.to_string() } else { format!("{at}–{}", end - 1) };
                let name = column.name.replace('|', "\\|");
                let _ = writeln!(text, "| {places} | {name} | {} |", how(&column.step));
                at = end;
            }
        }
        Inputs::Matrix { width, .. } => {
            let quantiles = match description.quantiles {
                Some(_) => ", each mapped to a normal distribution by its quantiles",
                None => "",
            };
            let _ = writeln!(
                text,
                "`predict` takes a tensor of float32 of shape (N, {width}){quantiles}."
            );
        }
    }
    let names = match &description.output {
        Output::Raw => None,
        Output::Classes { names, .. } => Some(("probabilities of the classes", names.to_vec())),
        Output::Labels { names } => Some(("probabilities of the labels", names.to_vec())),
        Output::Values { names, .. } => {
            Some(("values of the targets", names.iter().map(|n| n.to_string()).collect()))
        }
    };
    if let Some((what, names)) = names {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(text, "\nIt gives the {what} {}.", names.join(", "));
    }
    text
}

/// How a column becomes features.
fn how(step: &Step) -> String {
    match step {
        Step::Plain => "the number".into(),
        Step::Number(e) => {
            let log = if e.log { "sign(x) ln(1 + |x|), " } else { "" };
            let scaled = match &e.scaler {
                Scaler::Linear { shift, scale } => format!("(x − {shift:?}) · {scale:?}"),
                Scaler::Quantile { .. } => "the normal deviate of its quantile".into(),
            };
            let flag = if e.indicator { "; 1 where it was missing" } else { "" };
            format!("{log}{scaled}; missing values are {:?}{flag}", e.fill)
        }
        Step::Sign => "2 x − 1, 0 for missing".into(),
        Step::Text(_) => "one-hot or −1 and 1".into(),
        Step::Index(lookup) => format!("the index of one of {} categories", lookup.entries.len()),
        Step::Hash { buckets, .. } => format!("hashed into {buckets}"),
        Step::Moment(m) => format!(
            "(seconds − {:?}) / {:?}, then fractions of year and day, and the day of the week",
            m.mean, m.deviation
        ),
    }
}

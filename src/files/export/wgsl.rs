//! WGSL: one compute shader from prepared features to predictions, with the weights as literals.

use super::description::{Description, Inputs, Output};
use crate::backend::session::LayerWeights;
use crate::base::error::{Error, Result};
use crate::data::TargetScaling;
use crate::kernels::layers::norm::EPSILON;
use crate::math::activation::Activation;
use crate::math::loss::Link;
use crate::net::spec::{Bias, Net, Norm, Units};
use std::fmt::Write;

/// The most parameters that are written as literals: a few megabytes of source.
const PARAMETERS: usize = 1 << 18;
/// The most numbers in variables of a function: 8192 bytes, as WebGPU guarantees.
const NUMBERS: usize = 2048;

/// The source of the shader.
///
/// # Errors
/// For nets that are too large for literals, quantile transforms of a matrix, and targets in f64.
pub fn write(description: &Description) -> Result<String> {
    let net = description.net;
    let parameters = net.parameters() * description.members.len();
    let kept: usize = net.layers.iter().map(|l| l.units).sum::<usize>() + net.input_width();
    let outputs = description.predicted();
    let all = kept + outputs + net.outputs() * description.members.len();
    for (what, count, most) in [("parameters", parameters, PARAMETERS), ("units", all, NUMBERS)] {
        if count > most {
            return Err(Error::usage(format!(
                "WGSL holds up to {most} {what}, and these are {count}"
            ))
            .help("export ONNX, C or Rust"));
        }
    }
    if description.quantiles.is_some() {
        return Err(Error::usage("WGSL has no quantile transform of a matrix")
            .help("export ONNX, C or Rust; or the net alone, with --bare"));
    }
    let mut body = String::new();
    for (k, weights) in description.members.iter().enumerate() {
        let _ = writeln!(body, "    {{ // net {}", k + 1);
        forward(&mut body, description, weights);
        let (first, width) = (k * net.outputs(), net.outputs());
        let _ = writeln!(
            body,
            "        for (var i = 0u; i < {width}u; i++) {{ y[{first}u + i] = a{}[i]; }}\n    }}",
            net.layers.len()
        );
    }
    outputs_of(&mut body, description)?;
    let needed = net.outputs() * description.members.len();
    Ok(format!(
        "{}\n@group(0) @binding(0) var<storage, read> features: array<f32>; // (N, {inputs})\n@group(0) @binding(1) \
         var<storage, read_write> predictions: array<f32>; // (N, {outputs})\n\n// A row for each invocation: dispatch \
         N / 64 workgroups, rounded up.\n@compute @workgroup_size(64)\nfn predict(@builtin(global_invocation_id) id: \
         vec3<u32>) {{\n    let row = id.x;\n    if (row >= arrayLength(&predictions) / {outputs}u) {{ return; \
         }}\n    var y: array<f32, {needed}>;\n{body}    for (var i = 0u; i < {outputs}u; i++) {{ predictions[row * \
         {outputs}u + i] = p[i]; }}\n}}\n\n{}\n{}",
        head(description),
        include_str!("../../../shaders/common/functions.wgsl"),
        include_str!("../../../shaders/layers/activation_functions.wgsl"),
        inputs = net.inputs,
    ))
}

/// The inputs and outputs.
fn head(description: &Description) -> String {
    let mut text = format!(
        "// A net trained by wgrad {}, from prepared features to what it predicts.\n",
        env!("CARGO_PKG_VERSION")
    );
    if let Inputs::Columns(columns) = &description.inputs {
        text.push_str("//\n// The features of each column, as wgrad prepares them:\n");
        let mut at = 0;
        for column in columns {
            let width = column.step.width();
            let name = column.name.escape_debug();
            let _ =
                writeln!(text, "//   {at}, {width} of them: {name}, {}", column.step.describe());
            at += width;
        }
    }
    let names: Vec<String> = match &description.output {
        Output::Raw => Vec::new(),
        Output::Classes { names, .. } | Output::Labels { names } => names.to_vec(),
        Output::Values { names, .. } => names.iter().map(|n| n.to_string()).collect(),
    };
    let what = match &description.output {
        Output::Raw => "outputs of the net",
        Output::Classes { .. } => "probabilities of the classes",
        Output::Labels { .. } => "probabilities of the labels",
        Output::Values { .. } => {
            "values of the targets, and after all of them deviations if there are any"
        }
    };
    let names: Vec<String> = names.iter().map(|name| name.escape_debug().to_string()).collect();
    let _ = writeln!(text, "//\n// Predictions: {what} {}", names.join(", "));
    text
}

fn literal(x: f32) -> String {
    format!("{x:?}")
}

/// One net, from the features of `row` to its last layer.
fn forward(body: &mut String, description: &Description, weights: &[LayerWeights]) {
    let net: &Net = description.net;
    let (inputs, copied) = (net.inputs, net.copied_features());
    let _ = writeln!(body, "        var a0: array<f32, {}>;", net.input_width());
    let feature = |i: String| format!("features[row * {inputs}u + {i}]");
    let _ = writeln!(
        body,
        "        for (var i = 0u; i < {copied}u; i++) {{ a0[i] = {}; }}",
        feature("i".into())
    );
    if let Some(affine) = description.affine {
        for c in 0..copied {
            let (shift, scale) = (literal(affine.shift[c]), literal(affine.scale[c]));
            let _ = writeln!(body, "        a0[{c}] = (a0[{c}] - {shift}) * {scale};");
        }
    }
    let mut at = copied;
    for (i, table) in weights.first().iter().flat_map(|own| &own.embeddings).enumerate() {
        let index = feature(format!("{}u", copied + i));
        let _ = writeln!(body, "        switch u32(max({index}, 0.0)) {{");
        for (row, values) in table.iter_rows().enumerate() {
            let case = if row == 0 { "default".to_string() } else { format!("case {row}u") };
            let set = values.iter().enumerate();
            let set = set.map(|(d, x)| format!("a0[{}] = {};", at + d, literal(*x)));
            let set: Vec<String> = set.collect();
            let _ = writeln!(body, "            {case}: {{ {} }}", set.join(" "));
        }
        body.push_str("        }\n");
        at += table.cols();
    }
    for (l, (layer, own)) in net.layers.iter().zip(weights).enumerate() {
        let (below, z, units) = (format!("a{l}"), format!("a{}", l + 1), layer.units);
        let _ = writeln!(body, "        var {z}: array<f32, {units}>;");
        let sign = if layer.bias == Bias::Subtract { -1.0 } else { 1.0 };
        for (u, w) in own.weight.iter_rows().enumerate() {
            let bias = own.bias.as_ref().map_or(0.0, |b| sign * b[u]);
            let _ = writeln!(body, "        {z}[{u}] = {};", literal(bias));
            for (j, w) in w.chunks(4).enumerate() {
                let terms = w.iter().enumerate();
                let terms = terms.map(|(i, w)| format!("{} * {below}[{}]", literal(*w), 4 * j + i));
                let terms: Vec<String> = terms.collect();
                let _ = writeln!(body, "        {z}[{u}] += {};", terms.join(" + "));
            }
        }
        normalize(body, &z, own, layer.norm);
        if layer.skip > 0 {
            let from = format!("a{}", l + 1 - layer.skip);
            let _ = writeln!(
                body,
                "        for (var i = 0u; i < {units}u; i++) {{ {z}[i] += {from}[i]; }}"
            );
        }
        match &layer.activation {
            Units::Same(activation) => activate(body, &z, 0, units, *activation),
            Units::Each(each) => {
                let mut first = 0;
                for group in each.chunk_by(|a, b| a == b) {
                    activate(body, &z, first, group.len(), group[0]);
                    first += group.len();
                }
            }
            Units::Softmax => softmax(body, &z, 0, units),
        }
    }
}

fn normalize(body: &mut String, z: &str, own: &LayerWeights, norm: Option<Norm>) {
    let (Some(norm), Some(own)) = (norm, &own.norm) else { return };
    let units = own.scale.len();
    if norm == Norm::Layer {
        let _ = write!(
            body,
            "        var mean_{z} = 0.0;\n        for (var i = 0u; i < {units}u; i++) {{ mean_{z} += {z}[i] / \
             {units}.0; }}\n        var var_{z} = 0.0;\n        for (var i = 0u; i < {units}u; i++) {{ let d = {z}[i] - \
             mean_{z}; var_{z} += d * d / {units}.0; }}\n"
        );
    }
    for u in 0..units {
        let (scale, shift) = (literal(own.scale[u]), literal(own.shift[u]));
        let line = match (norm, &own.running) {
            (Norm::Batch, Some([mean, variance])) => {
                let factor =
                    f64::from(own.scale[u]) / (f64::from(variance[u]) + f64::from(EPSILON)).sqrt();
                let offset = f64::from(own.shift[u]) - f64::from(mean[u]) * factor;
                format!("{z}[{u}] * {} + {}", literal(factor as f32), literal(offset as f32))
            }
            (Norm::Layer | Norm::Batch, _) => format!(
                "({z}[{u}] - mean_{z}) / sqrt(var_{z} + {}) * {scale} + {shift}",
                literal(EPSILON)
            ),
        };
        let _ = writeln!(body, "        {z}[{u}] = {line};");
    }
}

fn activate(body: &mut String, z: &str, first: usize, count: usize, activation: Activation) {
    if activation == Activation::Identity {
        return;
    }
    let (code, parameter) = (activation.code(), literal(activation.parameter()));
    let end = first + count;
    let _ = writeln!(
        body,
        "        for (var i = {first}u; i < {end}u; i++) {{ {z}[i] = activation_value({code}u, {parameter}, {z}[i]); }} \
         // {activation}"
    );
}

/// Softmax of a part of an array.
fn softmax(body: &mut String, y: &str, first: usize, count: usize) {
    let end = first + count;
    let _ = write!(
        body,
        "        {{\n            var most = {y}[{first}];\n            for (var i = {first}u; i < {end}u; i++) {{ most = \
         max(most, {y}[i]); }}\n            var total = 0.0;\n            for (var i = {first}u; i < {end}u; i++) {{ \
         {y}[i] = exp_f({y}[i] - most); total += {y}[i]; }}\n            for (var i = {first}u; i < {end}u; i++) {{ \
         {y}[i] /= total; }}\n        }}\n"
    );
}

/// From the outputs `y` of all nets to the predictions `p`.
fn outputs_of(body: &mut String, description: &Description) -> Result<()> {
    let (nets, width) = (description.members.len(), description.net.outputs());
    let targets = description.targets();
    let link = match &description.output {
        Output::Raw => Link::Identity,
        Output::Labels { .. } => Link::Sigmoid,
        Output::Classes { link, .. } | Output::Values { link, .. } => *link,
    };
    let all = nets * width;
    let each = |body: &mut String, what: &str| {
        let _ = writeln!(body, "    for (var i = 0u; i < {all}u; i++) {{ y[i] = {what}; }}");
    };
    match link {
        Link::Identity | Link::Deviation => {}
        Link::Softmax | Link::Margin if width > 1 => {
            (0..nets).for_each(|k| softmax(body, "y", k * width, width));
        }
        Link::Softmax | Link::Margin | Link::Sigmoid => {
            let code = Activation::Sigmoid.code();
            each(body, &format!("activation_value({code}u, 0.0, y[i])"));
        }
        Link::Exp => each(body, "exp_f(y[i])"),
    }
    let predicted = description.predicted();
    let _ = writeln!(body, "    var p: array<f32, {predicted}>;");
    for c in 0..if link == Link::Deviation { targets } else { width } {
        let terms: Vec<String> = (0..nets).map(|k| format!("y[{}]", k * width + c)).collect();
        let _ = writeln!(body, "    p[{c}] = ({}) / {nets}.0;", terms.join(" + "));
        if link == Link::Deviation {
            let term = |k: usize| {
                let (s, m) = (k * width + targets + c, k * width + c);
                format!("exp_f(y[{s}]) + (y[{m}] - p[{c}]) * (y[{m}] - p[{c}])")
            };
            let terms: Vec<String> = (0..nets).map(term).collect();
            let place = targets + c;
            let _ = writeln!(body, "    p[{place}] = sqrt(({}) / {nets}.0);", terms.join(" + "));
        }
    }
    match &description.output {
        Output::Classes { .. } if width == 1 => {
            body.push_str("    p[1] = p[0];\n    p[0] = 1.0 - p[1];\n")
        }
        Output::Raw | Output::Classes { .. } | Output::Labels { .. } => {}
        Output::Values { scaling, bounds, .. } => {
            let TargetScaling::Single(affine) = scaling else {
                return Err(Error::usage("WGSL has no f64, which these targets need")
                    .help("export ONNX, C or Rust; or the net alone, with --bare"));
            };
            for c in 0..predicted {
                let (t, is_mean) = (c % targets, c < targets);
                let shift = literal(if is_mean { affine.shift[t] } else { 0.0 });
                let scale = literal(affine.scale[t]);
                let _ = writeln!(body, "    p[{c}] = p[{c}] / {scale} + {shift};");
                if let (Some(bounds), true) = (bounds, is_mean) {
                    let [least, most] = bounds[t].map(|x| literal(x as f32));
                    let _ = writeln!(body, "    p[{c}] = clamp(p[{c}], {least}, {most});");
                }
            }
        }
    }
    Ok(())
}

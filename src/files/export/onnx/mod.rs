//! ONNX: a complete prediction as one graph, from raw columns to predictions.
//!
//! Opset 17 and `ai.onnx.ml` 3, the rows as the dimension `N`. Texts are looked up by `CategoryMapper`,
//! which all runtimes support; there is no ZipMap: probabilities are a tensor.

mod columns;
mod graph;
mod net;
pub mod proto;

pub use columns::MATRIX;

use super::description::{Description, Inputs, Output, Step};
use crate::base::error::Result;
use crate::data::{DoubleAffine, TargetScaling};
use crate::math::loss::Link;
use graph::{Attribute, Graph, ML, Name};
use prost::Message;
use proto::{DOUBLE, FLOAT, ModelProto, OperatorSetIdProto, STRING, StringStringEntryProto};
use serde_json::json;

/// The versions of the format and of the sets of operators.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
const OPSET_ML: i64 = 3;

/// The bytes of the ONNX file of a description.
///
/// # Errors
/// For what ONNX cannot express: which column, and what to do instead.
pub fn write(description: &Description) -> Result<Vec<u8>> {
    let mut graph = Graph::default();
    let features = columns::features(&mut graph, description)?;
    let nets = description.members.iter();
    let nets = nets.map(|weights| net::outputs(&mut graph, &features, description.net, weights));
    let nets: Vec<Name> = nets.collect();
    outputs(&mut graph, description, &nets);
    let doc = doc(description);
    let note = |(key, value): (&str, String)| StringStringEntryProto {
        key: Some(key.into()),
        value: Some(value),
    };
    let opset = |domain: &str, version| OperatorSetIdProto {
        domain: Some(domain.into()),
        version: Some(version),
    };
    let model = ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some("wgrad".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        doc_string: Some(doc.clone()),
        graph: Some(graph.finish("wgrad", &doc)),
        opset_import: vec![opset("", OPSET), opset(ML, OPSET_ML)],
        metadata_props: notes(description).into_iter().map(note).collect(),
    };
    Ok(model.encode_to_vec())
}

/// The name of an output: `predicted_NAME` if a column has that name.
#[must_use]
pub fn output_name(description: &Description, name: &str) -> String {
    let is_taken = match &description.inputs {
        Inputs::Columns(columns) => columns.iter().any(|column| column.name == name),
        Inputs::Matrix { .. } => false,
    };
    if is_taken { format!("predicted_{name}") } else { name.to_string() }
}

/// The predictions of the nets, averaged over several.
fn outputs(graph: &mut Graph, description: &Description, nets: &[Name]) {
    let named = |name: &str| output_name(description, name);
    let targets = description.targets();
    match &description.output {
        Output::Raw => {
            let doc = "outputs of the net, before softmax, sigmoid or any scaling back";
            nets.iter().for_each(|y| graph.output(y, "output", FLOAT, targets, doc));
        }
        Output::Classes { link, names } => {
            let single = description.net.outputs() == 1;
            let mut probabilities = linked(graph, nets, *link, description.net.outputs());
            if single {
                let one = graph.float(1.0);
                let other = graph.node("Sub", &[&one, &probabilities]);
                probabilities = graph.beside(&[other, probabilities]);
            }
            let doc = "probabilities of the classes, in the order of the metadata's classes";
            graph.output(&probabilities, &named("probabilities"), FLOAT, targets, doc);
            let with = [("axis", Attribute::Int(1)), ("keepdims", Attribute::Int(1))];
            let class = graph.node_with("ArgMax", &[&probabilities], &with);
            // Of NaN probabilities none is the largest: the index after the classes has an empty name.
            let first = graph.columns(&probabilities, 0, 1);
            let is_number = graph.node("Equal", &[&first, &first]);
            let none = graph.ints(&[1, 1], &[targets as i64]);
            let class = graph.node("Where", &[&is_number, &class, &none]);
            let axis = graph.ints(&[1], &[1]);
            let class = graph.node("Squeeze", &[&class, &axis]);
            let texts: Vec<&str> = names.iter().map(String::as_str).chain([""]).collect();
            let label = graph.texts_of_numbers(&class, &texts);
            let doc = "the most probable class; empty where the probabilities are NaN";
            graph.output(&label, &named("label"), STRING, 0, doc);
        }
        Output::Labels { .. } => {
            let probabilities = linked(graph, nets, Link::Sigmoid, targets);
            let doc = "probability of each label, in the order of the metadata's labels";
            graph.output(&probabilities, &named("probabilities"), FLOAT, targets, doc);
        }
        Output::Values { link, scaling, bounds, .. } => {
            let (means, deviations) = match link {
                Link::Deviation => normal(graph, nets, targets),
                Link::Identity | Link::Exp | Link::Softmax | Link::Margin | Link::Sigmoid => {
                    (linked(graph, nets, *link, targets), None)
                }
            };
            let data_type = match scaling {
                TargetScaling::Single(_) => FLOAT,
                TargetScaling::Double(_) => DOUBLE,
            };
            let mut values = unscale(graph, &means, scaling, true);
            if let Some(bounds) = bounds {
                let of = |graph: &mut Graph, side: usize| {
                    let all: Vec<f64> = bounds.iter().map(|b| b[side]).collect();
                    let all = graph.doubles(&[1, targets], &all);
                    if data_type == FLOAT { graph.cast(&all, FLOAT) } else { all }
                };
                let [least, most] = [0, 1].map(|side| of(graph, side));
                values = graph.clip(&values, &least, &most);
            }
            let doc = "the targets in their units, in the order of the metadata's targets";
            graph.output(&values, &named("value"), data_type, targets, doc);
            if let Some(deviations) = deviations {
                let deviations = unscale(graph, &deviations, scaling, false);
                let doc = "standard deviation of each target";
                graph.output(&deviations, &named("deviation"), data_type, targets, doc);
            }
        }
    }
}

/// The mean over the nets of a link applied to their outputs.
fn linked(graph: &mut Graph, nets: &[Name], link: Link, outputs: usize) -> Name {
    let each = nets.iter().map(|y| match link {
        Link::Identity | Link::Deviation => y.clone(),
        Link::Softmax | Link::Margin if outputs > 1 => {
            graph.node_with("Softmax", &[y], &[("axis", Attribute::Int(1))])
        }
        Link::Softmax | Link::Margin | Link::Sigmoid => graph.node("Sigmoid", &[y]),
        Link::Exp => graph.node("Exp", &[y]),
    });
    let each: Vec<Name> = each.collect();
    mean(graph, &each)
}

/// The mean of tensors of one shape.
fn mean(graph: &mut Graph, all: &[Name]) -> Name {
    let Some((first, rest)) = all.split_first() else { return graph.float(0.0) };
    if rest.is_empty() {
        return first.clone();
    }
    let sum = rest.iter().fold(first.clone(), |sum, x| graph.node("Add", &[&sum, x]));
    let share = graph.float(1.0 / all.len() as f32);
    graph.node("Mul", &[&sum, &share])
}

/// Means and standard deviations of the mixture of the nets' normal distributions.
fn normal(graph: &mut Graph, nets: &[Name], targets: usize) -> (Name, Option<Name>) {
    let means: Vec<Name> = nets.iter().map(|y| graph.columns(y, 0, targets)).collect();
    let center = mean(graph, &means);
    let variances = nets.iter().zip(&means).map(|(y, own)| {
        let logarithm = graph.columns(y, targets, 2 * targets);
        let variance = graph.node("Exp", &[&logarithm]);
        let distance = graph.node("Sub", &[own, &center]);
        let square = graph.node("Mul", &[&distance, &distance]);
        graph.node("Add", &[&variance, &square])
    });
    let variances: Vec<Name> = variances.collect();
    let variance = mean(graph, &variances);
    (center, Some(graph.node("Sqrt", &[&variance])))
}

/// Scaled numbers in the units of the targets: y / scale + shift, in f32 or f64.
fn unscale(graph: &mut Graph, y: &Name, scaling: &TargetScaling, with_shift: bool) -> Name {
    let row = [1, scaling.cols()];
    match scaling {
        TargetScaling::Single(affine) => {
            let scale = graph.floats(&row, &affine.scale);
            let y = graph.node("Div", &[y, &scale]);
            if !with_shift {
                return y;
            }
            let shift = graph.floats(&row, &affine.shift);
            graph.node("Add", &[&y, &shift])
        }
        TargetScaling::Double(DoubleAffine { shift_f64, scale_f64 }) => {
            let y = graph.cast(y, DOUBLE);
            let scale = graph.doubles(&row, scale_f64);
            let y = graph.node("Div", &[&y, &scale]);
            if !with_shift {
                return y;
            }
            let shift = graph.doubles(&row, shift_f64);
            graph.node("Add", &[&y, &shift])
        }
    }
}

/// A description of the file, for people.
fn doc(description: &Description) -> String {
    let inputs = match &description.inputs {
        Inputs::Columns(_) => {
            "Each column of the data is an input of its name and shape (N, 1): numbers in f64, NaN where \
             they are missing, texts empty where they are missing. The metadata's columns describe them."
        }
        Inputs::Matrix { .. } => "The input is (N, features) in f32.",
    };
    format!("A net trained by wgrad {}. {inputs}", env!("CARGO_PKG_VERSION"))
}

/// A date format of `chrono` converted to one of `pandas.to_datetime`.
fn python_format(form: &str) -> String {
    let has_options = form.contains("%.f") || form.contains("%#z");
    if has_options && ["%Y-%m-%d", "%Y%m%d"].iter().any(|date| form.starts_with(date)) {
        return "ISO8601".into();
    }
    form.replace("%.f", ".%f").replace("%#z", "%z")
}

/// The metadata: JSON under `classes`, `labels` or `targets`, and `columns` or `image`, whose pixels
/// are stored row by row, with interleaved channels. For a column of dates it has the `format` in the
/// training data, as a pandas format.
fn notes(description: &Description) -> Vec<(&'static str, String)> {
    let mut notes = Vec::new();
    match &description.output {
        Output::Raw => {}
        Output::Classes { names, .. } => notes.push(("classes", json!(names).to_string())),
        Output::Labels { names } => notes.push(("labels", json!(names).to_string())),
        Output::Values { names, .. } => notes.push(("targets", json!(names).to_string())),
    }
    let columns = match &description.inputs {
        Inputs::Columns(columns) => {
            let column = |c: &super::description::Column| {
                let kind = if c.step.takes_texts() { "string" } else { "double" };
                let mut note = json!({ "name": c.name, "type": kind, "holds": c.step.describe() });
                if let Step::Moment(super::description::Moment { format: Some(form), .. }) = c.step
                {
                    note["format"] = json!(python_format(form));
                }
                note
            };
            columns.iter().map(column).collect()
        }
        Inputs::Matrix { names, .. } => names.iter().map(|name| json!({ "name": name })).collect(),
    };
    if let Inputs::Matrix { image: Some(image), .. } = &description.inputs {
        notes.push(("image", json!(image).to_string()));
    }
    let columns: Vec<serde_json::Value> = columns;
    if !columns.is_empty() {
        notes.push(("columns", json!(columns).to_string()));
    }
    notes
}

//! From a description to the source of a program: the same statements in each language.

use super::language::{Arg, Language, Table};
use crate::backend::session::{LayerWeights, NormWeights};
use crate::data::{DoubleAffine, Lookup, NumberEncoder, Scaler, TargetScaling};
use crate::files::export::description::{Column, Description, Inputs, Output, Step};
use crate::kernels::layers::norm::EPSILON;
use crate::math::activation::Activation;
use crate::math::loss::Link;
use crate::net::spec::{Bias, Net, Norm, Units};
use std::collections::HashSet;

/// The source of a program that predicts, whose public names in C begin with `prefix`.
#[must_use]
pub fn write(description: &Description, language: Language, prefix: &str) -> String {
    let mut program = Program { language, tables: String::new(), tabled: 0, body: String::new() };
    let mut taken = HashSet::new();
    let prefix = language.identifier(prefix, &mut taken);
    let fields = match &description.inputs {
        Inputs::Columns(columns) => {
            let mut taken = HashSet::new();
            columns.iter().map(|c| language.identifier(c.name, &mut taken)).collect()
        }
        Inputs::Matrix { .. } => Vec::new(),
    };
    let nets = description.members.iter().enumerate();
    let nets: String = nets.map(|(k, weights)| program.net(k, description.net, weights)).collect();
    program.encode(description, &fields);
    program.outputs(description);
    let Program { tables, body, .. } = program;
    let shape = super::frame::Shape { description, prefix: &prefix, fields: &fields };
    let predict = shape.predict(language, &body);
    let functions = language.called(&format!("{nets}{predict}"));
    [shape.head(language), functions, tables, "\n".into(), nets, predict].concat()
}

/// The program written so far.
struct Program {
    language: Language,
    tables: String,
    /// The number of tables: each has its own name.
    tabled: usize,
    /// The statements of the current function.
    body: String,
}

impl Program {
    fn table(&mut self, what: &str, table: Table) -> String {
        self.tabled += 1;
        let name = format!("{what}_{}", self.tabled);
        self.tables.push_str(&self.language.table(&name, table));
        name
    }

    fn call(&mut self, function: &str, args: &[Arg]) {
        self.body.push_str("    ");
        self.body.push_str(&self.language.call(function, args));
        self.body.push_str(";\n");
    }

    /// The features `x` from the columns of a row, or from a row of a matrix.
    fn encode(&mut self, description: &Description, fields: &[String]) {
        let inputs = description.net.inputs;
        match &description.inputs {
            Inputs::Columns(columns) => {
                let mut at = 0;
                for (column, field) in columns.iter().zip(fields) {
                    self.column(column, field, at);
                    at += column.step.width();
                }
            }
            Inputs::Matrix { width, .. } => {
                self.call(
                    "copy",
                    &[Arg::Out("x", 0, *width), Arg::Length(*width), Arg::Table("input_row")],
                );
                // The argument is already a reference.
                self.body = self.body.replace("&input_row", "input").replace("input_row", "input");
            }
        }
        for (c, scaler) in description.quantiles.into_iter().flatten().enumerate() {
            self.scale(scaler, c, Arg::Element("x", c), 0.0, false);
        }
        if let Some(affine) = description.affine {
            let shift = self.table("SHIFT", Table::Floats(&affine.shift));
            let scale = self.table("SCALE", Table::Floats(&affine.scale));
            let x = [Arg::Out("x", 0, inputs), Arg::Length(inputs)];
            self.call("affine", &[&x[..], &[Arg::Table(&shift), Arg::Table(&scale)]].concat());
        }
    }

    fn column(&mut self, column: &Column, field: &str, at: usize) {
        let value = || Arg::Field(field);
        let width = column.step.width();
        match &column.step {
            Step::Plain => self.call("put_plain", &[Arg::Out("x", at, 1), value()]),
            Step::Sign => self.call("put_sign", &[Arg::Out("x", at, 1), value()]),
            Step::Number(NumberEncoder { fill, indicator, log, scaler }) => {
                self.scale(scaler, at, value(), *fill, *log);
                if *indicator {
                    self.call("put_indicator", &[Arg::Out("x", at + 1, 1), value()]);
                }
            }
            Step::Text(lookup) | Step::Index(lookup) => self.text(lookup, field, at, width),
            Step::Hash { buckets, missing, marks } => {
                let texts: Vec<&str> = marks.iter().map(String::as_str).collect();
                let marks = self.table("MARKS", Table::Texts(&texts));
                let places = [Arg::Int(*buckets), Arg::Bool(*missing)];
                let marks = [Arg::Table(&marks), Arg::Length(texts.len())];
                let own = [Arg::Out("x", at, width), value()];
                self.call("put_hash", &[own, places, marks].concat());
            }
            Step::Moment(m) => {
                let numbers = [value(), Arg::Double(m.mean), Arg::Double(m.deviation)];
                let parts = [m.year, m.day, m.week, m.indicator].map(Arg::Bool);
                self.call(
                    "put_moment",
                    &[&[Arg::Out("x", at, width)], &numbers[..], &parts].concat(),
                );
            }
        }
    }

    fn scale(&mut self, scaler: &Scaler, at: usize, value: Arg, fill: f64, log: bool) {
        let is_double = !matches!(value, Arg::Element(..)) || self.language == Language::C;
        let value = match is_double {
            true => value,
            false => Arg::Call(self.language.call("f64::from", &[value])),
        };
        let own = [Arg::Out("x", at, 1), value, Arg::Double(fill), Arg::Bool(log)];
        match scaler {
            Scaler::Linear { shift, scale } => {
                let by = [Arg::Double(*shift), Arg::Double(*scale)];
                self.call("put_linear", &[&own[..], &by].concat());
            }
            Scaler::Quantile { values } => {
                let table = self.table("QUANTILES", Table::Doubles(values));
                self.call(
                    "put_quantile",
                    &[&own[..], &[Arg::Counted(&table, values.len())]].concat(),
                );
            }
        }
    }

    fn text(&mut self, lookup: &Lookup, field: &str, at: usize, width: usize) {
        let Lookup { spellings, entries, unknown, missing } = lookup;
        let (texts, numbers): (Vec<&str>, Vec<u32>) = spellings
            .iter()
            .filter(|(text, _)| !text.trim().is_empty())
            .map(|(text, entry)| (text.as_str(), *entry as u32))
            .unzip();
        let spellings = self.table("SPELLINGS", Table::Texts(&texts));
        let numbers = self.table("ENTRIES", Table::Ints(&numbers));
        let entry = self.language.call(
            "entry_of",
            &[
                Arg::Field(field),
                Arg::Table(&spellings),
                Arg::Table(&numbers),
                Arg::Length(texts.len()),
                Arg::Int(*unknown),
                Arg::Int(*missing),
            ],
        );
        let own = [Arg::Out("x", at, width), Arg::Length(width), Arg::Call(entry)];
        match lookup.places() {
            Some(places) if width > 1 => {
                let places: Vec<u32> = places.into_iter().map(|place| place as u32).collect();
                let table = self.table("PLACES", Table::Ints(&places));
                self.call("put_one", &[&own[..], &[Arg::Table(&table)]].concat());
            }
            _ => {
                let table = self.table("VALUES", Table::Floats(&entries.concat()));
                self.call("put_entry", &[&own[..], &[Arg::Table(&table)]].concat());
            }
        }
    }

    /// The function of a net: from the features `x` to its outputs `y`.
    fn net(&mut self, k: usize, net: &Net, weights: &[LayerWeights]) -> String {
        let mut widths = vec![net.input_width()];
        widths.extend(net.layers.iter().map(|layer| layer.units));
        let names: Vec<String> = (0..widths.len()).map(|l| format!("a{l}")).collect();
        let copied = net.copied_features();
        if copied > 0 {
            let features = [Arg::Out("a0", 0, copied), Arg::Length(copied), Arg::Table("x_row")];
            self.call("copy", &features);
        }
        let mut at = copied;
        for (i, table) in weights.first().iter().flat_map(|first| &first.embeddings).enumerate() {
            let (values, dims) = (table.rows(), table.cols());
            let name = self.table("EMBEDDING", Table::Floats(table.data()));
            let to = [Arg::Out("a0", at, dims), Arg::Length(dims), Arg::Table(&name)];
            let index = [Arg::Length(values), Arg::Element("x", copied + i)];
            self.call("embed", &[&to[..], &index].concat());
            at += dims;
        }
        for (l, (layer, own)) in net.layers.iter().zip(weights).enumerate() {
            let (units, inputs) = (layer.units, widths[l]);
            let z = names[l + 1].clone();
            let out = || [Arg::Out(&z, 0, units), Arg::Length(units)];
            let sign = if layer.bias == Bias::Subtract { -1.0 } else { 1.0 };
            let bias: Vec<f32> = match &own.bias {
                Some(bias) => bias.iter().map(|b| sign * b).collect(),
                None => vec![0.0; units],
            };
            let weight = self.table("WEIGHTS", Table::Floats(own.weight.data()));
            let bias = self.table("BIASES", Table::Floats(&bias));
            let product = [Arg::In(&names[l], inputs), Arg::Table(&weight), Arg::Table(&bias)];
            self.call("dense", &[&out()[..], &product].concat());
            if let (Some(norm), Some(own)) = (layer.norm, &own.norm) {
                self.normalize(norm, own, &out());
            }
            if layer.skip > 0 {
                let from = &names[l + 1 - layer.skip];
                self.call("add", &[&out()[..], &[Arg::Table(from)]].concat());
            }
            match &layer.activation {
                Units::Same(activation) => self.activate(*activation, &z, 0, units),
                Units::Each(each) => {
                    let mut first = 0;
                    for group in each.chunk_by(|a, b| a == b) {
                        self.activate(group[0], &z, first, group.len());
                        first += group.len();
                    }
                }
                Units::Softmax => self.call("softmax", &out()),
            }
        }
        let outputs = net.outputs();
        let last = names.last().map_or("a0", String::as_str);
        let y = [Arg::Out("y_row", 0, outputs), Arg::Length(outputs), Arg::Table(last)];
        self.call("copy", &y);
        let body = std::mem::take(&mut self.body);
        let body = body.replace("&mut y_row[0..", "&mut y[..").replace("y_row", "y");
        let body = body.replace("&x_row", "x").replace("x_row", "x");
        let arrays = names.iter().zip(&widths).map(|(name, width)| match self.language {
            Language::C => format!("    float {name}[{width}];\n"),
            Language::Rust => format!("    let mut {name} = [0f32; {width}];\n"),
        });
        let arrays: String = arrays.collect();
        match self.language {
            Language::C => {
                format!("static void net_{k}(const float *x, float *y)\n{{\n{arrays}{body}}}\n\n")
            }
            Language::Rust => {
                format!("fn net_{k}(x: &[f32], y: &mut [f32]) {{\n{arrays}{body}}}\n\n")
            }
        }
    }

    fn normalize(&mut self, norm: Norm, own: &NormWeights, out: &[Arg]) {
        match (norm, &own.running) {
            (Norm::Batch, Some([mean, variance])) => {
                let scales = own.scale.iter().zip(variance).map(|(scale, variance)| {
                    f64::from(*scale) / (f64::from(*variance) + f64::from(EPSILON)).sqrt()
                });
                let scales: Vec<f64> = scales.collect();
                let shifts = own.shift.iter().zip(mean).zip(&scales);
                let shifts = shifts.map(|((shift, mean), scale)| {
                    (f64::from(*shift) - f64::from(*mean) * scale) as f32
                });
                let shifts: Vec<f32> = shifts.collect();
                let scales: Vec<f32> = scales.into_iter().map(|scale| scale as f32).collect();
                let scales = self.table("NORM_SCALE", Table::Floats(&scales));
                let shifts = self.table("NORM_SHIFT", Table::Floats(&shifts));
                self.call(
                    "scale_shift",
                    &[out, &[Arg::Table(&scales), Arg::Table(&shifts)]].concat(),
                );
            }
            (Norm::Layer | Norm::Batch, _) => {
                let scale = self.table("NORM_SCALE", Table::Floats(&own.scale));
                let shift = self.table("NORM_SHIFT", Table::Floats(&own.shift));
                let by = [Arg::Table(&scale), Arg::Table(&shift), Arg::Double(EPSILON.into())];
                self.call("layer_norm", &[out, &by].concat());
            }
        }
    }

    fn activate(&mut self, activation: Activation, z: &str, first: usize, count: usize) {
        let out = [Arg::Out(z, first, count), Arg::Length(count)];
        let name = match activation {
            Activation::Identity => return,
            Activation::LeakyRelu(x) | Activation::Elu(x) => {
                let leaky = matches!(activation, Activation::LeakyRelu(_));
                let name = if leaky { "leaky_relu" } else { "elu" };
                return self.call(name, &[&out[..], &[Arg::Double(x.into())]].concat());
            }
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh_units",
            Activation::Relu => "relu",
            Activation::Relu6 => "relu6",
            Activation::Selu => "selu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_tanh",
            Activation::Silu => "silu",
            Activation::Softplus => "softplus",
            Activation::Softsign => "softsign",
            Activation::Mish => "mish",
            Activation::HardSigmoid => "hard_sigmoid",
            Activation::HardSwish => "hard_swish",
            Activation::Sine => "sine",
            Activation::Gaussian => "gaussian",
        };
        self.call(name, &out);
    }

    /// The predictions: from `x` through `y`, the outputs of all nets, to `outputs`.
    fn outputs(&mut self, description: &Description) {
        let (nets, width) = (description.members.len(), description.net.outputs());
        let targets = description.targets();
        for k in 0..nets {
            let x = if self.language == Language::C {
                Arg::Table("x")
            } else {
                Arg::In("x", description.net.inputs)
            };
            self.call(&format!("net_{k}"), &[x, Arg::Out("y", k * width, width)]);
            let y = [Arg::Out("y", k * width, width), Arg::Length(width)];
            let link = match &description.output {
                Output::Raw => Link::Identity,
                Output::Labels { .. } => Link::Sigmoid,
                Output::Classes { link, .. } | Output::Values { link, .. } => *link,
            };
            match link {
                Link::Identity | Link::Deviation => {}
                Link::Margin if width == 1 => self.call("sigmoid", &y),
                Link::Softmax | Link::Margin => self.call("softmax", &y),
                Link::Sigmoid => self.call("sigmoid", &y),
                Link::Exp => self.call("exponential", &y),
            }
        }
        let is_normal = description.predicted() > targets;
        let all = match (is_normal, self.language) {
            (true, Language::C) => targets,
            _ => width,
        };
        let y = match self.language {
            Language::C => vec![Arg::Table("y"), Arg::Int(nets)],
            Language::Rust => vec![Arg::In("y", nets * width)],
        };
        let mean = if is_normal { "mixture_of" } else { "mean_of" };
        let out = [Arg::Out("outputs", 0, width), Arg::Length(all)];
        self.call(mean, &[&out[..], &y].concat());
        match &description.output {
            Output::Classes { .. } if width == 1 => {
                self.call("of_two", &[Arg::Out("outputs", 0, 2)])
            }
            Output::Raw | Output::Classes { .. } | Output::Labels { .. } => {}
            Output::Values { scaling, bounds, .. } => {
                self.unscale(scaling, targets, is_normal);
                if let Some(bounds) = bounds {
                    let side = |i: usize| bounds.iter().map(|b| b[i]).collect::<Vec<f64>>();
                    let least = self.table("LEAST", Table::Doubles(&side(0)));
                    let most = self.table("MOST", Table::Doubles(&side(1)));
                    let out = [Arg::Out("outputs", 0, targets), Arg::Length(targets)];
                    self.call(
                        "clamp",
                        &[&out[..], &[Arg::Table(&least), Arg::Table(&most)]].concat(),
                    );
                }
            }
        }
    }

    /// Back to the units of the targets.
    fn unscale(&mut self, scaling: &TargetScaling, targets: usize, is_normal: bool) {
        let (shift, scale): (Vec<f64>, Vec<f64>) = match scaling {
            TargetScaling::Single(affine) => (
                affine.shift.iter().map(|&x| x.into()).collect(),
                affine.scale.iter().map(|&x| x.into()).collect(),
            ),
            TargetScaling::Double(DoubleAffine { shift_f64, scale_f64 }) => {
                (shift_f64.clone(), scale_f64.clone())
            }
        };
        if shift.iter().all(|x| *x == 0.0) && scale.iter().all(|x| *x == 1.0) {
            return;
        }
        let scale = self.table("TARGET_SCALE", Table::Doubles(&scale));
        let shift = self.table("TARGET_SHIFT", Table::Doubles(&shift));
        for part in 0..1 + usize::from(is_normal) {
            let out = [Arg::Out("outputs", part * targets, targets), Arg::Length(targets)];
            self.call("unscale", &[&out[..], &[Arg::Table(&scale)]].concat());
        }
        let out = [Arg::Out("outputs", 0, targets), Arg::Length(targets)];
        self.call("shift_by", &[&out[..], &[Arg::Table(&shift)]].concat());
    }
}

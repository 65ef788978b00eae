//! A graph of ONNX operations that is being built.

use super::proto::{
    AttributeProto, DOUBLE, Dimension, FLOAT, GraphProto, INT64, NodeProto, STRING, TensorProto,
    TensorShapeProto, TensorType, TypeProto, ValueInfoProto,
};
use std::collections::HashMap;

/// The domain of the machine-learning operators, beside that of ONNX.
pub const ML: &str = "ai.onnx.ml";

/// The name of a tensor in the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

/// Nodes, constants, inputs and outputs so far. Every tensor but weights has two dimensions, the rows
/// first.
#[derive(Debug, Default)]
pub struct Graph {
    proto: GraphProto,
    /// Existing constants, by their bytes.
    constants: HashMap<(i32, Vec<i64>, Vec<u8>), Name>,
    /// The number of names given so far: names are unique.
    made: usize,
}

/// A parameter of an operation.
#[derive(Debug, Clone)]
pub enum Attribute<'a> {
    /// A number.
    Float(f32),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Texts.
    Texts(Vec<&'a str>),
}

impl Attribute<'_> {
    fn proto(&self, name: &str) -> AttributeProto {
        let own = AttributeProto { name: Some(name.into()), ..AttributeProto::default() };
        match self {
            Attribute::Float(f) => AttributeProto { f: Some(*f), r#type: Some(1), ..own },
            Attribute::Int(i) => AttributeProto { i: Some(*i), r#type: Some(2), ..own },
            Attribute::Text(s) => {
                AttributeProto { s: Some(s.as_bytes().into()), r#type: Some(3), ..own }
            }
            Attribute::Ints(all) => AttributeProto { ints: all.clone(), r#type: Some(7), ..own },
            Attribute::Texts(all) => {
                let strings = all.iter().map(|s| s.as_bytes().into()).collect();
                AttributeProto { strings, r#type: Some(8), ..own }
            }
        }
    }
}

impl Graph {
    /// Adds an operation of ONNX's own domain; returns its output.
    pub fn node(&mut self, op: &str, inputs: &[&Name]) -> Name {
        self.node_with(op, inputs, &[])
    }

    /// As [`Graph::node`], with parameters.
    pub fn node_with(&mut self, op: &str, inputs: &[&Name], with: &[(&str, Attribute)]) -> Name {
        self.push("", op, inputs, with)
    }

    /// As [`Graph::node_with`], for a machine-learning operation.
    pub fn node_ml(&mut self, op: &str, inputs: &[&Name], with: &[(&str, Attribute)]) -> Name {
        self.push(ML, op, inputs, with)
    }

    fn push(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[&Name],
        with: &[(&str, Attribute)],
    ) -> Name {
        self.made += 1;
        // No column of a table has a name that starts with this character by chance.
        let output = Name(format!("/{op}_{}", self.made));
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|name| name.0.clone()).collect(),
            output: vec![output.0.clone()],
            name: Some(output.0.clone()),
            op_type: Some(op.into()),
            attribute: with.iter().map(|(name, value)| value.proto(name)).collect(),
            domain: (!domain.is_empty()).then(|| domain.into()),
        });
        output
    }

    fn constant(&mut self, data_type: i32, dims: &[usize], bytes: Vec<u8>) -> Name {
        let dims: Vec<i64> = dims.iter().map(|&n| n as i64).collect();
        let key = (data_type, dims, bytes);
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = Name(format!("/constant_{}", self.proto.initializer.len() + 1));
        self.proto.initializer.push(TensorProto {
            dims: key.1.clone(),
            data_type: Some(data_type),
            name: Some(name.0.clone()),
            raw_data: Some(key.2.clone()),
            ..TensorProto::default()
        });
        // Only small ones recur.
        if key.2.len() <= 4096 {
            self.constants.insert(key, name.clone());
        }
        name
    }

    /// A constant in f32.
    pub fn floats(&mut self, dims: &[usize], values: &[f32]) -> Name {
        self.constant(FLOAT, dims, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// A constant in f64.
    pub fn doubles(&mut self, dims: &[usize], values: &[f64]) -> Name {
        self.constant(DOUBLE, dims, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// A constant in i64.
    pub fn ints(&mut self, dims: &[usize], values: &[i64]) -> Name {
        self.constant(INT64, dims, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// A number in f64, to be broadcast: (1, 1).
    pub fn double(&mut self, value: f64) -> Name {
        self.doubles(&[1, 1], &[value])
    }

    /// A number in f32, to be broadcast: (1, 1).
    pub fn float(&mut self, value: f32) -> Name {
        self.floats(&[1, 1], &[value])
    }

    /// Converts a tensor to another element type.
    pub fn cast(&mut self, x: &Name, to: i32) -> Name {
        self.node_with("Cast", &[x], &[("to", Attribute::Int(to.into()))])
    }

    /// Whether numbers are NaN. Only NaN isn't equal to itself; tract treats the output of `IsNaN` as
    /// numbers.
    pub fn is_nan(&mut self, x: &Name) -> Name {
        let is_number = self.node("Equal", &[x, x]);
        self.node("Not", &[&is_number])
    }

    /// |x| in f64, for which tract lacks `Abs`.
    pub fn magnitude(&mut self, x: &Name) -> Name {
        let zero = self.double(0.0);
        let is_negative = self.node("Less", &[x, &zero]);
        let minus = self.node("Sub", &[&zero, x]);
        self.node("Where", &[&is_negative, &minus, x])
    }

    /// Columns `begin..end`: (rows, end − begin).
    pub fn columns(&mut self, x: &Name, begin: usize, end: usize) -> Name {
        let [begin, end, axis] = [begin, end, 1].map(|i| self.ints(&[1], &[i as i64]));
        self.node("Slice", &[x, &begin, &end, &axis])
    }

    /// Concatenates tensors by columns; a single one is returned unchanged.
    pub fn beside(&mut self, parts: &[Name]) -> Name {
        match parts {
            [one] => one.clone(),
            all => {
                let all: Vec<&Name> = all.iter().collect();
                self.node_with("Concat", &all, &[("axis", Attribute::Int(1))])
            }
        }
    }

    /// Clamps a tensor to bounds of its type.
    pub fn clip(&mut self, x: &Name, least: &Name, most: &Name) -> Name {
        let low = self.node("Less", &[x, least]);
        let x = self.node("Where", &[&low, least, x]);
        let high = self.node("Greater", &[&x, most]);
        self.node("Where", &[&high, most, &x])
    }

    /// Adds an input: (N, columns).
    pub fn input(&mut self, name: &str, data_type: i32, columns: usize, doc: &str) -> Name {
        self.proto.input.push(value(name, data_type, columns, doc));
        Name(name.into())
    }

    /// Adds an output with this name: (N, columns), or (N) without columns.
    pub fn output(&mut self, of: &Name, name: &str, data_type: i32, columns: usize, doc: &str) {
        self.proto.node.push(NodeProto {
            input: vec![of.0.clone()],
            output: vec![name.into()],
            name: Some(format!("/{name}")),
            op_type: Some("Identity".into()),
            ..NodeProto::default()
        });
        self.proto.output.push(value(name, data_type, columns, doc));
    }

    /// The whole graph.
    #[must_use]
    pub fn finish(self, name: &str, doc: &str) -> GraphProto {
        GraphProto { name: Some(name.into()), doc_string: Some(doc.into()), ..self.proto }
    }

    /// Looks texts up, (rows, 1): the number of each, `default` for unknown ones.
    pub fn numbers_of_texts(
        &mut self,
        x: &Name,
        texts: &[&str],
        numbers: &[i64],
        default: i64,
    ) -> Name {
        self.node_ml(
            "CategoryMapper",
            &[x],
            &[
                ("cats_strings", Attribute::Texts(texts.to_vec())),
                ("cats_int64s", Attribute::Ints(numbers.to_vec())),
                ("default_int64", Attribute::Int(default)),
            ],
        )
    }

    /// The text of each number from 0 on.
    pub fn texts_of_numbers(&mut self, x: &Name, texts: &[&str]) -> Name {
        let numbers = (0..texts.len() as i64).collect();
        self.node_ml(
            "CategoryMapper",
            &[x],
            &[
                ("cats_strings", Attribute::Texts(texts.to_vec())),
                ("cats_int64s", Attribute::Ints(numbers)),
                ("default_string", Attribute::Text("")),
            ],
        )
    }
}

/// Name and type of a value of shape (N, columns), or (N) without columns.
fn value(name: &str, data_type: i32, columns: usize, doc: &str) -> ValueInfoProto {
    debug_assert!([FLOAT, DOUBLE, STRING, INT64].contains(&data_type));
    let rows = Dimension { dim_param: Some("N".into()), dim_value: None };
    let columns = Dimension { dim_param: None, dim_value: Some(columns as i64) };
    let dim = match columns.dim_value {
        Some(0) => vec![rows],
        _ => vec![rows, columns],
    };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorType {
                elem_type: Some(data_type),
                shape: Some(TensorShapeProto { dim }),
            }),
        }),
        doc_string: Some(doc.into()),
    }
}

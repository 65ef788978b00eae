//! The frame around the statements of a program: inputs, outputs and usage.

use super::language::Language;
use crate::files::export::description::{Column, Description, Inputs, Output};

/// The interface of a program.
pub(super) struct Shape<'a> {
    pub(super) description: &'a Description<'a>,
    /// The prefix of public names in C.
    pub(super) prefix: &'a str,
    /// The names of the fields of a row.
    pub(super) fields: &'a [String],
}

impl Shape<'_> {
    /// The columns, if there are any.
    fn columns(&self) -> Option<impl Iterator<Item = (&Column<'_>, &String)>> {
        match &self.description.inputs {
            Inputs::Columns(columns) => Some(columns.iter().zip(self.fields)),
            Inputs::Matrix { .. } => None,
        }
    }

    /// The names of the predictions, and their kind.
    fn names(&self) -> (&'static str, Vec<&str>) {
        match &self.description.output {
            Output::Raw => ("", Vec::new()),
            Output::Classes { names, .. } => {
                ("classes", names.iter().map(String::as_str).collect())
            }
            Output::Labels { names } => ("labels", names.iter().map(String::as_str).collect()),
            Output::Values { names, .. } => ("targets", names.iter().map(|n| &**n).collect()),
        }
    }

    /// The meaning of the outputs, for people.
    fn meaning(&self) -> String {
        let targets = self.description.targets();
        let is_normal = self.description.predicted() > targets;
        match &self.description.output {
            Output::Raw => "the outputs of the net".into(),
            Output::Classes { .. } => "the probability of each class".into(),
            Output::Labels { .. } => "the probability of each label".into(),
            Output::Values { .. } if is_normal => {
                format!(
                    "{targets} means in the units of the targets, then their standard deviations"
                )
            }
            Output::Values { .. } => "the targets in their units".into(),
        }
    }

    fn title(&self) -> String {
        format!("A net trained by wgrad {}, as one function.", env!("CARGO_PKG_VERSION"))
    }

    /// Everything before the functions.
    pub(super) fn head(&self, language: Language) -> String {
        match language {
            Language::C => self.head_c(),
            Language::Rust => self.head_rust(),
        }
    }

    fn head_c(&self) -> String {
        let (prefix, upper) = (self.prefix, self.prefix.to_uppercase());
        let outputs = self.description.predicted();
        let (kind, names) = self.names();
        let mut text = format!(
            "/* {}\n\n   Plain C99; link with -lm. {prefix}_predict writes {}:\n   {upper}_OUTPUTS \
             numbers. It returns 0, or for an invalid value the number of its column from 1 on. */\n\
             #include <math.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n\n\
             #define {upper}_OUTPUTS {outputs}\n",
            self.title(),
            self.meaning(),
        );
        if let Some(columns) = self.columns() {
            text.push_str(
                "\n/* A row of the data. A missing number is NAN, a missing text NULL or \"\". */\ntypedef struct {\n",
            );
            for (column, field) in columns {
                let kind = if column.step.takes_texts() { "const char *" } else { "double " };
                let doc = comment(column);
                text.push_str(&format!("    {kind}{field}; /* {doc} */\n"));
            }
            text.push_str(&format!("}} {prefix}_row;\n"));
        } else {
            text.push_str(&format!("#define {upper}_INPUTS {}\n", self.description.net.inputs));
        }
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| Language::C.text(name)).collect();
            let (count, names) = (names.len(), names.join(",\n    "));
            text.push_str(&format!(
                "\nextern const char *const {prefix}_{kind}[{count}];\n\
                 const char *const {prefix}_{kind}[{count}] = {{\n    {names}\n}};\n"
            ));
        }
        text + &format!("\nint {prefix}_predict({}, double *outputs);\n\n", self.given_c())
    }

    fn given_c(&self) -> String {
        match self.description.inputs {
            Inputs::Columns(_) => format!("const {}_row *row", self.prefix),
            Inputs::Matrix { .. } => "const float *input".into(),
        }
    }

    fn head_rust(&self) -> String {
        let outputs = self.description.predicted();
        let (kind, names) = self.names();
        let mut text = format!(
            "// {}\n//\n// Only the standard library. `predict` gives {}. A value\n// that can't be \
             read is an error: the number of its column from 1 on.\n\n/// The numbers that are predicted.\n\
             #[allow(dead_code)]\npub const OUTPUTS: usize = {outputs};\n",
            self.title(),
            self.meaning(),
        );
        if !names.is_empty() {
            let (upper, count) = (kind.to_uppercase(), names.len());
            text.push_str(&format!(
                "/// The names of the {kind}, in the order of the outputs.\n\
                 #[allow(dead_code)]\npub const {upper}: [&str; {count}] = {names:?};\n"
            ));
        }
        if let Some(columns) = self.columns() {
            let columns: Vec<_> = columns.collect();
            let has_texts = columns.iter().any(|(column, _)| column.step.takes_texts());
            text.push_str(&format!(
                "\n/// A row of the data. A missing number is NaN, a missing text is empty.\n#[derive(Debug, Clone, \
                 Copy, PartialEq)]\npub struct Row{} {{\n",
                if has_texts { "<'a>" } else { "" }
            ));
            for (column, field) in columns {
                let kind = if column.step.takes_texts() { "&'a str" } else { "f64" };
                text.push_str(&format!("    /// {}\n    pub {field}: {kind},\n", comment(column)));
            }
            text.push_str("}\n");
        } else {
            let inputs = self.description.net.inputs;
            text.push_str(&format!(
                "/// The numbers that are given.\npub const INPUTS: usize = {inputs};\n"
            ));
        }
        text + "\n"
    }

    /// The function that predicts, with these statements, which end with a check after the features.
    pub(super) fn predict(&self, language: Language, body: &str) -> String {
        let (inputs, net) = (self.description.net.inputs, self.description.net);
        let all = self.description.members.len() * net.outputs();
        // The features are complete before the first net is called.
        let first_net = body.find("    net_0(").unwrap_or(body.len());
        let (encode, rest) = body.split_at(first_net);
        let ends: Vec<usize> = match &self.description.inputs {
            Inputs::Columns(columns) => {
                let ends = columns.iter().scan(0, |end, column| {
                    *end += column.step.width();
                    Some(*end)
                });
                ends.collect()
            }
            Inputs::Matrix { width, .. } => (1..=*width).collect(),
        };
        let is_plain = ends.iter().enumerate().all(|(i, end)| *end == i + 1);
        let listed = ends.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let count = ends.len();
        match language {
            Language::C => {
                let (prefix, given) = (self.prefix, self.given_c());
                let column = match is_plain {
                    true => "        return (int)at + 1;\n".into(),
                    false => format!(
                        "        static const size_t ends[{count}] = {{{listed}}};\n        int column = 1;\n        \
                         while (ends[column - 1] <= at)\n            column++;\n        return column;\n"
                    ),
                };
                format!(
                    "int {prefix}_predict({given}, double *outputs)\n{{\n    float x[{inputs}];\n    float \
                     y[{all}];\n    size_t at;\n{encode}    at = first_not_finite(x, {inputs});\n    if (at < \
                     {inputs}) {{\n{column}    }}\n{rest}    return 0;\n}}\n"
                )
            }
            Language::Rust => {
                let given = match self.description.inputs {
                    Inputs::Columns(_) => "row: &Row",
                    Inputs::Matrix { .. } => "input: &[f32; INPUTS]",
                };
                let column = match is_plain {
                    true => "        return Err(at + 1);\n".into(),
                    false => format!(
                        "        const ENDS: [usize; {count}] = [{listed}];\n        return \
                         Err(ENDS.partition_point(|&end| end <= at) + 1);\n"
                    ),
                };
                format!(
                    "/// What is predicted for a row.\npub fn predict({given}) -> Result<[f64; OUTPUTS], usize> {{\n    \
                     let mut x = [0f32; {inputs}];\n    let mut y = [0f32; {all}];\n    let mut outputs = [0f64; \
                     OUTPUTS];\n{encode}    let at = first_not_finite(&x);\n    if at < {inputs} {{\n{column}    \
                     }}\n{rest}    Ok(outputs)\n}}\n"
                )
            }
        }
    }
}

/// A column as text for a comment, which no name can end.
fn comment(column: &Column) -> String {
    let name = column.name.escape_debug().to_string().replace("*/", "* /").replace("/*", "/ *");
    format!("{name}: {}", column.step.describe())
}

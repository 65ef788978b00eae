//! Constants and parameters of ONNX graphs: numbers of weights, names of classes.

use super::state_dict::finite;
use crate::base::error::{Error, Result};
use crate::files::export::onnx::proto::{
    AttributeProto, DOUBLE, FLOAT, FLOAT16, GraphProto, ModelProto, NodeProto, TensorProto,
};
use half::f16;

/// The operator of a node.
pub(super) fn op(node: &NodeProto) -> &str {
    node.op_type.as_deref().unwrap_or_default()
}

/// A parameter of a node.
pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name.as_deref() == Some(name))
}

/// The finite values of a constant.
pub(super) fn values(tensor: &TensorProto) -> Result<Vec<f32>> {
    let name = tensor.name.as_deref().unwrap_or("a constant");
    if !tensor.external_data.is_empty() {
        return Err(Error::data(format!("{name} is stored in another file")).help(
            "export again with all weights in one file: torch.onnx.export(…, external_data=False)",
        ));
    }
    let raw = tensor.raw_data.as_deref().unwrap_or_default();
    let values: Vec<f32> = match tensor.data_type {
        Some(FLOAT) if raw.is_empty() => tensor.float_data.clone(),
        Some(FLOAT) => raw.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Some(DOUBLE) if raw.is_empty() => tensor.double_data.iter().map(|&x| x as f32).collect(),
        Some(DOUBLE) => {
            raw.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect()
        }
        Some(FLOAT16) => {
            raw.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
        }
        other => {
            return Err(Error::data(format!(
                "{name} has the element type number {}",
                other.unwrap_or(0)
            ))
            .help("write weights in f32, f64 or f16"));
        }
    };
    let count =
        tensor.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
    if count != Some(values.len()) {
        return Err(Error::data(format!(
            "{name} holds {} values for {:?}",
            values.len(),
            tensor.dims
        ))
        .help("give a complete file of an exporter"));
    }
    finite(name, values)
}

/// The class names of a file: from its metadata, a ZipMap or the table after ArgMax; else
/// none.
pub(super) fn class_names(model: &ModelProto, graph: &GraphProto) -> Vec<String> {
    let note = model.metadata_props.iter().find(|note| note.key.as_deref() == Some("classes"));
    let noted = note.and_then(|note| serde_json::from_str(note.value.as_deref()?).ok());
    if let Some(names) = noted {
        return names;
    }
    let texts = |all: &[Vec<u8>]| -> Vec<String> {
        all.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    };
    for node in &graph.node {
        for name in ["classlabels_strings", "classlabels_int64s", "cats_strings", "values_strings"]
        {
            if let Some(found) = attribute(node, name) {
                let numbers = found.ints.iter().map(i64::to_string);
                return texts(&found.strings).into_iter().chain(numbers).collect();
            }
        }
    }
    let table = graph.node.iter().find(|node| op(node) == "ArrayFeatureExtractor");
    let table = table.and_then(|node| node.input.first());
    let table =
        table.and_then(|name| graph.initializer.iter().find(|t| t.name.as_ref() == Some(name)));
    let Some(table) = table else { return Vec::new() };
    let raw = table.raw_data.as_deref().unwrap_or_default();
    let of_raw = |width: usize| -> Vec<String> {
        match width {
            8 => {
                raw.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b).to_string()).collect()
            }
            _ => {
                raw.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b).to_string()).collect()
            }
        }
    };
    let count = table.dims.iter().product::<i64>().max(1) as usize;
    match () {
        () if !table.string_data.is_empty() => texts(&table.string_data),
        () if !table.int64_data.is_empty() => table.int64_data.iter().map(i64::to_string).collect(),
        () if !table.int32_data.is_empty() => table.int32_data.iter().map(i32::to_string).collect(),
        () => of_raw(raw.len() / count),
    }
}

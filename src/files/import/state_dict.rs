//! PyTorch's state dicts as safetensors: `0.weight` (out, in), `0.bias`, `2.weight`, and so on.

use super::{Dense, Parts};
use crate::base::error::{Error, Result};
use crate::math::activation::Activation;
use crate::math::matrix::Matrix;
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;

/// The numbers in the name before `.weight` or `.bias`, and the name.
type Key = (Vec<u64>, String);

/// The dense layers of a state dict, in the order of the numbers in their names, with `activation`
/// between them.
///
/// # Errors
/// For what isn't a safetensors file, and for tensors that aren't the weight or bias of a dense layer.
pub(super) fn parts(bytes: &[u8], activation: Activation) -> Result<Parts> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| {
        Error::data(format!("not a complete safetensors file: {e}"))
            .help("give a state dict that safetensors.torch.save_file wrote, or an ONNX file")
    })?;
    let notes = SafeTensors::read_metadata(bytes);
    if notes.is_ok_and(|(_, header)| {
        header.metadata().as_ref().is_some_and(|notes| notes.contains_key("wgrad.net"))
    }) {
        // Its preprocessing would be lost.
        return Err(Error::data("this is not a state dict of PyTorch")
            .help("it is a model of wgrad already: use it as RUN"));
    }
    // By the numbers in a name, and then the name: 10.weight comes after 2.weight.
    let mut found: BTreeMap<Key, [Option<TensorView>; 2]> = BTreeMap::new();
    for (name, tensor) in tensors.tensors() {
        let (of, part) = name.rsplit_once('.').unwrap_or(("", &name));
        let (place, dims) = match part {
            "weight" => (0, 2),
            "bias" => (1, 1),
            _ => return Err(refused(&name, &tensor)),
        };
        if tensor.shape().len() != dims {
            return Err(refused(&name, &tensor));
        }
        let numbers = of.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
        let key = (numbers.collect(), of.to_string());
        found.entry(key).or_default()[place] = Some(tensor);
    }
    let count = found.len();
    let layer = |(l, ((_, of), [weight, bias])): (usize, (Key, [Option<TensorView>; 2]))| {
        let weight = weight.ok_or_else(|| {
            Error::data(format!("{of}.bias without {of}.weight")).help("give a complete state dict")
        })?;
        let (out, cols) = (weight.shape()[0], weight.shape()[1]);
        let bias = match bias {
            Some(bias) if bias.shape() == [out] => values(&format!("{of}.bias"), &bias)?,
            Some(bias) => return Err(refused(&format!("{of}.bias"), &bias)),
            None => vec![0.0; out],
        };
        Ok(Dense {
            weight: Matrix::new(out, cols, values(&format!("{of}.weight"), &weight)?)?,
            bias,
            activation: if l + 1 == count { Activation::Identity } else { activation },
        })
    };
    let layers = found.into_iter().enumerate().map(layer).collect::<Result<_>>()?;
    Ok(Parts { layers, ..Parts::default() })
}

fn refused(name: &str, tensor: &TensorView) -> Error {
    Error::data(format!("{name} {:?} is not the weight or bias of a dense layer", tensor.shape()))
        .help("only nets of dense layers can be imported: nn.Linear with activations between, without normalization, convolutions or embeddings")
}

/// The values of a tensor, checked to be finite.
fn values(name: &str, tensor: &TensorView) -> Result<Vec<f32>> {
    let data = tensor.data();
    let pairs = || data.as_chunks::<2>().0.iter();
    let values: Vec<f32> = match tensor.dtype() {
        Dtype::F32 => data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F64 => {
            data.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect()
        }
        Dtype::F16 => pairs().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        other => {
            return Err(Error::data(format!("{name} is of type {other}"))
                .help("write weights as F32, F64, F16 or BF16"));
        }
    };
    finite(name, values)
}

/// Refuses NaN and infinity.
pub(super) fn finite(name: &str, values: Vec<f32>) -> Result<Vec<f32>> {
    match values.iter().find(|x| !x.is_finite()) {
        None => Ok(values),
        Some(x) => Err(Error::data(format!("{name} holds {x}"))
            .help("the training that wrote it diverged: take an earlier checkpoint")),
    }
}

//! Model files: safetensors with the net, its provenance and its preprocessing; and checkpoints,
//! from which a run is resumed (`state`, `store`, `writer`).

mod file;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod writer;
pub use crate::base::atomic::write_atomically;
use file::read;
pub use state::{Saved, load_checkpoint};
pub use store::{Newest, Store, is_checkpoint};
pub use writer::Writer;

use crate::backend::session::{LayerWeights, NormWeights};
use crate::base::error::{Error, Result};
use crate::data::{Encoding, Header, Preprocessing};
use crate::files::checkpoint::file::not_safetensors;
use crate::files::tensors::Tensors;
use crate::math::embedding::Embedding;
use crate::math::matrix::Matrix;
use crate::net::spec::{Bias, Net, Norm};
use crate::train::evaluation::Constant;
use crate::train::model::Model;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// What a model file says of where the model came from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Provenance {
    /// The version of this program that wrote it.
    pub version: String,
    /// The name of the training data.
    pub data: Option<String>,
    /// The resolved configuration of the run, as TOML.
    pub config: Option<String>,
    /// The constant predictions that the net is compared with, fitted to its training rows.
    pub baselines: Vec<Constant>,
    /// What the outputs of its nets were divided by, where they were calibrated.
    pub temperature: Option<f64>,
}

/// Writes a model to a safetensors file: `layers.<i>.weight` (out, in), `layers.<i>.bias` and
/// `embeddings.<i>.weight` (values, dims) in f32, for the nets of an ensemble after `nets.<k>.`, and in
/// the metadata all else that predictions need. The same model gives the same bytes.
///
/// # Errors
/// When the file can't be written; then no file, or the one before, is there.
pub fn save_model(model: &Model, path: &Path) -> Result<()> {
    save_model_with(model, &Provenance::default(), path)
}

/// As [`save_model`], with where the model came from; its version is this program's.
///
/// # Errors
/// As [`save_model`].
pub fn save_model_with(model: &Model, provenance: &Provenance, path: &Path) -> Result<()> {
    let header = header(model, provenance)?;
    write_atomically(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for layer in model.members.iter().flatten() {
            let biases = layer.bias.iter().flatten();
            let norm = layer.norm.iter().flat_map(|norm| norm.named().flat_map(|(_, v)| v));
            let tables = layer.embeddings.iter().flat_map(|table| table.data());
            for x in layer.weight.data().iter().chain(biases).chain(norm).chain(tables) {
                out.write_all(&x.to_le_bytes())?;
            }
        }
        Ok(())
    })
}

/// Reads a model that [`save_model`] wrote.
///
/// # Errors
/// When there is no such file, or it is not a model: what is missing, or which tensor is wrong.
pub fn load_model(path: &Path) -> Result<Model> {
    load_model_with(path).map(|(model, _)| model)
}

/// As [`load_model`], with where the model came from.
///
/// # Errors
/// As [`load_model`].
pub fn load_model_with(path: &Path) -> Result<(Model, Provenance)> {
    let bytes = read(path)?;
    parse_model(&bytes).map_err(|e| e.at(path.display()))
}

/// Reads weights for `net` from any safetensors file with tensors `layers.<i>.weight` (out, in)
/// and, where the net has biases, `layers.<i>.bias` (out), and for its embeddings
/// `embeddings.<i>.weight` (values, dims), in F32 or F64.
///
/// # Errors
/// When there is no such file, a tensor is missing, or has another shape or type.
pub fn load_weights(path: &Path, net: &Net) -> Result<Vec<LayerWeights>> {
    let bytes = read(path)?;
    let tensors = Tensors::parse(&bytes).map_err(|e| not_safetensors(&e));
    let weights = tensors.and_then(|tensors| {
        if count_members(&tensors) > 1 {
            return Err(Error::usage("these are the weights of an ensemble")
                .help("use those of one of its nets: RUN/net-1/model.safetensors"));
        }
        let (prefixes, of) = (prefixes(&tensors, ""), String::new());
        Weights { tensors: &tensors, prefixes, of, in_model: false }.of(net)
    });
    weights.map_err(|e| e.at(path.display()))
}

/// The text before `.weight` in the names of the layers' tensors, in the order of the layers:
/// `layers.0`, `layers.1`, or as PyTorch names the parts of an `nn.Sequential`, `0`, `2`, or
/// `net.0`, `net.2`, by their numbers. Of these the ones that begin with `of`, which is left out.
fn prefixes(tensors: &Tensors<'_>, of: &str) -> Vec<String> {
    let numbers = |name: &str| -> Vec<usize> {
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
    };
    let mut prefixes: Vec<String> = tensors
        .names()
        .filter_map(|n| n.strip_prefix(of)?.strip_suffix(".weight"))
        .filter(|n| !n.ends_with(".norm") && !n.starts_with("embeddings."))
        .map(String::from)
        .collect();
    if prefixes.iter().any(|name| name.starts_with("layers.")) {
        // Our own names: a gap among them is an error that names what is missing.
        return (0..prefixes.len()).map(|l| format!("layers.{l}")).collect();
    }
    prefixes.sort_by_key(|name| (numbers(name), name.clone()));
    prefixes
}

/// The header of a model file, padded to a multiple of 8 bytes.
///
/// Written here rather than by the safetensors crate, which puts the metadata into another order
/// each time.
fn header(model: &Model, provenance: &Provenance) -> Result<String> {
    fn json(value: &impl Serialize) -> Result<String> {
        serde_json::to_string(value)
            .map_err(|e| Error::failed(format!("cannot write the model's metadata: {e}")))
    }
    let mut metadata = serde_json::Map::new();
    let mut note = |key: &str, value: String| metadata.insert(key.into(), value.into());
    note("wgrad.version", env!("CARGO_PKG_VERSION").into());
    note("wgrad.net", json(&model.net)?);
    note("wgrad.objective", json(&model.objective)?);
    note("wgrad.preprocessing", json(&model.preprocessing)?);
    provenance.data.iter().for_each(|data| drop(note("wgrad.data", data.clone())));
    provenance.config.iter().for_each(|config| drop(note("wgrad.config", config.clone())));
    if !provenance.baselines.is_empty() {
        note("wgrad.baselines", json(&provenance.baselines)?);
    }
    if let Some(temperature) = &provenance.temperature {
        note("wgrad.temperature", json(temperature)?);
    }

    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), metadata.into());
    let mut offset = 0;
    let mut tensor = |name: String, shape: Vec<usize>| {
        let begin = offset;
        offset += shape.iter().product::<usize>() * 4;
        let info = serde_json::json!({
            "dtype": "F32", "shape": shape, "data_offsets": [begin, offset],
        });
        header.insert(name, info);
    };
    for (k, net) in model.members.iter().enumerate() {
        let of = member(k, model.members.len());
        for (l, layer) in net.iter().enumerate() {
            let shape = vec![layer.weight.rows(), layer.weight.cols()];
            tensor(format!("{of}layers.{l}.weight"), shape);
            if let Some(bias) = &layer.bias {
                tensor(format!("{of}layers.{l}.bias"), vec![bias.len()]);
            }
            for (name, values) in layer.norm.iter().flat_map(NormWeights::named) {
                tensor(format!("{of}layers.{l}.norm.{name}"), vec![values.len()]);
            }
            for (i, table) in layer.embeddings.iter().enumerate() {
                let shape = vec![table.rows(), table.cols()];
                tensor(format!("{of}embeddings.{i}.weight"), shape);
            }
        }
    }
    let mut text = json(&header)?;
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    Ok(text)
}

/// The prefix of the names of the tensors of net `k` of `nets`.
fn member(k: usize, nets: usize) -> String {
    if nets == 1 { String::new() } else { format!("nets.{k}.") }
}

/// How many nets a model file holds.
fn count_members(tensors: &Tensors<'_>) -> usize {
    let has = |k: usize| {
        let of = format!("nets.{k}.");
        tensors.names().any(|name| name.starts_with(&of))
    };
    (0..).take_while(|&k| has(k)).count().max(1)
}

fn parse_model(bytes: &[u8]) -> Result<(Model, Provenance)> {
    let tensors = Tensors::parse(bytes).map_err(|e| not_safetensors(&e))?;
    let metadata = tensors.metadata();
    let net: Net = required(metadata, "wgrad.net")?;
    net.check().map_err(|e| Error::data(e.to_string()).at("wgrad.net in the metadata"))?;
    let mut preprocessing: Preprocessing = required(metadata, "wgrad.preprocessing")?;
    if preprocessing.encoding.is_none() && metadata.contains_key("wgrad.columns") {
        let columns: OldColumns = required(metadata, "wgrad.columns")?;
        preprocessing.encoding = Some(columns.encoding());
    }
    let nets = count_members(&tensors);
    let members = (0..nets).map(|k| {
        let of = member(k, nets);
        Weights { prefixes: prefixes(&tensors, &of), tensors: &tensors, of, in_model: true }
            .of(&net)
    });
    let model = Model {
        objective: required(metadata, "wgrad.objective")?,
        preprocessing,
        members: members.collect::<Result<_>>()?,
        net,
    };
    model.check()?;
    let text = |key: &str| metadata.get(key).cloned();
    fn optional<T: DeserializeOwned>(
        metadata: &HashMap<String, String>,
        key: &str,
    ) -> Result<Option<T>> {
        metadata.contains_key(key).then(|| required(metadata, key)).transpose()
    }
    let provenance = Provenance {
        version: text("wgrad.version").unwrap_or_default(),
        data: text("wgrad.data"),
        config: text("wgrad.config"),
        baselines: optional(metadata, "wgrad.baselines")?.unwrap_or_default(),
        temperature: optional(metadata, "wgrad.temperature")?,
    };
    Ok((model, provenance))
}

/// The columns of a table of numbers, as models were saved with them before columns were encoded.
#[derive(Deserialize)]
struct OldColumns {
    header: bool,
    names: Vec<String>,
    targets: Vec<usize>,
}

impl OldColumns {
    fn encoding(self) -> Encoding {
        let (targets, features): (Vec<_>, Vec<_>) =
            self.names.iter().cloned().enumerate().partition(|(i, _)| self.targets.contains(i));
        let mut encoding = Encoding::plain(features.len(), targets.len());
        let named = encoding.features.iter_mut().zip(features);
        named.for_each(|(feature, (_, name))| feature.column = name);
        encoding.targets =
            self.targets.iter().filter_map(|&i| self.names.get(i)).cloned().collect();
        encoding.header = Header { named: self.header, names: self.names, ..Header::default() };
        encoding
    }
}

/// The metadata under `key`, as JSON.
fn required<T: DeserializeOwned>(metadata: &HashMap<String, String>, key: &str) -> Result<T> {
    let text = metadata.get(key).ok_or_else(|| {
        Error::data(format!("not a model of wgrad: its metadata has no {key}"))
            .help("give a file written by wgrad train; to start from other weights, use --init")
    })?;
    serde_json::from_str(text).map_err(|e| {
        Error::data(format!("{key} in the metadata can't be read: {e}"))
            .help("the file was changed, or written by another version: train again")
    })
}

/// The tensors of a file, to be read as the weights of a net.
struct Weights<'a> {
    tensors: &'a Tensors<'a>,
    /// The prefix of the names of the net's tensors, if the file holds several nets.
    of: String,
    /// The text before `.weight` and `.bias` for each layer; by default `layers.<l>`.
    prefixes: Vec<String>,
    /// Whether the net comes from the same file: a wrong shape is then bad data, not wrong usage.
    in_model: bool,
}

impl Weights<'_> {
    fn of(&self, net: &Net) -> Result<Vec<LayerWeights>> {
        let (found, layers) = (self.prefixes.len(), net.layers.len());
        if found > layers {
            let extra = &self.prefixes[layers];
            let what = format!("it has a tensor {extra}.weight, but the net has {layers} layers");
            return Err(self.misfit(what));
        }
        let prefix = |l: usize| self.prefixes.get(l).cloned().unwrap_or(format!("layers.{l}"));
        let layers = net.layers.iter().zip(net.shapes()).enumerate();
        layers
            .map(|(l, (layer, (out, cols)))| {
                let weight = self.values(&format!("{}.weight", prefix(l)), &[out, cols])?;
                let biased = layer.bias != Bias::None;
                let bias = biased.then(|| self.values(&format!("{}.bias", prefix(l)), &[out]));
                let norm = layer.norm.map(|norm| self.norm(&prefix(l), norm, out));
                Ok(LayerWeights {
                    weight: Matrix::new(out, cols, weight)?,
                    bias: bias.transpose()?,
                    norm: norm.transpose()?,
                    embeddings: if l == 0 { self.tables(&net.embeddings)? } else { Vec::new() },
                })
            })
            .collect()
    }

    fn tables(&self, embeddings: &[Embedding]) -> Result<Vec<Matrix<f32>>> {
        let table = |(i, e): (usize, &Embedding)| {
            let values = self.values(&format!("embeddings.{i}.weight"), &[e.values, e.dims])?;
            Matrix::new(e.values, e.dims, values)
        };
        let extra = format!("{}embeddings.{}.weight", self.of, embeddings.len());
        if self.tensors.tensor(&extra).is_some() {
            return Err(self.misfit(format!("it has a tensor {extra}, which the net doesn't have")));
        }
        embeddings.iter().enumerate().map(table).collect()
    }

    fn norm(&self, prefix: &str, norm: Norm, units: usize) -> Result<NormWeights> {
        let tensor = |name: &str| self.values(&format!("{prefix}.norm.{name}"), &[units]);
        let running = (norm == Norm::Batch)
            .then(|| -> Result<_> { Ok([tensor("running_mean")?, tensor("running_var")?]) });
        Ok(NormWeights {
            scale: tensor("weight")?,
            shift: tensor("bias")?,
            running: running.transpose()?,
        })
    }

    fn misfit(&self, what: String) -> Error {
        match self.in_model {
            true => Error::data(what).help("the file was modified: train again"),
            false => Error::usage(what).help(
                "make the net match the weights, with --layers (hidden layers) and --bias none if there are no biases; matrices are (out, in)",
            ),
        }
    }

    /// The finite values of a tensor of that shape.
    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = &format!("{}{name}", self.of);
        let tensor = self.tensors.tensor(name).ok_or_else(|| {
            let mut names: Vec<&str> = self.tensors.names().collect();
            names.sort_unstable();
            names.truncate(12);
            let has = format!(
                "there is no tensor {name}; the first tensors in the file are {}",
                names.join(", ")
            );
            self.misfit(has)
        })?;
        if tensor.shape != shape {
            let what = format!("{name} is {:?}, but the net needs {shape:?}", tensor.shape);
            return Err(self.misfit(what));
        }
        let values: Vec<f32> = match tensor.dtype {
            "F32" => bytes_of(tensor.data).map(f32::from_le_bytes).collect(),
            "F64" => bytes_of(tensor.data).map(|b| f64::from_le_bytes(b) as f32).collect(),
            other => {
                return Err(Error::data(format!("{name} is of type {other}"))
                    .help("write weights as F32 or F64"));
            }
        };
        match values.iter().position(|x| !x.is_finite()) {
            None => Ok(values),
            Some(i) => {
                let cols = shape.get(1).copied().unwrap_or(1).max(1);
                Err(Error::data(format!("{name} holds {}", values[i]))
                    .at(format!("row {}, column {}", i / cols + 1, i % cols + 1))
                    .help("the training that wrote it diverged: train again with a lower --lr"))
            }
        }
    }
}

/// The bytes of each element.
fn bytes_of<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.chunks_exact(N).filter_map(|chunk| chunk.try_into().ok())
}

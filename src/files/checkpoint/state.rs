//! Checkpoint files: safetensors with everything that a run needs to resume, and a checksum.
//!
//! Tensors are called `now.…` for net and optimizer state, `best.…` for the best epoch's weights
//! and `epoch_start.…`. The metadata hold the rest as JSON, and a SHA-256 of the whole file except
//! its own digits, so that any damage is detected.

use super::bytes_of;
use super::file::not_safetensors;
use crate::base::error::{Error, Result};
use crate::base::sha256::Sha256;
use crate::data::Fingerprint;
use crate::files::tensors::{Tensor, Tensors};
use crate::kernels::tensor::HostTensor;
use crate::math::schedule::Plateau;
use crate::net::metrics::Metrics;
use crate::net::precision::Multiplier;
use crate::train::event::Ending;
use crate::train::snapshot::{Best, Checkpoint, Detours, Position, Snapshot};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The version of the format; others are refused.
const FORMAT: &str = "1";
/// The key before the checksum, which is hashed as zeros.
const CHECKSUM: &str = "\"wgrad.sha256\":\"";
/// The number of its digits.
const DIGITS: usize = 64;

/// A checkpoint with the other data of a run directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// The run.
    pub checkpoint: Arc<Checkpoint>,
    /// The resolved configuration, as TOML.
    pub config: String,
    /// The length of the file of events, in bytes: later events belong to steps that are
    /// repeated.
    pub events: u64,
    /// Why the run had ended, if it had.
    pub ended: Option<Ending>,
}

/// All that isn't a tensor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    position: Position,
    epoch_start: Option<Position>,
    best: Option<BestMeta>,
    detours: Detours,
    losses: Option<[f64; 2]>,
    #[serde(default)]
    held_out_losses: Option<[f64; 2]>,
    #[serde(default)]
    plateau: Plateau,
    seconds: f64,
    settings: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    multiplier: Option<Multiplier>,
    data: Fingerprint,
    #[serde(default)]
    validation: Option<Fingerprint>,
    config: String,
    events: u64,
    ended: Option<Ending>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BestMeta {
    epoch: usize,
    step: u64,
    metric: String,
    /// As text: a loss may be infinite, which JSON numbers can't be.
    loss: String,
    metrics: Vec<(String, String)>,
}

/// The bytes of a checkpoint's file, to be written from first to last.
pub(super) struct Encoded<'a> {
    header: Vec<u8>,
    tensors: Vec<&'a [f32]>,
}

impl Encoded<'_> {
    pub(super) fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        out.write_all(&(self.header.len() as u64).to_le_bytes())?;
        out.write_all(&self.header)?;
        self.tensors.iter().try_for_each(|values| little_endian(values, |b| out.write_all(b)))
    }
}

/// Passes on the bytes of `values`, little-endian, piece by piece.
fn little_endian<E>(
    values: &[f32],
    mut take: impl FnMut(&[u8]) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    if cfg!(target_endian = "little") {
        return take(bytemuck::cast_slice(values));
    }
    values.iter().try_for_each(|x| take(&x.to_le_bytes()))
}

pub(super) fn encode(saved: &Saved) -> Result<Encoded<'_>> {
    let Saved { checkpoint, config, events, ended } = saved;
    let best = checkpoint.best.as_deref();
    let meta = Meta {
        position: checkpoint.now.position,
        epoch_start: checkpoint.epoch_start.as_ref().map(|snapshot| snapshot.position),
        best: best.map(|best| BestMeta {
            epoch: best.epoch,
            step: best.step,
            metric: best.metric.clone(),
            loss: best.metrics.loss.to_string(),
            metrics: named(&best.metrics),
        }),
        detours: checkpoint.detours.clone(),
        losses: checkpoint.losses,
        held_out_losses: checkpoint.held_out_losses,
        plateau: checkpoint.plateau,
        seconds: checkpoint.seconds,
        settings: checkpoint.settings.clone(),
        multiplier: checkpoint.multiplier,
        data: checkpoint.data.clone(),
        validation: checkpoint.validation.clone(),
        config: config.clone(),
        events: *events,
        ended: *ended,
    };
    let fail = |e: serde_json::Error| Error::failed(format!("cannot write a checkpoint: {e}"));
    let meta = serde_json::to_string(&meta).map_err(fail)?;

    let (mut table, mut tensors) = (serde_json::Map::new(), Vec::new());
    let mut offset = 0;
    let mut add = |name: String, shape: [usize; 2], values: &'_ [f32]| {
        let begin = offset;
        offset += 4 * values.len();
        let info = serde_json::json!({
            "dtype": "F32", "shape": shape, "data_offsets": [begin, offset],
        });
        table.insert(name, info);
    };
    for (prefix, sums, all) in parts(checkpoint) {
        for tensor in all {
            add(format!("{prefix}.{}", tensor.name), tensor.shape, &tensor.values);
            tensors.push(tensor.values.as_slice());
        }
        if let Some(sums) = sums {
            add(format!("{prefix}.sums"), [1, sums.len()], sums);
            tensors.push(sums);
        }
    }
    let metadata = serde_json::json!({
        "wgrad.format": FORMAT,
        "wgrad.version": env!("CARGO_PKG_VERSION"),
        "wgrad.checkpoint": meta,
        "wgrad.sha256": "0".repeat(DIGITS),
    });
    table.insert("__metadata__".into(), metadata);
    let mut header = serde_json::to_vec(&table).map_err(fail)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut digest = Sha256::new();
    digest.update((header.len() as u64).to_le_bytes());
    digest.update(&header);
    for values in &tensors {
        let Ok(()) = little_endian(values, |bytes| {
            digest.update(bytes);
            Ok::<(), Infallible>(())
        });
    }
    let sha256 = hexadecimal(digest);
    if let Some(place) = checksum_place(&header) {
        header[place].copy_from_slice(sha256.as_bytes());
    }
    Ok(Encoded { header, tensors })
}

/// The place of the checksum's digits in `header`.
fn checksum_place(header: &[u8]) -> Option<Range<usize>> {
    let mut places = header.windows(CHECKSUM.len());
    let begin = places.rposition(|text| text == CHECKSUM.as_bytes())? + CHECKSUM.len();
    let place = begin..begin + DIGITS;
    header.get(place.clone()).map(|_| place)
}

fn hexadecimal(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A part of a file: the prefix of its tensors, the running sums, and the tensors.
type Part<'a> = (&'static str, Option<&'a [f32]>, &'a [HostTensor]);

/// The parts of a checkpoint, in the order of its file.
fn parts(checkpoint: &Checkpoint) -> Vec<Part<'_>> {
    fn of<'a>(prefix: &'static str, snapshot: &'a Snapshot) -> Part<'a> {
        (prefix, Some(&snapshot.sums), &snapshot.tensors)
    }
    let mut parts = vec![of("now", &checkpoint.now)];
    parts.extend(checkpoint.epoch_start.as_ref().map(|start| of("epoch_start", start)));
    parts.extend(checkpoint.best.as_deref().map(|best| ("best", None, best.tensors.as_slice())));
    parts
}

/// Reads a checkpoint's file.
///
/// # Errors
/// When there is no such file, it is damaged, or another version wrote it.
pub fn load_checkpoint(path: &Path) -> Result<Saved> {
    let bytes = super::read(path)?;
    decode(&bytes).map_err(|e| e.at(path.display()))
}

fn decode(bytes: &[u8]) -> Result<Saved> {
    let damaged = |what: String| {
        Error::data(format!("the checkpoint is damaged: {what}"))
            .help("an older one in the same directory may be intact")
    };
    let tensors = Tensors::parse(bytes).map_err(|e| not_safetensors(&e))?;
    let (length, metadata) = (tensors.header_len(), tensors.metadata());
    let text = |key: &str| metadata.get(key).map(String::as_str).unwrap_or_default();
    let format = text("wgrad.format");
    if format != FORMAT {
        return Err(Error::data(format!("the checkpoint has format {format:?}, not {FORMAT}"))
            .help("resume with the version of wgrad that wrote it"));
    }
    let meta = text("wgrad.checkpoint");
    let mut digest = Sha256::new();
    if let Some(place) = checksum_place(&bytes[..8 + length]) {
        digest.update(&bytes[..place.start]);
        digest.update([b'0'; DIGITS]);
        digest.update(&bytes[place.end..]);
    }
    if hexadecimal(digest) != text("wgrad.sha256") {
        return Err(damaged("its checksum is wrong".into()));
    }
    let meta: Meta = serde_json::from_str(meta).map_err(|e| damaged(e.to_string()))?;

    // In the order of the file, so that resuming writes the same file again.
    let names: Vec<&str> = tensors.names().collect();
    let part = |prefix: &str| -> Result<Vec<HostTensor>> {
        let own = names
            .iter()
            .filter_map(|name| name.strip_prefix(prefix)?.strip_prefix('.').map(|own| (name, own)));
        own.map(|(name, own)| match tensors.tensor(name) {
            Some(Tensor { dtype: "F32", shape: &[rows, cols], data }) => Ok(HostTensor {
                name: own.into(),
                shape: [rows, cols],
                values: bytes_of(data).map(f32::from_le_bytes).collect(),
            }),
            _ => Err(damaged(format!("{name} is not a matrix of f32"))),
        })
        .collect()
    };
    let snapshot = |prefix: &str, position: Position| -> Result<Snapshot> {
        let (sums, tensors): (Vec<_>, Vec<_>) =
            part(prefix)?.into_iter().partition(|t| t.name == "sums");
        let sums = sums.first().and_then(|t| t.values.as_slice().try_into().ok());
        let sums = sums.ok_or_else(|| damaged(format!("{prefix}.sums is missing")))?;
        Ok(Snapshot { position, sums, tensors })
    };
    let best = |best: BestMeta| -> Result<Arc<Best>> {
        let number = |text: &str| text.parse::<f64>().map_err(|e| damaged(e.to_string()));
        let name = |name: &str| {
            let known = Metrics::all_names().find(|known| *known == name);
            known.ok_or_else(|| damaged(format!("an unknown metric, {name}")))
        };
        let values = best.metrics.iter().map(|(metric, x)| Ok((name(metric)?, number(x)?)));
        let metrics = Metrics { loss: number(&best.loss)?, values: values.collect::<Result<_>>()? };
        let BestMeta { epoch, step, metric, .. } = best;
        Ok(Arc::new(Best { epoch, step, metric, metrics, tensors: part("best")? }))
    };
    let checkpoint = Checkpoint {
        now: snapshot("now", meta.position)?,
        epoch_start: meta.epoch_start.map(|at| snapshot("epoch_start", at)).transpose()?,
        best: meta.best.map(best).transpose()?,
        detours: meta.detours,
        losses: meta.losses,
        held_out_losses: meta.held_out_losses,
        plateau: meta.plateau,
        seconds: meta.seconds,
        settings: meta.settings,
        multiplier: meta.multiplier,
        data: meta.data,
        validation: meta.validation,
    };
    let Meta { config, events, ended, .. } = meta;
    Ok(Saved { checkpoint: Arc::new(checkpoint), config, events, ended })
}

fn named(metrics: &Metrics) -> Vec<(String, String)> {
    metrics.values.iter().map(|(name, x)| ((*name).to_string(), x.to_string())).collect()
}

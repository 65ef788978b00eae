//! The data that ranks exchange before they train together, and the checks of them.

use super::Trainer;
use crate::base::error::{Error, Result};
use crate::base::sha256::Sha256;
use crate::math::gemm::Gemm as _;
use crate::net::spec::Spec;
use crate::train::ranks::{Ranks, Reduction, Shards, multiple, share};
use serde::{Deserialize, Serialize};

/// What all ranks must have in common, and their descriptions.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Hello {
    version: String,
    settings: String,
    rows: String,
    weights: String,
    pub device: [String; 2],
    /// Further details of the device, such as its threads.
    pub detail: String,
}

impl Trainer {
    /// The data of this rank for the others.
    pub(super) fn hello(&mut self) -> Result<Hello> {
        let mut weights = Sha256::new();
        for tensor in self.session.read_tensors(&self.session.predicting())? {
            weights.update(bytemuck::cast_slice::<f32, u8>(&tensor.values));
        }
        let info = self.session.backend().info();
        let backend = match info.backend.as_str() {
            // Processors with other instructions round differently, and pack weights differently.
            "cpu" => format!("cpu, {}", f32::kernel().name),
            other => other.into(),
        };
        Ok(Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            settings: self.settings(),
            rows: self.fingerprint().sha256,
            weights: weights.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            device: [info.name.clone(), backend],
            detail: info.detail.clone(),
        })
    }
}

/// Refuses what can't be split over ranks or blocks.
pub(super) fn check(spec: &Spec, reduction: Reduction, size: usize) -> Result<()> {
    let Reduction::Reproducible { blocks } = reduction else { return Ok(()) };
    if !blocks.is_power_of_two() || blocks > 1 << 16 {
        return Err(Error::usage(format!("invalid number of blocks: {blocks}"))
            .help("it must be a power of two, at most 65536"));
    }
    if size > blocks {
        return Err(Error::usage(format!("{size} ranks are too many for {blocks} blocks of a batch")).help(
            format!(
                "start at most as many ranks as blocks, or split batches into more with --reproducible={}",
                size.next_power_of_two()
            ),
        ));
    }
    let rows = spec.batch_size.div_ceil(blocks).next_multiple_of(multiple(spec));
    match spec.micro_batch {
        Some(most) if most < rows => Err(Error::usage(format!(
            "micro-batches of {most} rows are too small for blocks of {rows}"
        ))
        .help(format!(
            "split batches into more blocks with --reproducible={}",
            spec.batch_size.div_ceil(most.max(1)).next_power_of_two()
        ))),
        _ => Ok(()),
    }
}

/// Refuses shards that aren't this rank's, or aren't the blocks of a batch.
pub(super) fn check_shards(
    shards: &Shards,
    reduction: Reduction,
    [rank, size]: [usize; 2],
) -> Result<()> {
    shards.check_blocks(reduction)?;
    match shards.own() == share(shards.count(), rank, size) {
        true => Ok(()),
        false => Err(Error::failed(format!("rank {rank} has the rows of another rank"))),
    }
}

/// The data of all ranks; an error if one of them trains something different from rank 0.
pub(super) fn hellos(ranks: &mut dyn Ranks, own: &Hello) -> Result<Vec<Hello>> {
    let bytes = serde_json::to_vec(own).map_err(|e| Error::failed(format!("cannot greet: {e}")))?;
    let all: Vec<Hello> = ranks
        .gather(&bytes)?
        .iter()
        .enumerate()
        .map(|(rank, bytes)| {
            serde_json::from_slice(bytes).map_err(|_| {
                Error::failed(format!("rank {rank} runs a different version of wgrad"))
            })
        })
        .collect::<Result<_>>()?;
    let first = &all[0];
    for (rank, hello) in all.iter().enumerate() {
        let what = match hello {
            _ if hello.version != first.version => "runs a different version of wgrad",
            _ if hello.settings != first.settings => "was given different options",
            _ if hello.rows != first.rows => "has different training rows",
            _ if hello.weights != first.weights => "starts from different weights",
            _ => continue,
        };
        return Err(Error::usage(format!("rank {rank} {what} than rank 0")).help(
            "start all ranks with one mpirun, with the same options, and give each machine the same files",
        ));
    }
    Ok(all)
}

/// The first rank whose device is of another kind than that of rank 0.
pub(super) fn first_of_another_kind(all: &[Hello]) -> Option<usize> {
    all.iter().position(|hello| hello.device != all[0].device)
}

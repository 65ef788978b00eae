//! The cache on disk, for each adapter with its driver: compiled pipelines, and
//! the tiles that were measured to be the fastest. Nothing in it changes a result, and a damaged
//! cache is ignored.

use crate::base::atomic::{cache_directory, write_atomically};
use crate::base::sha256::Sha256;
use crate::kernels::mixed::{BLOCKS, MixedTuning};
use crate::kernels::products::tile::{Products, TILES, Tuning};
use std::path::PathBuf;

/// The files of one adapter with its driver.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    directory: PathBuf,
    /// A key of adapter, driver and this program's version.
    key: String,
}

/// The number of bytes of the checksum at the start of each file.
const CHECKSUM: usize = 32;

impl Cache {
    /// The cache of an adapter, below `WGRAD_CACHE_DIR` or the user's cache directory; none if
    /// there is no such directory.
    pub(super) fn of(adapter: &wgpu::AdapterInfo) -> Option<Self> {
        let wgpu::AdapterInfo { name, vendor, device, driver, driver_info, backend, .. } = adapter;
        let version = env!("CARGO_PKG_VERSION");
        let what = format!("{backend:?} {name} {vendor} {device} {driver} {driver_info} {version}");
        let digest = Sha256::digest(what.as_bytes());
        let key = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Some(Cache { directory: cache_directory()?, key })
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.directory.join(format!("{kind}-{}", self.key))
    }

    /// The content last written of this kind, if it is intact.
    fn read(&self, kind: &str) -> Option<Vec<u8>> {
        let mut bytes = std::fs::read(self.path(kind)).ok()?;
        let (checksum, content) = bytes.split_at_checked(CHECKSUM)?;
        if Sha256::digest(content).as_slice() != checksum {
            return None;
        }
        bytes.drain(..CHECKSUM);
        Some(bytes)
    }

    /// Writes `content`; failures are ignored.
    fn write(&self, kind: &str, content: &[u8]) {
        let written = std::fs::create_dir_all(&self.directory).is_ok();
        if written {
            let _ = write_atomically(&self.path(kind), |out| {
                out.write_all(Sha256::digest(content).as_slice())?;
                out.write_all(content)
            });
        }
    }

    /// The compiled pipelines, as returned by the driver.
    pub(super) fn pipelines(&self) -> Option<Vec<u8>> {
        self.read("pipelines")
    }

    /// Stores compiled pipelines.
    pub(super) fn keep_pipelines(&self, data: &[u8]) {
        self.write("pipelines", data);
    }

    /// The tiles that were measured.
    pub(super) fn tuning(&self) -> Tuning {
        let entries: Vec<(Products, String)> = self
            .read("tiles.json")
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        let place = |name: &str| TILES.iter().position(|tile| tile.to_string() == name);
        let known = entries.into_iter().filter_map(|(p, name)| Some((p, place(&name)?)));
        Tuning { choices: known.collect(), mixed: self.mixed_tuning(), registers: None }
    }

    /// The blocks that were measured in mixed precision.
    fn mixed_tuning(&self) -> MixedTuning {
        let entries: Vec<([usize; 3], String)> = self
            .read("blocks.json")
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        let place = |name: &str| BLOCKS.iter().position(|block| block.to_string() == name);
        let known = entries.into_iter().filter_map(|(product, name)| {
            let choice = place(&name)?;
            Some(((BLOCKS[choice].multiplier(), product), choice))
        });
        MixedTuning { choices: known.collect(), ..MixedTuning::default() }
    }

    /// Stores measured tiles.
    pub(super) fn keep_tuning(&self, tuning: &Tuning) {
        let choices = tuning.choices.iter().map(|(p, &tile)| (p, TILES[tile].to_string()));
        let mut entries: Vec<_> = choices.collect();
        entries.sort();
        if let Ok(text) = serde_json::to_vec(&entries) {
            self.write("tiles.json", &text);
        }
        let blocks = tuning.mixed.choices.iter();
        let blocks = blocks.map(|((_, product), &choice)| (product, BLOCKS[choice].to_string()));
        let mut entries: Vec<_> = blocks.collect();
        entries.sort();
        if let (false, Ok(text)) = (entries.is_empty(), serde_json::to_vec(&entries)) {
            self.write("blocks.json", &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_unless_it_was_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache { directory: directory.path().join("new"), key: "0".into() };
        assert_eq!((cache.pipelines(), cache.tuning()), (None, Tuning::default()));
        cache.keep_pipelines(b"compiled");
        let products = |shapes: &[[usize; 3]], aligned| Products {
            shapes: shapes.to_vec(),
            aligned,
            all_aligned: aligned,
        };
        let two = products(&[[4, 5, 6], [7, 8, 9]], true);
        let choices = [(products(&[[1, 2, 3]], false), 1), (two.clone(), 4)].into();
        let mut tuning = Tuning { choices, ..Tuning::default() };
        let matrices = BLOCKS.len() - 1;
        tuning.mixed.choices.insert((BLOCKS[matrices].multiplier(), [1, 2, 3]), matrices);
        tuning.mixed.choices.insert((BLOCKS[2].multiplier(), [1, 2, 3]), 2);
        cache.keep_tuning(&tuning);
        assert_eq!(cache.pipelines().unwrap(), b"compiled");
        assert_eq!(cache.tuning(), tuning);
        assert_eq!(cache.tuning().choices.get(&two), Some(&4));
        for damage in [&b""[..], b"short", &[7; 100]] {
            std::fs::write(cache.path("pipelines"), damage).unwrap();
            std::fs::write(cache.path("tiles.json"), damage).unwrap();
            std::fs::write(cache.path("blocks.json"), damage).unwrap();
            assert_eq!((cache.pipelines(), cache.tuning()), (None, Tuning::default()));
        }
    }
}

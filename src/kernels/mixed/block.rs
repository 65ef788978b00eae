//! Blocks of products in mixed precision: the tiles of [`super::super::products::tile`] with f16 in workgroup
//! memory, and those of cooperative matrices.

use super::cooperative::Cooperative;
use super::texts::{NOTE, NOTE_PLAIN};
use crate::kernels::common::declaration::{Binding, Kernel};
use crate::kernels::products::tile::{self, Along, Products, TILES, Tile, Tiling, Tuning};
use crate::net::precision::{Multiplier, Precision};
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

/// The block of a product that a workgroup computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// By [`Multiplier::Fma`].
    Tile(Tile),
    /// By [`Multiplier::Matrices`].
    Matrices(Cooperative),
}

/// Every block: those of [`TILES`] that read element by element, which come first there, then those of
/// cooperative matrices. The blocks of one multiplier give the same bits.
pub static BLOCKS: LazyLock<Vec<Block>> = LazyLock::new(|| {
    let tiles = TILES.into_iter().filter(|tile| !tile.wide);
    let tiles = tiles.map(|tile| Block::Tile(Tile { storage: Precision::F16, ..tile }));
    tiles.chain(Cooperative::ALL.map(Block::Matrices)).collect()
});

impl Block {
    /// Its multiplier.
    #[must_use]
    pub fn multiplier(&self) -> Multiplier {
        match self {
            Block::Tile(_) => Multiplier::Fma,
            Block::Matrices(matrices) => Multiplier::Matrices(matrices.size),
        }
    }

    /// Its rows and columns.
    #[must_use]
    pub fn sides(&self) -> [usize; 2] {
        match self {
            Block::Tile(Tile { rows, cols, .. })
            | Block::Matrices(Cooperative { rows, cols, .. }) => [*rows, *cols],
        }
    }

    /// The function `{name}_product(lane, top, left, depth)`, as [`Tile::product_of_loaded`] writes it.
    pub(super) fn product(&self, name: &str, along: [Along; 2]) -> String {
        match self {
            Block::Tile(tile) => tile.product_of_loaded(name, along),
            Block::Matrices(matrices) => matrices.product(name, along),
        }
    }

    /// The WGSL with which its kernels record an overflow.
    pub(super) fn note(&self) -> &'static str {
        match self {
            Block::Tile(_) => NOTE,
            Block::Matrices(_) => NOTE_PLAIN,
        }
    }

    /// The kernel `{name}_{block}`, as [`Tile::kernel`] makes it.
    pub(super) fn kernel(
        &self,
        name: &str,
        call: &str,
        uniform: &'static [(&'static str, usize)],
        bindings: &'static [Binding],
        texts: &[&str],
    ) -> Kernel {
        match self {
            Block::Tile(tile) => {
                let texts: Vec<&str> = [&["enable f16;"], texts].concat();
                tile.kernel([name, call], uniform, bindings, &[], &texts)
            }
            Block::Matrices(matrices) => matrices.kernel(name, call, uniform, bindings, texts),
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Block::Tile(tile) => tile.fmt(f),
            Block::Matrices(matrices) => matrices.fmt(f),
        }
    }
}

/// The block of a product.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Its index in [`BLOCKS`].
    pub place: usize,
    /// The constants of its kernels.
    pub overrides: Vec<(&'static str, f64)>,
}

/// The multiplier, and the blocks that were measured to be the fastest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MixedTuning {
    /// The multiplier, which decides the bits of a result.
    pub multiplier: Multiplier,
    /// Indices into [`BLOCKS`] by multiplier and product, (m, n, k).
    pub choices: HashMap<(Multiplier, [usize; 3]), usize>,
    /// An index into [`BLOCKS`] that overrides them, for every product that can use it.
    pub forced: Option<usize>,
}

impl MixedTuning {
    /// The blocks that a product may take, which give the same bits, on a device whose invocations may use
    /// only so many registers, if it has few.
    #[must_use]
    pub fn candidates(&self, product: [usize; 3], registers: Option<usize>) -> Vec<usize> {
        match self.multiplier {
            Multiplier::Fma => {
                let mut tiles = tile::choices(&Products::element_wise(product), registers);
                tiles.retain(|&i| !TILES[i].wide);
                tiles
            }
            matrices => (0..BLOCKS.len()).filter(|&i| BLOCKS[i].multiplier() == matrices).collect(),
        }
    }

    /// The block that was measured for a product.
    #[must_use]
    pub fn measured(&self, product: [usize; 3]) -> Option<usize> {
        self.choices.get(&(self.multiplier, product)).copied()
    }

    /// Records the block that was measured for a product.
    pub fn keep(&mut self, product: [usize; 3], choice: usize) {
        self.choices.insert((self.multiplier, product), choice);
    }

    /// The default block without measurements: with matrices, the largest that keeps most
    /// multiprocessors of a large GPU busy.
    fn default_choice(&self, product: [usize; 3], registers: Option<usize>) -> usize {
        const GROUPS: usize = 96;
        if self.multiplier == Multiplier::Fma {
            return tile::default_choice(&Products::element_wise(product), registers);
        }
        let candidates = self.candidates(product, registers);
        let groups = |&&i: &&usize| {
            let [rows, cols] = BLOCKS[i].sides();
            product[0].div_ceil(rows).saturating_mul(product[1].div_ceil(cols))
        };
        let large = candidates.iter().rev().find(|i| groups(i) >= GROUPS);
        large.or(candidates.first()).copied().unwrap_or_default()
    }

    /// The block of a product (m, n, k).
    #[must_use]
    pub fn take(&self, product: [usize; 3], registers: Option<usize>) -> Choice {
        let candidates = self.candidates(product, registers);
        let wanted = [self.forced, self.measured(product)].into_iter().flatten();
        let taken = wanted.into_iter().find(|choice| candidates.contains(choice));
        let choice = taken.unwrap_or_else(|| self.default_choice(product, registers));
        let overrides = match BLOCKS[choice] {
            Block::Tile(_) => {
                let products = Products::element_wise(product);
                let choices = [(products.clone(), choice)].into();
                Tiling::new(&products, &Tuning { choices, ..Tuning::default() }).overrides()
            }
            Block::Matrices(matrices) => matrices.overrides(product[2]),
        };
        Choice { place: choice, overrides }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_by_what_multiplies_and_by_the_shape() {
        let fma = MixedTuning::default();
        assert_eq!(BLOCKS[fma.take([64, 10, 16], None).place].to_string(), "32x32");
        assert_eq!(BLOCKS[fma.take([4096, 4096, 4096], None).place].to_string(), "128x128");
        for size in [8, 16] {
            let multiplier = Multiplier::Matrices(size);
            let mut tuning = MixedTuning { multiplier, ..MixedTuning::default() };
            let sides = |tuning: &MixedTuning, p| {
                let block = BLOCKS[tuning.take(p, None).place];
                assert_eq!(block.multiplier(), multiplier);
                block.sides()
            };
            assert_eq!(sides(&tuning, [256, 1024, 1024]), [64, 64]);
            assert_eq!(sides(&tuning, [4096, 4096, 4096]), [128, 128]);
            // A choice of another multiplier would give other bits.
            tuning.choices.insert((Multiplier::Fma, [9, 9, 9]), 0);
            assert_eq!(sides(&tuning, [9, 9, 9]), [64, 64]);
            tuning.forced = Some(0);
            assert_eq!(sides(&tuning, [9, 9, 9]), [64, 64]);
            for choice in tuning.candidates([9, 9, 9], None) {
                tuning.forced = Some(choice);
                assert_eq!(sides(&tuning, [9, 9, 9]), BLOCKS[choice].sides());
            }
        }
    }
}

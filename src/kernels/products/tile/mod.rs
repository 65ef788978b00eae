//! Tiled matrix products for shaders, written by one generator for all sizes of tiles.
//!
//! A workgroup computes a block of C = A·B, each invocation a few quads of neighboring elements
//! in registers. A and B pass through workgroup memory, `depth` of the inner dimension at a time;
//! the next part is read while the current one is multiplied. If a block is small and the inner
//! dimension long, four slices of the workgroup take segments of it in turn.
//!
//! **Every tile gives the same bits.** An element of C is the sum of its segments, taken in
//! order; a segment is the sum of its products, taken in order, each by `fma`, which a device rounds
//! once or twice (WGSL allows either), but always in the same way. The length of a
//! segment depends on the shape of the product alone. So the choice of the tile, by measurement or
//! by default, changes no result. Segments also keep the rounding errors of a long sum small:
//! they grow with k / segment + segment and not with k.
//!
//! `operand` writes the loads of A and B, `product` the product, `module` the kernel. The
//! text around a product defines `{name}_store(row, col, value)`, which takes four neighboring
//! elements of a row of C.

mod module;
mod operand;
mod product;

pub(in crate::kernels) use module::compose;
pub use operand::{Along, At, Operand};

use crate::kernels::mixed::MixedTuning;
use crate::net::precision::Precision;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

/// The block of C that a workgroup computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Rows of the block.
    pub rows: usize,
    /// Its columns.
    pub cols: usize,
    /// The part of the inner dimension that is in workgroup memory at a time.
    pub depth: usize,
    /// Rows and columns that one invocation computes: multiples of 4.
    pub each: [usize; 2],
    /// The number of slices of the workgroup that take segments in turn: 1, or 4 with four rows each.
    pub slices: usize,
    /// Whether operands are read four elements at a time, where their rows allow it.
    pub wide: bool,
    /// The type of A and B in workgroup memory, and as returned by their loaders. Sums are f32.
    pub storage: Precision,
}

/// A tile of `rows` × `cols` that reads element by element.
pub(in crate::kernels) const fn tile(
    rows: usize,
    cols: usize,
    depth: usize,
    each: [usize; 2],
    slices: usize,
) -> Tile {
    Tile { rows, cols, depth, each, slices, wide: false, storage: Precision::F32 }
}

/// The sizes of tiles, from the smallest on.
const SIZES: [Tile; 5] = [
    tile(32, 32, 8, [4, 4], 4),
    tile(32, 32, 8, [4, 4], 1),
    tile(64, 64, 16, [4, 4], 1),
    tile(128, 64, 16, [8, 4], 1),
    tile(128, 128, 8, [8, 8], 1),
];

/// Every tile: all sizes that read element by element, and all that read four at a time, each from
/// the smallest on.
pub const TILES: [Tile; 2 * SIZES.len()] = {
    let mut tiles = [SIZES[0]; 2 * SIZES.len()];
    let mut i = 0;
    while i < tiles.len() {
        tiles[i] = Tile { wide: i >= SIZES.len(), ..SIZES[i % SIZES.len()] };
        i += 1;
    }
    tiles
};

impl Tile {
    /// Invocations of a slice.
    const fn per_slice(&self) -> usize {
        self.rows / self.each[0] * (self.cols / self.each[1])
    }

    /// Invocations of a workgroup.
    #[must_use]
    pub const fn invocations(&self) -> usize {
        self.per_slice() * self.slices
    }

    /// The number of blocks of a product (m, n, k).
    #[must_use]
    pub fn blocks(&self, [m, n, _]: [usize; 3]) -> usize {
        m.div_ceil(self.rows).saturating_mul(n.div_ceil(self.cols))
    }

    /// The estimated number of registers of an invocation: its sums, twice if segments are folded, the
    /// operands of a k, its prefetched values, and addresses. AMD's compiler stays within 25% of it before RDNA
    /// 3.
    #[must_use]
    pub const fn registers(&self, fold: bool) -> usize {
        const ADDRESSES: usize = 16;
        let [rows, cols] = self.each;
        let totals = match (self.slices > 1, fold) {
            (true, _) => cols,
            (false, true) => rows * cols,
            (false, false) => 0,
        };
        let read = (self.rows + self.cols) * self.depth / self.per_slice();
        // One square is held at a time, for any operand, with a quad of the other operand and the places of
        // rows.
        let ahead = match self.wide {
            true if read < 16 => 16 + 8,
            true => read + 8,
            false => read,
        };
        rows * cols + totals + rows + cols + ahead + ADDRESSES
    }

    /// Quads between two k in workgroup memory: one more than needed, so that neither writing
    /// along the depth nor reading along the side has bank conflicts.
    fn strides(&self) -> [usize; 2] {
        [self.rows / 4 + 1, self.cols / 4 + 1]
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.cols)?;
        if self.slices > 1 {
            write!(f, "x{}", self.slices)?;
        }
        f.write_str(if self.wide { "_wide" } else { "" })
    }
}

/// The products of a launch, as needed to choose a tile.
#[derive(
    Debug,
    Clone,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Products {
    /// (m, n, k) of each, for a full batch.
    pub shapes: Vec<[usize; 3]>,
    /// Whether the operands of the largest have rows of a multiple of four elements in memory.
    pub aligned: bool,
    /// Whether those of all products have.
    pub all_aligned: bool,
}

impl Products {
    /// For these products: the shape (m, n, k) of each, and the number of elements of a row of either operand
    /// in memory.
    #[must_use]
    pub fn new(products: &[([usize; 3], [usize; 2])]) -> Self {
        let are_aligned = |rows: &[usize; 2]| rows.iter().all(|row| row % 4 == 0);
        let largest = products.iter().max_by_key(|(shape, _)| {
            shape.iter().fold(1, |size: usize, &side| size.saturating_mul(side))
        });
        Products {
            shapes: products.iter().map(|(shape, _)| *shape).collect(),
            aligned: largest.is_some_and(|(_, rows)| are_aligned(rows)),
            all_aligned: products.iter().all(|(_, rows)| are_aligned(rows)),
        }
    }

    /// For one product that is read element by element.
    #[must_use]
    pub fn element_wise(shape: [usize; 3]) -> Self {
        Products { shapes: vec![shape], aligned: false, all_aligned: false }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// Whether a sum has more than one segment.
    fn folds(&self) -> bool {
        self.shapes.iter().any(|[_, _, k]| *k > self.segment())
    }

    /// Terms of a segment.
    fn segment(&self) -> usize {
        let few = self.shapes.iter().all(|[m, n, _]| m.saturating_mul(*n) < FEW);
        if few { SHORT } else { LONG }
    }
}

/// Terms of a segment of a product with few elements, which slices may take in turn.
const SHORT: usize = 64;
/// How many short segments a sum of `k` terms has.
#[must_use]
pub fn short_segments(k: usize) -> usize {
    k.div_ceil(SHORT)
}

/// The terms of short segment `i` of `k`.
#[must_use]
pub fn short_segment(i: usize, k: usize) -> Range<usize> {
    i * SHORT..((i + 1) * SHORT).min(k)
}

/// Terms of a segment of all other products.
const LONG: usize = 4096;
/// Products of fewer elements have short segments.
const FEW: usize = 1 << 19;

/// The tiles that a launch over these products may take, which give the same bits, on a device whose
/// invocations may use only so many registers, if it has few.
#[must_use]
pub fn choices(products: &Products, registers: Option<usize>) -> Vec<usize> {
    let sliced = products.segment() == SHORT;
    let fits = |tile: &Tile| registers.is_none_or(|most| tile.registers(products.folds()) <= most);
    (0..TILES.len())
        .filter(|&i| TILES[i].slices == 1 || sliced)
        .filter(|&i| fits(&TILES[i]))
        .collect()
}

/// The default tile without measurements: the largest that gives every multiprocessor of a
/// large GPU two blocks; of the small ones the sliced one, unless the sums are short. It reads four
/// elements at a time if most of its operands allow it.
#[must_use]
pub fn default_choice(products: &Products, registers: Option<usize>) -> usize {
    const BLOCKS: usize = 256;
    const WORTH_SLICING: usize = 128;
    let blocks = |tile: &Tile| -> usize {
        let each = products.shapes.iter().map(|&shape| tile.blocks(shape));
        each.fold(0, usize::saturating_add)
    };
    let mut allowed = choices(products, registers);
    // If few registers leave none of this kind, the other kind is used.
    let wide = allowed.iter().any(|&i| TILES[i].wide == products.aligned) == products.aligned;
    allowed.retain(|&i| TILES[i].wide == wide);
    let long = products.shapes.iter().any(|p| p[2] >= WORTH_SLICING);
    let fills = |i: &usize| TILES[*i].rows > 32 && blocks(&TILES[*i]) >= BLOCKS;
    let small = |i: &usize| TILES[*i].rows == 32 && (TILES[*i].slices == 1 || long);
    let of_both = allowed.iter().rev().copied().find(fills);
    of_both.or_else(|| allowed.iter().copied().find(small)).unwrap_or_default()
}

/// The tiles worth measuring for these products: the default first, and of the others those that
/// compute at most 1.5 times as much as the smallest, including elements outside of the products.
#[must_use]
pub fn candidates(products: &Products, registers: Option<usize>) -> Vec<usize> {
    let covered = |Tile { rows, cols, .. }: Tile| -> usize {
        let areas = products
            .shapes
            .iter()
            .map(|[m, n, _]| m.next_multiple_of(rows).saturating_mul(n.next_multiple_of(cols)));
        areas.fold(0, usize::saturating_add)
    };
    let fits = |&i: &usize| covered(TILES[i]) / 3 <= covered(SIZES[0]) / 2;
    let default = default_choice(products, registers);
    let others = choices(products, registers).into_iter().filter(|&i| i != default).filter(fits);
    std::iter::once(default).chain(others).collect()
}

/// The tiles that were measured to be the fastest, by the products of a launch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tuning {
    /// Indices into [`TILES`].
    pub choices: HashMap<Products, usize>,
    /// The blocks of products in mixed precision.
    pub mixed: MixedTuning,
    /// The most registers that an invocation may use, if a device has few.
    pub registers: Option<usize>,
}

impl Tuning {
    /// The tiles worth measuring for a launch over these products, or the blocks in f16.
    #[must_use]
    pub fn candidates(&self, precision: Precision, products: &Products) -> Vec<usize> {
        match (precision, &products.shapes[..]) {
            (Precision::F16, [product]) => self.mixed.candidates(*product, self.registers),
            _ => candidates(products, self.registers),
        }
    }

    /// The fastest of them by measurement.
    #[must_use]
    pub fn measured(&self, precision: Precision, products: &Products) -> Option<usize> {
        match (precision, &products.shapes[..]) {
            (Precision::F16, [product]) => self.mixed.measured(*product),
            _ => self.choices.get(products).copied(),
        }
    }

    /// Records the fastest of them by measurement.
    pub fn keep(&mut self, precision: Precision, products: &Products, choice: usize) {
        match (precision, &products.shapes[..]) {
            (Precision::F16, [product]) => self.mixed.keep(*product, choice),
            _ => {
                self.choices.insert(products.clone(), choice);
            }
        }
    }
}

/// How a launch is tiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// The tile's index in [`TILES`].
    pub choice: usize,
    /// Terms of a segment.
    segment: usize,
    /// Whether a sum has more than one segment.
    fold: bool,
    /// Whether all operands can be read four elements at a time.
    aligned: bool,
}

impl Tiling {
    /// The tiling of a launch over these products.
    #[must_use]
    pub fn new(products: &Products, tuning: &Tuning) -> Self {
        let measured = tuning.measured(Precision::F32, products);
        let registers = tuning.registers;
        let choice = measured.filter(|choice| choices(products, registers).contains(choice));
        Tiling {
            choice: choice.unwrap_or_else(|| default_choice(products, registers)),
            segment: products.segment(),
            fold: products.folds(),
            aligned: products.all_aligned,
        }
    }

    /// The tile.
    #[must_use]
    pub fn tile(&self) -> &'static Tile {
        &TILES[self.choice]
    }

    /// The constants of the kernel.
    #[must_use]
    pub fn overrides(&self) -> Vec<(&'static str, f64)> {
        let mut overrides = vec![("SEGMENT", self.segment as f64)];
        if self.tile().slices == 1 {
            overrides.push(("FOLD", f64::from(u8::from(self.fold))));
        }
        if self.tile().wide {
            overrides.push(("ALIGNED", f64::from(u8::from(self.aligned))));
        }
        overrides
    }
}

#[cfg(test)]
mod tests;

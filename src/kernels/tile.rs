//! Tiled matrix products for shaders, written by one generator for each size of tile.
//!
//! A workgroup computes a block of C = A·B, each invocation a few quads of neighbouring elements
//! in registers. A and B pass through workgroup memory, `depth` of the inner dimension at a time;
//! the next part is read while the present one is multiplied. Where a block is small and the inner
//! dimension long, four slices of the workgroup take stretches of it in turn.
//!
//! **Every tile gives the same bits.** An element of C is the sum of its stretches, taken in
//! order; a stretch is the sum of its products, taken in order, each by one `fma`. The length of a
//! stretch depends on the shape of the product alone. So which tile is chosen, by measurement or
//! by default, changes no result. Stretches also keep the rounding errors of a long sum small:
//! they grow with k / stretch + stretch and not with k.
//!
//! The text around a product gives it three functions: `{name}_a(row, k)`, the elements of four
//! rows of A from `row` on, `{name}_b(col, k)`, of four columns of B, both 0 outside of the
//! matrix, and `{name}_store(row, col, value)`, which takes four neighbouring elements of a row of C.

use super::mixed::MixedTuning;
use super::{Binding, Kernel};
use crate::precision::Precision;
use std::collections::HashMap;
use std::fmt::{self, Write};

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
    /// Parts of the workgroup that take stretches in turn: 1, or 4 with four rows each.
    pub slices: usize,
    /// What A and B are in workgroup memory, and as `{name}_a` and `{name}_b` give them. Sums are
    /// f32.
    pub storage: Precision,
}

/// A tile of `rows` × `cols`.
pub(super) const fn tile(
    rows: usize,
    cols: usize,
    depth: usize,
    each: [usize; 2],
    slices: usize,
) -> Tile {
    Tile { rows, cols, depth, each, slices, storage: Precision::F32 }
}

/// Every tile, from the smallest on.
pub const TILES: [Tile; 5] = [
    tile(32, 32, 8, [4, 4], 4),
    tile(32, 32, 8, [4, 4], 1),
    tile(64, 64, 16, [4, 4], 1),
    tile(128, 64, 16, [8, 4], 1),
    tile(128, 128, 8, [8, 8], 1),
];

/// Terms of a stretch of a product with few elements, which slices may take in turn.
const SHORT: usize = 64;
/// Terms of a stretch of any other product.
const LONG: usize = 4096;
/// Products of fewer elements have short stretches.
const FEW: usize = 1 << 19;

/// Terms of a stretch in a launch over these products, (m, n, k) each.
fn stretch(products: &[[usize; 3]]) -> usize {
    if products.iter().all(|[m, n, _]| m.saturating_mul(*n) < FEW) { SHORT } else { LONG }
}

/// The tiles that a launch over these products may take, which give the same bits: (m, n, k) each.
#[must_use]
pub fn choices(products: &[[usize; 3]]) -> Vec<usize> {
    let sliced = stretch(products) == SHORT;
    (0..TILES.len()).filter(|&i| TILES[i].slices == 1 || sliced).collect()
}

/// The tile to take where nothing was measured: the largest that gives every multiprocessor of a
/// large GPU two blocks; of the small ones the sliced one, unless the sums are short.
#[must_use]
pub fn default_choice(products: &[[usize; 3]]) -> usize {
    const BLOCKS: usize = 256;
    const WORTH_SLICING: usize = 128;
    let blocks = |tile: &Tile| -> usize {
        products
            .iter()
            .map(|[m, n, _]| m.div_ceil(tile.rows).saturating_mul(n.div_ceil(tile.cols)))
            .fold(0, usize::saturating_add)
    };
    let allowed = choices(products);
    let large = allowed.iter().rev().find(|&&i| blocks(&TILES[i]) >= BLOCKS);
    let long = products.iter().any(|p| p[2] >= WORTH_SLICING);
    match large {
        Some(&i) if TILES[i].rows > 32 => i,
        _ => usize::from(!(long && allowed.contains(&0))),
    }
}

/// The tiles that measurements found to be the fastest, by the products of a launch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tuning {
    /// Places in [`TILES`].
    pub choices: HashMap<Vec<[usize; 3]>, usize>,
    /// The blocks of products in mixed precision.
    pub mixed: MixedTuning,
}

impl Tuning {
    /// The tiles that a launch over these products may take, or the blocks in f16.
    #[must_use]
    pub fn candidates(&self, precision: Precision, products: &[[usize; 3]]) -> Vec<usize> {
        match (precision, products) {
            (Precision::F16, [product]) => self.mixed.candidates(*product),
            _ => choices(products),
        }
    }

    /// What was measured to be the fastest of them.
    #[must_use]
    pub fn measured(&self, precision: Precision, products: &[[usize; 3]]) -> Option<usize> {
        match (precision, products) {
            (Precision::F16, [product]) => self.mixed.measured(*product),
            _ => self.choices.get(products).copied(),
        }
    }

    /// Takes in what was measured to be the fastest of them.
    pub fn keep(&mut self, precision: Precision, products: &[[usize; 3]], choice: usize) {
        match (precision, products) {
            (Precision::F16, [product]) => self.mixed.keep(*product, choice),
            _ => {
                self.choices.insert(products.to_vec(), choice);
            }
        }
    }
}

/// How a launch is tiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// The tile's place in [`TILES`].
    pub choice: usize,
    /// Terms of a stretch.
    stretch: usize,
    /// Whether a sum has more than one.
    fold: bool,
}

impl Tiling {
    /// The tiling of a launch over these products, (m, n, k) each.
    #[must_use]
    pub fn new(products: &[[usize; 3]], tuning: &Tuning) -> Self {
        let measured = tuning.measured(Precision::F32, products);
        let choice = measured.filter(|choice| choices(products).contains(choice));
        let stretch = stretch(products);
        Tiling {
            choice: choice.unwrap_or_else(|| default_choice(products)),
            stretch,
            fold: products.iter().any(|p| p[2] > stretch),
        }
    }

    /// The tile.
    #[must_use]
    pub fn tile(&self) -> &'static Tile {
        &TILES[self.choice]
    }

    /// The constants of `Tile::memory`.
    #[must_use]
    pub fn overrides(&self) -> Vec<(&'static str, f64)> {
        let mut overrides = vec![("STRETCH", self.stretch as f64)];
        if self.tile().slices == 1 {
            overrides.push(("FOLD", f64::from(u8::from(self.fold))));
        }
        overrides
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.cols)?;
        if self.slices > 1 { write!(f, "x{}", self.slices) } else { Ok(()) }
    }
}

/// How an operand lies in memory, so that neighbouring invocations read neighbouring elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// Neighbours differ in the inner dimension.
    Depth,
    /// Neighbours differ in the row of A, or the column of B.
    Side,
}

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

    /// What the products of a module share: workgroup memory and the length of a stretch.
    fn memory(&self) -> String {
        let [a, b] = self.strides().map(|stride| stride * self.depth * self.slices);
        let quad = format!("vec4<{}>", self.storage);
        let mut text = format!(
            "override STRETCH: u32 = {SHORT}u; // terms of a stretch\n\
             var<workgroup> tile_a: array<{quad}, {a}>;\n\
             var<workgroup> tile_b: array<{quad}, {b}>;\n"
        );
        if self.slices > 1 {
            let len = self.slices * self.per_slice() * (self.each[1] / 4);
            text += &format!("var<workgroup> exchange: array<vec4<f32>, {len}>;\n");
        } else {
            text += "override FOLD: bool = true; // more than one stretch\n";
        }
        text
    }

    /// The constants of [`Tile::memory`] for short stretches.
    #[must_use]
    pub(super) fn short_stretches(&self) -> Vec<(&'static str, f64)> {
        let mut overrides = vec![("STRETCH", SHORT as f64)];
        if self.slices == 1 {
            overrides.push(("FOLD", 1.0));
        }
        overrides
    }

    /// Quads between two k in workgroup memory: one more than needed, so that neither writing
    /// along the depth nor reading along the side meets one bank twice.
    fn strides(&self) -> [usize; 2] {
        [self.rows / 4 + 1, self.cols / 4 + 1]
    }

    /// The kernel `{name}_{tile}` made up of `texts`, whose entry point calls
    /// `{call}(lane, workgroup)`. To be made once: its texts are never freed.
    #[must_use]
    pub fn kernel(
        &self,
        name: &str,
        call: &str,
        uniform: &'static [(&'static str, usize)],
        bindings: &'static [Binding],
        texts: &[&str],
    ) -> Kernel {
        let shape = [self.rows, self.cols, self.invocations()];
        compose(format!("{name}_{self}"), call, shape, &self.memory(), uniform, bindings, texts)
    }

    /// The function `{name}_product(lane, top, left, depth)`: the block of C from (top, left) on,
    /// of a product with inner dimension `depth`.
    #[must_use]
    pub fn product(&self, name: &str, along: [Along; 2]) -> String {
        let text = Text { tile: *self, name, along };
        let mut out = String::new();
        // Writing into a String can't fail.
        let _ = text.write(&mut out);
        out
    }
}

/// The kernel `entry` of blocks of `rows` × `cols`, made up of `texts` and what its products share,
/// whose entry point calls `{call}(lane, workgroup)`.
pub(super) fn compose(
    entry: String,
    call: &str,
    [rows, cols, invocations]: [usize; 3],
    memory: &str,
    uniform: &'static [(&'static str, usize)],
    bindings: &'static [Binding],
    texts: &[&str],
) -> Kernel {
    let text = format!(
        "{}\nconst ROWS = {rows}u; // of a block\nconst COLS = {cols}u;\n\
         const INVOCATIONS = {invocations}u;\n{memory}\
         @compute @workgroup_size({invocations})\n\
         fn {entry}(\n    @builtin(workgroup_id) group: vec3<u32>,\n    \
         @builtin(num_workgroups) groups: vec3<u32>,\n    \
         @builtin(local_invocation_index) lane: u32,\n) {{\n    \
         {call}(lane, flat(group, groups));\n}}\n",
        texts.join("\n"),
    );
    Kernel {
        entry: entry.leak(),
        source: vec![&*text.leak()].leak(),
        uniform,
        bindings,
        workgroup_size: invocations as u32,
    }
}

/// A product as text.
struct Text<'a> {
    tile: Tile,
    name: &'a str,
    along: [Along; 2],
}

impl Text<'_> {
    /// Quads of rows and of columns that an invocation has.
    fn quads(&self) -> [usize; 2] {
        self.tile.each.map(|each| each / 4)
    }

    /// Calls `f` with each accumulator: its row within the invocation's, and its quad of columns.
    fn each_sum(&self, mut f: impl FnMut(usize, usize) -> fmt::Result) -> fmt::Result {
        let [_, cols] = self.quads();
        (0..self.tile.each[0]).try_for_each(|r| (0..cols).try_for_each(|j| f(r, j)))
    }

    /// Calls `f` with each quad that an invocation brings into workgroup memory: the operand, its
    /// number, and where it stands: (k, quad) as text.
    fn each_load(
        &self,
        mut f: impl FnMut(&str, usize, String, String) -> fmt::Result,
    ) -> fmt::Result {
        let Tile { rows, cols, depth, .. } = self.tile;
        let threads = self.tile.per_slice();
        for ((operand, side), along) in
            [("a", rows / 4), ("b", cols / 4)].into_iter().zip(self.along)
        {
            for i in 0..side * depth / threads {
                let at = format!("(me + {}u)", i * threads);
                let (k, quad) = match along {
                    Along::Depth => (format!("{at} % {depth}u"), format!("{at} / {depth}u")),
                    Along::Side => (format!("{at} / {side}u"), format!("{at} % {side}u")),
                };
                f(operand, i, k, quad)?;
            }
        }
        Ok(())
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let Tile { rows, cols, depth, each, slices, .. } = self.tile;
        let threads = self.tile.per_slice();
        let across = cols / each[1];
        writeln!(
            out,
            "// A block of {rows} × {cols}, {} × {across} invocations with {} × {} elements each.",
            rows / each[0],
            each[0],
            each[1]
        )?;
        writeln!(out, "fn {}_product(lane: u32, top: u32, left: u32, depth: u32) {{", self.name)?;
        writeln!(out, "    let slice = lane / {threads}u;")?;
        writeln!(out, "    let me = lane % {threads}u;")?;
        writeln!(out, "    let row = me / {across}u;")?;
        writeln!(out, "    let col = me % {across}u;")?;
        self.each_sum(|r, j| writeln!(out, "    var sum{r}_{j} = vec4<f32>();"))?;
        if slices > 1 {
            let [_, cols] = self.quads();
            (0..cols).try_for_each(|j| writeln!(out, "    var total_{j} = vec4<f32>();"))?;
        } else {
            self.each_sum(|r, j| writeln!(out, "    var total{r}_{j} = vec4<f32>();"))?;
        }
        // Every slice makes as many rounds as the first, which has the most.
        writeln!(out, "    let steps = STRETCH / {depth}u;")?;
        writeln!(out, "    let rest = depth % (STRETCH * {slices}u);")?;
        writeln!(out, "    let rounds = depth / (STRETCH * {slices}u) * steps")?;
        writeln!(out, "        + min((rest + {}u) / {depth}u, steps);", depth - 1)?;
        self.write_loads(out, "    ", "slice * STRETCH")?;
        writeln!(out, "    for (var round = 0u; round < rounds; round++) {{")?;
        writeln!(out, "        workgroupBarrier();")?;
        let strides = self.tile.strides();
        self.each_load(|operand, i, k, quad| {
            let stride = strides[usize::from(operand == "b")];
            writeln!(
                out,
                "        tile_{operand}[(slice * {depth}u + {k}) * {stride}u + {quad}] = next_{operand}{i};"
            )
        })?;
        writeln!(out, "        workgroupBarrier();")?;
        writeln!(out, "        if (round + 1u < rounds) {{")?;
        writeln!(
            out,
            "            let first = ((round + 1u) / steps * {slices}u + slice) * STRETCH + (round + 1u) % steps * {depth}u;"
        )?;
        self.each_load(|operand, i, k, quad| {
            let (call, side) = self.load(operand);
            writeln!(
                out,
                "            next_{operand}{i} = {call}({side} + {quad} * 4u, first + {k});"
            )
        })?;
        writeln!(out, "        }}")?;
        for k in 0..depth {
            self.write_step(out, k)?;
        }
        self.write_fold(out)?;
        writeln!(out, "    }}")?;
        self.write_stores(out)?;
        writeln!(out, "}}")
    }

    fn load(&self, operand: &str) -> (String, &'static str) {
        (format!("{}_{operand}", self.name), if operand == "a" { "top" } else { "left" })
    }

    /// The first quads, before the loop.
    fn write_loads(&self, out: &mut String, indent: &str, first: &str) -> fmt::Result {
        self.each_load(|operand, i, k, quad| {
            let (call, side) = self.load(operand);
            writeln!(
                out,
                "{indent}var next_{operand}{i} = {call}({side} + {quad} * 4u, {first} + {k});"
            )
        })
    }

    /// The products of one k.
    fn write_step(&self, out: &mut String, k: usize) -> fmt::Result {
        let Tile { rows, cols, depth, each, .. } = self.tile;
        let [quads_a, quads_b] = self.quads();
        let [stride_a, stride_b] = self.tile.strides();
        let (down, across) = (rows / each[0], cols / each[1]);
        writeln!(out, "        {{")?;
        for i in 0..quads_a {
            let place = format!("(slice * {depth}u + {k}u) * {stride_a}u + row + {}u", i * down);
            writeln!(out, "            let a{i} = {};", self.quad("tile_a", &place))?;
        }
        for j in 0..quads_b {
            let place = format!("(slice * {depth}u + {k}u) * {stride_b}u + col + {}u", j * across);
            writeln!(out, "            let b{j} = {};", self.quad("tile_b", &place))?;
        }
        self.each_sum(|r, j| {
            let component = ["x", "y", "z", "w"][r % 4];
            writeln!(
                out,
                "            sum{r}_{j} = fma(vec4<f32>(a{}.{component}), b{j}, sum{r}_{j});",
                r / 4
            )
        })?;
        writeln!(out, "        }}")
    }

    /// A quad of workgroup memory, in f32.
    fn quad(&self, memory: &str, place: &str) -> String {
        match self.tile.storage {
            Precision::F32 => format!("{memory}[{place}]"),
            Precision::F16 => format!("vec4<f32>({memory}[{place}])"),
        }
    }

    /// Adds the stretches at hand to the totals.
    fn write_fold(&self, out: &mut String) -> fmt::Result {
        let Tile { slices, .. } = self.tile;
        if slices == 1 {
            writeln!(out, "        if (FOLD && (round + 1u) % steps == 0u) {{")?;
            self.each_sum(|r, j| {
                writeln!(out, "            total{r}_{j} += sum{r}_{j};")?;
                writeln!(out, "            sum{r}_{j} = vec4<f32>();")
            })?;
            return writeln!(out, "        }}");
        }
        // Slice r gets the totals of the invocations' row r.
        let [_, cols] = self.quads();
        let threads = self.tile.per_slice();
        let place = |slice: &str, j: usize| format!("({slice} * {threads}u + me) * {cols}u + {j}u");
        writeln!(out, "        if ((round + 1u) % steps == 0u || round + 1u == rounds) {{")?;
        for r in 0..self.tile.each[0] {
            writeln!(out, "            workgroupBarrier();")?;
            for j in 0..cols {
                writeln!(out, "            exchange[{}] = sum{r}_{j};", place("slice", j))?;
                writeln!(out, "            sum{r}_{j} = vec4<f32>();")?;
            }
            writeln!(out, "            workgroupBarrier();")?;
            writeln!(out, "            if (slice == {r}u) {{")?;
            for s in 0..slices {
                for j in 0..cols {
                    writeln!(
                        out,
                        "                total_{j} += exchange[{}];",
                        place(&format!("{s}u"), j)
                    )?;
                }
            }
            writeln!(out, "            }}")?;
        }
        writeln!(out, "        }}")
    }

    fn write_stores(&self, out: &mut String) -> fmt::Result {
        let Tile { rows, cols, each, slices, .. } = self.tile;
        let (down, across) = (rows / each[0], cols / each[1]);
        let col = |j: usize| format!("left + (col + {}u) * 4u", j * across);
        if slices > 1 {
            return (0..self.quads()[1]).try_for_each(|j| {
                writeln!(
                    out,
                    "    {}_store(top + row * 4u + slice, {}, total_{j});",
                    self.name,
                    col(j)
                )
            });
        }
        self.each_sum(|r, j| {
            let row = format!("top + (row + {}u) * 4u + {}u", r / 4 * down, r % 4);
            writeln!(out, "    {}_store({row}, {}, total{r}_{j} + sum{r}_{j});", self.name, col(j))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tile_divides_its_work_evenly() {
        for tile in TILES {
            let threads = tile.per_slice();
            assert!(tile.invocations() <= 256, "{tile}: core WebGPU allows 256");
            for side in [tile.rows, tile.cols] {
                assert_eq!(side / 4 * tile.depth % threads, 0, "{tile}");
            }
            assert!(tile.slices == 1 || (tile.slices == 4 && tile.each[0] == 4), "{tile}");
            for stretch in [SHORT, LONG] {
                assert_eq!(stretch % tile.depth, 0, "{tile}");
            }
        }
    }

    #[test]
    fn defaults_are_among_the_choices_and_follow_the_shape() {
        let name = |products: &[[usize; 3]]| {
            let choice = default_choice(products);
            assert!(choices(products).contains(&choice), "{products:?}");
            TILES[choice].to_string()
        };
        assert_eq!(name(&[[64, 128, 784]]), "32x32x4");
        assert_eq!(name(&[[64, 10, 16]]), "32x32");
        assert_eq!(name(&[[256, 1024, 1024]]), "32x32x4");
        assert_eq!(name(&[[256, 1024, 1024], [1024, 1025, 256]]), "64x64");
        assert_eq!(name(&[[4096, 4096, 4096]]), "128x128");
    }
}

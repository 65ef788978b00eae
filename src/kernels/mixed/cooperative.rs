//! Matrix products by cooperative matrices: the invocations of a subgroup multiply matrices of f16
//! and add them up in f32 together, on the tensor cores of a device that has them.
//!
//! A workgroup computes a block of C. A and B pass through workgroup memory, [`DEPTH`] of the inner
//! dimension at a time, column by column and row by row, with rows skewed so that they use
//! different banks; the next part is read while the current one is multiplied. A subgroup has 32
//! rows and 64 or 32 columns of the block. Its sums pass through workgroup memory too, as elements of
//! such a matrix can't be addressed in registers; from there they are stored like those of a tile.
//! The text around a product is that of [`crate::kernels::products::tile`].
//!
//! An element is the sum of its products, `size` of them at a time, in order, whatever the block: all
//! blocks of one size give the same bits. They differ from those of a tile: how a device rounds a sum of
//! several products is up to the device. A subgroup is assumed to have 32 invocations, in order.
//!
//! Tensor cores truncate sums instead of rounding them (Fasi, Higham,
//! Mikaitis and Pranesh 2021, "Numerical behavior of NVIDIA tensor cores"; Ootomo and Yokota 2022,
//! arXiv:2203.03341), so that the error of a sum grows with its length, and not with the root of
//! it. After each [`SEGMENT`] of a longer inner dimension the sums are therefore added to totals,
//! which rounds. Matrices of 8 × 8 are those of Metal, where each product is an `fma` that rounds.

use crate::kernels::common::declaration::{Binding, Kernel};
use crate::kernels::products::tile::{Along, compose};
use std::fmt::{self, Write};

/// The part of the inner dimension that is in workgroup memory at a time.
const DEPTH: usize = 32;
/// Invocations of a subgroup, of devices on which these kernels may run.
pub const SUBGROUP: usize = 32;
/// Rows of C that a subgroup computes.
const ROWS: usize = 32;
/// The number of products that tensor cores may sum before the truncation could exceed the parity tolerance, in
/// the worst case, where all have the same sign, with two guard bits. With mixed signs, ten times as many would
/// be fine.
const SEGMENT: usize = 128;
/// The padding between two columns of A, or rows of B, in elements: 16 bytes.
const SKEW: usize = 8;

/// The block of C that a workgroup computes with cooperative matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cooperative {
    /// Rows and columns of a matrix: 8 or 16.
    pub size: usize,
    /// Rows of the block.
    pub rows: usize,
    /// Its columns.
    pub cols: usize,
    /// Columns of C that a subgroup computes.
    each: usize,
}

const fn block(size: usize, side: usize, each: usize) -> Cooperative {
    Cooperative { size, rows: side, cols: side, each }
}

impl Cooperative {
    /// Every block, of each size from the smallest on.
    pub const ALL: [Cooperative; 4] =
        [block(8, 64, 32), block(8, 128, 64), block(16, 64, 32), block(16, 128, 64)];

    /// Subgroups of a workgroup.
    fn subgroups(&self) -> usize {
        self.rows / ROWS * (self.cols / self.each)
    }

    fn invocations(&self) -> usize {
        self.subgroups() * SUBGROUP
    }

    /// Whether sums are truncated instead of rounded.
    fn cuts_off(&self) -> bool {
        self.size == 16
    }

    /// The constants of a product with an inner dimension of `depth`.
    pub(super) fn overrides(&self, depth: usize) -> Vec<(&'static str, f64)> {
        let folds = f64::from(u8::from(depth > SEGMENT));
        Vec::from_iter(self.cuts_off().then_some(("FOLD", folds)))
    }

    /// Elements between two columns of A and two rows of B.
    fn strides(&self) -> [usize; 2] {
        [self.rows + SKEW, self.cols + SKEW]
    }

    /// What the products of a module share: workgroup memory, and whether sums are long.
    fn memory(&self) -> String {
        let [a, b] = self.strides().map(|stride| stride * DEPTH);
        let exchange = self.subgroups() * self.size * self.size;
        let folds = match self.cuts_off() {
            true => {
                "override FOLD: bool = false; // the inner dimension is longer than a segment\n"
            }
            false => "",
        };
        format!(
            "{folds}\
             var<workgroup> tile_a: array<f16, {a}>;\n\
             var<workgroup> tile_b: array<f16, {b}>;\n\
             var<workgroup> exchange: array<f32, {exchange}>;\n"
        )
    }

    pub(super) fn kernel(
        &self,
        name: &str,
        call: &str,
        uniform: &'static [(&'static str, usize)],
        bindings: &'static [Binding],
        texts: &[&str],
    ) -> Kernel {
        let shape = [self.rows, self.cols, self.invocations()];
        let enable = ["enable f16;\nenable wgpu_cooperative_matrix;"];
        let texts = [&enable, texts].concat();
        compose(format!("{name}_{self}"), call, shape, &self.memory(), uniform, bindings, &texts)
    }

    pub(super) fn product(&self, name: &str, along: [Along; 2]) -> String {
        let mut out = String::new();
        // Writing into a String can't fail.
        let _ = self.write(&mut out, name, along);
        out
    }

    /// Calls `f` with each matrix of sums that a subgroup has: its row and column of matrices.
    fn each_sum(&self, mut f: impl FnMut(usize, usize) -> fmt::Result) -> fmt::Result {
        let cols = self.each / self.size;
        (0..ROWS / self.size).try_for_each(|i| (0..cols).try_for_each(|j| f(i, j)))
    }

    /// Calls `f` with each quad that an invocation brings into workgroup memory: the operand, its
    /// stride, its number, and its place: (k, quad) as text.
    fn each_load(
        &self,
        along: [Along; 2],
        mut f: impl FnMut(&str, usize, usize, &str, &str) -> fmt::Result,
    ) -> fmt::Result {
        let threads = self.invocations();
        let [stride_a, stride_b] = self.strides();
        let operands = [("a", self.rows / 4, stride_a), ("b", self.cols / 4, stride_b)];
        for ((operand, side, stride), along) in operands.into_iter().zip(along) {
            for i in 0..side * DEPTH / threads {
                let at = format!("(lane + {}u)", i * threads);
                let (k, quad) = match along {
                    Along::Depth => (format!("{at} % {DEPTH}u"), format!("{at} / {DEPTH}u")),
                    Along::Side => (format!("{at} / {side}u"), format!("{at} % {side}u")),
                };
                f(operand, stride, i, &k, &quad)?;
            }
        }
        Ok(())
    }

    fn write(&self, out: &mut String, name: &str, along: [Along; 2]) -> fmt::Result {
        let Cooperative { size, rows, cols, each } = *self;
        let matrix = |ty: &str, role: &str| format!("coop_mat{size}x{size}<{ty}, {role}>");
        let (sum, left, right) = (matrix("f32", "C"), matrix("f16", "A"), matrix("f16", "B"));
        let [stride_a, stride_b] = self.strides();
        let across = cols / each;
        writeln!(out, "// A block of {rows} × {cols}, {ROWS} × {each} for a subgroup.")?;
        writeln!(out, "fn {name}_product(lane: u32, top: u32, left: u32, depth: u32) {{")?;
        writeln!(out, "    let subgroup = lane / {SUBGROUP}u;")?;
        writeln!(out, "    let row = subgroup / {across}u * {ROWS}u;")?;
        writeln!(out, "    let col = subgroup % {across}u * {each}u;")?;
        self.each_sum(|i, j| writeln!(out, "    var sum{i}_{j} = {sum}();"))?;
        if self.cuts_off() {
            self.each_sum(|i, j| writeln!(out, "    var total{i}_{j} = {sum}();"))?;
        }
        writeln!(out, "    let rounds = (depth + {}u) / {DEPTH}u;", DEPTH - 1)?;
        let side = |operand: &str| if operand == "a" { "top" } else { "left" };
        self.each_load(along, |operand, _, i, k, quad| {
            let side = side(operand);
            writeln!(
                out,
                "    var next_{operand}{i} = {name}_{operand}({side} + {quad} * 4u, {k});"
            )
        })?;
        writeln!(out, "    for (var round = 0u; round < rounds; round++) {{")?;
        writeln!(out, "        workgroupBarrier();")?;
        self.each_load(along, |operand, stride, i, k, quad| {
            writeln!(out, "        let to_{operand}{i} = ({k}) * {stride}u + {quad} * 4u;")?;
            ["x", "y", "z", "w"].iter().enumerate().try_for_each(|(c, component)| {
                writeln!(
                    out,
                    "        tile_{operand}[to_{operand}{i} + {c}u] = next_{operand}{i}.{component};"
                )
            })
        })?;
        writeln!(out, "        workgroupBarrier();")?;
        writeln!(out, "        if (round + 1u < rounds) {{")?;
        writeln!(out, "            let first = (round + 1u) * {DEPTH}u;")?;
        self.each_load(along, |operand, _, i, k, quad| {
            let side = side(operand);
            writeln!(
                out,
                "            next_{operand}{i} = {name}_{operand}({side} + {quad} * 4u, first + {k});"
            )
        })?;
        writeln!(out, "        }}")?;
        for k in (0..DEPTH).step_by(size) {
            // Strides and places in separate variables, as naga's SPIR-V writer requires.
            writeln!(out, "        {{")?;
            writeln!(out, "            let stride_a = {stride_a}u;")?;
            writeln!(out, "            let stride_b = {stride_b}u;")?;
            for i in 0..ROWS / size {
                writeln!(
                    out,
                    "            let at_a{i} = {}u * stride_a + row + {}u;",
                    k,
                    i * size
                )?;
                writeln!(
                    out,
                    "            let a{i} = coopLoad<{left}>(&tile_a[at_a{i}], stride_a);"
                )?;
            }
            for j in 0..each / size {
                writeln!(
                    out,
                    "            let at_b{j} = {}u * stride_b + col + {}u;",
                    k,
                    j * size
                )?;
                writeln!(
                    out,
                    "            let b{j} = coopLoadT<{right}>(&tile_b[at_b{j}], stride_b);"
                )?;
            }
            self.each_sum(|i, j| {
                writeln!(out, "            sum{i}_{j} = coopMultiplyAdd(a{i}, b{j}, sum{i}_{j});")
            })?;
            writeln!(out, "        }}")?;
        }
        if self.cuts_off() {
            let rounds = SEGMENT / DEPTH;
            writeln!(out, "        if (FOLD && round % {rounds}u == {}u) {{", rounds - 1)?;
            self.each_sum(|i, j| {
                writeln!(out, "            total{i}_{j} = total{i}_{j} + sum{i}_{j};")?;
                writeln!(out, "            sum{i}_{j} = {sum}();")
            })?;
            writeln!(out, "        }}")?;
        }
        writeln!(out, "    }}")?;
        if self.cuts_off() {
            writeln!(out, "    if (FOLD) {{")?;
            self.each_sum(|i, j| writeln!(out, "        sum{i}_{j} = total{i}_{j} + sum{i}_{j};"))?;
            writeln!(out, "    }}")?;
        }
        self.write_stores(out, name)
    }

    /// The sums, one matrix after the other through workgroup memory, row by row.
    fn write_stores(&self, out: &mut String, name: &str) -> fmt::Result {
        let size = self.size;
        let (elements, quads) = (size * size, size / 4);
        writeln!(out, "    let own = subgroup * {elements}u;")?;
        writeln!(out, "    let pitch = {size}u;")?;
        self.each_sum(|i, j| {
            writeln!(out, "    workgroupBarrier();")?;
            writeln!(out, "    let done{i}_{j} = sum{i}_{j};")?;
            writeln!(out, "    coopStoreT(done{i}_{j}, &exchange[own], pitch);")?;
            writeln!(out, "    workgroupBarrier();")?;
            writeln!(
                out,
                "    for (var quad = lane % {SUBGROUP}u; quad < {}u; quad += {SUBGROUP}u) {{",
                elements / 4
            )?;
            writeln!(out, "        let at = own + quad * 4u;")?;
            writeln!(
                out,
                "        {name}_store(top + row + {}u + quad / {quads}u, left + col + {}u + quad % {quads}u * 4u,",
                i * size,
                j * size
            )?;
            writeln!(
                out,
                "            vec4<f32>(exchange[at], exchange[at + 1u], exchange[at + 2u], exchange[at + 3u]));"
            )?;
            writeln!(out, "    }}")
        })?;
        writeln!(out, "}}")
    }
}

impl fmt::Display for Cooperative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}m{}", self.rows, self.cols, self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::random::{Random, Stream};
    use crate::net::precision::Precision;

    /// The parity tolerance beyond the error of a CPU, as a fraction of the magnitudes.
    const FLOOR: f64 = 16.0 / (1 << 24) as f64;

    #[test]
    fn every_block_divides_its_work_evenly() {
        for block in Cooperative::ALL {
            assert!(block.invocations() <= 256, "{block}");
            for side in [block.rows, block.cols] {
                assert_eq!(side / 4 * DEPTH % block.invocations(), 0, "{block}");
            }
            assert_eq!(block.rows % ROWS + block.cols % block.each, 0, "{block}");
            assert_eq!((ROWS % block.size, block.each % block.size), (0, 0), "{block}");
            assert_eq!((DEPTH % block.size, SEGMENT % DEPTH), (0, 0), "{block}");
        }
    }

    /// `x` truncated to a multiple of `unit`.
    fn cut(x: f64, unit: f64) -> f64 {
        (x / unit).trunc() * unit
    }

    /// The unit in the last place of f32 at `x`.
    fn last_place(x: f64) -> f64 {
        2f64.powi(x.abs().log2().floor() as i32 - 23)
    }

    /// The sum of `terms` as tensor cores compute it, 16 terms and the running sum at a time: each is truncated
    /// two bits after the last place of the largest, the sum after its own. Rounded after each
    /// `segment`.
    fn cut_off(terms: &[f64], segment: usize) -> f32 {
        let add = |sum: f64, part: &[f64]| {
            let largest = part.iter().fold(sum, |largest, x| largest.max(x.abs()));
            let unit = last_place(largest) / 4.0;
            let sum = cut(sum, unit) + part.iter().map(|&x| cut(x, unit)).sum::<f64>();
            cut(sum, last_place(sum))
        };
        let segments = terms.chunks(segment);
        segments.fold(0.0, |total, terms| total + terms.chunks(16).fold(0.0, add) as f32)
    }

    #[test]
    fn sums_that_are_cut_off_stay_within_parity_by_segments() {
        let mut random = Random::new(9, Stream::Check, 0);
        let mut f16 = || f64::from(Precision::F16.round((random.normal() as f32).abs()));
        for depth in [128, 784, 4096, 12_300, 65_536] {
            let terms: Vec<f64> = (0..depth).map(|_| f16() * f16()).collect();
            let exact: f64 = terms.iter().sum();
            let allowed = FLOOR * exact;
            let error = |segment| (f64::from(cut_off(&terms, segment)) - exact).abs();
            assert!(error(SEGMENT) <= allowed, "{depth}: {} of {allowed}", error(SEGMENT));
            let whole = error(depth);
            assert!(depth == SEGMENT || whole > 3.0 * allowed, "{depth}: {whole} of {allowed}");
        }
    }

    #[test]
    fn sums_are_taken_by_segments_where_they_are_long_and_cut_off() {
        for block in Cooperative::ALL {
            let fold = |depth| block.overrides(depth);
            match block.size {
                16 => {
                    assert_eq!(fold(SEGMENT), [("FOLD", 0.0)], "{block}");
                    assert_eq!(fold(SEGMENT + 1), [("FOLD", 1.0)], "{block}");
                }
                _ => assert_eq!(fold(12_300), [], "{block}"),
            }
        }
    }
}

//! The WGSL of a product: through workgroup memory into registers, segment by segment.

use super::operand::{Loader, Reads};
use super::{Along, Operand, Tile};
use crate::net::precision::Precision;
use std::fmt::{self, Write};

impl Tile {
    /// The function `{name}_product(lane, top, left, depth)`: the block of C from (top, left) on,
    /// of a product of these operands with inner dimension `depth`.
    #[must_use]
    pub fn product(&self, name: &str, operands: [Operand<'_>; 2]) -> String {
        let [a, b] = operands;
        let reads = [a.reads(self.wide), b.reads(self.wide)];
        let text = Text { tile: *self, name, reads };
        let mut out = a.loader(&format!("{name}_a"), self.wide);
        out += &b.loader(&format!("{name}_b"), self.wide);
        // Writing into a String can't fail.
        let _ = text.write(&mut out);
        out
    }

    /// The same, with loaders defined by the text around it: `{name}_a(row, k)`, four rows of A from `row`
    /// on, and `{name}_b(col, k)`, four columns of B, both 0 outside of the matrix.
    #[must_use]
    pub(in crate::kernels) fn product_of_loaded(&self, name: &str, along: [Along; 2]) -> String {
        debug_assert!(!self.wide, "loaders of four rows give no squares");
        let mut out = String::new();
        let loader = Loader::Given;
        let reads = along.map(|along| Reads { along, loader, in_squares: false, ones: false });
        let _ = Text { tile: *self, name, reads }.write(&mut out);
        out
    }

    /// The WGSL type of four elements of an operand.
    pub(super) fn quad(&self) -> String {
        format!("vec4<{}>", self.storage)
    }
}

/// A product as text.
struct Text<'a> {
    tile: Tile,
    name: &'a str,
    reads: [Reads; 2],
}

/// What an invocation loads at a time and stores in workgroup memory.
struct Load {
    /// The suffix of the variables of this load.
    name: String,
    /// Its first k within the current part.
    k: String,
    /// Its sources. There are so few squares that no invocation reads two: some read one of A, others one
    /// of B, and all share the variables, so that they are transposed and stored in one place.
    from: Vec<Source>,
    /// Whether it is a square of four quads, and not a quad.
    is_square: bool,
}

/// The part of an operand that a load reads.
struct Source {
    /// 0 for A, 1 for B.
    operand: usize,
    /// Its quad of rows or columns.
    quad: String,
    /// Invocations before this one read it, of those left by the previous sources; none means all.
    end: Option<usize>,
}

impl Text<'_> {
    /// The numbers of quads of rows and of columns of an invocation.
    fn quads(&self) -> [usize; 2] {
        self.tile.each.map(|each| each / 4)
    }

    /// Calls `f` with each accumulator: its row within the invocation's, and its quad of columns.
    fn each_sum(&self, mut f: impl FnMut(usize, usize) -> fmt::Result) -> fmt::Result {
        let [_, cols] = self.quads();
        (0..self.tile.each[0]).try_for_each(|r| (0..cols).try_for_each(|j| f(r, j)))
    }

    /// All that an invocation reads for a part of the inner dimension.
    fn loads(&self) -> Vec<Load> {
        let Tile { rows, cols, depth, .. } = self.tile;
        let threads = self.tile.per_slice();
        let mut loads = Vec::new();
        let mut squares = Vec::new();
        let mut busy = 0;
        for (operand, Reads { along, in_squares, .. }) in self.reads.into_iter().enumerate() {
            let (letter, side) = [("a", rows / 4), ("b", cols / 4)][operand];
            if in_squares {
                let across = depth / 4;
                let quad = format!("(me - {busy}u) / {across}u");
                busy += side * across;
                squares.push(Source { operand, quad, end: Some(busy) });
                continue;
            }
            for number in 0..side * depth / threads {
                let at = format!("(me + {}u)", number * threads);
                let (k, quad) = match along {
                    Along::Depth => (format!("{at} % {depth}u"), format!("{at} / {depth}u")),
                    Along::Side => (format!("{at} / {side}u"), format!("{at} % {side}u")),
                };
                let from = vec![Source { operand, quad, end: None }];
                loads.push(Load { name: format!("{letter}{number}"), k, from, is_square: false });
            }
        }
        if !squares.is_empty() {
            let k = format!("me % {}u * 4u", depth / 4);
            loads.push(Load { name: "square".into(), k, from: squares, is_square: true });
        }
        loads
    }

    /// Whether values read for a k outside of the matrix must be replaced by 0.
    fn is_clamped(&self, load: &Load) -> bool {
        load.from.iter().any(|source| self.reads[source.operand].loader == Loader::Clamped)
    }

    /// Writes code for the source of a load that the invocation reads.
    fn each_source(
        out: &mut String,
        indent: &str,
        load: &Load,
        write: impl Fn(&Source) -> Vec<String>,
    ) -> fmt::Result {
        for (i, source) in load.from.iter().enumerate() {
            let Some(end) = source.end else {
                write(source).iter().try_for_each(|line| writeln!(out, "{indent}{line}"))?;
                continue;
            };
            let or = if i == 0 { indent } else { " else " };
            writeln!(out, "{or}if (me < {end}u) {{")?;
            write(source).iter().try_for_each(|line| writeln!(out, "{indent}    {line}"))?;
            write!(out, "{indent}}}")?;
            if i + 1 == load.from.len() {
                writeln!(out)?;
            }
        }
        Ok(())
    }

    /// Writes the values that are the same for all parts of the inner dimension, so that an iteration has few
    /// instructions besides its multiply-adds: not all compilers hoist them out of the loop.
    fn write_kept(&self, out: &mut String) -> fmt::Result {
        let Tile { depth, slices, .. } = self.tile;
        let strides = self.tile.strides();
        let slice = |stride: usize| match slices {
            1 => String::new(),
            _ => format!("slice * {}u + ", depth * stride),
        };
        // B follows A in workgroup memory.
        let behind = strides[0] * depth * slices;
        for load in self.loads() {
            let name = &load.name;
            let matrix = if load.is_square { "mat4x4<f32>".into() } else { self.tile.quad() };
            writeln!(out, "    var next_{name} = {matrix}();")?;
            writeln!(out, "    let k_{name} = {};", load.k)?;
            if self.is_clamped(&load) {
                writeln!(out, "    var is_within_{name} = false;")?;
            }
            writeln!(out, "    var into_{name} = 0u;")?;
            let has_stride = load.is_square && strides[0] != strides[1];
            if has_stride {
                writeln!(out, "    var stride_{name} = 0u;")?;
            }
            writeln!(out, "    var places_{name} = vec4<u32>();")?;
            Self::each_source(out, "    ", &load, |Source { operand, quad, .. }| {
                let (letter, corner) = [("a", "top"), ("b", "left")][*operand];
                let stride = strides[*operand];
                let first = format!("{corner} + {quad} * 4u");
                let at = format!(
                    "{}u + {}k_{name} * {stride}u + {quad}",
                    operand * behind,
                    slice(stride)
                );
                let mut lines = vec![format!("into_{name} = {at};")];
                if has_stride {
                    lines.push(format!("stride_{name} = {stride}u;"));
                }
                lines.push(match self.reads[*operand].loader {
                    Loader::Given => format!("places_{name} = vec4<u32>({first});"),
                    _ => format!("places_{name} = {}_{letter}_places({first});", self.name),
                });
                lines
            })?;
            if let [Source { operand, quad, .. }] = &load.from[..]
                && self.reads[*operand].ones
            {
                writeln!(out, "    let ones_{name} = {}_b_ones(left + {quad} * 4u);", self.name)?;
            }
        }
        writeln!(out, "    let from_a = {}row;", slice(strides[0]))?;
        writeln!(out, "    let from_b = {behind}u + {}col;", slice(strides[1]))
    }

    /// Writes the loads of the next part, whose first k is `first`.
    fn write_loads(&self, out: &mut String, indent: &str) -> fmt::Result {
        for load in self.loads() {
            let name = &load.name;
            if self.is_clamped(&load) {
                writeln!(out, "{indent}is_within_{name} = first + k_{name} < depth;")?;
                writeln!(
                    out,
                    "{indent}let within_{name} = select(0u, first + k_{name}, is_within_{name});"
                )?;
            }
            Self::each_source(out, indent, &load, |source| {
                let loader = format!("{}_{}", self.name, ["a", "b"][source.operand]);
                let arguments = match self.reads[source.operand].loader {
                    Loader::Clamped => format!("places_{name}, within_{name}, depth"),
                    Loader::Guarded => format!("places_{name}, first + k_{name}, depth"),
                    Loader::Given => format!("places_{name}.x, first + k_{name}"),
                };
                vec![format!("next_{name} = {loader}({arguments});")]
            })?;
        }
        Ok(())
    }

    /// Writes the stores into workgroup memory. Where k is outside of the matrix, 0 is stored over what was read: that
    /// is only in the last part, and a select for each element would take a tenth of all vector instructions.
    fn write_moves(&self, out: &mut String) -> fmt::Result {
        for load in self.loads() {
            let name = &load.name;
            let ones = load.from.iter().any(|source| self.reads[source.operand].ones);
            let value = |quad: String| match ones {
                true => format!("select({quad}, vec4<f32>(1.0), ones_{name})"),
                false => quad,
            };
            let mut indent = "        ";
            let mut quads = vec![(format!("into_{name}"), value(format!("next_{name}")))];
            if load.is_square {
                let end = load.from.last().and_then(|source| source.end).unwrap_or_default();
                let [a, b] = self.tile.strides();
                let stride = if a == b { format!("{a}u") } else { format!("stride_{name}") };
                let quad = |c| {
                    (format!("into_{name} + {c}u * {stride}"), value(format!("next_{name}[{c}]")))
                };
                quads = (0..4).map(quad).collect();
                writeln!(out, "{indent}if (me < {end}u) {{")?;
                indent = "            ";
            }
            for (place, value) in &quads {
                writeln!(out, "{indent}quads[{place}] = {value};")?;
            }
            if self.is_clamped(&load) {
                writeln!(out, "{indent}if (!is_within_{name}) {{")?;
                for (place, _) in &quads {
                    writeln!(out, "{indent}    quads[{place}] = {}();", self.tile.quad())?;
                }
                writeln!(out, "{indent}}}")?;
            }
            if load.is_square {
                writeln!(out, "        }}")?;
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
        if slices > 1 {
            writeln!(out, "    let slice = lane / {threads}u;")?;
            writeln!(out, "    let me = lane % {threads}u;")?;
        } else {
            writeln!(out, "    let me = lane;")?;
        }
        writeln!(out, "    let row = me / {across}u;")?;
        writeln!(out, "    let col = me % {across}u;")?;
        self.each_sum(|r, j| writeln!(out, "    var sum{r}_{j} = vec4<f32>();"))?;
        if slices > 1 {
            let [_, cols] = self.quads();
            (0..cols).try_for_each(|j| writeln!(out, "    var total_{j} = vec4<f32>();"))?;
        } else {
            self.each_sum(|r, j| writeln!(out, "    var total{r}_{j} = vec4<f32>();"))?;
        }
        // Every slice takes as many iterations as the first, which has the most.
        writeln!(out, "    let steps = SEGMENT / {depth}u;")?;
        writeln!(out, "    let rest = depth % (SEGMENT * {slices}u);")?;
        writeln!(out, "    let rounds = depth / (SEGMENT * {slices}u) * steps")?;
        writeln!(out, "        + min((rest + {}u) / {depth}u, steps);", depth - 1)?;
        self.write_kept(out)?;
        writeln!(out, "    var first = {};", if slices > 1 { "slice * SEGMENT" } else { "0u" })?;
        self.write_loads(out, "    ")?;
        // Of a segment, or of all if they aren't folded.
        let at_once = if slices > 1 { "steps" } else { "select(rounds, steps, FOLD)" };
        writeln!(out, "    let at_once = {at_once};")?;
        writeln!(out, "    for (var done = 0u; done < rounds; done += at_once) {{")?;
        writeln!(out, "    let end = min(done + at_once, rounds);")?;
        writeln!(out, "    for (var round = done; round < end; round++) {{")?;
        writeln!(out, "        workgroupBarrier();")?;
        self.write_moves(out)?;
        writeln!(out, "        workgroupBarrier();")?;
        // After the last part nothing is within the matrix.
        if slices > 1 {
            writeln!(
                out,
                "        first = ((round + 1u) / steps * {slices}u + slice) * SEGMENT + (round + 1u) % steps * {depth}u;"
            )?;
        } else {
            writeln!(out, "        first += {depth}u;")?;
        }
        self.write_loads(out, "        ")?;
        self.write_steps(out)?;
        writeln!(out, "    }}")?;
        self.write_fold(out)?;
        writeln!(out, "    }}")?;
        self.write_stores(out)?;
        writeln!(out, "}}")
    }

    /// Multiplies the part in workgroup memory, in a loop whose iterations have 128 multiply-adds each. Drivers unroll it,
    /// as it has few iterations; FXC does not, and takes half as long as for one with all k written out.
    fn write_steps(&self, out: &mut String) -> fmt::Result {
        let Tile { each, depth, .. } = self.tile;
        let at_once = (128 / (each[0] * each[1])).min(depth);
        let [stride_a, stride_b] = self.tile.strides();
        writeln!(out, "        for (var k = 0u; k < {depth}u; k += {at_once}u) {{")?;
        writeln!(out, "            let at_a = from_a + k * {stride_a}u;")?;
        writeln!(out, "            let at_b = from_b + k * {stride_b}u;")?;
        (0..at_once).try_for_each(|k| self.write_step(out, k))?;
        writeln!(out, "        }}")
    }

    /// The products of one k.
    fn write_step(&self, out: &mut String, k: usize) -> fmt::Result {
        let Tile { rows, cols, each, .. } = self.tile;
        let [quads_a, quads_b] = self.quads();
        let [stride_a, stride_b] = self.tile.strides();
        let (down, across) = (rows / each[0], cols / each[1]);
        writeln!(out, "        {{")?;
        for i in 0..quads_a {
            let place = format!("at_a + {}u", k * stride_a + i * down);
            writeln!(out, "            let a{i} = {};", self.in_f32(&place))?;
        }
        for j in 0..quads_b {
            let place = format!("at_b + {}u", k * stride_b + j * across);
            writeln!(out, "            let b{j} = {};", self.in_f32(&place))?;
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
    fn in_f32(&self, place: &str) -> String {
        match self.tile.storage {
            Precision::F32 => format!("quads[{place}]"),
            Precision::F16 => format!("vec4<f32>(quads[{place}])"),
        }
    }

    /// Adds the current segments to the totals.
    fn write_fold(&self, out: &mut String) -> fmt::Result {
        let Tile { slices, .. } = self.tile;
        if slices == 1 {
            writeln!(out, "        if (FOLD) {{")?;
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
        Ok(())
    }

    /// Stores the elements, a quad at a time. A loop takes the quads in turn, so that the epilogue
    /// is in the module once: an optimizer's step for each of 16 quads was up to 95 KB
    /// of code for AMD's GPUs, more than an instruction cache holds.
    fn write_stores(&self, out: &mut String) -> fmt::Result {
        let Tile { rows, cols, each, slices, .. } = self.tile;
        let (down, across) = (rows / each[0], cols / each[1]);
        let [_, quads] = self.quads();
        let name = self.name;
        let col = format!("left + (col + quad % {quads}u * {across}u) * 4u");
        let (count, row) = match slices {
            1 => {
                let row = format!("quad / {quads}u");
                (each[0] * quads, format!("top + (row + {row} / 4u * {down}u) * 4u + {row} % 4u"))
            }
            _ => (quads, "top + row * 4u + slice".into()),
        };
        if count == 1 {
            return writeln!(out, "    {name}_store({row}, left + col * 4u, total_0);");
        }
        writeln!(out, "    for (var quad = 0u; quad < {count}u; quad++) {{")?;
        writeln!(out, "        var value: vec4<f32>;")?;
        writeln!(out, "        switch quad {{")?;
        for quad in 0..count {
            let total = match slices {
                1 => format!("total{r}_{j} + sum{r}_{j}", r = quad / quads, j = quad % quads),
                _ => format!("total_{quad}"),
            };
            // The last case is the default, so that the value is always set.
            let case = if quad + 1 == count { "default".into() } else { format!("case {quad}u") };
            writeln!(out, "            {case}: {{ value = {total}; }}")?;
        }
        writeln!(out, "        }}")?;
        writeln!(out, "        {name}_store({row}, {col}, value);")?;
        writeln!(out, "    }}")
    }
}

//! The text of a product: through workgroup memory into registers, stretch by stretch.

use super::{Along, Operand, Tile};
use crate::precision::Precision;
use std::fmt::{self, Write};

impl Tile {
    /// The function `{name}_product(lane, top, left, depth)`: the block of C from (top, left) on,
    /// of a product of these operands with inner dimension `depth`.
    #[must_use]
    pub fn product(&self, name: &str, operands: [Operand<'_>; 2]) -> String {
        let [a, b] = operands;
        let text = Text { tile: *self, name, along: [a.along, b.along], last: ", depth" };
        let mut out = a.loader(&format!("{name}_a"), self.wide);
        out += &b.loader(&format!("{name}_b"), self.wide);
        // Writing into a String can't fail.
        let _ = text.write(&mut out);
        out
    }

    /// The same, where the text around it has the loaders: `{name}_a(row, k)`, four rows of A from `row`
    /// on, and `{name}_b(col, k)`, four columns of B, both 0 outside of the matrix.
    #[must_use]
    pub(in crate::kernels) fn product_of_loaded(&self, name: &str, along: [Along; 2]) -> String {
        debug_assert!(!self.wide, "loaders of four rows give no squares");
        let mut out = String::new();
        let _ = Text { tile: *self, name, along, last: "" }.write(&mut out);
        out
    }

    /// Four elements of an operand, in the shader's words.
    pub(super) fn quad(&self) -> String {
        format!("vec4<{}>", self.storage)
    }
}

/// A product as text.
struct Text<'a> {
    tile: Tile,
    name: &'a str,
    /// How the operands lie.
    along: [Along; 2],
    /// What loaders take besides their place.
    last: &'a str,
}

/// The variable for squares. No invocation reads more than one, so that the two operands share it:
/// sixteen registers less are what lets a multiprocessor hold two of the largest blocks.
const SQUARE: &str = "next_square";

/// What an invocation reads of an operand at a time, and brings into workgroup memory.
struct Load {
    /// The variable that holds it meanwhile: a quad, or a square of four quads.
    variable: String,
    /// The condition under which the invocation reads it, if it isn't all of them that do.
    guard: Option<String>,
    /// Its first k and its quad, within the part at hand.
    place: [String; 2],
    /// The call that reads it, given that part's first k.
    call: String,
    /// `tile_a` or `tile_b`, and the quads between two k there.
    into: (String, usize),
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

    /// All that an invocation reads for a part of the inner dimension.
    fn loads(&self) -> Vec<Load> {
        let Tile { rows, cols, depth, wide, .. } = self.tile;
        let threads = self.tile.per_slice();
        let mut loads = Vec::new();
        // Squares are so few that no invocation needs to read two.
        let mut busy = 0;
        for (i, along) in self.along.into_iter().enumerate() {
            let (letter, corner, side) = [("a", "top", rows / 4), ("b", "left", cols / 4)][i];
            let mut load = |number: usize, guard: Option<String>, k: String, quad: String| {
                loads.push(Load {
                    variable: match &guard {
                        Some(_) => SQUARE.into(),
                        None => format!("next_{letter}{number}"),
                    },
                    guard,
                    call: format!(
                        "{}_{letter}({corner} + {quad} * 4u, first + {k}{})",
                        self.name, self.last
                    ),
                    into: (format!("tile_{letter}"), self.tile.strides()[i]),
                    place: [k, quad],
                });
            };
            if along.in_squares(wide) {
                let (across, squares) = (depth / 4, side * depth / 4);
                let at = format!("(me - {busy}u)");
                let guard = format!("{at} < {squares}u");
                load(0, Some(guard), format!("{at} % {across}u * 4u"), format!("{at} / {across}u"));
                busy += squares;
                continue;
            }
            for number in 0..side * depth / threads {
                let at = format!("(me + {}u)", number * threads);
                let (k, quad) = match along {
                    Along::Depth => (format!("{at} % {depth}u"), format!("{at} / {depth}u")),
                    Along::Side => (format!("{at} / {side}u"), format!("{at} % {side}u")),
                };
                load(number, None, k, quad);
            }
        }
        loads
    }

    /// Reads what the next part needs, whose first k is `first`.
    fn write_loads(&self, out: &mut String, indent: &str) -> fmt::Result {
        self.loads().iter().try_for_each(|Load { variable, guard, call, .. }| match guard {
            Some(guard) => {
                writeln!(
                    out,
                    "{indent}if ({guard}) {{\n{indent}    {variable} = {call};\n{indent}}}"
                )
            }
            None => writeln!(out, "{indent}{variable} = {call};"),
        })
    }

    /// Brings it into workgroup memory.
    fn write_moves(&self, out: &mut String) -> fmt::Result {
        let depth = self.tile.depth;
        for Load { variable, guard, place: [k, quad], into: (tile, stride), .. } in self.loads() {
            let at =
                |c: usize| format!("{tile}[(slice * {depth}u + {k} + {c}u) * {stride}u + {quad}]");
            match guard {
                Some(guard) => {
                    writeln!(out, "        if ({guard}) {{")?;
                    for c in 0..4 {
                        writeln!(out, "            {} = {variable}[{c}];", at(c))?;
                    }
                    writeln!(out, "        }}")?;
                }
                None => writeln!(out, "        {} = {variable};", at(0))?,
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
        let loads = self.loads();
        if loads.iter().any(|load| load.guard.is_some()) {
            writeln!(out, "    var {SQUARE} = mat4x4<f32>();")?;
        }
        for Load { variable, .. } in loads.iter().filter(|load| load.guard.is_none()) {
            writeln!(out, "    var {variable} = {}();", self.tile.quad())?;
        }
        writeln!(out, "    var first = slice * STRETCH;")?;
        self.write_loads(out, "    ")?;
        writeln!(out, "    for (var round = 0u; round < rounds; round++) {{")?;
        writeln!(out, "        workgroupBarrier();")?;
        self.write_moves(out)?;
        writeln!(out, "        workgroupBarrier();")?;
        writeln!(out, "        if (round + 1u < rounds) {{")?;
        writeln!(
            out,
            "            first = ((round + 1u) / steps * {slices}u + slice) * STRETCH + (round + 1u) % steps * {depth}u;"
        )?;
        self.write_loads(out, "            ")?;
        writeln!(out, "        }}")?;
        for k in 0..depth {
            self.write_step(out, k)?;
        }
        self.write_fold(out)?;
        writeln!(out, "    }}")?;
        self.write_stores(out)?;
        writeln!(out, "}}")
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
            writeln!(out, "            let a{i} = {};", self.in_f32("tile_a", &place))?;
        }
        for j in 0..quads_b {
            let place = format!("(slice * {depth}u + {k}u) * {stride_b}u + col + {}u", j * across);
            writeln!(out, "            let b{j} = {};", self.in_f32("tile_b", &place))?;
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
    fn in_f32(&self, memory: &str, place: &str) -> String {
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

    /// Hands the elements over, a quad at a time. A loop takes the quads in turn, so that what becomes of an
    /// element stands in the module once: an optimiser's step for each of 16 quads was up to 95 KB
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
            // The last one stands for all others, so that the value is always given.
            let case = if quad + 1 == count { "default".into() } else { format!("case {quad}u") };
            writeln!(out, "            {case}: {{ value = {total}; }}")?;
        }
        writeln!(out, "        }}")?;
        writeln!(out, "        {name}_store({row}, {col}, value);")?;
        writeln!(out, "    }}")
    }
}

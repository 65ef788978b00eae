//! How a product reads its operands: their bindings, and the functions that load
//! four neighboring rows of A, or columns of B.

use crate::kernels::common::declaration::{Access, Binding};

/// The contiguous dimension of an operand, along which neighboring invocations read neighboring elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// Neighbors differ in the inner dimension.
    Depth,
    /// Neighbors differ in the row of A, or the column of B.
    Side,
}

/// The function that loads an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loader {
    /// `{name}(places, k, depth)`, with a k within the matrix.
    Clamped,
    /// The same with any k: it returns 0 outside of the matrix.
    Guarded,
    /// A function `{name}(first, k)` of the text around the product: 0 outside of the matrix.
    Given,
}

/// How a tile reads an operand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reads {
    pub(super) along: Along,
    pub(super) loader: Loader,
    /// Whether it returns squares of four rows and four k.
    pub(super) in_squares: bool,
    /// Whether a column of ones follows the last.
    pub(super) ones: bool,
}

/// An operand of a product, as text of the shader.
///
/// `source` names two functions: `{source}_at(i)` gives the element at a place, `{source}_four(i)` gives four, of
/// which the first lies at 4 i. The generator writes them for bindings that it declares.
#[derive(Debug, Clone, Copy)]
pub struct Operand<'a> {
    /// The source of its elements.
    pub source: &'a str,
    /// How an element is found.
    pub place: At<'a>,
    /// The number of rows of A, or of columns of B; not 0.
    pub len: &'a str,
    /// Elements of a row in memory.
    pub row: &'a str,
    /// The contiguous dimension.
    pub along: Along,
    /// Whether a column of ones follows the last.
    pub ones: bool,
    /// Whether a wide tile reads four elements at a time: all start at multiples of four.
    pub in_fours: bool,
}

/// How the functions of [`Operand::source`] find an element, as an expression that may use `side`, the row of
/// A or column of B.
#[derive(Debug, Clone, Copy)]
pub enum At<'a> {
    /// The place in memory of the element with k = 0. It is computed once for all k; reads outside of the
    /// matrix may return other elements.
    From(&'a str),
    /// The arguments of both functions for the element at `side` and `k`: what is read is also written, so that
    /// nothing outside of the matrix is read. Such an operand is contiguous along the depth.
    Written(&'a str),
}

impl Operand<'_> {
    /// How a tile reads it.
    pub(super) fn reads(&self, wide: bool) -> Reads {
        let in_fours = wide && self.in_fours;
        Reads {
            along: self.along,
            loader: match self.place {
                At::From(_) => Loader::Clamped,
                At::Written(_) => Loader::Guarded,
            },
            in_squares: in_fours && self.along == Along::Depth,
            ones: self.ones,
        }
    }

    /// The functions that load four of its rows or columns: `{name}_places(first)` for those from `first` on,
    /// and `{name}(places, k, depth)`, which returns them as a vec4. A wide tile reads an operand that is
    /// contiguous along the depth in squares: the same for `k` … `k + 3`, each a column of the result.
    ///
    /// Rows whose length isn't a multiple of four are read element by element in any tile; if a
    /// launch has no such rows, `ALIGNED` is set, and the compiler removes that part.
    pub(super) fn loader(&self, name: &str, wide: bool) -> String {
        match self.place {
            At::From(start) => self.clamped_loader(name, start, wide && self.in_fours),
            At::Written(at) => self.guarded_loader(name, at, wide && self.in_fours),
        }
    }

    /// Without a condition or a full address computation for each element: these would take as many
    /// instructions as a third of the multiply-adds, and after a condition AMD's compiler waits for the load.
    /// Rows or columns beyond the last are read as the last: their sums are not stored. `k` is within the
    /// matrix, and values read beyond its last k are not used.
    fn clamped_loader(&self, name: &str, start: &str, wide: bool) -> String {
        let Operand { source, len, row, along, ones, .. } = self;
        let mut text = format!("fn {name}_place(side: u32) -> u32 {{\n    return {start};\n}}\n");
        if *ones {
            text += &format!(
                "fn {name}_ones(first: u32) -> vec4<bool> {{\n    \
                 return vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>({len});\n}}\n"
            );
        }
        text += &format!(
            "fn {name}_places(first: u32) -> vec4<u32> {{\n    let last = {len} - 1u;\n    \
             let side = min(first, last / 4u * 4u);\n"
        );
        let places = match along {
            Along::Depth => {
                let each = [0, 1, 2, 3].map(|i| format!("{name}_place(min(side + {i}u, last))"));
                format!("vec4<u32>(\n        {},\n    )", each.join(",\n        "))
            }
            Along::Side => format!("vec4<u32>({name}_place(side))"),
        };
        // Places in units of four elements if all are read so.
        text += &match wide {
            true => format!(
                "    let places = {places};\n    return select(places, places / 4u, ALIGNED);\n}}\n"
            ),
            false => format!("    return {places};\n}}\n"),
        };
        let four = ["x", "y", "z", "w"].map(|i| format!("{source}_at(at.{i})")).join(", ");
        let four = format!("vec4<f32>({four})");
        match along {
            Along::Depth if wide => {
                text += &format!(
                    "fn {name}_run(place: u32, k: u32, depth: u32) -> vec4<f32> {{\n    \
                     if (ALIGNED) {{\n        return {source}_four(place + k / 4u);\n    }}\n    \
                     if ({row} % 4u == 0u) {{\n        return {source}_four((place + k) / 4u);\n    }}\n    \
                     let all = k + vec4<u32>(0u, 1u, 2u, 3u);\n    \
                     let at = place + min(all, vec4<u32>(max(depth, 1u) - 1u));\n    \
                     return select(vec4<f32>(), {four}, all < vec4<u32>(depth));\n}}\n"
                );
                let runs = ["x", "y", "z", "w"]
                    .map(|i| format!("        {name}_run(places.{i}, k, depth),\n"));
                text + &format!(
                    "fn {name}(places: vec4<u32>, k: u32, depth: u32) -> mat4x4<f32> {{\n    \
                     return transpose(mat4x4<f32>(\n{}    ));\n}}\n",
                    runs.concat()
                )
            }
            Along::Depth => {
                text + &format!(
                    "fn {name}(places: vec4<u32>, k: u32, depth: u32) -> vec4<f32> {{\n    \
                     let at = places + k;\n    return {four};\n}}\n"
                )
            }
            Along::Side => {
                text +=
                    &format!("fn {name}(places: vec4<u32>, k: u32, depth: u32) -> vec4<f32> {{\n");
                if wide {
                    text += &format!(
                        "    if (ALIGNED) {{\n        \
                         return {source}_four(places.x + k * ({row} / 4u));\n    }}\n    \
                         if ({row} % 4u == 0u) {{\n        \
                         return {source}_four((places.x + k * {row}) / 4u);\n    }}\n"
                    );
                }
                text + &format!(
                    "    // Neighbors follow the last of a row, but that of the last row.\n    \
                     let end = {name}_place({len} - 1u) + (max(depth, 1u) - 1u) * {row};\n    \
                     let at = min(places.x + k * {row} + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(end));\n    \
                     return {four};\n}}\n"
                )
            }
        }
    }

    /// 0 outside of the matrix.
    fn guarded_loader(&self, name: &str, at: &str, wide: bool) -> String {
        let Operand { source, len, row, along, ones, .. } = self;
        debug_assert!(*along == Along::Depth && !ones);
        let mut text = format!(
            "fn {name}_places(first: u32) -> vec4<u32> {{\n    return vec4<u32>(first);\n}}\n"
        );
        if wide && *along == Along::Depth {
            text += &format!(
                "fn {name}_run(side: u32, k: u32, depth: u32) -> vec4<f32> {{\n    \
                 if (ALIGNED || {row} % 4u == 0u) {{\n        return {source}_four({at});\n    }}\n    \
                 let first = k;\n    var value = vec4<f32>();\n"
            );
            for i in 0..4 {
                text += &format!(
                    "    if (first + {i}u < depth) {{\n        let k = first + {i}u;\n        \
                     value[{i}] = {source}_at({at});\n    }}\n"
                );
            }
            text += "    return value;\n}\n";
            text += &format!(
                "fn {name}(places: vec4<u32>, k: u32, depth: u32) -> mat4x4<f32> {{\n    \
                 let first = places.x;\n    var rows = mat4x4<f32>();\n"
            );
            for i in 0..4 {
                text += &format!(
                    "    if (k < depth && first + {i}u < {len}) {{\n        \
                     rows[{i}] = {name}_run(first + {i}u, k, depth);\n    }}\n"
                );
            }
            return text + "    return transpose(rows);\n}\n";
        }
        text += &format!(
            "fn {name}(places: vec4<u32>, k: u32, depth: u32) -> vec4<f32> {{\n    \
             let first = places.x;\n    var value = vec4<f32>();\n"
        );
        for i in 0..4 {
            text += &format!(
                "    if (k < depth && first + {i}u < {len}) {{\n        \
                 let side = first + {i}u;\n        value[{i}] = {source}_at({at});\n    }}\n"
            );
        }
        text + "    return value;\n}\n"
    }
}

/// The declaration of binding `number` as an operand that is only read, with the two functions of
/// [`Operand::source`]: the type in which they are stored is only defined here. Operands in f16 are declared
/// and read by the shaders of mixed precision.
pub(super) fn declaration(number: usize, binding: &Binding, wide: bool) -> String {
    debug_assert_eq!(binding.access, Access::Read, "others may have to be written in between");
    let name = binding.name;
    let (stored, element, four) = if wide {
        ("vec4<f32>", format!("{name}[i / 4u][i % 4u]"), format!("{name}[i]"))
    } else {
        let each = [0, 1, 2, 3].map(|j| format!("{name}[4u * i + {j}u]")).join(", ");
        ("f32", format!("{name}[i]"), each)
    };
    format!(
        "@group(1) @binding({number}) var<storage, read> {name}: array<{stored}>;\n\
         fn {name}_at(i: u32) -> f32 {{\n    return {element};\n}}\n\
         fn {name}_four(i: u32) -> vec4<f32> {{\n    return vec4<f32>({four});\n}}\n"
    )
}

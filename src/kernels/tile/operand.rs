//! How a product reads its operands: the bindings that they lie in, and the functions that bring
//! four neighbouring rows of A, or columns of B, out of them.

use crate::kernels::{Access, Binding};

/// How an operand lies in memory, so that neighbouring invocations read neighbouring elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Along {
    /// Neighbours differ in the inner dimension.
    Depth,
    /// Neighbours differ in the row of A, or the column of B.
    Side,
}

impl Along {
    /// Whether a tile reads squares of four rows and four k.
    pub(super) fn in_squares(self, wide: bool) -> bool {
        wide && self == Along::Depth
    }
}

/// An operand of a product, in the words of the shader.
///
/// `source` names two functions: `{source}_at(…)` gives the element at a place, `{source}_four(…)`
/// gives four from one on. The generator writes them for bindings that it declares. The expressions
/// may use `side`, the row of A or column of B, and `k`.
#[derive(Debug, Clone, Copy)]
pub struct Operand<'a> {
    /// Where elements come from.
    pub source: &'a str,
    /// The arguments for the element at `side` and `k`.
    pub at: &'a str,
    /// How many rows A has, or columns B.
    pub len: &'a str,
    /// Elements of a row in memory.
    pub row: &'a str,
    /// How they lie there.
    pub along: Along,
    /// Whether a column of ones follows the last.
    pub ones: bool,
}

impl Operand<'_> {
    /// The function `{name}(first, k, depth)`. It gives the elements at `k` of four rows or columns
    /// from `first` on, 0 outside of the matrix: a vec4. A wide tile reads an operand
    /// that lies along the depth in squares: the same for `k` … `k + 3`, a column of the result each.
    ///
    /// Rows of other lengths than a multiple of four are read element by element in any tile; where a
    /// launch has none of these, `ALIGNED` says so, and a compiler leaves that part out.
    pub(super) fn loader(&self, name: &str, wide: bool) -> String {
        let Operand { source, at, len, row, along, ones } = self;
        let mut text = String::new();
        if along.in_squares(wide) {
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
                "fn {name}(first: u32, k: u32, depth: u32) -> mat4x4<f32> {{\n    \
                 var rows = mat4x4<f32>();\n"
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
            "fn {name}(first: u32, k: u32, depth: u32) -> vec4<f32> {{\n    \
             var value = vec4<f32>();\n"
        );
        let mut indent = "    ";
        let together = wide && *along == Along::Side;
        if together {
            text += &format!(
                "    if (ALIGNED || {row} % 4u == 0u) {{\n        if (k < depth && first < {len}) {{\n            \
                 let side = first;\n            value = {source}_four({at});\n        }}\n    }} else {{\n"
            );
            indent = "        ";
        }
        for i in 0..4 {
            text += &format!(
                "{indent}if (k < depth && first + {i}u < {len}) {{\n{indent}    \
                 let side = first + {i}u;\n{indent}    value[{i}] = {source}_at({at});\n{indent}}}\n"
            );
        }
        if together {
            text += "    }\n";
        }
        if *ones {
            text += &format!(
                "    let behind = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>({len});\n    \
                 value = select(value, vec4<f32>(1.0), behind);\n"
            );
        }
        text + "    return value;\n}\n"
    }
}

/// The declaration of binding `number` as an operand that is only read, with the two functions of
/// [`Operand::source`]: the type in which they are stored is told here alone. Operands in f16 are declared
/// and read by the shaders of mixed precision.
pub(super) fn declaration(number: usize, binding: &Binding, wide: bool) -> String {
    debug_assert_eq!(binding.access, Access::Read, "others may have to be written in between");
    let name = binding.name;
    let (stored, element, four) = if wide {
        ("vec4<f32>", format!("{name}[i / 4u][i % 4u]"), format!("{name}[i / 4u]"))
    } else {
        let each = [0, 1, 2, 3].map(|j| format!("{name}[i + {j}u]")).join(", ");
        ("f32", format!("{name}[i]"), each)
    };
    format!(
        "@group(1) @binding({number}) var<storage, read> {name}: array<{stored}>;\n\
         fn {name}_at(i: u32) -> f32 {{\n    return {element};\n}}\n\
         fn {name}_four(i: u32) -> vec4<f32> {{\n    return vec4<f32>({four});\n}}\n"
    )
}

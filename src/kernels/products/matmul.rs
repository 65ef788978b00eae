//! Matrix products C = A·B, A·Bᵀ and Aᵀ·B, with ± bias if a layer has one.
//!
//! Forward: Z_l = A_{l−1} W_lᵀ ± b_l. Backward: ∂E/∂A_{l−1} = δ_l W_l, and ∂E/∂W_l = δ_lᵀ A_{l−1},
//! the outer products of each row's δ and activations, accumulated over the batch.

use super::tile::{Along, At, Operand, Products, TILES, Tile as Block, Tiling, Tuning};
use crate::kernels::common::declaration::{Binding, COMMON, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::gemm::{self, Begin, End, Gemm, Right, View};
use std::ops::Range;
use std::sync::LazyLock;

/// Which operand is stored transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// C = A·B; A: (m, k), B: (k, n).
    Nn,
    /// C = A·Bᵀ; A: (m, k), B: (n, k).
    Nt,
    /// C = Aᵀ·B; A: (k, m), B: (k, n).
    Tn,
}

uniform! {
    /// C: (m, n), inner dimension k, of which k_first … k_first + k_count; m or k 0 means the
    /// rows of the current batch.
    Uniform { m: u32, n: u32, k: u32, k_first: u32, k_count: u32, bias_sign: f32 }
}

impl Form {
    /// Every form, in the order of [`MATMUL`].
    const ALL: [Form; 3] = [Form::Nn, Form::Nt, Form::Tn];

    fn name(self) -> &'static str {
        match self {
            Form::Nn => "matmul_nn",
            Form::Nt => "matmul_nt",
            Form::Tn => "matmul_tn",
        }
    }

    /// A and B as shaders read them.
    fn operands(self) -> [Operand<'static>; 2] {
        let a = Operand {
            source: "a",
            place: At::From("side * extent(p.k) + p.k_first"),
            len: "extent(p.m)",
            row: "extent(p.k)",
            along: Along::Depth,
            ones: false,
            in_fours: true,
        };
        let b = Operand { source: "b", len: "p.n", ..a };
        let (m, n) = ("p.k_first * extent(p.m) + side", "p.k_first * p.n + side");
        let along = Along::Side;
        match self {
            Form::Nn => [a, Operand { place: At::From(n), row: "p.n", along, ..b }],
            Form::Nt => [a, b],
            Form::Tn => [
                Operand { place: At::From(m), row: "extent(p.m)", along, ..a },
                Operand { place: At::From(n), row: "p.n", along, ..b },
            ],
        }
    }
}

/// The matrix product on the device, for each [`Form`] and each of [`TILES`].
pub static MATMUL: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[Binding] = &[read("a"), read("b"), read("bias"), read_write("c")];
    let text = include_str!("../../../shaders/products/matmul.wgsl");
    let kernel = |form: Form, tile: &Block| {
        let product = tile.product("matmul", form.operands());
        let texts = [COMMON, text, &product];
        tile.kernel([form.name(), "matmul"], Uniform::FIELDS, BINDINGS, &["a", "b"], &texts)
    };
    Form::ALL.iter().flat_map(|form| TILES.iter().map(move |tile| kernel(*form, tile))).collect()
});

/// The largest inner dimension of one launch.
///
/// Mesa's llvmpipe ends loops silently after 65,535 iterations in one invocation, all loops together;
/// and the rounding errors of a sum grow with the number of its segments.
const DEPTH_PER_LAUNCH: usize = 16_384;

/// The shape of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Which operand is transposed.
    pub form: Form,
    /// Rows of C.
    pub m: Extent,
    /// Columns of C.
    pub n: usize,
    /// The inner dimension.
    pub k: Extent,
}

/// The product of a launch for a batch of `batch` rows.
#[must_use]
pub fn products(shape: Shape, batch: usize) -> Products {
    let Shape { form, n, .. } = shape;
    let (m, k) = (shape.m.rows(batch), shape.k.rows(batch));
    let rows = match form {
        Form::Nn => [k, n],
        Form::Nt => [k, k],
        Form::Tn => [m, n],
    };
    Products::new(&[([m, n, k.min(DEPTH_PER_LAUNCH)], rows)])
}

/// Launches [`MATMUL`]: c = a·b ± bias, in parts where the inner dimension is large for a batch of
/// `batch` rows.
#[must_use]
pub fn launches(
    shape: Shape,
    batch: usize,
    [a, b, c]: [TensorId; 3],
    bias: Option<(TensorId, f32)>,
    tuning: &Tuning,
) -> Vec<Launch> {
    let flag = |set: bool| f64::from(u8::from(set));
    let Shape { form, m, n, k } = shape;
    let tiling = Tiling::new(&products(shape, batch), tuning);
    let tile = tiling.tile();
    let place = Form::ALL.iter().position(|f| *f == form).unwrap_or_default();
    let part = |first: usize| {
        let bias = bias.filter(|_| first == 0);
        let mut overrides = tiling.overrides();
        overrides.extend([("BIAS", flag(bias.is_some())), ("ADD", flag(first > 0))]);
        Launch {
            kernel: &MATMUL[place * TILES.len() + tiling.choice],
            overrides,
            uniform: Uniform {
                m: m.word(),
                n: n as u32,
                k: k.word(),
                k_first: first as u32,
                k_count: DEPTH_PER_LAUNCH as u32,
                bias_sign: bias.map_or(0.0, |(_, sign)| sign),
            }
            .bytes(),
            args: vec![
                Arg::Tensor(a),
                Arg::Tensor(b),
                bias.map_or(Arg::Unused, |(bias, _)| Arg::Tensor(bias)),
                Arg::Tensor(c),
            ],
            grid: Grid::Tiles(m, tile.rows, n.div_ceil(tile.cols)),
        }
    };
    (0..k.rows(batch)).step_by(DEPTH_PER_LAUNCH).map(part).collect()
}

/// The CPU reference of [`MATMUL`] for some rows and columns of C: c = a·b + sign · bias.
///
/// a, b: as [`Form`] says for an (m, n) product with inner dimension k.
///
/// # Safety
/// `c` points at the first element of these rows and columns in an (m, n) matrix, and nothing else
/// accesses them meanwhile.
pub unsafe fn reference<T: Gemm>(
    form: Form,
    [m, n, k]: [usize; 3],
    a: &[T],
    b: &[T],
    bias: Option<(&[T], T)>,
    (rows, cols): (Range<usize>, Range<usize>),
    c: *mut T,
) {
    let a = match form {
        Form::Tn => View::new(a, k, m).transposed(),
        _ => View::new(a, m, k),
    };
    let b = match form {
        Form::Nt => View::new(b, n, k).transposed(),
        _ => View::new(b, k, n),
    };
    let begin = bias.map_or(Begin::Zero, |(bias, sign)| Begin::Bias(&bias[cols.clone()], sign));
    let b = Right::Matrix(b.some_cols(cols));
    // SAFETY: passed on from the caller.
    unsafe { gemm::product(a.some_rows(rows), b, begin, End::Store, c, n) };
}

/// The CPU reference of [`MATMUL`] for all of C: (m, n).
pub fn reference_rows<T: Gemm>(
    form: Form,
    shape: [usize; 3],
    a: &[T],
    b: &[T],
    bias: Option<(&[T], T)>,
    c: &mut [T],
) {
    let [m, n, _] = shape;
    assert!(c.len() >= m * n, "C is too short");
    // SAFETY: C has m · n elements, borrowed exclusively.
    unsafe { reference(form, shape, a, b, bias, (0..m, 0..n), c.as_mut_ptr()) };
}

/// How an (m, n) matrix C is split into pieces of work: blocks of rows and columns, the latter whole
/// panels of every instruction set, so large that packing the operands costs little.
#[derive(Debug, Clone, Copy)]
pub struct Pieces {
    shape: (usize, usize),
    block: (usize, usize),
}

impl Pieces {
    /// The pieces of an (m, n) matrix.
    #[must_use]
    pub fn new(m: usize, n: usize) -> Self {
        let rows = m.div_ceil(16).next_multiple_of(8).clamp(64, 256);
        let cols = n.div_ceil(8).next_multiple_of(32).clamp(64, 512);
        Pieces { shape: (m, n), block: (rows, cols) }
    }

    /// Their number.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shape.0.div_ceil(self.block.0) * self.shape.1.div_ceil(self.block.1)
    }

    /// Rows and columns of piece `i`.
    #[must_use]
    pub fn get(&self, i: usize) -> (Range<usize>, Range<usize>) {
        let part = |i: usize, block: usize, len: usize| i * block..((i + 1) * block).min(len);
        let across = self.shape.0.div_ceil(self.block.0);
        let rows = part(i % across, self.block.0, self.shape.0);
        (rows, part(i / across, self.block.1, self.shape.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::random::{Random, Stream};

    #[test]
    fn products_of_ragged_shapes_equal_the_triple_loop() {
        let mut random = Random::new(1, Stream::Check, 0);
        for [m, n, k] in [[1, 1, 1], [3, 7, 5], [33, 31, 97], [130, 10, 64], [2, 300, 0]] {
            let a: Vec<f64> = (0..m * k).map(|_| random.normal()).collect();
            let b: Vec<f64> = (0..k * n).map(|_| random.normal()).collect();
            for form in [Form::Nn, Form::Nt, Form::Tn] {
                let mut c = vec![f64::NAN; m * n];
                let pieces = Pieces::new(m, n);
                for (rows, cols) in (0..pieces.count()).map(|i| pieces.get(i)) {
                    let at = rows.start * n + cols.start;
                    // SAFETY: the piece lies inside c.
                    unsafe {
                        let c = c.as_mut_ptr().add(at);
                        reference(form, [m, n, k], &a, &b, None, (rows, cols), c);
                    }
                }
                for (i, &c) in c.iter().enumerate() {
                    let (r, s) = (i / n, i % n);
                    let at = |i| if form == Form::Tn { a[i * m + r] } else { a[r * k + i] };
                    let bt = |i| if form == Form::Nt { b[s * k + i] } else { b[i * n + s] };
                    let sum: f64 = (0..k).map(|i| at(i) * bt(i)).sum();
                    assert!((c - sum).abs() < 1e-12, "{form:?} {m} {n} {k}");
                }
            }
        }
    }
}

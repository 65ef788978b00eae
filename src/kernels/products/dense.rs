//! A layer forward in one launch: Z = X Wᵀ ± b, A = σ(Z); for the first layer with X gathered from
//! the data set by shuffled index, X\[r, c\] = (D\[π(r), c\] − shift\[c\]) · scale\[c\].
//!
//! The WGSL of the product is written by [`tile`]; the shader beside it has the input and the use of its elements.

use super::matmul::{self, Form};
use super::tile::{self, Along, At, Operand, Products, TILES, Tile, Tiling};
use crate::data::Storage;
use crate::kernels::common::declaration::{
    Binding, COMMON, FUNCTIONS, Kernel, RANDOM_FUNCTIONS, read, read_write, uniform,
};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::layers::activation::{self, ACTIVATION_FUNCTIONS, UnitFunctions};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::gemm::{self, Begin, End, Gemm, Right, View};
use std::sync::LazyLock;

/// A layer forward.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// A_{l−1}: (B, n_{l−1}).
    pub input: TensorId,
    /// Whether the input is gathered from the data set, and stored, by this op.
    pub gathers: bool,
    /// W: (n_l, n_{l−1}).
    pub weight: TensorId,
    /// b: (1, n_l), and its sign.
    pub bias: Option<(TensorId, f32)>,
    /// σ_l; none if only Z is needed.
    pub functions: Option<UnitFunctions>,
    /// Z: (B, n_l); the same tensor as A where σ′ follows from the sign of A.
    pub z: TensorId,
    /// A: (B, n_l).
    pub a: TensorId,
    /// The sums of the segments of k side by side, (B, segments · n_l), in place of Z and A: see
    /// [`is_worth_splitting`].
    pub partial_sums: Option<TensorId>,
    /// The tensor in which an overflow of Z and A in f16 is recorded, in training: (1, 4).
    pub overflows: Option<TensorId>,
}

uniform! {
    /// The shape of W, the number of segments of the inner dimension that are stored separately, and the sign of the bias.
    Uniform { n: u32, k: u32, segments: u32, bias_sign: f32 }
}

/// [`Dense`] on the device, for each of [`TILES`].
pub static DENSE: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[Binding] =
        &[read("x"), read("w"), read("bias"), read_write("z"), read_write("a")];
    kernels(
        "dense",
        ("x", At::From("side * p.k + part.y")),
        include_str!("../../../shaders/products/dense_input.wgsl"),
        BINDINGS,
        &["x", "w"],
    )
});

/// [`Dense`] with the gathering of its input, for each of [`TILES`].
pub static DENSE_GATHER: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    const BINDINGS: &[Binding] = &[
        read("data"),
        read("affine"),
        read_write("x"),
        read("w"),
        read("bias"),
        read_write("z"),
        read_write("a"),
    ];
    kernels(
        "dense_gather",
        ("gathered", At::Written("side, part.y + k")),
        include_str!("../../../shaders/products/dense_gather.wgsl"),
        BINDINGS,
        &["w"],
    )
});

fn kernels(
    name: &str,
    (source, place): (&str, At<'_>),
    input: &'static str,
    bindings: &'static [Binding],
    operands: &[&str],
) -> Vec<Kernel> {
    let (along, row) = (Along::Depth, "p.k");
    let x = Operand { source, place, len: "now.rows", row, along, ones: false, in_fours: true };
    // `part` and `p` are variables of dense.wgsl.
    let w = Operand {
        source: "w",
        place: At::From("side * p.k + part.y"),
        len: "p.n",
        row,
        along,
        ones: false,
        in_fours: true,
    };
    let kernel = |tile: &Tile| {
        let product = tile.product("dense", [x, w]);
        tile.kernel(
            [name, "dense"],
            Uniform::FIELDS,
            bindings,
            operands,
            &[
                COMMON,
                FUNCTIONS,
                RANDOM_FUNCTIONS,
                ACTIVATION_FUNCTIONS,
                input,
                include_str!("../../../shaders/products/dense.wgsl"),
                &product,
            ],
        )
    };
    TILES.iter().map(kernel).collect()
}

/// The longest sums of fused products: some drivers silently end a loop after 65,535 iterations, and
/// longer sums lose digits.
pub const TERMS: usize = 1 << 16;

/// Whether the last layer's product, of shape (m, n, k), is worth splitting along its inner dimension:
/// if the sums are long and the blocks so few that most of a large GPU would be idle.
///
/// Each segment is then a separate product, and [`crate::kernels::loss::output`] sums them in order, which
/// gives the same bits as if they had been summed here. It takes no additional launch.
#[must_use]
pub fn is_worth_splitting([m, n, k]: [usize; 3]) -> bool {
    const ENOUGH: usize = 128;
    const SEGMENTS: std::ops::RangeInclusive<usize> = 8..=128;
    let blocks = m.div_ceil(32).saturating_mul(n.div_ceil(32));
    blocks < ENOUGH && SEGMENTS.contains(&tile::short_segments(k))
}

/// The products of the launch for a batch of `batch` rows and W: (n, k).
#[must_use]
pub fn products(op: &Dense, batch: usize, [n, k]: [usize; 2]) -> Products {
    let of = |terms: usize| ([batch, n, terms], [k, k]);
    match op.partial_sums {
        None => Products::new(&[of(k)]),
        Some(_) => {
            let terms = (0..tile::short_segments(k)).map(|i| of(tile::short_segment(i, k).len()));
            Products::new(&terms.collect::<Vec<_>>())
        }
    }
}

/// Launches [`DENSE`] or [`DENSE_GATHER`] on `op`, whose Z is (B, n) and W (n, k).
#[must_use]
pub fn launch(op: &Dense, [n, k]: [usize; 2], tiling: &Tiling, storage: Storage) -> Launch {
    let flag = |set: bool| f64::from(u8::from(set));
    let activation = op.functions.as_ref().map(|f| f.of(0)).filter(|_| op.partial_sums.is_none());
    let bias = op.bias.filter(|_| op.partial_sums.is_none());
    let z = op.partial_sums.or((op.z != op.a || activation.is_none()).then_some(op.z));
    let segments = op.partial_sums.map_or(1, |_| tile::short_segments(k));
    let mut overrides = tiling.overrides();
    overrides.extend([
        ("BIAS", flag(bias.is_some())),
        ("STORE_Z", flag(z.is_some())),
        ("STORE_A", flag(activation.is_some())),
        ("ACTIVATION", activation.map_or(0.0, |f| f.code().into())),
        ("PARAMETER", activation.map_or(0.0, |f| f.parameter().into())),
    ]);
    let mut args = vec![
        Arg::Tensor(op.input),
        Arg::Tensor(op.weight),
        bias.map_or(Arg::Unused, |(bias, _)| Arg::Tensor(bias)),
        z.map_or(Arg::Unused, Arg::Tensor),
        if activation.is_some() { Arg::Tensor(op.a) } else { Arg::Unused },
    ];
    let kernel = if op.gathers {
        overrides.push(("BYTES", flag(storage.bytes)));
        args.splice(0..0, [Arg::Features, Arg::Affine]);
        &DENSE_GATHER[tiling.choice]
    } else {
        &DENSE[tiling.choice]
    };
    let tile = tiling.tile();
    let bias_sign = bias.map_or(0.0, |(_, sign)| sign);
    Launch {
        kernel,
        overrides,
        uniform: Uniform { n: n as u32, k: k as u32, segments: segments as u32, bias_sign }.bytes(),
        args,
        grid: Grid::Tiles(Extent::Batch, tile.rows, n.div_ceil(tile.cols) * segments),
    }
}

/// The CPU reference of [`DENSE`] with partial sums: x: (rows, k), weight: (n, k),
/// out: (rows, segments · n).
pub fn reference_partial_sums<T: Gemm>([n, k]: [usize; 2], x: &[T], weight: &[T], out: &mut [T]) {
    let count = tile::short_segments(k);
    let rows = out.len() / (count * n);
    for i in 0..count {
        let terms = tile::short_segment(i, k);
        let x = View::new(x, rows, k).some_cols(terms.clone());
        let weight = Right::Matrix(View::new(weight, n, k).some_cols(terms).transposed());
        let to = out[i * n..].as_mut_ptr();
        // SAFETY: n elements of each row from there on, which are borrowed exclusively.
        unsafe { gemm::product(x, weight, Begin::Zero, End::Store, to, count * n) };
    }
}

/// The CPU reference of [`DENSE`]: x: (rows, k), weight: (n, k), bias: (n), z, a: (rows, n), of
/// which z is none if it isn't needed, and a if there is no activation.
pub fn reference<T: Gemm>(
    functions: Option<&UnitFunctions>,
    [n, k]: [usize; 2],
    x: &[T],
    weight: &[T],
    bias: Option<(&[T], T)>,
    z: Option<&mut [T]>,
    a: Option<&mut [T]>,
) {
    let product = |out: &mut [T]| {
        let rows = out.len() / n;
        matmul::reference_rows(Form::Nt, [rows, n, k], x, weight, bias, out);
    };
    match (functions, z, a) {
        (Some(functions), Some(z), Some(a)) => {
            product(z);
            activation::value(functions, n, z, a);
        }
        (Some(functions), None, Some(a)) => {
            product(a);
            activation::value_in_place(functions, 0..n, a);
        }
        (_, Some(z), _) => product(z),
        (_, None, _) => {}
    }
}

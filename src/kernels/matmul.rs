//! Matrix products C = A·B, A·Bᵀ and Aᵀ·B, with ± bias where a layer has one.
//!
//! Forward: Z_l = A_{l−1} W_lᵀ ± b_l. Backward: ∂E/∂A_{l−1} = δ_l W_l, and ∂E/∂W_l = δ_lᵀ A_{l−1},
//! the outer products of each row's δ and activations, accumulated over the batch.

use super::{Arg, COMMON, Grid, Kernel, Launch, read, read_write, uniform};
use crate::tensor::{Extent, TensorId};
use crate::vector::Vector;
use std::ops::Range;

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
    /// C: (m, n), inner dimension k, of which k_first … k_first + k_count; m or k 0 stands for the
    /// rows of the batch at hand.
    Uniform { m: u32, n: u32, k: u32, k_first: u32, k_count: u32, bias_sign: f32 }
}

/// The matrix product on the device.
pub static MATMUL: Kernel = Kernel {
    entry: "matmul",
    source: &[COMMON, include_str!("../../shaders/matmul.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("a"), read("b"), read("bias"), read_write("c")],
    workgroup_size: 64,
};

/// Rows and columns of C that one workgroup computes.
const TILE: usize = 32;

/// The most of the inner dimension that one launch adds up.
///
/// Mesa's llvmpipe ends loops silently after 65,535 rounds in one invocation, all loops together;
/// the kernel takes 25 for 16 of the inner dimension.
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

/// Launches [`MATMUL`]: c = a·b ± bias, in parts where the inner dimension is large for a batch of
/// `batch` rows.
#[must_use]
pub fn launches(
    shape: Shape,
    batch: usize,
    [a, b, c]: [TensorId; 3],
    bias: Option<(TensorId, f32)>,
) -> Vec<Launch> {
    let flag = |set: bool| f64::from(u8::from(set));
    let Shape { form, m, n, k } = shape;
    let part = |first: usize| {
        let bias = bias.filter(|_| first == 0);
        Launch {
            kernel: &MATMUL,
            overrides: vec![
                ("TRANSPOSE_A", flag(form == Form::Tn)),
                ("TRANSPOSE_B", flag(form == Form::Nt)),
                ("BIAS", flag(bias.is_some())),
                ("ADD", flag(first > 0)),
            ],
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
            grid: Grid::Tiles(m, TILE, n.div_ceil(TILE)),
        }
    };
    (0..k.rows(batch)).step_by(DEPTH_PER_LAUNCH).map(part).collect()
}

/// The CPU reference of [`MATMUL`] for rows `start..` of C, as many as `c` holds.
///
/// a, b: as [`Form`] says for an (m, n) product with inner dimension k; c: (some rows of m, n).
pub fn reference<T: Gemm>(
    form: Form,
    [m, n, k]: [usize; 3],
    a: &[T],
    b: &[T],
    bias: Option<(&[T], T)>,
    start: usize,
    c: &mut [T],
) {
    let rows = c.len() / n;
    assert!(rows * n == c.len(), "C has whole rows");
    let tile = Tile { rows: start..start + rows, cols: 0..n };
    // SAFETY: c holds the tile's rows, and is borrowed exclusively.
    unsafe { product(form, [m, n, k], a, b, &tile, c.as_mut_ptr(), n) };
    if let Some((bias, sign)) = bias {
        for row in c.chunks_exact_mut(n) {
            T::add_scaled(sign, bias, row);
        }
    }
}

/// A part of C.
#[derive(Debug, Clone)]
pub struct Tile {
    /// Its rows.
    pub rows: Range<usize>,
    /// Its columns.
    pub cols: Range<usize>,
}

/// One tile of a product, c = a·b; operands as in [`reference()`].
///
/// # Safety
/// `c` points at the tile's first element, the tile's rows lie `c_stride` elements apart in one
/// allocation, and nothing else accesses them meanwhile.
#[allow(clippy::too_many_arguments, reason = "a product has three matrices with their shapes")]
pub unsafe fn product<T: Gemm>(
    form: Form,
    [m, n, k]: [usize; 3],
    a: &[T],
    b: &[T],
    tile: &Tile,
    c: *mut T,
    c_stride: usize,
) {
    let holds = |x: &[T], rows: usize, cols: usize| {
        rows.checked_mul(cols).is_some_and(|needed| x.len() >= needed)
    };
    assert!(holds(a, m, k) && holds(b, k, n), "operands of a product are too short");
    assert!(tile.rows.end <= m && tile.cols.end <= n, "a tile outside of its product");
    // (row stride, column stride) of A as (m, k) and of B as (k, n)
    let a_strides = if form == Form::Tn { (1, m) } else { (k, 1) };
    let b_strides = if form == Form::Nt { (1, k) } else { (n, 1) };
    let a = &a[(tile.rows.start * a_strides.0).min(a.len())..];
    let b = &b[(tile.cols.start * b_strides.1).min(b.len())..];
    // SAFETY: passed on from the caller.
    unsafe {
        T::gemm([tile.rows.len(), tile.cols.len(), k], a, a_strides, b, b_strides, c, c_stride)
    };
}

/// Rows of C that are computed as one piece of work. It depends on the shape alone, so that
/// neither the number of threads nor their timing changes a result.
#[must_use]
pub fn block_rows(m: usize) -> usize {
    m.div_ceil(64).clamp(32, 512)
}

/// A precision with a matrix product from a library.
pub trait Gemm: Vector {
    /// c = a·b for the strides given; c: (m, n), rows `c_stride` apart. On one thread.
    ///
    /// # Safety
    /// c's rows lie in one allocation that nothing else accesses meanwhile.
    #[allow(clippy::too_many_arguments, reason = "a product has three matrices with their shapes")]
    unsafe fn gemm(
        shape: [usize; 3],
        a: &[Self],
        a_strides: (usize, usize),
        b: &[Self],
        b_strides: (usize, usize),
        c: *mut Self,
        c_stride: usize,
    );
}

macro_rules! gemm {
    ($type:ty, $dtype:ident, $fallback:ident) => {
        impl Gemm for $type {
            unsafe fn gemm(
                [m, n, k]: [usize; 3],
                a: &[Self],
                (a_rows, a_cols): (usize, usize),
                b: &[Self],
                (b_rows, b_cols): (usize, usize),
                c: *mut Self,
                c_stride: usize,
            ) {
                if m == 0 || n == 0 {
                    return;
                }
                if k == 0 {
                    for row in 0..m {
                        // SAFETY: the caller owns m rows of n elements, c_stride apart.
                        unsafe { std::slice::from_raw_parts_mut(c.add(row * c_stride), n) }
                            .fill(0.0);
                    }
                    return;
                }
                assert!(a.len() > (m - 1) * a_rows + (k - 1) * a_cols);
                assert!(b.len() > (k - 1) * b_rows + (n - 1) * b_cols);
                let (a_rows, a_cols) = (a_rows as isize, a_cols as isize);
                let (b_rows, b_cols) = (b_rows as isize, b_cols as isize);
                #[cfg(target_arch = "x86_64")]
                if let Some(instructions) = instruction_set() {
                    use private_gemm_x86::{Accum, DType, DstKind, IType, gemm};
                    let none = std::ptr::null();
                    let beta = Accum::Replace;
                    let (a, b) = (a.as_ptr().cast(), b.as_ptr().cast());
                    let alpha = (&raw const ONE.$fallback).cast();
                    // SAFETY: the asserts above bound every element of a and b that the strides
                    // reach, the caller vouches for c, and the instruction set was detected.
                    unsafe {
                        gemm(
                            DType::$dtype,
                            IType::U64,
                            instructions,
                            m,
                            n,
                            k,
                            c.cast(),
                            c_stride as isize,
                            1,
                            none,
                            none,
                            DstKind::Full,
                            beta,
                            a,
                            a_rows,
                            a_cols,
                            false,
                            none,
                            0,
                            b,
                            b_rows,
                            b_cols,
                            false,
                            alpha,
                            1,
                        );
                    }
                    return;
                }
                let (a, b, stride) = (a.as_ptr(), b.as_ptr(), c_stride as isize);
                // SAFETY: as above.
                unsafe {
                    matrixmultiply::$fallback(
                        m, k, n, 1.0, a, a_rows, a_cols, b, b_rows, b_cols, 0.0, c, stride, 1,
                    );
                }
            }
        }
    };
}

/// α = 1 in both precisions, named after the product that takes it.
#[cfg(target_arch = "x86_64")]
struct One {
    sgemm: f32,
    dgemm: f64,
}
#[cfg(target_arch = "x86_64")]
static ONE: One = One { sgemm: 1.0, dgemm: 1.0 };

gemm!(f32, F32, sgemm);
gemm!(f64, F64, dgemm);

/// The widest instruction set of this processor that the product has kernels for.
#[cfg(target_arch = "x86_64")]
fn instruction_set() -> Option<private_gemm_x86::InstrSet> {
    use private_gemm_x86::InstrSet;
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    if avx512 {
        Some(InstrSet::Avx512)
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        Some(InstrSet::Avx256)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Random, Stream};

    #[test]
    fn products_of_ragged_shapes_equal_the_triple_loop() {
        let mut random = Random::new(1, Stream::Check, 0);
        for [m, n, k] in [[1, 1, 1], [3, 7, 5], [33, 31, 97], [130, 10, 64], [2, 300, 0]] {
            let a: Vec<f64> = (0..m * k).map(|_| random.normal()).collect();
            let b: Vec<f64> = (0..k * n).map(|_| random.normal()).collect();
            for form in [Form::Nn, Form::Nt, Form::Tn] {
                let mut c = vec![f64::NAN; m * n];
                for (block, c) in c.chunks_mut(32 * n).enumerate() {
                    reference(form, [m, n, k], &a, &b, None, 32 * block, c);
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

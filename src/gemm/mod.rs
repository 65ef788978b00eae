//! Matrix products on the CPU, for a training step: C = A·B, begun with a bias and ended with an
//! activation where a layer has them.
//!
//! B is read in panels of as many columns as two vectors hold, one row after the other; a tile of
//! eight rows of C stays in registers while the inner dimension passes (Goto and van de Geijn, 2008,
//! "Anatomy of high-performance matrix multiplication"). Every element of C is a running sum over
//! stretches of the inner dimension that are always the same: how C is cut changes no bit of it.

mod pack;
mod product;
mod simd;
mod tile;
mod transpose;
mod view;

use crate::real::Real;
use crate::vector::Vector;
pub use pack::{Aligned, Scratch};
pub use product::{in_blocks, product, rows_at_once};
use simd::Four;
use std::ops::Range;
use tile::Tile;
use transpose::Transpose;
pub use view::View;

/// The right operand: (k, n).
#[derive(Debug, Clone, Copy)]
pub enum Right<'a, T> {
    /// Packed as the product goes.
    Matrix(View<'a, T>),
    /// [`packed_len`] numbers, packed by [`pack`]; n.
    Packed(&'a [T], usize),
}

/// What each row of C begins with.
#[derive(Debug, Clone, Copy)]
pub enum Begin<'a, T> {
    /// 0.
    Zero,
    /// What C holds.
    Add,
    /// sign · bias.
    Bias(&'a [T], T),
}

/// What becomes of a sum before it is stored.
#[derive(Debug, Clone, Copy)]
pub enum End<'a, T> {
    /// Nothing.
    Store,
    /// max(sum, 0).
    Relu,
    /// sum ⊙ relu′(z); z: as C.
    ReluGradient(&'a [T]),
}

/// How a precision is computed on the processor at hand.
#[derive(Debug, Clone, Copy)]
pub struct Kernel<T> {
    /// The instruction set.
    pub name: &'static str,
    /// Rows of a tile, at most.
    rows: usize,
    /// Scalars of a vector.
    lanes: usize,
    /// Computes a tile of up to `rows` rows and two vectors in a row.
    tile: unsafe fn(&Tile<T>),
    /// Transposes a matrix.
    transpose: Transpose<T>,
}

impl<T> Kernel<T> {
    /// Columns of a panel.
    fn panel(&self) -> usize {
        2 * self.lanes
    }
}

/// A precision with a matrix product.
pub trait Gemm: Vector {
    /// The kernels that this processor can run, the fastest first.
    fn kernels() -> impl Iterator<Item = Kernel<Self>>;

    /// The fastest of them.
    fn kernel() -> Kernel<Self> {
        Self::kernels().next().unwrap_or_else(portable)
    }
}

macro_rules! gemm {
    ($scalar:ty, $wide:ty, $middle:ty, $transpose:path) => {
        impl Gemm for $scalar {
            fn kernels() -> impl Iterator<Item = Kernel<$scalar>> {
                #[cfg(target_arch = "x86_64")]
                let special = {
                    #[target_feature(enable = "avx512f")]
                    unsafe fn avx512(tile: &Tile<$scalar>) {
                        // SAFETY: the caller's.
                        unsafe { tile::run::<$wide>(tile) }
                    }
                    #[target_feature(enable = "avx2,fma")]
                    unsafe fn avx2(tile: &Tile<$scalar>) {
                        // SAFETY: the caller's.
                        unsafe { tile::run::<$middle>(tile) }
                    }
                    let kernel = |name, rows, bytes, tile| Kernel {
                        name,
                        rows,
                        lanes: bytes / size_of::<$scalar>(),
                        tile,
                        transpose: $transpose,
                    };
                    let has_avx2 =
                        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                    [
                        is_x86_feature_detected!("avx512f")
                            .then(|| kernel("AVX-512", 8, 64, avx512 as unsafe fn(&_))),
                        has_avx2.then(|| kernel("AVX2", 6, 32, avx2 as unsafe fn(&_))),
                    ]
                };
                #[cfg(not(target_arch = "x86_64"))]
                let special: [Option<Kernel<$scalar>>; 0] = [];
                special.into_iter().flatten().chain(std::iter::once(portable()))
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
gemm!(f32, std::arch::x86_64::__m512, std::arch::x86_64::__m256, transpose::avx);
#[cfg(target_arch = "x86_64")]
gemm!(f64, std::arch::x86_64::__m512d, std::arch::x86_64::__m256d, transpose::portable);
#[cfg(not(target_arch = "x86_64"))]
gemm!(f32, (), (), transpose::portable);
#[cfg(not(target_arch = "x86_64"))]
gemm!(f64, (), (), transpose::portable);

/// The kernel of a processor that we know nothing of.
fn portable<T: Real>() -> Kernel<T> {
    unsafe fn four<T: Real>(tile: &Tile<T>) {
        // SAFETY: the caller's.
        unsafe { tile::run::<Four<T>>(tile) }
    }
    Kernel { name: "portable", rows: 6, lanes: 4, tile: four, transpose: transpose::portable }
}

/// Numbers that the packed form of a (k, n) matrix takes.
#[must_use]
pub fn packed_len<T: Gemm>([k, n]: [usize; 2]) -> usize {
    k * n.next_multiple_of(T::kernel().lanes)
}

/// Columns that are packed together, on the processor at hand.
#[must_use]
pub fn panel_cols<T: Gemm>() -> usize {
    T::kernel().panel()
}

/// Packs rows `depth` of columns `cols` of a (k, n) matrix, to where they are in its packed form
/// `to`.
///
/// # Safety
/// `to` points at [`packed_len`] numbers, and nothing else accesses those rows of the columns'
/// panels meanwhile. `cols` begins with a panel, and ends with one or at n.
pub unsafe fn pack<T: Gemm>(b: View<'_, T>, depth: Range<usize>, cols: Range<usize>, to: *mut T) {
    let kernel = T::kernel();
    assert!(depth.end <= b.rows && cols.end <= b.cols && cols.start.is_multiple_of(kernel.panel()));
    for first in cols.clone().step_by(kernel.panel()) {
        let count = kernel.panel().min(cols.end - first);
        let width = count.next_multiple_of(kernel.lanes);
        // SAFETY: the panel begins at first · k, as all before it are whole.
        let panel = unsafe {
            let start = to.add(first * b.rows + depth.start * width);
            std::slice::from_raw_parts_mut(start, depth.len() * width)
        };
        let b = b.some_rows(depth.clone()).some_cols(first..first + count);
        pack::columns(&kernel, b, width, panel);
    }
}

#[cfg(test)]
mod tests {
    use super::product::product_by;
    use super::*;
    use crate::random::{Random, Stream};

    /// Every kernel, begin and end against the definition, for shapes that end inside of vectors,
    /// panels, groups and stretches.
    fn every_kernel_is_right<T: Gemm>(epsilon: f64) {
        let mut random = Random::new(5, Stream::Check, 0);
        let shapes =
            [[1, 1, 1], [7, 33, 5], [65, 10, 300], [9, 65, 1030], [16, 300, 64], [3, 5, 0]];
        for ([m, n, k], kernel) in
            shapes.into_iter().flat_map(|shape| T::kernels().map(move |kernel| (shape, kernel)))
        {
            let mut draw =
                |len: usize| (0..len).map(|_| T::of(random.normal())).collect::<Vec<T>>();
            let (a, b, bias, z, before) =
                (draw(m * k), draw(k * n), draw(n), draw(m * n), draw(m * n));
            for (a_turned, b_turned) in [(false, false), (false, true), (true, false)] {
                let view = |data, rows, cols, turned: bool| match turned {
                    true => View::new(data, cols, rows).transposed(),
                    false => View::new(data, rows, cols),
                };
                let (left, right) = (view(&a, m, k, a_turned), view(&b, k, n, b_turned));
                let begins = [Begin::Zero, Begin::Add, Begin::Bias(&bias, T::of(-1.0))];
                let ends = [End::Store, End::Relu, End::ReluGradient(&z)];
                for (begin, end) in begins.iter().flat_map(|b| ends.iter().map(move |e| (*b, *e))) {
                    let mut c = before.clone();
                    // SAFETY: c is (m, n).
                    let right = Right::Matrix(right);
                    unsafe { product_by(kernel, left, right, begin, end, c.as_mut_ptr(), n) };
                    for (i, &c) in c.iter().enumerate() {
                        let (row, col) = (i / n, i % n);
                        let at = |p| if a_turned { a[p * m + row] } else { a[row * k + p] };
                        let bt = |p| if b_turned { b[col * k + p] } else { b[p * n + col] };
                        let terms = (0..k).map(|p| at(p).double() * bt(p).double());
                        let first = match begin {
                            Begin::Zero => 0.0,
                            Begin::Add => before[i].double(),
                            Begin::Bias(bias, sign) => sign.double() * bias[col].double(),
                        };
                        let scale = first.abs() + terms.clone().map(f64::abs).sum::<f64>();
                        let sum = first + terms.sum::<f64>();
                        let sum = match end {
                            End::Store => sum,
                            End::Relu => sum.max(0.0),
                            End::ReluGradient(z) if z[i].double() > 0.0 => sum,
                            End::ReluGradient(_) => 0.0,
                        };
                        let error = (c.double() - sum).abs();
                        let name = kernel.name;
                        assert!(
                            error <= 16.0 * epsilon * scale,
                            "{name} {m} {n} {k} {begin:?} {end:?} at ({row}, {col}): {c}, not {sum}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_kernel_is_right_in_both_precisions() {
        every_kernel_is_right::<f32>(f32::EPSILON.into());
        every_kernel_is_right::<f64>(f64::EPSILON);
    }

    #[test]
    fn a_packed_operand_gives_the_same_bits() {
        let mut random = Random::new(6, Stream::Check, 0);
        for [m, n, k] in [[5, 10, 7], [33, 100, 1100], [64, 128, 784]] {
            let mut draw =
                |len: usize| (0..len).map(|_| random.normal() as f32).collect::<Vec<_>>();
            let (a, w) = (draw(m * k), draw(n * k));
            let (a, b) = (View::new(&a, m, k), View::new(&w, n, k).transposed());
            let mut packed = Aligned::zeros(packed_len::<f32>([k, n]));
            // In two parts, as threads do.
            for depth in [0..k / 3, k / 3..k] {
                // SAFETY: the packed form belongs to this test.
                unsafe { pack(b, depth, 0..n, packed.as_mut_ptr()) };
            }
            let run = |right| {
                let mut c = vec![0.0; m * n];
                // SAFETY: c is (m, n).
                unsafe { product(a, right, Begin::Zero, End::Store, c.as_mut_ptr(), n) };
                c
            };
            assert_eq!(run(Right::Packed(&packed, n)), run(Right::Matrix(b)));
        }
    }

    #[test]
    fn nan_passes_through_relu_and_its_gradient() {
        let (a, b, z) = ([f32::NAN], [1.0f32], [-1.0f32]);
        for kernel in f32::kernels() {
            for end in [End::Relu, End::ReluGradient(&z)] {
                let mut c = [0.0f32];
                let (a, b) = (View::new(&a, 1, 1), Right::Matrix(View::new(&b, 1, 1)));
                // SAFETY: c is (1, 1).
                unsafe { product_by(kernel, a, b, Begin::Zero, end, c.as_mut_ptr(), 1) };
                assert!(c[0].is_nan(), "{} {end:?}", kernel.name);
            }
        }
    }
}

//! Matrix products on the CPU, for a training step: C = A·B, initialized with a bias and finished with an
//! activation where a layer has them.
//!
//! B is read in panels of as many columns as two vectors hold, one row after the other; a tile of
//! eight rows of C stays in registers during the loop over the inner dimension (Goto and van de
//! Geijn, 2008, "Anatomy of high-performance matrix multiplication"). Every element of C is a
//! running sum over segments of the inner dimension that don't depend on the tiling, so the tiling
//! of C changes no bit of it.

mod kernel;
mod operands;
mod pack;
mod product;
mod simd;
mod tile;
mod transpose;
mod view;
mod zeros;

use crate::math::real::Real;
use crate::math::vector::Vector;
pub use pack::{Aligned, Scratch};
pub use product::{in_blocks, in_panels, product, rows_at_once};
use simd::Four;
use std::ops::Range;
use tile::Tile;

pub use kernel::Kernel;
pub use view::View;

/// The right operand: (k, n).
#[derive(Debug, Clone, Copy)]
pub enum Right<'a, T> {
    /// Packed during the product.
    Matrix(View<'a, T>),
    /// [`packed_len`] numbers, packed by [`pack`]; n.
    Packed(&'a [T], usize),
}

/// The initial value of each row of C.
#[derive(Debug, Clone, Copy)]
pub enum Begin<'a, T> {
    /// 0.
    Zero,
    /// The value in C: accumulates.
    Add,
    /// sign · bias.
    Bias(&'a [T], T),
}

/// The epilogue: what is applied to a sum before it is stored.
#[derive(Debug, Clone, Copy)]
pub enum End<'a, T> {
    /// Nothing.
    Store,
    /// max(sum, 0).
    Relu,
    /// sum ⊙ relu′(z); z: as C.
    ReluGradient(&'a [T]),
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

/// The kernel of an instruction set.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    ($scalar:ty, $vector:ty, $rows:literal, $transpose:path, $name:literal, $features:literal) => {{
        #[target_feature(enable = $features)]
        unsafe fn tile(tile: &Tile<$scalar>) {
            // SAFETY: the caller guarantees that the processor has the vector's instructions, and that the
            // tile meets the contract of `tile::run`.
            unsafe { tile::run::<$vector>(tile) }
        }
        #[target_feature(enable = $features)]
        unsafe fn rows(n: usize, a: *const $scalar, row: usize, k: usize, to: *mut u32) -> usize {
            // SAFETY: the caller keeps the contract of `Scan`.
            unsafe { zeros::of_rows::<$vector>(n, a, row, k, to) }
        }
        #[target_feature(enable = $features)]
        unsafe fn side(mask: u32, a: *const $scalar, row: usize, k: usize, to: *mut u32) -> usize {
            // SAFETY: the caller keeps the contract of `SideScan`.
            unsafe { zeros::of_side::<$vector>(mask, a, row, k, to) }
        }
        #[target_feature(enable = $features)]
        unsafe fn panel(n: usize, b: *const $scalar, row: usize, k: usize, to: *mut u32) -> usize {
            // SAFETY: the caller keeps the contract of `Scan`.
            unsafe { zeros::of_panel::<$vector>(n, b, row, k, to) }
        }
        Kernel::<$scalar> {
            name: $name,
            rows: $rows,
            lanes: size_of::<$vector>() / size_of::<$scalar>(),
            tile,
            transpose: $transpose,
            scan_rows: rows,
            scan_side: side,
            scan_panel: panel,
        }
    }};
}

macro_rules! gemm {
    ($scalar:ty, $wide:ty, $middle:ty, $transpose:path) => {
        impl Gemm for $scalar {
            fn kernels() -> impl Iterator<Item = Kernel<$scalar>> {
                #[cfg(target_arch = "x86_64")]
                let special = {
                    let avx512 = kernel!($scalar, $wide, 8, $transpose, "AVX-512", "avx512f");
                    let avx2 = kernel!($scalar, $middle, 6, $transpose, "AVX2", "avx2,fma");
                    let has_avx2 =
                        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                    [
                        is_x86_feature_detected!("avx512f").then_some(avx512),
                        has_avx2.then_some(avx2),
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

/// The portable kernel, for any processor.
fn portable<T: Real>() -> Kernel<T> {
    unsafe fn four<T: Real>(tile: &Tile<T>) {
        // SAFETY: every processor has these instructions, and the caller's tile meets the contract of
        // `tile::run`.
        unsafe { tile::run::<Four<T>>(tile) }
    }
    Kernel {
        name: "portable",
        rows: 6,
        lanes: 4,
        tile: four,
        transpose: transpose::portable,
        scan_rows: zeros::of_rows::<Four<T>>,
        scan_side: zeros::of_side::<Four<T>>,
        scan_panel: zeros::of_panel::<Four<T>>,
    }
}

/// The length of the packed form of a (k, n) matrix, in numbers.
#[must_use]
pub fn packed_len<T: Gemm>([k, n]: [usize; 2]) -> usize {
    k * n.next_multiple_of(T::kernel().lanes)
}

/// The number of columns of a packed panel on this processor.
#[must_use]
pub fn panel_cols<T: Gemm>() -> usize {
    T::kernel().panel()
}

/// Packs rows `depth` of columns `cols` of a (k, n) matrix, to their place in its packed form
/// `to`.
///
/// # Safety
/// `to` points at [`packed_len`] numbers, and nothing else accesses those rows of the columns'
/// panels during the call. `cols` begins with a panel, and ends with one or at n.
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
mod tests;

//! Matrix products on the CPU, for a training step: C = A·B, begun with a bias and ended with an
//! activation where a layer has them.
//!
//! B is read in panels of as many columns as two vectors hold, one row after the other; a tile of
//! eight rows of C stays in registers while the inner dimension passes (Goto and van de Geijn, 2008,
//! "Anatomy of high-performance matrix multiplication"). Every element of C is a running sum over
//! stretches of the inner dimension that are always the same: how C is cut changes no bit of it.

mod pack;
mod simd;
mod tile;

use crate::real::Real;
use crate::vector::{Vector, prefetch, prefetch_to_write};
pub use pack::{Aligned, Scratch};
use simd::Four;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;
use tile::Tile;

/// A matrix as it is stored, or its transpose.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T> {
    at: *const T,
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
    borrowed: PhantomData<&'a [T]>,
}

impl<'a, T> View<'a, T> {
    /// The first rows · cols numbers of `data`, row by row.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert!(rows.checked_mul(cols).is_some_and(|len| len <= data.len()), "operand too short");
        // SAFETY: that many numbers are borrowed.
        unsafe { Self::from_raw(data.as_ptr(), rows, cols) }
    }

    /// A matrix of which some parts may belong to others, as long as only parts are read that
    /// don't.
    ///
    /// # Safety
    /// `at` points at rows · cols numbers in one allocation, and what is read of them is not written
    /// meanwhile.
    #[must_use]
    pub unsafe fn from_raw(at: *const T, rows: usize, cols: usize) -> Self {
        View { at, rows, cols, row_stride: cols, col_stride: 1, borrowed: PhantomData }
    }

    /// The transpose.
    #[must_use]
    pub fn transposed(self) -> Self {
        let View { rows, cols, row_stride, col_stride, .. } = self;
        View { rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride, ..self }
    }

    /// Some of the rows.
    ///
    /// # Panics
    /// When the matrix doesn't have them.
    #[must_use]
    pub fn some_rows(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.rows, "rows outside of the operand");
        // Of an empty range no element is read.
        View { at: self.at.wrapping_add(range.start * self.row_stride), rows: range.len(), ..self }
    }

    /// Some of the columns.
    ///
    /// # Panics
    /// When the matrix doesn't have them.
    #[must_use]
    pub fn some_cols(self, range: Range<usize>) -> Self {
        self.transposed().some_rows(range).transposed()
    }

    /// Numbers next to each other, from (row, col) on along the dimension whose stride is 1.
    ///
    /// # Safety
    /// They are inside the matrix.
    unsafe fn run(&self, row: usize, col: usize, len: usize) -> &'a [T] {
        // SAFETY: the caller's, and that of whoever made the view.
        unsafe {
            let at = self.at.add(row * self.row_stride + col * self.col_stride);
            std::slice::from_raw_parts(at, len)
        }
    }
}

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
    ($scalar:ty, $wide:ty, $middle:ty) => {
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
gemm!(f32, std::arch::x86_64::__m512, std::arch::x86_64::__m256);
#[cfg(target_arch = "x86_64")]
gemm!(f64, std::arch::x86_64::__m512d, std::arch::x86_64::__m256d);
#[cfg(not(target_arch = "x86_64"))]
gemm!(f32, (), ());
#[cfg(not(target_arch = "x86_64"))]
gemm!(f64, (), ());

/// The kernel of a processor that we know nothing of.
fn portable<T: Real>() -> Kernel<T> {
    unsafe fn four<T: Real>(tile: &Tile<T>) {
        // SAFETY: the caller's.
        unsafe { tile::run::<Four<T>>(tile) }
    }
    Kernel { name: "portable", rows: 6, lanes: 4, tile: four }
}

/// Inner dimension of a panel that is packed as the product goes: it fits a second-level cache.
const DEPTH: usize = 1024;

/// Distance of an operand's elements up to which it is read where it lies: from further apart, they
/// would each come from another page, and packing pays.
const NEAR: usize = 256;

/// Tiles below each other for which a panel isn't packed even then.
const FEW: usize = 4;

/// Panels that are passed over together, so that rows of A are read once for all of them: as many as
/// leave room in a second-level cache.
const TOGETHER: usize = 8;
const TOGETHER_BYTES: usize = 1 << 19;

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
        pack::columns(b, width, panel);
    }
}

/// c = end(begin + a·b) for A: (m, k), B: (k, n) and C: (m, n) with rows `c_stride` apart.
///
/// # Safety
/// `c` points at C, all rows of which lie in one allocation, and nothing else accesses them
/// meanwhile.
pub unsafe fn product<T: Gemm>(
    a: View<'_, T>,
    b: Right<'_, T>,
    begin: Begin<'_, T>,
    end: End<'_, T>,
    c: *mut T,
    c_stride: usize,
) {
    // SAFETY: the caller's.
    unsafe { product_by(T::kernel(), a, b, begin, end, c, c_stride) };
}

/// [`product`] by one of the kernels.
unsafe fn product_by<T: Gemm>(
    kernel: Kernel<T>,
    a: View<'_, T>,
    b: Right<'_, T>,
    begin: Begin<'_, T>,
    end: End<'_, T>,
    c: *mut T,
    c_stride: usize,
) {
    let (m, k) = (a.rows, a.cols);
    let n = match b {
        Right::Matrix(b) => {
            assert_eq!(b.rows, k, "inner dimensions differ");
            b.cols
        }
        Right::Packed(packed, n) => {
            assert_eq!(packed.len(), k * n.next_multiple_of(kernel.lanes), "not the packed B");
            n
        }
    };
    if let Begin::Bias(bias, _) = begin {
        assert!(bias.len() >= n, "a bias too short");
    }
    if let End::ReluGradient(z) = end {
        assert!(m == 0 || z.len() >= (m - 1) * c_stride + n, "z too short");
    }
    thread_local! {
        /// For packed operands.
        static PACKED: RefCell<[Scratch; 2]> = RefCell::default();
    }
    PACKED.with_borrow_mut(|[panel_scratch, rows_scratch]| {
        // An operand without a step is still one: C = end(begin).
        for depth in (0..k.max(1)).step_by(DEPTH).map(|p| p..(p + DEPTH).min(k)) {
            let a = a.some_cols(depth.clone());
            let packed_rows = (a.col_stride > NEAR).then(|| {
                let to = rows_scratch.numbers::<T>(m * a.cols);
                for group in groups(m, kernel.rows) {
                    let to = &mut to[group.start * a.cols..group.end * a.cols];
                    pack::rows(a.some_rows(group), to);
                }
                &*to
            });
            let panel_bytes = depth.len().max(1) * kernel.panel() * size_of::<T>();
            let together = (TOGETHER_BYTES / panel_bytes).clamp(1, TOGETHER) * kernel.panel();
            for block in (0..n).step_by(together).map(|first| first..(first + together).min(n)) {
                let panels =
                    &mut [Panel { first: 0, cols: 0, at: std::ptr::null(), row: 0 }; TOGETHER];
                let panels = &mut panels[..block.len().div_ceil(kernel.panel())];
                let mut scratch = panel_scratch.numbers::<T>(depth.len() * together);
                for (i, panel) in panels.iter_mut().enumerate() {
                    let first = block.start + i * kernel.panel();
                    let cols = kernel.panel().min(block.end - first);
                    let to;
                    (to, scratch) = scratch.split_at_mut(depth.len() * kernel.panel());
                    *panel = kernel.prepare(b, depth.clone(), first, cols, m, to);
                }
                for group in groups(m, kernel.rows) {
                    if block.start == 0 && a.col_stride == 1 {
                        // What another thread has just written comes in time for the next tile.
                        let next = group.end..(group.end + kernel.rows).min(m);
                        // SAFETY: rows of A.
                        next.for_each(|row| prefetch(unsafe { a.run(row, 0, a.cols) }));
                    }
                    let (a, a_rows) = match packed_rows {
                        Some(packed) => {
                            let at = packed[group.start * a.cols..].as_ptr();
                            (at, tile::Rows::Beside(group.len()))
                        }
                        None => {
                            let rows = match a.col_stride {
                                1 => tile::Rows::Apart(a.row_stride),
                                stride => tile::Rows::Beside(stride),
                            };
                            (a.some_rows(group.clone()).at, rows)
                        }
                    };
                    for panel in panels.iter() {
                        let first = panel.first;
                        let at = group.start * c_stride + first;
                        let tile = Tile {
                            rows: group.len(),
                            cols: panel.cols,
                            k: depth.len(),
                            a,
                            a_rows,
                            b: panel.at,
                            b_row: panel.row,
                            // SAFETY: inside C, as the group and the panel are.
                            c: unsafe { c.add(at) },
                            c_row: c_stride,
                            begin: match begin {
                                _ if depth.start > 0 => tile::Begin::Add,
                                Begin::Zero => tile::Begin::Zero,
                                Begin::Add => tile::Begin::Add,
                                Begin::Bias(bias, sign) => {
                                    tile::Begin::Bias(bias[first..].as_ptr(), sign)
                                }
                            },
                            end: match end {
                                _ if depth.end < k => tile::End::Store,
                                End::Store => tile::End::Store,
                                End::Relu => tile::End::Relu,
                                End::ReluGradient(z) => {
                                    tile::End::ReluGradient(z[at..].as_ptr(), c_stride)
                                }
                            },
                        };
                        for row in 0..group.len() {
                            prefetch_to_write(tile.c.wrapping_add(row * c_stride), panel.cols);
                        }
                        // SAFETY: the views and the packed operands reach as far as the tile, C
                        // is the caller's, and the processor has the kernel's instructions.
                        unsafe { (kernel.tile)(&tile) };
                    }
                }
            }
        }
    });
}

/// Some columns of B, as a product reads them.
#[derive(Debug, Clone, Copy)]
struct Panel<T> {
    /// The first column, and how many.
    first: usize,
    cols: usize,
    /// Its first row; rows so far apart.
    at: *const T,
    row: usize,
}

impl<T: Gemm> Kernel<T> {
    /// `cols` columns of B from `first` on, packed to `to` where they don't lie well, for a product
    /// with `m` rows.
    fn prepare(
        &self,
        b: Right<'_, T>,
        depth: Range<usize>,
        first: usize,
        cols: usize,
        m: usize,
        to: &mut [T],
    ) -> Panel<T> {
        let width = cols.next_multiple_of(self.lanes);
        let (at, row) = match b {
            Right::Packed(packed, n) => {
                // All panels before this one are whole.
                let k = packed.len() / n.next_multiple_of(self.lanes);
                (packed[first * k + depth.start * width..].as_ptr(), width)
            }
            Right::Matrix(b) => {
                let b = b.some_rows(depth).some_cols(first..first + cols);
                let near = b.row_stride <= NEAR || m <= FEW * self.rows;
                if b.col_stride == 1 && cols == width && near {
                    (b.at, b.row_stride)
                } else {
                    pack::columns(b, width, to);
                    (to.as_ptr(), width)
                }
            }
        };
        Panel { first, cols, at, row }
    }
}

/// The rows of C in groups of at most `most`, of nearly equal size.
fn groups(m: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = m.div_ceil(most);
    (0..count).map(move |g| g * m / count..(g + 1) * m / count)
}

#[cfg(test)]
mod tests {
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

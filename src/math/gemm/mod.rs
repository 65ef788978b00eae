//! Matrix products on the CPU, for a training step: C = A·B, begun with a bias and ended with an
//! activation where a layer has them.
//!
//! B is read in panels of as many columns as two vectors hold, one row after the other; a tile of
//! eight rows of C stays in registers while the inner dimension passes (Goto and van de Geijn, 2008,
//! "Anatomy of high-performance matrix multiplication"). Every element of C is a running sum over
//! stretches of the inner dimension that are always the same: how C is cut changes no bit of it.

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

/// A precision with a matrix product.
pub trait Gemm: Vector {
    /// The kernels that this processor can run, the fastest first.
    fn kernels() -> impl Iterator<Item = Kernel<Self>>;

    /// The fastest of them.
    fn kernel() -> Kernel<Self> {
        Self::kernels().next().unwrap_or_else(portable)
    }
}

/// The kernel of a processor with some instructions.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    ($scalar:ty, $vector:ty, $rows:literal, $transpose:path, $name:literal, $features:literal) => {{
        #[target_feature(enable = $features)]
        unsafe fn tile(tile: &Tile<$scalar>) {
            // SAFETY: the processor has the vector's instructions, and the tile is as `tile::run` wants it:
            // both are the caller's.
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

/// The kernel of a processor that we know nothing of.
fn portable<T: Real>() -> Kernel<T> {
    unsafe fn four<T: Real>(tile: &Tile<T>) {
        // SAFETY: every processor can do this, and the caller's tile is as `tile::run` wants it.
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
    use crate::math::random::{Random, Stream};

    /// Every kernel, begin and end against the definition, for shapes that end inside of vectors,
    /// panels, groups and stretches.
    fn every_kernel_is_right<T: Gemm>(epsilon: f64) {
        let mut random = Random::new(5, Stream::Check, 0);
        let all = [[1, 1, 1], [7, 33, 5], [65, 10, 300], [9, 65, 1030], [16, 300, 64], [3, 5, 0]];
        // What Miri interprets ends inside of a vector of four, a panel of eight and a group of six.
        let few = [[1, 1, 1], [7, 13, 5], [3, 5, 0]];
        let shapes = if cfg!(miri) { few.to_vec() } else { all.to_vec() };
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
                    let (right, to) = (Right::Matrix(right), c.as_mut_ptr());
                    // SAFETY: c is (m, n).
                    unsafe { product_by(kernel, left, right, begin, end, to, n) };
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
        let shapes: &[_] =
            if cfg!(miri) { &[[5, 10, 7]] } else { &[[5, 10, 7], [33, 100, 1100], [64, 128, 784]] };
        for &[m, n, k] in shapes {
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

    /// Numbers most of which are 0 in runs along the rows, with columns that are 0 throughout.
    fn with_zeros<T: Gemm>(random: &mut Random, rows: usize, cols: usize) -> Vec<T> {
        let mut run = 0.0;
        let numbers = (0..rows * cols).map(|i| {
            if i % 5 == 0 {
                run = random.normal();
            }
            let zero = run < 0.8 || (i % cols) % 7 == 3;
            T::of(if zero { -0.0 } else { random.normal() })
        });
        numbers.collect()
    }

    fn leaving_zeros_out_changes_no_bit_of<T: Gemm>() {
        let mut random = Random::new(7, Stream::Check, 0);
        let all = [[1, 1, 1], [8, 64, 16], [13, 70, 21], [64, 33, 300], [20, 40, 1100], [3, 2, 0]];
        let few = [[1, 1, 1], [8, 16, 16], [13, 14, 21], [3, 2, 0]];
        let shapes = if cfg!(miri) { few.to_vec() } else { all.to_vec() };
        for ([m, n, k], kernel) in
            shapes.into_iter().flat_map(|shape| T::kernels().map(move |kernel| (shape, kernel)))
        {
            let a = with_zeros::<T>(&mut random, m, k);
            let (a_turned, b) =
                (with_zeros::<T>(&mut random, k, m), with_zeros::<T>(&mut random, k, n));
            for a in [View::new(&a, m, k), View::new(&a_turned, k, m).transposed()] {
                let b = View::new(&b, k, n);
                let run = |a, b| {
                    let mut c = vec![T::one(); m * n];
                    let (b, to) = (Right::Matrix(b), c.as_mut_ptr());
                    // SAFETY: c is (m, n).
                    unsafe { product_by(kernel, a, b, Begin::Zero, End::Store, to, n) };
                    c
                };
                let all = run(a, b);
                assert_eq!(run(a.sparse(true), b), all, "{} {m} {n} {k}", kernel.name);
                assert_eq!(run(a, b.sparse(true)), all, "{} {m} {n} {k}", kernel.name);
            }
        }
    }

    #[test]
    fn leaving_zeros_out_changes_no_bit() {
        leaving_zeros_out_changes_no_bit_of::<f32>();
        leaving_zeros_out_changes_no_bit_of::<f64>();
    }

    fn steps_are_left_out_of<T: Gemm>(least: T) {
        for kernel in T::kernels() {
            let (k, panel) = (37, kernel.panel());
            // Every third step has something, in one of the rows or columns; NaN isn't 0.
            let at = |p: usize| p % 3 == 1;
            let something = [T::one(), T::of(f64::NAN), least];
            let one = |p: usize, yes| if yes { something[p / 3 % 3] } else { T::of(-0.0) };
            let in_rows = |i: usize| one(i % k, at(i % k) && i / k == i % k % 4);
            let beside = |i: usize, col| one(i / panel, at(i / panel) && i % panel == col);
            let rows = Vec::from_iter((0..4 * k).map(in_rows));
            let side = Vec::from_iter((0..k * panel).map(|i| beside(i, 2)));
            let last = Vec::from_iter((0..k * panel).map(|i| beside(i, panel - 1)));
            let listed = |scan: &dyn Fn(*mut u32) -> usize| {
                let mut steps = vec![0; k + zeros::SPARE];
                let count = scan(steps.as_mut_ptr());
                steps.truncate(count);
                steps
            };
            let expected = Vec::from_iter((0..k as u32).filter(|&p| at(p as usize)));
            // SAFETY: the operands have that many rows and columns, and the steps room.
            unsafe {
                let (rows, side, last) = (rows.as_ptr(), side.as_ptr(), last.as_ptr());
                assert_eq!(listed(&|to| (kernel.scan_rows)(4, rows, k, k, to)), expected);
                assert_eq!(listed(&|to| (kernel.scan_rows)(1, rows, k, k, to)), [4, 16, 28]);
                assert_eq!(listed(&|to| (kernel.scan_panel)(1, side, panel, k, to)), expected);
                assert_eq!(listed(&|to| (kernel.scan_panel)(1, last, panel, k, to)), [0; 0]);
                assert_eq!(listed(&|to| (kernel.scan_panel)(2, last, panel, k, to)), expected);
                assert_eq!(listed(&|to| (kernel.scan_side)(0b0110, side, panel, k, to)), expected);
                assert_eq!(listed(&|to| (kernel.scan_side)(0b1001, side, panel, k, to)), [0; 0]);
            }
        }
    }

    #[test]
    fn steps_are_left_out_where_a_tile_has_nothing_but_zeros() {
        steps_are_left_out_of::<f32>(f32::from_bits(1));
        steps_are_left_out_of::<f64>(f64::from_bits(1));
    }

    /// Numbers of which nothing behind the last, or nothing before the first, may be touched: there a
    /// page is that belongs to nobody.
    #[cfg(target_os = "linux")]
    struct Guarded<T> {
        pages: *mut u8,
        bytes: usize,
        numbers: *mut T,
        len: usize,
    }

    #[cfg(target_os = "linux")]
    impl<T: Gemm> Guarded<T> {
        fn new(numbers: &[T], at_end: bool) -> Self {
            const PAGE: usize = 4096;
            let len = size_of_val(numbers);
            let inside = len.next_multiple_of(PAGE);
            let (bytes, access) = (inside + 2 * PAGE, libc::PROT_READ | libc::PROT_WRITE);
            // SAFETY: new pages, of which those in the middle are made accessible.
            unsafe {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let pages = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0);
                assert!(pages != libc::MAP_FAILED, "no pages");
                let pages = pages.cast::<u8>();
                let first = pages.add(PAGE);
                assert_eq!(libc::mprotect(first.cast(), inside, access), 0);
                let at = first.add(if at_end { inside - len } else { 0 }).cast::<T>();
                at.copy_from_nonoverlapping(numbers.as_ptr(), numbers.len());
                Guarded { pages, bytes, numbers: at, len: numbers.len() }
            }
        }

        fn get(&self) -> &[T] {
            // SAFETY: that many numbers lie there.
            unsafe { std::slice::from_raw_parts(self.numbers, self.len) }
        }
    }

    #[cfg(target_os = "linux")]
    impl<T> Drop for Guarded<T> {
        fn drop(&mut self) {
            // SAFETY: its own pages.
            unsafe { libc::munmap(self.pages.cast(), self.bytes) };
        }
    }

    #[cfg(target_os = "linux")]
    fn stays_inside_of_operands<T: Gemm>() {
        let mut random = Random::new(9, Stream::Check, 0);
        let shapes = [
            [1, 1, 1],
            [1, 16, 5],
            [8, 64, 16],
            [13, 70, 21],
            [17, 33, 300],
            [20, 300, 40],
            [9, 40, 1100],
            [300, 32, 140],
        ];
        for ([m, n, k], kernel) in
            shapes.into_iter().flat_map(|shape| T::kernels().map(move |kernel| (shape, kernel)))
        {
            for at_end in [false, true] {
                let mut operand =
                    |rows, cols| Guarded::new(&with_zeros::<T>(&mut random, rows, cols), at_end);
                let (a, a_turned, b, b_turned, c) =
                    (operand(m, k), operand(k, m), operand(k, n), operand(n, k), operand(m, n));
                for a in [View::new(a.get(), m, k), View::new(a_turned.get(), k, m).transposed()] {
                    for b in
                        [View::new(b.get(), k, n), View::new(b_turned.get(), n, k).transposed()]
                    {
                        for (a, b) in [(a, b), (a.sparse(true), b), (a, b.sparse(true))] {
                            let (b, to) = (Right::Matrix(b), c.numbers);
                            // SAFETY: c is (m, n).
                            unsafe { product_by(kernel, a, b, Begin::Zero, End::Store, to, n) };
                        }
                    }
                }
            }
        }
    }

    /// A crash if it fails: a vector that begins inside of an operand must end there.
    #[test]
    #[cfg(target_os = "linux")]
    #[cfg_attr(
        miri,
        ignore = "pages are protected by the kernel; Miri sees such an access in any test"
    )]
    fn nothing_outside_of_operands_is_touched() {
        stays_inside_of_operands::<f32>();
        stays_inside_of_operands::<f64>();
    }

    #[test]
    fn parts_by_panels_are_the_packed_product() {
        let mut random = Random::new(8, Stream::Check, 0);
        let shapes: &[_] =
            if cfg!(miri) { &[[5, 16, 7]] } else { &[[5, 16, 7], [33, 96, 1100], [70, 2064, 64]] };
        for &[m, n, k] in shapes {
            let mut draw =
                |len: usize| (0..len).map(|_| random.normal() as f32).collect::<Vec<_>>();
            let (a, b) = (draw(m * k), draw(k * n));
            let (a, b) = (View::new(&a, m, k), View::new(&b, k, n));
            let mut c = vec![0.0; m * n];
            let right = Right::Matrix(b);
            // SAFETY: c is (m, n).
            unsafe { product(a, right, Begin::Zero, End::Store, c.as_mut_ptr(), n) };
            let mut packed = vec![0.0; packed_len::<f32>([m, n])];
            // SAFETY: the packed form belongs to this test.
            unsafe { pack(View::new(&c, m, n), 0..m, 0..n, packed.as_mut_ptr()) };
            let mut found = vec![0.0; m * n];
            let done = |rows: Range<usize>, cols: Range<usize>, part: &mut [f32]| {
                let first = cols.start * m + rows.start * cols.len();
                found[first..first + part.len()].copy_from_slice(part);
            };
            in_panels(a, right, |_, _| {}, done);
            assert_eq!(found, packed[..m * n]);
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

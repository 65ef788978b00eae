use super::product::product_by;
use super::*;
use crate::math::random::{Random, Stream};

/// Every kernel, initial value and epilogue against the definition, for shapes that end inside of vectors,
/// panels, groups and segments.
fn every_kernel_is_right<T: Gemm>(epsilon: f64) {
    let mut random = Random::new(5, Stream::Check, 0);
    let all = [[1, 1, 1], [7, 33, 5], [65, 10, 300], [9, 65, 1030], [16, 300, 64], [3, 5, 0]];
    // What Miri interprets ends inside of a vector of four, a panel of eight and a group of six.
    let few = [[1, 1, 1], [7, 13, 5], [3, 5, 0]];
    let shapes = if cfg!(miri) { few.to_vec() } else { all.to_vec() };
    for ([m, n, k], kernel) in
        shapes.into_iter().flat_map(|shape| T::kernels().map(move |kernel| (shape, kernel)))
    {
        let mut draw = |len: usize| (0..len).map(|_| T::of(random.normal())).collect::<Vec<T>>();
        let (a, b, bias, z, before) = (draw(m * k), draw(k * n), draw(n), draw(m * n), draw(m * n));
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
        let mut draw = |len: usize| (0..len).map(|_| random.normal() as f32).collect::<Vec<_>>();
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

/// Numbers most of which are 0, in runs along the rows, with columns that are all 0.
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

/// Numbers with an inaccessible page after the last or before the first, so that an access out of bounds
/// crashes.
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
                for b in [View::new(b.get(), k, n), View::new(b_turned.get(), n, k).transposed()] {
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
        let mut draw = |len: usize| (0..len).map(|_| random.normal() as f32).collect::<Vec<_>>();
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

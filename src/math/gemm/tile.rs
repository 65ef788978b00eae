//! A tile of C, held in registers during the loop over the inner dimension.

use super::simd::Simd;
use num_traits::{One, Zero};

/// The initial value of a tile.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin<T> {
    /// 0.
    Zero,
    /// 0; the value in C is added to the sum at the end, so that long sums are made of short ones.
    Add,
    /// sign · bias in each row.
    Bias(*const T, T),
}

/// The epilogue of a tile.
#[derive(Debug, Clone, Copy)]
pub(super) enum End<T> {
    /// C = sums.
    Store,
    /// C = max(sums, 0).
    Relu,
    /// C = sums ⊙ relu′(z), with the distance of z's rows.
    ReluGradient(*const T, usize),
}

/// The layout of the rows of A.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows {
    /// Each row contiguous, with this distance between rows.
    Apart(usize),
    /// The rows' elements contiguous for each step: a(i, p) is at i + p times this distance.
    Beside(usize),
}

/// Which steps of the inner dimension a tile takes, in their order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Steps {
    /// This many, from the first on.
    All(usize),
    /// The steps in this list, of this length.
    Some(*const u32, usize),
}

/// c = end(begin + a·b) for some rows and columns of C.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile<T> {
    pub rows: usize,
    /// At most those of a panel.
    pub cols: usize,
    pub steps: Steps,
    /// (rows, k).
    pub a: *const T,
    pub a_rows: Rows,
    /// (k, cols), padded to whole vectors, and the distance of rows.
    pub b: *const T,
    pub b_row: usize,
    pub c: *mut T,
    pub c_row: usize,
    pub begin: Begin<T>,
    pub end: End<T>,
}

/// The most rows and scalars in a row of a tile, of all instruction sets.
const MOST: (usize, usize) = (8, 32);

/// Computes a tile of up to eight rows and two vectors in a row.
///
/// # Safety
/// The processor has `S`'s instructions, all pointers are valid for the tile's shape, and nothing
/// else accesses C during the call.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(t: &Tile<S::Scalar>) {
    debug_assert!(t.rows <= MOST.0 && t.cols <= 2 * S::LANES && 2 * S::LANES <= MOST.1);
    if t.cols % S::LANES == 0 {
        // SAFETY: the caller's tile, whose rows are whole vectors.
        unsafe { whole::<S>(t) };
    } else {
        // SAFETY: the caller's tile.
        unsafe { ragged::<S>(t) };
    }
}

/// A tile whose rows end inside a vector, computed on copies with whole vectors.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn ragged<S: Simd>(t: &Tile<S::Scalar>) {
    let zero = S::Scalar::zero();
    let (mut c, mut z) = ([zero; MOST.0 * MOST.1], [zero; MOST.0 * MOST.1]);
    let mut bias = [zero; MOST.1];
    let copy = |from: *const S::Scalar, stride: usize, to: &mut [S::Scalar]| {
        for row in 0..t.rows {
            for col in 0..t.cols {
                // SAFETY: rows · cols scalars, as the tile says.
                to[row * MOST.1 + col] = unsafe { *from.add(row * stride + col) };
            }
        }
    };
    if matches!(t.begin, Begin::Add) {
        copy(t.c, t.c_row, &mut c);
    }
    let begin = match t.begin {
        Begin::Bias(from, sign) => {
            // SAFETY: a bias for each column.
            let from = unsafe { std::slice::from_raw_parts(from, t.cols) };
            bias[..t.cols].copy_from_slice(from);
            Begin::Bias(bias.as_ptr(), sign)
        }
        other => other,
    };
    let end = match t.end {
        End::ReluGradient(from, stride) => {
            copy(from, stride, &mut z);
            End::ReluGradient(z.as_ptr(), MOST.1)
        }
        other => other,
    };
    let cols = t.cols.next_multiple_of(S::LANES);
    // SAFETY: the copies have whole vectors, and b is padded.
    unsafe { whole::<S>(&Tile { cols, c: c.as_mut_ptr(), c_row: MOST.1, begin, end, ..*t }) };
    for row in 0..t.rows {
        for col in 0..t.cols {
            // SAFETY: rows · cols scalars of C, as the tile says.
            unsafe { *t.c.add(row * t.c_row + col) = c[row * MOST.1 + col] };
        }
    }
}

/// A tile whose rows are whole vectors.
///
/// # Safety
/// As [`run`].
#[inline(always)]
unsafe fn whole<S: Simd>(t: &Tile<S::Scalar>) {
    macro_rules! of_rows {
        ($vectors:literal: $($rows:literal)*) => {
            match (t.rows, t.a_rows) {
                // SAFETY: the tile has these rows of A, an element of each for every step, and that many
                // vectors.
                $(($rows, Rows::Apart(stride)) => unsafe {
                    let rows: [*const S::Scalar; $rows] =
                        std::array::from_fn(|i| t.a.add(i * stride));
                    registers::<S, $rows, $vectors>(t, |i, p| *rows[i].add(p));
                },)*
                // SAFETY: the tile has these rows of A side by side for every step, and that many vectors.
                $(($rows, Rows::Beside(stride)) => unsafe {
                    registers::<S, $rows, $vectors>(t, |i, p| *t.a.add(p * stride + i));
                },)*
                (rows, _) => unreachable!("a tile of {rows} rows"),
            }
        };
    }
    if t.cols == S::LANES {
        of_rows!(1: 1 2 3 4 5 6 7 8);
    } else {
        of_rows!(2: 1 2 3 4 5 6 7 8);
    }
}

/// One step of the inner dimension: sums ← sums + a·b for M elements of A and a row of B.
///
/// # Safety
/// `b` reaches V vectors, and the processor has `S`'s instructions.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "as below")]
unsafe fn step<S: Simd, const M: usize, const V: usize>(
    sums: &mut [[S; V]; M],
    a: impl Fn(usize) -> S::Scalar,
    b: *const S::Scalar,
) {
    // SAFETY: V vectors of B, as the caller says; all else is in registers.
    unsafe {
        let row: [S; V] = std::array::from_fn(|v| S::load(b.add(v * S::LANES)));
        for i in 0..M {
            let a = S::splat(a(i));
            for v in 0..V {
                sums[i][v] = a.mul_add(row[v], sums[i][v]);
            }
        }
    }
}

/// A tile of M rows of V vectors, with a(row, step) to read A by.
///
/// # Safety
/// As [`run`], for a tile of M rows and V vectors.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "with iterators the sums would lie in memory")]
unsafe fn registers<S: Simd, const M: usize, const V: usize>(
    t: &Tile<S::Scalar>,
    a: impl Fn(usize, usize) -> S::Scalar,
) {
    let zero = S::Scalar::zero();
    // Loops are by index, with bounds known to the compiler, so that all sums become registers.
    // SAFETY: M rows and V vectors are what the tile has of C, of a bias and of Z, and B has V vectors for each
    // step.
    unsafe {
        let mut sums = [[S::splat(zero); V]; M];
        if let Begin::Bias(bias, sign) = t.begin {
            for v in 0..V {
                let bias = S::splat(sign).mul_add(S::load(bias.add(v * S::LANES)), S::splat(zero));
                for i in 0..M {
                    sums[i][v] = bias;
                }
            }
        }
        match t.steps {
            Steps::All(k) => {
                let mut b = t.b;
                for p in 0..k {
                    step(&mut sums, |i| a(i, p), b);
                    // After the last step it may point outside of B.
                    b = b.wrapping_add(t.b_row);
                }
            }
            Steps::Some(numbers, count) => {
                for i in 0..count {
                    let p = *numbers.add(i) as usize;
                    step(&mut sums, |i| a(i, p), t.b.add(p * t.b_row));
                }
            }
        }
        let c = |i: usize, v: usize| t.c.add(i * t.c_row + v * S::LANES);
        if let Begin::Add = t.begin {
            for i in 0..M {
                for v in 0..V {
                    sums[i][v] = S::splat(S::Scalar::one()).mul_add(S::load(c(i, v)), sums[i][v]);
                }
            }
        }
        match t.end {
            End::Store => {}
            End::Relu => {
                for i in 0..M {
                    for v in 0..V {
                        sums[i][v] = sums[i][v].relu();
                    }
                }
            }
            End::ReluGradient(z, stride) => {
                for i in 0..M {
                    for v in 0..V {
                        let z = S::load(z.add(i * stride + v * S::LANES));
                        sums[i][v] = sums[i][v].relu_gradient(z);
                    }
                }
            }
        }
        for i in 0..M {
            for v in 0..V {
                sums[i][v].store(c(i, v));
            }
        }
    }
}

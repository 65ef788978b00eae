//! The transpose of a matrix, block by block, so that both matrices are accessed by whole cache lines.

use crate::math::vector::{prefetch_at, prefetch_to_write};

/// Rows and columns of a block.
pub(super) const BLOCK: usize = 8;

/// `to` (cols, rows) ← the transpose of `from` (rows, cols), both of whole blocks. The
/// arguments are from, its row stride, [rows, cols], to, its row stride.
///
/// # Safety
/// The pointers are valid for these shapes, nothing else accesses what is written, and the processor has the
/// instructions.
pub(super) type Transpose<T> = unsafe fn(*const T, usize, [usize; 2], *mut T, usize);

/// How many columns ahead memory is prefetched.
const AHEAD: usize = 64;

/// Calls `block` with the first row and column of each block. Neighboring blocks of the same rows
/// come one after the other, as they share cache lines.
#[inline(always)]
fn blocks<T>(
    from: (*const T, usize),
    [rows, cols]: [usize; 2],
    to: (*mut T, usize),
    mut block: impl FnMut(usize, usize),
) {
    const LINE: usize = 2 * BLOCK;
    for line in (0..cols).step_by(LINE) {
        let later = line + AHEAD..(line + AHEAD + LINE).min(cols);
        for row in (0..rows).filter(|_| !later.is_empty()) {
            prefetch_at(from.0.wrapping_add(row * from.1 + later.start), 1);
        }
        later.for_each(|col| prefetch_to_write(to.0.wrapping_add(col * to.1), rows));
        for row in (0..rows).step_by(BLOCK) {
            for col in (line..(line + LINE).min(cols)).step_by(BLOCK) {
                block(row, col);
            }
        }
    }
}

/// [`Transpose`] on every processor.
pub(super) unsafe fn portable<T: Copy>(
    from: *const T,
    stride: usize,
    shape: [usize; 2],
    to: *mut T,
    to_stride: usize,
) {
    blocks((from, stride), shape, (to, to_stride), |row, col| {
        for i in 0..BLOCK {
            for j in 0..BLOCK {
                // SAFETY: an element of a block inside of both matrices, of which the caller has `to` to itself.
                unsafe {
                    *to.add((col + j) * to_stride + row + i) =
                        *from.add((row + i) * stride + col + j);
                }
            }
        }
    });
}

/// [`Transpose`] with AVX.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
pub(super) unsafe fn avx(
    from: *const f32,
    stride: usize,
    shape: [usize; 2],
    to: *mut f32,
    to_stride: usize,
) {
    use std::arch::x86_64::*;
    blocks((from, stride), shape, (to, to_stride), |row, col| {
        // SAFETY: eight numbers of a row of a block inside of `from`; the processor has AVX.
        let line = |i: usize| unsafe { _mm256_loadu_ps(from.add((row + i) * stride + col)) };
        // SAFETY: the processor has AVX, and the eight columns of the block have eight numbers in `to`.
        unsafe {
            let pairs: [[__m256; 2]; 4] = std::array::from_fn(|i| {
                let (a, b) = (line(2 * i), line(2 * i + 1));
                [_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)]
            });
            // Columns c and c + 4 of rows 0 to 3, and of rows 4 to 7.
            let fours: [[__m256; 4]; 2] = std::array::from_fn(|half| {
                let ([a, b], [c, d]) = (pairs[2 * half], pairs[2 * half + 1]);
                [
                    _mm256_shuffle_ps::<0b01_00_01_00>(a, c),
                    _mm256_shuffle_ps::<0b11_10_11_10>(a, c),
                    _mm256_shuffle_ps::<0b01_00_01_00>(b, d),
                    _mm256_shuffle_ps::<0b11_10_11_10>(b, d),
                ]
            });
            for (c, (low, high)) in fours[0].into_iter().zip(fours[1]).enumerate() {
                let at = |col: usize| to.add(col * to_stride + row);
                _mm256_storeu_ps(at(col + c), _mm256_permute2f128_ps::<0x20>(low, high));
                _mm256_storeu_ps(at(col + c + 4), _mm256_permute2f128_ps::<0x31>(low, high));
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_comes_to_its_place() {
        let (rows, cols, stride, to_stride) = (16, 24, 29, 21);
        let from: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
        let mut variants: Vec<Transpose<f32>> = vec![portable];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx") {
            variants.push(avx);
        }
        for transpose in variants {
            let mut to = vec![-1.0; cols * to_stride];
            // SAFETY: `from` has the rows, and `to` the columns.
            unsafe { transpose(from.as_ptr(), stride, [rows, cols], to.as_mut_ptr(), to_stride) };
            for (i, &x) in to.iter().enumerate() {
                let (col, row) = (i / to_stride, i % to_stride);
                assert_eq!(x, if row < rows { from[row * stride + col] } else { -1.0 });
            }
        }
    }
}

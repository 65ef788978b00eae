//! Operands in memory.

use std::marker::PhantomData;
use std::ops::Range;

/// A matrix as it is stored, or its transpose.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T> {
    pub(super) at: *const T,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
    /// Whether many of its elements are 0.
    pub(super) sparse: bool,
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

    /// A matrix parts of which other threads may write, as long as only the other parts are
    /// read.
    ///
    /// # Safety
    /// `at` points at rows · cols numbers in one allocation, and what is read of them is not written during
    /// the lifetime of the view.
    #[must_use]
    pub unsafe fn from_raw(at: *const T, rows: usize, cols: usize) -> Self {
        View {
            at,
            rows,
            cols,
            row_stride: cols,
            col_stride: 1,
            sparse: false,
            borrowed: PhantomData,
        }
    }

    /// The same, marked as having many zeros if `sparse`: a product looks for steps of the inner dimension in
    /// which all of a tile's elements of this operand are 0, and skips them. That changes no
    /// result as long as the other operand is finite.
    #[must_use]
    pub fn sparse(self, sparse: bool) -> Self {
        View { sparse, ..self }
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
    pub(super) unsafe fn run(&self, row: usize, col: usize, len: usize) -> &'a [T] {
        // SAFETY: inside of the matrix, which whoever made the view keeps from being written where it is read.
        unsafe {
            let at = self.at.add(row * self.row_stride + col * self.col_stride);
            std::slice::from_raw_parts(at, len)
        }
    }
}

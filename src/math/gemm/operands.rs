//! A and B as a product reads them: in place where their layout allows, else packed.

use super::tile::{Rows, Steps};
use super::{Gemm, Kernel, Right, View, pack, zeros};
use std::ops::Range;

/// The largest stride for which an operand is read in place: with a larger one, each element would be on
/// another page, and packing pays.
const NEAR: usize = 256;

/// With this many tiles per panel or fewer, a panel isn't packed even then.
const FEW: usize = 4;

/// Up to this many rows of a panel, that is pages, fit the processor's TLB, and it isn't packed
/// either.
const PAGES: usize = 64;

/// The operands of a product, and its kernel.
pub(super) struct Operands<'a, T> {
    pub kernel: Kernel<T>,
    /// (m, k).
    pub a: View<'a, T>,
    /// (k, n).
    pub b: Right<'a, T>,
}

/// Some columns of B.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel<T> {
    /// The first column, and the number of columns.
    pub first: usize,
    pub cols: usize,
    /// Its first row, and the distance of rows.
    pub at: *const T,
    pub row: usize,
    /// The steps in which it isn't all 0, or all steps.
    pub steps: Steps,
}

impl<T> Default for Panel<T> {
    fn default() -> Self {
        Panel { first: 0, cols: 0, at: std::ptr::null(), row: 0, steps: Steps::All(0) }
    }
}

impl<T: Gemm> Operands<'_, T> {
    /// m, k and n.
    pub(super) fn shape(&self) -> (usize, usize, usize) {
        let (m, k) = (self.a.rows, self.a.cols);
        let n = match self.b {
            Right::Matrix(b) => {
                assert_eq!(b.rows, k, "inner dimensions differ");
                b.cols
            }
            Right::Packed(packed, n) => {
                let len = k * n.next_multiple_of(self.kernel.lanes);
                assert_eq!(packed.len(), len, "not the packed B");
                n
            }
        };
        (m, k, n)
    }

    /// Whether rows of A are packed: those of a transposed A are far apart. Where steps are skipped
    /// too little is read for packing to pay.
    pub(super) fn packs_rows(&self) -> bool {
        self.a.col_stride > NEAR && !self.a.sparse && self.a.cols > 2 * PAGES
    }

    /// A segment of all rows of A, group by group.
    pub(super) fn pack_rows(&self, depth: Range<usize>, to: &mut [T]) {
        for group in groups(self.a.rows, self.kernel.rows) {
            let to = &mut to[group.start * depth.len()..group.end * depth.len()];
            pack::rows(self.a.some_cols(depth.clone()).some_rows(group), to);
        }
    }

    /// A segment of a group of rows: its first element, and the layout of the others; `packed` is that segment
    /// of all rows, if they are packed.
    pub(super) fn rows(
        &self,
        group: Range<usize>,
        depth: Range<usize>,
        packed: Option<&[T]>,
    ) -> (*const T, Rows) {
        match packed {
            Some(packed) => {
                (packed[group.start * depth.len()..].as_ptr(), Rows::Beside(group.len()))
            }
            None => {
                let a = self.a.some_cols(depth).some_rows(group);
                match a.col_stride {
                    1 => (a.at, Rows::Apart(a.row_stride)),
                    stride => (a.at, Rows::Beside(stride)),
                }
            }
        }
    }

    /// The steps of a group of rows that aren't all 0, where A has so many zeros that it pays.
    pub(super) fn steps_of_rows(
        &self,
        group: Range<usize>,
        depth: Range<usize>,
        to: &mut [u32],
    ) -> Option<Steps> {
        if !self.a.sparse {
            return None;
        }
        let (a, k, lanes) = (self.a.some_cols(depth.clone()), depth.len(), self.kernel.lanes);
        assert!(k + zeros::SPARE <= to.len(), "no room for the steps");
        // SAFETY: what is scanned is inside of A, there is room for the steps, and the processor has
        // the kernel's instructions.
        let count = unsafe {
            if a.col_stride == 1 {
                let a = a.some_rows(group);
                (self.kernel.scan_rows)(a.rows, a.at, a.row_stride, k, to.as_mut_ptr())
            } else if group.len() <= lanes && lanes <= a.rows {
                // A whole vector around the group.
                let first = group.start.min(a.rows - lanes);
                let mask = ((1 << group.len()) - 1) << (group.start - first);
                let at = a.some_rows(first..a.rows).at;
                (self.kernel.scan_side)(mask, at, a.col_stride, k, to.as_mut_ptr())
            } else {
                return None;
            }
        };
        Some(those_left(k, &to[..count]))
    }

    /// A segment of `cols` columns of B from `first` on, packed to `to` where their layout requires it, and
    /// with the steps that aren't all 0 in `steps`, where B has so many zeros that it pays. At most one of the
    /// operands is searched for zeros.
    pub(super) fn panel(
        &self,
        depth: Range<usize>,
        first: usize,
        cols: usize,
        to: &mut [T],
        steps: &mut [u32],
    ) -> Panel<T> {
        let (kernel, k) = (&self.kernel, depth.len());
        let width = cols.next_multiple_of(kernel.lanes);
        let panel = |at, row| Panel { first, cols, at, row, steps: Steps::All(k) };
        let b = match self.b {
            Right::Packed(packed, n) => {
                // All panels before this one are whole.
                let rows = packed.len() / n.next_multiple_of(kernel.lanes);
                return panel(packed[first * rows + depth.start * width..].as_ptr(), width);
            }
            Right::Matrix(b) => b.some_rows(depth).some_cols(first..first + cols),
        };
        let few = self.a.rows <= FEW * kernel.rows || k <= PAGES;
        let mut panel = if b.col_stride == 1 && cols == width && (b.row_stride <= NEAR || few) {
            panel(b.at, b.row_stride)
        } else {
            pack::columns(kernel, b, width, to);
            panel(to.as_ptr(), width)
        };
        if b.sparse && !self.a.sparse {
            assert!(k + zeros::SPARE <= steps.len(), "no room for the steps");
            let vectors = width / kernel.lanes;
            // SAFETY: the panel has k rows of whole vectors, there is room for the steps, and the
            // processor has the kernel's instructions.
            let count =
                unsafe { (kernel.scan_panel)(vectors, panel.at, panel.row, k, steps.as_mut_ptr()) };
            panel.steps = those_left(k, &steps[..count]);
        }
        panel
    }
}

/// `steps` of k, or all k where skipping so few would cost more.
fn those_left(k: usize, steps: &[u32]) -> Steps {
    if 8 * steps.len() <= 7 * k { Steps::Some(steps.as_ptr(), steps.len()) } else { Steps::All(k) }
}

/// Rows in groups of at most `most`, of nearly equal size.
pub(super) fn groups(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.div_ceil(most);
    (0..count).map(move |g| g * rows / count..(g + 1) * rows / count)
}

//! The matrix-product kernel of a precision on this processor.

use crate::math::gemm::tile::Tile;
use crate::math::gemm::transpose::Transpose;
use crate::math::gemm::zeros::{Scan, SideScan};

/// The kernel of a precision on this processor.
#[derive(Debug, Clone, Copy)]
pub struct Kernel<T> {
    /// The instruction set.
    pub name: &'static str,
    /// Rows of a tile, at most.
    pub(super) rows: usize,
    /// Scalars of a vector.
    pub(super) lanes: usize,
    /// Computes a tile of up to `rows` rows and two vectors in a row.
    pub(super) tile: unsafe fn(&Tile<T>),
    /// Transposes a matrix.
    pub(super) transpose: Transpose<T>,
    /// Finds the steps of the inner dimension in which some rows of A aren't all 0.
    pub(super) scan_rows: Scan<T>,
    /// The same where the elements of the rows are contiguous for each step.
    pub(super) scan_side: SideScan<T>,
    /// Finds the steps in which a panel of B isn't all 0.
    pub(super) scan_panel: Scan<T>,
}

impl<T> Kernel<T> {
    /// Columns of a panel.
    pub(super) fn panel(&self) -> usize {
        2 * self.lanes
    }
}

//! The loops around the tiles.
//!
//! The outermost loop is over blocks of C's columns, so wide that the part of B that they need fits the
//! second-level cache; then over segments of the inner dimension; then over groups of rows, which are read
//! once for a whole block. A tile is a group of rows by a panel.

use super::operands::{Operands, Panel, groups};
use super::pack::Scratch;
use super::tile::{self, Tile};
use super::{Begin, End, Gemm, Kernel, Right, View, zeros};
use crate::math::vector::{prefetch, prefetch_to_write};
use std::cell::RefCell;
use std::ops::Range;

/// The inner dimension of a panel that is packed during the product: it fits a second-level cache.
const DEPTH: usize = 1024;

/// The number of panels in a block, so that rows of A are read once for all of them: as many as fit a
/// second-level cache.
const TOGETHER: usize = 32;
const TOGETHER_BYTES: usize = 1 << 19;

/// Bytes of A and of C each that a thread which has just worked on them has in its first-level cache:
/// prefetching them line by line would take a twentieth of the time of a small net's products.
const NEARBY_BYTES: usize = 1 << 15;

/// The largest A, in numbers, that is packed once and not for each block of columns.
const ONCE: usize = 1 << 19;

/// Rows of A that [`in_blocks`] packs once for an inner dimension of `k`.
#[must_use]
pub fn rows_at_once(k: usize) -> usize {
    (ONCE / k.max(1)).max(32)
}

/// The destination of C.
enum Target<T> {
    /// A matrix in memory, and the distance of its rows.
    Matrix(*mut T, usize),
    /// Each group of rows of a block is passed to the callback once it is computed.
    Groups,
    /// The same, panel by panel.
    Panels,
}

/// The location of a block of C.
struct Place<T> {
    at: *mut T,
    /// Whether it holds all rows of C, or only a group of them.
    all_rows: bool,
    first_col: usize,
    /// The distance of rows; none in panels, where they are contiguous.
    row: Option<usize>,
    /// The distance of a panel's first column from that of the one before, in columns.
    col: usize,
}

impl<T> Place<T> {
    /// Where a group's rows of a panel begin, as the distance from `at`, and how far apart they are.
    fn of(&self, group: &Range<usize>, panel: &Panel<T>) -> (usize, usize) {
        let stride = self.row.unwrap_or(panel.cols);
        let row = if self.all_rows { group.start } else { 0 };
        (row * stride + (panel.first - self.first_col) * self.col, stride)
    }

    /// What was written there, in scratch memory.
    ///
    /// # Safety
    /// That many numbers from there on have been written, and nothing else accesses them during the
    /// lifetime of the reference.
    #[allow(clippy::mut_from_ref, reason = "the caller has these numbers to itself")]
    unsafe fn part(&self, from: usize, len: usize) -> &mut [T] {
        // SAFETY: the caller has these numbers, which were written, to itself.
        unsafe { std::slice::from_raw_parts_mut(self.at.add(from), len) }
    }
}

/// c = end(begin + a·b) for A: (m, k), B: (k, n) and C: (m, n) with rows `c_stride` apart.
///
/// # Safety
/// `c` points at C, all rows of which are in one allocation, and nothing else accesses them
/// during the call.
pub unsafe fn product<T: Gemm>(
    a: View<'_, T>,
    b: Right<'_, T>,
    begin: Begin<'_, T>,
    end: End<'_, T>,
    c: *mut T,
    c_stride: usize,
) {
    // SAFETY: the contract is the same, and the processor has this kernel's instructions.
    unsafe { product_by(T::kernel(), a, b, begin, end, c, c_stride) };
}

/// [`product`] by one of the kernels.
///
/// # Safety
/// As [`product`], and the processor has the kernel's instructions.
pub(super) unsafe fn product_by<T: Gemm>(
    kernel: Kernel<T>,
    a: View<'_, T>,
    b: Right<'_, T>,
    begin: Begin<'_, T>,
    end: End<'_, T>,
    c: *mut T,
    c_stride: usize,
) {
    let product = Product { operands: Operands { kernel, a, b }, begin, end };
    // SAFETY: C is the caller's, which has it to itself.
    unsafe { product.run(Target::Matrix(c, c_stride), |_, _| {}, |_, _, _| {}) };
}

/// C = a·b in parts: `soon` is called with the rows and columns of a part before it is computed,
/// `done` with the same and the part itself, row by row, while it is in a cache; it may change it.
pub fn in_blocks<T: Gemm>(
    a: View<'_, T>,
    b: Right<'_, T>,
    soon: impl FnMut(Range<usize>, Range<usize>),
    done: impl FnMut(Range<usize>, Range<usize>, &mut [T]),
) {
    // SAFETY: C is scratch of this thread.
    unsafe { Product::new(a, b).run(Target::Groups, soon, done) };
}

/// The same by panels of C: a part is some rows of at most [`super::panel_cols`] columns, so that a
/// panel's parts, one after the other, are that panel as [`super::pack`] lays it out.
pub fn in_panels<T: Gemm>(
    a: View<'_, T>,
    b: Right<'_, T>,
    soon: impl FnMut(Range<usize>, Range<usize>),
    done: impl FnMut(Range<usize>, Range<usize>, &mut [T]),
) {
    // SAFETY: C is scratch of this thread.
    unsafe { Product::new(a, b).run(Target::Panels, soon, done) };
}

/// C = end(begin + a·b).
struct Product<'a, T> {
    operands: Operands<'a, T>,
    begin: Begin<'a, T>,
    end: End<'a, T>,
}

/// Scratch memory that a thread keeps between products.
#[derive(Default)]
struct Room {
    /// Panels of B, rows of A and a block of C.
    panels: Scratch,
    rows: Scratch,
    block: Scratch,
    /// The steps that aren't skipped, of each panel and of a group of rows.
    steps_of_panels: Vec<u32>,
    steps_of_rows: Vec<u32>,
}

/// A segment of the inner dimension of some columns of C.
struct Segment<'a, T> {
    depth: Range<usize>,
    is_first: bool,
    is_last: bool,
    /// The columns, and the panels of B for them.
    block: Range<usize>,
    panels: &'a [Panel<T>],
    /// This segment of A's rows, if they are packed.
    rows: Option<&'a [T]>,
}

impl<'a, T: Gemm> Product<'a, T> {
    /// C = a·b.
    fn new(a: View<'a, T>, b: Right<'a, T>) -> Self {
        let operands = Operands { kernel: T::kernel(), a, b };
        Product { operands, begin: Begin::Zero, end: End::Store }
    }

    /// The whole product.
    ///
    /// # Safety
    /// C meets the contract of [`product`].
    unsafe fn run(
        &self,
        target: Target<T>,
        mut soon: impl FnMut(Range<usize>, Range<usize>),
        mut done: impl FnMut(Range<usize>, Range<usize>, &mut [T]),
    ) {
        thread_local! {
            static ROOM: RefCell<Room> = RefCell::default();
        }
        let operands = &self.operands;
        let (m, k, n) = operands.shape();
        self.check(&target);
        let panel_cols = operands.kernel.panel();
        let last = k.saturating_sub(1) / DEPTH;
        ROOM.with_borrow_mut(|room| {
            // Rows that have to be packed are packed as often as there is room for.
            let (packs, once) = (operands.packs_rows(), m * k <= ONCE);
            let packed_rows = room.rows.numbers::<T>(match (packs, once) {
                (false, _) => 0,
                (true, true) => m * k,
                (true, false) => m * k.min(DEPTH),
            });
            if packs && once {
                for segment in 0..=last {
                    operands.pack_rows(depth(k, segment), &mut packed_rows[m * segment * DEPTH..]);
                }
            }
            let panel_bytes = k.clamp(1, DEPTH) * panel_cols * size_of::<T>();
            let together = (TOGETHER_BYTES / panel_bytes).clamp(1, TOGETHER) * panel_cols;
            for block in (0..n).step_by(together).map(|first| first..(first + together).min(n)) {
                // Rows of a block in scratch: a group, or all where they are computed in segments.
                let rows = if last == 0 { operands.kernel.rows } else { m };
                let mut scratch = || room.block.numbers::<T>(rows * block.len()).as_mut_ptr();
                let place = match target {
                    Target::Matrix(at, stride) => {
                        Place { at, all_rows: true, first_col: 0, row: Some(stride), col: 1 }
                    }
                    Target::Groups => Place {
                        at: scratch(),
                        all_rows: last > 0,
                        first_col: block.start,
                        row: Some(block.len()),
                        col: 1,
                    },
                    Target::Panels => Place {
                        at: scratch(),
                        all_rows: last > 0,
                        first_col: block.start,
                        row: None,
                        col: rows,
                    },
                };
                // An operand without a step is still one: C = end(begin).
                for segment in 0..=last {
                    let depth = depth(k, segment);
                    if packs && !once {
                        operands.pack_rows(depth.clone(), packed_rows);
                    }
                    let start = if once { m * depth.start } else { 0 };
                    let panels = &mut [Panel::default(); TOGETHER];
                    let panels = &mut panels[..block.len().div_ceil(panel_cols)];
                    let mut scratch = room.panels.numbers::<T>(depth.len() * together);
                    let listed = depth.len() + zeros::SPARE;
                    grow(&mut room.steps_of_panels, panels.len() * listed);
                    grow(&mut room.steps_of_rows, listed);
                    let steps_of_panels = room.steps_of_panels.chunks_exact_mut(listed);
                    for ((i, panel), steps) in panels.iter_mut().enumerate().zip(steps_of_panels) {
                        let first = block.start + i * panel_cols;
                        let cols = panel_cols.min(block.end - first);
                        let to;
                        (to, scratch) = scratch.split_at_mut(depth.len() * panel_cols);
                        *panel = operands.panel(depth.clone(), first, cols, to, steps);
                    }
                    let segment = Segment {
                        depth,
                        is_first: segment == 0,
                        is_last: segment == last,
                        block: block.clone(),
                        panels,
                        rows: packs.then(|| &packed_rows[start..]),
                    };
                    // SAFETY: C is the caller's or scratch, which has room for the block as `place` lays it
                    // out.
                    unsafe {
                        self.segment(
                            &segment,
                            &target,
                            &place,
                            &mut room.steps_of_rows,
                            &mut soon,
                            &mut done,
                        );
                    }
                }
            }
        });
    }

    /// All tiles of a segment of some columns.
    ///
    /// # Safety
    /// As [`Self::run`]; `place` has room for the block.
    unsafe fn segment(
        &self,
        segment: &Segment<'_, T>,
        target: &Target<T>,
        place: &Place<T>,
        steps: &mut [u32],
        soon: &mut impl FnMut(Range<usize>, Range<usize>),
        done: &mut impl FnMut(Range<usize>, Range<usize>, &mut [T]),
    ) {
        let operands = &self.operands;
        let (kernel, a) = (&operands.kernel, operands.a.some_cols(segment.depth.clone()));
        let (m, k, n) = operands.shape();
        let far = m * k.max(n) * size_of::<T>() > NEARBY_BYTES;
        for group in groups(m, kernel.rows) {
            if segment.is_last {
                soon(group.clone(), segment.block.clone());
            }
            if far && segment.block.start == 0 && a.col_stride == 1 {
                // Prefetch what another thread has just written, in time for the next tile.
                let next = group.end..(group.end + kernel.rows).min(m);
                // SAFETY: a row of A, whose columns have stride 1.
                next.for_each(|row| prefetch(unsafe { a.run(row, 0, a.cols) }));
            }
            let depth = || segment.depth.clone();
            let (a, a_rows) = operands.rows(group.clone(), depth(), segment.rows);
            let of_rows = operands.steps_of_rows(group.clone(), depth(), steps);
            for panel in segment.panels {
                let (from, c_row) = place.of(&group, panel);
                let tile = Tile {
                    rows: group.len(),
                    cols: panel.cols,
                    steps: of_rows.unwrap_or(panel.steps),
                    a,
                    a_rows,
                    b: panel.at,
                    b_row: panel.row,
                    // SAFETY: inside C, as the group and the panel are.
                    c: unsafe { place.at.add(from) },
                    c_row,
                    begin: self.begin(segment, panel.first),
                    end: self.end(segment, from, c_row),
                };
                for row in (0..group.len()).filter(|_| far) {
                    prefetch_to_write(tile.c.wrapping_add(row * c_row), panel.cols);
                }
                // SAFETY: the views and the packed operands reach as far as the tile, C is the caller's
                // or scratch, and the processor has the kernel's instructions.
                unsafe { (kernel.tile)(&tile) };
                if let (Target::Panels, true) = (target, segment.is_last) {
                    let cols = panel.first..panel.first + panel.cols;
                    // SAFETY: the tile has just been written, and the scratch is this product's.
                    let part = unsafe { place.part(from, group.len() * c_row) };
                    done(group.clone(), cols, part);
                }
            }
            if let (Target::Groups, true) = (target, segment.is_last) {
                let (from, c_row) = place.of(&group, &segment.panels[0]);
                // SAFETY: all tiles of the group have been written, and the scratch is this product's.
                let part = unsafe { place.part(from, group.len() * c_row) };
                done(group, segment.block.clone(), part);
            }
        }
    }

    /// Checks the lengths of the bias and of z.
    fn check(&self, target: &Target<T>) {
        let (m, _, n) = self.operands.shape();
        if let Begin::Bias(bias, _) = self.begin {
            assert!(bias.len() >= n, "a bias too short");
        }
        if let (End::ReluGradient(z), Target::Matrix(_, stride)) = (self.end, target) {
            assert!(m == 0 || z.len() >= (m - 1) * stride + n, "z too short");
        }
    }

    /// The initial value of a tile whose first column is `first`.
    fn begin(&self, segment: &Segment<'_, T>, first: usize) -> tile::Begin<T> {
        match self.begin {
            _ if !segment.is_first => tile::Begin::Add,
            Begin::Zero => tile::Begin::Zero,
            Begin::Add => tile::Begin::Add,
            Begin::Bias(bias, sign) => tile::Begin::Bias(bias[first..].as_ptr(), sign),
        }
    }

    /// The epilogue of a tile whose first sum is element `at` of C.
    fn end(&self, segment: &Segment<'_, T>, at: usize, c_stride: usize) -> tile::End<T> {
        match self.end {
            _ if !segment.is_last => tile::End::Store,
            End::Store => tile::End::Store,
            End::Relu => tile::End::Relu,
            End::ReluGradient(z) => tile::End::ReluGradient(z[at..].as_ptr(), c_stride),
        }
    }
}

/// Makes a list at least `len` long.
fn grow(list: &mut Vec<u32>, len: usize) {
    list.resize(len.max(list.len()), 0);
}

/// A segment of an inner dimension of `k`.
fn depth(k: usize, segment: usize) -> Range<usize> {
    segment * DEPTH..((segment + 1) * DEPTH).min(k)
}

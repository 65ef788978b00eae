//! The loops around the tiles.
//!
//! Outermost are blocks of C's columns, as many as leave a second-level cache room for the part of B
//! that they need; then stretches of the inner dimension; then groups of rows, which are read once
//! for a whole block. A tile is a group by a panel.

use super::pack::Scratch;
use super::{Begin, End, Gemm, Kernel, Right, View, pack, tile, zeros};
use crate::vector::{prefetch, prefetch_to_write};
use std::cell::RefCell;
use std::ops::Range;
use tile::{Steps, Tile};

/// Inner dimension of a panel that is packed as the product goes: it fits a second-level cache.
const DEPTH: usize = 1024;

/// Distance of an operand's elements up to which it is read where it lies: from further apart, they
/// would each come from another page, and packing pays.
const NEAR: usize = 256;

/// Tiles below each other for which a panel isn't packed even then.
const FEW: usize = 4;

/// Rows of a panel that are as many pages as a processor remembers at once, so that it isn't packed
/// either.
const PAGES: usize = 64;

/// Panels that are passed over together, so that rows of A are read once for all of them: as many as
/// leave room in a second-level cache.
const TOGETHER: usize = 32;
const TOGETHER_BYTES: usize = 1 << 19;

/// Numbers of A up to which it is packed once, and not for each block of columns.
const ONCE: usize = 1 << 19;

/// Rows of A that [`in_blocks`] packs once for an inner dimension of `k`.
#[must_use]
pub fn rows_at_once(k: usize) -> usize {
    (ONCE / k.max(1)).max(32)
}

/// Where C goes.
enum Target<T> {
    /// To its place, with rows so far apart.
    Matrix(*mut T, usize),
    /// Each group of rows of a block, once it is computed, to who asked for it.
    Groups,
    /// The same, panel by panel.
    Panels,
}

/// Where a block of C lies: its first row and column, and the distances of rows and of columns that
/// begin a panel; rows of panels follow each other where they aren't given a distance.
struct Place<T> {
    at: *mut T,
    first: (usize, usize),
    row: Option<usize>,
    col: usize,
}

impl<T> Place<T> {
    /// The place of a row of a panel, as its distance from `at`, and the distance to the next.
    fn of(&self, row: usize, panel: &Panel<T>) -> (usize, usize) {
        let stride = self.row.unwrap_or(panel.cols);
        ((row - self.first.0) * stride + (panel.first - self.first.1) * self.col, stride)
    }

    /// What was written there, for scratch.
    ///
    /// # Safety
    /// That many numbers from there on have been written.
    unsafe fn part(&self, from: usize, len: usize) -> &[T] {
        // SAFETY: the caller's.
        unsafe { std::slice::from_raw_parts(self.at.add(from), len) }
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
pub(super) unsafe fn product_by<T: Gemm>(
    kernel: Kernel<T>,
    a: View<'_, T>,
    b: Right<'_, T>,
    begin: Begin<'_, T>,
    end: End<'_, T>,
    c: *mut T,
    c_stride: usize,
) {
    let product = Product { kernel, a, b, begin, end };
    // SAFETY: the caller's.
    unsafe { product.run(Target::Matrix(c, c_stride), |_, _| {}, |_, _, _| {}) };
}

/// C = a·b in parts: `soon` is called with the rows and columns of a part before it is computed,
/// `done` with the same and with the part itself, row by row, while it lies in a cache.
pub fn in_blocks<T: Gemm>(
    a: View<'_, T>,
    b: Right<'_, T>,
    soon: impl FnMut(Range<usize>, Range<usize>),
    done: impl FnMut(Range<usize>, Range<usize>, &[T]),
) {
    let product = Product { kernel: T::kernel(), a, b, begin: Begin::Zero, end: End::Store };
    // SAFETY: C isn't anybody's.
    unsafe { product.run(Target::Groups, soon, done) };
}

/// The same by panels of C: a part is some rows of at most [`super::panel_cols`] columns, so that a
/// panel's parts, one after the other, are that panel as [`super::pack`] lays it out.
pub fn in_panels<T: Gemm>(
    a: View<'_, T>,
    b: Right<'_, T>,
    soon: impl FnMut(Range<usize>, Range<usize>),
    done: impl FnMut(Range<usize>, Range<usize>, &[T]),
) {
    let product = Product { kernel: T::kernel(), a, b, begin: Begin::Zero, end: End::Store };
    // SAFETY: C isn't anybody's.
    unsafe { product.run(Target::Panels, soon, done) };
}

/// C = end(begin + a·b).
struct Product<'a, T> {
    kernel: Kernel<T>,
    a: View<'a, T>,
    b: Right<'a, T>,
    begin: Begin<'a, T>,
    end: End<'a, T>,
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
    steps: Steps,
}

impl<T> Default for Panel<T> {
    fn default() -> Self {
        Panel { first: 0, cols: 0, at: std::ptr::null(), row: 0, steps: Steps::All(0) }
    }
}

/// Memory that a thread keeps from product to product.
#[derive(Default)]
struct Room {
    /// Panels of B, rows of A and a block of C.
    panels: Scratch,
    rows: Scratch,
    block: Scratch,
    /// The steps that are left of each panel, or of a group of rows.
    steps: Vec<u32>,
}

impl<T: Gemm> Product<'_, T> {
    /// The whole product.
    ///
    /// # Safety
    /// C is as [`product`] wants it.
    unsafe fn run(
        &self,
        target: Target<T>,
        mut soon: impl FnMut(Range<usize>, Range<usize>),
        mut done: impl FnMut(Range<usize>, Range<usize>, &[T]),
    ) {
        thread_local! {
            static ROOM: RefCell<Room> = RefCell::default();
        }
        let (m, k, n) = self.shape(&target);
        let kernel = &self.kernel;
        let last = k.saturating_sub(1) / DEPTH;
        ROOM.with_borrow_mut(|room| {
            // Rows of a transposed A lie far apart: packed, as often as there is room for.
            let turned = self.a.col_stride > NEAR && !self.a.sparse && k > 2 * PAGES;
            let once = m * k <= ONCE;
            let packed_rows = room.rows.numbers::<T>(match (turned, once) {
                (false, _) => 0,
                (true, true) => m * k,
                (true, false) => m * k.min(DEPTH),
            });
            if turned && once {
                (0..=last)
                    .for_each(|i| self.pack_rows(depth(k, i), &mut packed_rows[m * i * DEPTH..]));
            }
            let panel_bytes = k.clamp(1, DEPTH) * kernel.panel() * size_of::<T>();
            let together = (TOGETHER_BYTES / panel_bytes).clamp(1, TOGETHER) * kernel.panel();
            for block in (0..n).step_by(together).map(|first| first..(first + together).min(n)) {
                // Rows of a block in scratch: a group, or all where they are computed in stretches.
                let rows = if last == 0 { kernel.rows } else { m };
                let mut scratch = || room.block.numbers::<T>(rows * block.len()).as_mut_ptr();
                let (at, row, col) = match target {
                    Target::Matrix(c, stride) => (c, Some(stride), 1),
                    Target::Groups => (scratch(), Some(block.len()), 1),
                    Target::Panels => (scratch(), None, rows),
                };
                let place = |group: &Range<usize>| {
                    let first = match target {
                        Target::Matrix(..) => (0, 0),
                        _ => (if last == 0 { group.start } else { 0 }, block.start),
                    };
                    Place { at, first, row, col }
                };
                // An operand without a step is still one: C = end(begin).
                for stretch in 0..=last {
                    let depth = depth(k, stretch);
                    let packed_rows: Option<*const T> = match (turned, once) {
                        (false, _) => None,
                        (true, true) => Some(packed_rows[m * depth.start..].as_ptr()),
                        (true, false) => {
                            self.pack_rows(depth.clone(), packed_rows);
                            Some(packed_rows.as_ptr())
                        }
                    };
                    let a = self.a.some_cols(depth.clone());
                    let panels = &mut [Panel::default(); TOGETHER];
                    let panels = &mut panels[..block.len().div_ceil(kernel.panel())];
                    let mut scratch = room.panels.numbers::<T>(depth.len() * together);
                    let listed = depth.len() + zeros::SPARE;
                    room.steps.resize((panels.len() * listed).max(room.steps.len()), 0);
                    let steps_of_panels = room.steps.chunks_exact_mut(listed);
                    for ((i, panel), steps) in panels.iter_mut().enumerate().zip(steps_of_panels) {
                        let first = block.start + i * kernel.panel();
                        let cols = kernel.panel().min(block.end - first);
                        let to;
                        (to, scratch) = scratch.split_at_mut(depth.len() * kernel.panel());
                        *panel = self.prepare(depth.clone(), first, cols, to, steps);
                    }
                    for group in groups(m, kernel.rows) {
                        if stretch == last {
                            soon(group.clone(), block.clone());
                        }
                        if block.start == 0 && a.col_stride == 1 {
                            // What another thread has just written comes in time for the next tile.
                            let next = group.end..(group.end + kernel.rows).min(m);
                            // SAFETY: rows of A.
                            next.for_each(|row| prefetch(unsafe { a.run(row, 0, a.cols) }));
                        }
                        let (a_at, a_rows) = match packed_rows {
                            // SAFETY: the groups before this one are packed before it.
                            Some(packed) => unsafe {
                                (packed.add(group.start * a.cols), tile::Rows::Beside(group.len()))
                            },
                            None => {
                                let rows = match a.col_stride {
                                    1 => tile::Rows::Apart(a.row_stride),
                                    stride => tile::Rows::Beside(stride),
                                };
                                (a.some_rows(group.clone()).at, rows)
                            }
                        };
                        // One of the operands at most is searched for zeros.
                        let steps =
                            self.steps_of_rows(group.clone(), depth.clone(), &mut room.steps);
                        let c = place(&group);
                        for panel in panels.iter() {
                            let (from, c_row) = c.of(group.start, panel);
                            let tile = Tile {
                                rows: group.len(),
                                cols: panel.cols,
                                steps: steps.unwrap_or(panel.steps),
                                a: a_at,
                                a_rows,
                                b: panel.at,
                                b_row: panel.row,
                                // SAFETY: inside C, as the group and the panel are.
                                c: unsafe { c.at.add(from) },
                                c_row,
                                begin: self.begin(stretch, panel.first),
                                end: self.end(stretch == last, from, c_row),
                            };
                            for row in 0..group.len() {
                                prefetch_to_write(tile.c.wrapping_add(row * c_row), panel.cols);
                            }
                            // SAFETY: the views and the packed operands reach as far as the tile, C
                            // is the caller's or scratch, and the processor has the kernel's
                            // instructions.
                            unsafe { (kernel.tile)(&tile) };
                            if let (Target::Panels, true) = (&target, stretch == last) {
                                let cols = panel.first..panel.first + panel.cols;
                                // SAFETY: just written.
                                let part = unsafe { c.part(from, group.len() * c_row) };
                                done(group.clone(), cols, part);
                            }
                        }
                        if let (Target::Groups, true) = (&target, stretch == last) {
                            let from = c.of(group.start, &panels[0]).0;
                            // SAFETY: just written.
                            let part = unsafe { c.part(from, group.len() * block.len()) };
                            done(group, block.clone(), part);
                        }
                    }
                }
            }
        });
    }

    /// m, k and n.
    fn shape(&self, target: &Target<T>) -> (usize, usize, usize) {
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
        if let Begin::Bias(bias, _) = self.begin {
            assert!(bias.len() >= n, "a bias too short");
        }
        if let (End::ReluGradient(z), Target::Matrix(_, stride)) = (self.end, target) {
            assert!(m == 0 || z.len() >= (m - 1) * stride + n, "z too short");
        }
        (m, k, n)
    }

    /// What a tile begins with whose first column is `first`.
    fn begin(&self, stretch: usize, first: usize) -> tile::Begin<T> {
        match self.begin {
            _ if stretch > 0 => tile::Begin::Add,
            Begin::Zero => tile::Begin::Zero,
            Begin::Add => tile::Begin::Add,
            Begin::Bias(bias, sign) => tile::Begin::Bias(bias[first..].as_ptr(), sign),
        }
    }

    /// What becomes of a tile's sums, the first of which is element `at` of C.
    fn end(&self, last: bool, at: usize, c_stride: usize) -> tile::End<T> {
        match self.end {
            _ if !last => tile::End::Store,
            End::Store => tile::End::Store,
            End::Relu => tile::End::Relu,
            End::ReluGradient(z) => tile::End::ReluGradient(z[at..].as_ptr(), c_stride),
        }
    }

    /// A stretch of all rows of A, group by group.
    fn pack_rows(&self, depth: Range<usize>, to: &mut [T]) {
        for group in groups(self.a.rows, self.kernel.rows) {
            let to = &mut to[group.start * depth.len()..group.end * depth.len()];
            pack::rows(self.a.some_cols(depth.clone()).some_rows(group), to);
        }
    }

    /// The steps of a group of rows that aren't 0 throughout, where A has so many zeros that it pays.
    fn steps_of_rows(
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
        // SAFETY: what is scanned lies inside of A, there is room for the steps, and the processor has
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

    /// `cols` columns of B from `first` on, packed to `to` where they don't lie well, and with its
    /// steps that aren't 0 throughout in `steps`, where B has so many zeros that it pays.
    fn prepare(
        &self,
        depth: Range<usize>,
        first: usize,
        cols: usize,
        to: &mut [T],
        steps: &mut [u32],
    ) -> Panel<T> {
        let (k, mut sparse) = (depth.len(), false);
        let kernel = &self.kernel;
        let width = cols.next_multiple_of(kernel.lanes);
        let (at, row) = match self.b {
            Right::Packed(packed, n) => {
                // All panels before this one are whole.
                let k = packed.len() / n.next_multiple_of(kernel.lanes);
                (packed[first * k + depth.start * width..].as_ptr(), width)
            }
            Right::Matrix(b) => {
                let rows = depth.len();
                sparse = b.sparse && !self.a.sparse;
                let b = b.some_rows(depth).some_cols(first..first + cols);
                let few = self.a.rows <= FEW * kernel.rows || rows <= PAGES;
                if b.col_stride == 1 && cols == width && (b.row_stride <= NEAR || few) {
                    (b.at, b.row_stride)
                } else {
                    pack::columns(kernel, b, width, to);
                    (to.as_ptr(), width)
                }
            }
        };
        let mut panel = Panel { first, cols, at, row, steps: Steps::All(k) };
        if sparse {
            assert!(k + zeros::SPARE <= steps.len(), "no room for the steps");
            let vectors = width / kernel.lanes;
            // SAFETY: the panel has k rows of whole vectors, there is room for the steps, and the
            // processor has the kernel's instructions.
            let count = unsafe { (kernel.scan_panel)(vectors, at, row, k, steps.as_mut_ptr()) };
            panel.steps = those_left(k, &steps[..count]);
        }
        panel
    }
}

/// `steps` of k, unless they are so many that it costs less to take all.
fn those_left(k: usize, steps: &[u32]) -> Steps {
    if 8 * steps.len() <= 7 * k { Steps::Some(steps.as_ptr(), steps.len()) } else { Steps::All(k) }
}

/// A stretch of an inner dimension of `k`.
fn depth(k: usize, stretch: usize) -> Range<usize> {
    stretch * DEPTH..((stretch + 1) * DEPTH).min(k)
}

/// The rows of C in groups of at most `most`, of nearly equal size.
fn groups(m: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = m.div_ceil(most);
    (0..count).map(move |g| g * m / count..(g + 1) * m / count)
}

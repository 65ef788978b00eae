//! A batch's inputs: whether they are worth searching for zeros, and for each thread its own.
//!
//! Where every thread has some units of the first layer, it needs all of X, for the outputs and again
//! for the gradient. What another processor wrote takes longer to come than to be gathered again.

use super::fused::goes_by_units;
use crate::data::Samples;
use crate::gemm::Aligned;
use crate::kernels::fused::{Reach, Rows};
use crate::program::{Op, Program};
use crate::real::Real;
use crate::tensor::TensorId;

/// Threads up to which each gathers all rows for itself: gathering takes no less time with more of
/// them, while what else a step does takes less.
const MOST_THREADS: usize = 4;

/// Numbers of X beyond which a copy is felt in memory, and gathering isn't in time.
const LARGEST: usize = 1 << 20;

/// Whether products should look for zeros in X, as measured on rows from all over the data set: whether
/// at least a quarter of the columns are 0 in all of so many rows as a product takes at once.
pub(super) fn has_many_zeros(samples: &Samples) -> bool {
    const GROUP: usize = 8;
    const GROUPS: usize = 32;
    let (features, affine) = (&samples.features, &samples.affine);
    let (rows, cols) = (samples.rows(), features.cols());
    if rows == 0 {
        return false;
    }
    let is_zero = |row: usize, col: usize| {
        (features.value(row, col) - affine.shift[col]) * affine.scale[col] == 0.0
    };
    // Rows of a group are far apart, as those of a batch are: neighbours may be of one category.
    let row = |group: usize, i: usize| (i * GROUPS + group) * rows / (GROUP * GROUPS);
    let zero_columns =
        |group| (0..cols).filter(|&col| (0..GROUP).all(|i| is_zero(row(group, i), col))).count();
    4 * (0..GROUPS).map(zero_columns).sum::<usize>() >= cols * GROUPS
}

/// X of all threads but the first, which has the program's tensor.
#[derive(Debug)]
pub(super) struct Inputs<T> {
    x: TensorId,
    copies: Vec<(Aligned<T>, *mut T)>,
    cols: usize,
}

// SAFETY: the pointers are to what the copies own, each of which one thread uses.
unsafe impl<T: Send> Send for Inputs<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Inputs<T> {}

impl<T: Real> Inputs<T> {
    /// Room for the copies, if `program` has a step in which they help. Inputs that are dropped or
    /// augmented cost more than to come from another processor.
    pub(super) fn new(program: &Program, threads: usize) -> Option<Self> {
        let helps = |rows: &Rows| {
            let plain = rows.augmentation.is_none() && rows.input_dropout.is_none();
            rows.reach == Reach::Deltas && rows.from == 0 && plain
        };
        let rows = program.ops.iter().filter_map(|op| match op {
            Op::Rows(rows) => Some(rows),
            _ => None,
        });
        let op =
            rows.filter(|rows| helps(rows)).find(|op| goes_by_units(op, program, program.batch))?;
        let cols = program.tensor(op.x).cols;
        if !(2..=MOST_THREADS).contains(&threads) || program.batch * cols > LARGEST {
            return None;
        }
        let copy = |_| {
            let mut numbers = Aligned::zeros(program.batch * cols);
            let at = numbers.as_mut_ptr();
            (numbers, at)
        };
        Some(Inputs { x: op.x, copies: (1..threads).map(copy).collect(), cols })
    }

    /// Where the thread with number `thread` has the first `rows` rows, if `tensor` is X and that is
    /// not the program's.
    pub(super) fn of(
        &self,
        tensor: TensorId,
        thread: usize,
        rows: usize,
    ) -> Option<(*mut T, usize)> {
        let (numbers, at) = self.copies.get(thread.checked_sub(1)?)?;
        assert!(rows * self.cols <= numbers.len(), "more rows than a batch has");
        (tensor == self.x).then_some((*at, rows * self.cols))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Affine, Features};
    use crate::matrix::Matrix;
    use std::sync::Arc;

    fn is_sparse(rows: usize, cols: usize, shift: f32, x: impl Fn(usize, usize) -> f32) -> bool {
        let features = Arc::new(Features::F32(Matrix::from_fn(rows, cols, x)));
        let affine = Affine { shift: vec![shift; cols], ..Affine::identity(cols) };
        has_many_zeros(&Samples { features, affine, targets: None, weights: None })
    }

    #[test]
    fn zeros_are_worth_looking_for_where_rows_of_a_batch_share_them() {
        // One of many categories, in an order drawn by chance or sorted, and one of a few.
        let one = |yes| if yes { 1.0 } else { 0.0 };
        for rows in [20, 1000] {
            assert!(is_sparse(rows, 50, 0.0, |row, col| one(row * 7919 % 50 == col)));
            assert!(is_sparse(rows, 50, 0.0, |row, col| one(row * 50 / rows == col)));
            assert!(!is_sparse(rows, 4, 0.0, |row, col| one(row * 4 / rows == col)));
        }
        // A quarter of the columns, and less; the same where 0 isn't what a net is given.
        assert!(is_sparse(1000, 40, 0.0, |_, col| one(col >= 10)));
        assert!(!is_sparse(1000, 40, 0.0, |_, col| one(col >= 9)));
        assert!(!is_sparse(1000, 40, 0.5, |_, col| one(col >= 10)));
        assert!(is_sparse(1000, 40, 1.0, |_, col| one(col < 10)));
        assert!(!is_sparse(0, 40, 0.0, |_, _| 0.0));
    }
}

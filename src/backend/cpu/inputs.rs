//! A batch's inputs: whether searching them for zeros pays, and a copy for each thread.
//!
//! If every thread has some units of the first layer, it needs all of X, for the outputs and again
//! for the gradient. Reading what another processor wrote takes longer than gathering it again.

use super::memory::{Cells, Span};
use super::whole_net::goes_by_units;
use crate::data::{Affine, Features, Samples};
use crate::kernels::fused::whole_net::{Reach, WholeNet};
use crate::kernels::tensor::TensorId;
use crate::math::real::Real;
use crate::plan::program::{Op, Program};

/// The most threads for which each gathers all rows itself: with more threads, gathering takes the same time
/// while the rest of a step gets faster.
const MOST_THREADS: usize = 4;

/// The largest X, in numbers, for which copies pay: beyond, they cost memory and gain little time.
const LARGEST: usize = 1 << 20;

/// The number of rows or columns of X that products skip together if all are 0.
const TOGETHER: usize = 8;

/// The fraction of X that products can skip, measured on rows from the whole data set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Zeros {
    /// The fraction of a column's groups of rows that are 0, averaged over the columns: skipped by the
    /// forward product.
    pub of_columns: f64,
    /// The fraction of a row's groups of neighboring columns that are 0: skipped by the gradient.
    pub of_rows: f64,
}

impl Zeros {
    /// The zeros of the scaled features.
    pub(super) fn of(samples: &Samples) -> Self {
        const MOST_GROUPS: usize = 32;
        let (features, affine) = (&samples.features, &samples.affine);
        let (rows, cols) = (samples.rows(), features.cols());
        if rows == 0 || cols == 0 {
            return Zeros { of_columns: 0.0, of_rows: 0.0 };
        }
        let groups = (rows / TOGETHER).clamp(1, MOST_GROUPS);
        let looked_at = TOGETHER * groups;
        let (mut columns, mut in_rows) = (0, 0);
        let mut zero = vec![false; cols];
        for group in 0..groups {
            let mut blank = vec![true; cols];
            // Rows of a group are far apart, like those of a batch: neighbors may be similar.
            for row in (0..TOGETHER).map(|i| (i * groups + group) * rows / looked_at) {
                match &**features {
                    Features::U8(m) => mark_zeros(m.row(row), affine, &mut zero),
                    Features::F32(m) => mark_zeros(m.row(row), affine, &mut zero),
                }
                in_rows +=
                    zero.chunks(TOGETHER).filter(|part| part.iter().all(|&zero| zero)).count();
                blank.iter_mut().zip(&zero).for_each(|(blank, zero)| *blank &= zero);
            }
            columns += blank.into_iter().filter(|&blank| blank).count();
        }
        Zeros {
            of_columns: columns as f64 / (cols * groups) as f64,
            of_rows: in_rows as f64 / (cols.div_ceil(TOGETHER) * looked_at) as f64,
        }
    }

    /// Whether searching for them pays.
    pub(super) fn pay(self) -> bool {
        self.of_columns >= 0.25
    }
}

/// Marks the elements of a row that are 0 after scaling.
fn mark_zeros<R: Copy + Into<f32>>(raw: &[R], affine: &Affine, zero: &mut [bool]) {
    let columns = affine.shift.iter().zip(&affine.scale);
    for ((zero, &x), (shift, scale)) in zero.iter_mut().zip(raw).zip(columns) {
        *zero = (x.into() - shift) * scale == 0.0;
    }
}

/// X of all threads but the first, which has the program's tensor; and the source of X if columns
/// are embedded.
#[derive(Debug)]
pub(super) struct Inputs<T> {
    /// Each tensor with a copy for each thread but the first.
    copies: Vec<(TensorId, Vec<Cells<T>>)>,
}

impl<T: Real> Inputs<T> {
    /// Room for the copies, if `program` has a step in which they help. Inputs with dropout or
    /// augmentation cost more to recompute than to read from another processor.
    pub(super) fn new(program: &Program, threads: usize) -> Option<Self> {
        let helps = |rows: &WholeNet| {
            let plain = rows.augmentation.is_none() && rows.input_dropout.is_none();
            rows.reach() == Reach::Deltas && rows.from == 0 && plain
        };
        let rows = program.ops.iter().filter_map(|op| match op {
            Op::WholeNet(net) => Some(net),
            _ => None,
        });
        let op =
            rows.filter(|rows| helps(rows)).find(|op| goes_by_units(op, program, program.batch))?;
        let features = op.embedded.as_ref().map(|embedded| embedded.features);
        let tensors = || [op.x].into_iter().chain(features);
        let numbers: usize = tensors().map(|id| program.len(id)).sum();
        if !(2..=MOST_THREADS).contains(&threads) || numbers > LARGEST {
            return None;
        }
        let copies = |id| (1..threads).map(|_| Cells::zeros(program.len(id))).collect();
        Some(Inputs { copies: tensors().map(|id| (id, copies(id))).collect() })
    }

    /// The rows of `tensor` of thread `thread`, if it has its own copy. No other
    /// thread reads or writes them.
    pub(super) fn of(&self, tensor: TensorId, thread: usize) -> Option<Span<'_, T>> {
        let (_, copies) = self.copies.iter().find(|(id, _)| *id == tensor)?;
        Some(copies.get(thread.checked_sub(1)?)?.span())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::matrix::Matrix;
    use std::sync::Arc;

    fn zeros(features: Features, affine: Affine) -> Zeros {
        Zeros::of(&Samples { features: Arc::new(features), affine, targets: None, weights: None })
    }

    #[test]
    fn zeros_are_counted_where_products_can_leave_them_out() {
        let bytes = |f: fn(usize, usize) -> bool| {
            Features::U8(Matrix::from_fn(1000, 16, |row, col| u8::from(f(row, col))))
        };
        let of = |features| zeros(features, Affine::identity(16));
        // The first half of the columns is blank.
        let half = of(bytes(|_, col| col >= 8));
        assert_eq!(half, Zeros { of_columns: 0.5, of_rows: 0.5 });
        assert!(half.pay());
        // Every other column is: no eight neighbors are.
        let others = of(bytes(|_, col| col % 2 == 0));
        assert_eq!(others, Zeros { of_columns: 0.5, of_rows: 0.0 });
        // Two of three rows are, but no eight that are looked at together; nor where they are sorted.
        for rows in [of(bytes(|row, _| row % 3 == 0)), of(bytes(|row, _| row > 666))] {
            assert_eq!(rows.of_columns, 0.0);
            assert!((rows.of_rows - 2.0 / 3.0).abs() < 0.02, "{rows:?}");
        }
        let none = of(bytes(|_, _| true));
        assert_eq!(none, Zeros { of_columns: 0.0, of_rows: 0.0 });
        assert!(!none.pay());
        assert_eq!(of(Features::U8(Matrix::from_fn(0, 16, |_, _| 0))), none);
        // Zeros after scaling count.
        let shifted = Affine { shift: vec![1.0; 16], scale: vec![2.0; 16] };
        assert_eq!(zeros(bytes(|_, _| false), shifted.clone()), none);
        assert_eq!(zeros(bytes(|_, _| true), shifted).of_columns, 1.0);
    }
}

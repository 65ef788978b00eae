//! Dropout (Srivastava et al. 2014), inverted: x ← x ⊙ m / (1 − p), where m is 0 with probability p
//! and 1 otherwise. Applied to a layer's outputs, and with the same m to the gradient by them.
//!
//! m is a function of the layer's key, the epoch, the row's position in the epoch's order and the
//! column, so that it needs no memory and does not depend on how the epoch is split into batches.

use crate::kernels::common::declaration::{COMMON, Kernel, RANDOM_FUNCTIONS, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch, Step};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::vector::Vector;
use std::ops::Range;

/// Dropout of a layer's outputs: the rate and the key of the random numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// p, in [0, 1).
    pub rate: f32,
    /// The key of the layer's random numbers: [`crate::math::random::stream_key`].
    pub key: [u32; 2],
}

impl Dropout {
    /// A random number of 32 bits below this drops its element.
    #[must_use]
    pub fn threshold(self) -> u32 {
        (f64::from(self.rate) * 2f64.powi(32)).round() as u32
    }

    /// 1 / (1 − p): the factor on the elements that are kept.
    #[must_use]
    pub fn scale(self) -> f32 {
        1.0 / (1.0 - self.rate)
    }
}

uniform! {
    /// The shape, `rows` 0 means the current batch, the threshold that drops an element, the factor on those
    /// that are kept, and the key.
    Uniform { rows: u32, cols: u32, threshold: u32, scale: f32, key0: u32, key1: u32 }
}

/// x ← x ⊙ m / (1 − p): (B, n).
pub static DROPOUT: Kernel = Kernel {
    entry: "dropout",
    source: &[COMMON, RANDOM_FUNCTIONS, include_str!("../../../shaders/layers/dropout.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read_write("x")],
    workgroup_size: 64,
};

/// Launches [`DROPOUT`] on x: (B, cols).
#[must_use]
pub fn launch(dropout: Dropout, x: TensorId, cols: usize) -> Launch {
    let [key0, key1] = dropout.key;
    Launch {
        kernel: &DROPOUT,
        overrides: vec![],
        uniform: Uniform {
            rows: 0,
            cols: cols as u32,
            threshold: dropout.threshold(),
            scale: dropout.scale(),
            key0,
            key1,
        }
        .bytes(),
        args: vec![Arg::Tensor(x)],
        grid: Grid::Elements(Extent::Batch, cols),
    }
}

/// The CPU reference of [`DROPOUT`] on some columns, from a multiple of 32 on, of row `row` of the
/// batch.
pub fn reference<T: Vector>(
    dropout: Dropout,
    step: &Step,
    row: usize,
    cols: Range<usize>,
    x: &mut [T],
) {
    let key = [dropout.key[0], dropout.key[1] ^ step.epoch];
    let position = step.position.wrapping_add(row as u32);
    let scale = T::of(dropout.scale().into());
    T::drop_out(key, position, cols.start, dropout.threshold(), scale, x);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::random::{Stream, stream_key};

    #[test]
    fn a_fraction_p_is_dropped_and_the_sum_stays() {
        let cols = 1000;
        for rate in [0.1, 0.5, 0.9] {
            let dropout = Dropout { rate, key: stream_key(0, Stream::Dropout, 1) };
            let mut x = vec![1.0f64; 100 * cols];
            for (row, x) in x.chunks_exact_mut(cols).enumerate() {
                reference(dropout, &Step::default(), row, 0..cols, x);
            }
            let dropped = x.iter().filter(|&&x| x == 0.0).count() as f64 / x.len() as f64;
            // Four standard deviations.
            let p = f64::from(rate);
            let deviation = 4.0 * (p * (1.0 - p) / x.len() as f64).sqrt();
            assert!((dropped - p).abs() < deviation, "{dropped} for {p}");
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            assert!((mean - 1.0).abs() < deviation / (1.0 - p), "{mean}");
        }
    }

    #[test]
    fn the_mask_depends_on_position_epoch_and_column_and_on_nothing_else() {
        let dropout = Dropout { rate: 0.5, key: [1, 2] };
        let mask = |position: u32, epoch: u32, row: usize, cols: Range<usize>| {
            let step = Step { position, first: position / 2, epoch, rows: 7, ..Step::default() };
            let mut x = vec![1.0f32; cols.len()];
            reference(dropout, &step, row, cols, &mut x);
            x
        };
        let whole = mask(5, 0, 3, 0..200);
        assert_eq!(whole, mask(0, 0, 8, 0..200), "another cut into batches");
        assert_eq!(whole[64..], mask(8, 0, 0, 64..200), "some of the columns");
        assert_ne!(whole, mask(5, 1, 3, 0..200), "another epoch");
        assert_ne!(whole, mask(5, 0, 4, 0..200), "another row");
    }
}

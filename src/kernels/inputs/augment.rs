//! The features of a batch of images, each augmented: [`super::gather`] applied to the bytes of images after
//! [`crate::net::augment`]. Bit-equal on every device.

use crate::data::{Affine, Features};
use crate::kernels::common::declaration::{
    COMMON, Kernel, RANDOM_FUNCTIONS, read, read_write, uniform,
};
use crate::kernels::common::launch::{Arg, Grid, Launch, Step};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::vector::Vector;
use crate::net::augment::{Augmentation, Canvas};

uniform! {
    /// The shape of an image, and the amounts of [`Augmentation`].
    Uniform {
        width: u32,
        height: u32,
        colours: u32,
        key0: u32,
        key1: u32,
        shift: i32,
        rotation: i32,
        scale: i32,
        shear: i32,
        elastic: i32,
        spacing: u32,
        noise: i32,
        cutout: u32,
    }
}

/// Gathers features: (N, n_0) bytes → (B, n_0).
pub static AUGMENT: Kernel = Kernel {
    entry: "augment",
    source: &[COMMON, RANDOM_FUNCTIONS, include_str!("../../../shaders/inputs/augment.wgsl")],
    uniform: Uniform::FIELDS,
    bindings: &[read("data"), read("affine"), read_write("out")],
    workgroup_size: 64,
};

/// Launches [`AUGMENT`] into `x`: (B, n_0).
#[must_use]
pub fn launch(augmentation: &Augmentation, x: TensorId) -> Launch {
    let Augmentation { shape, key, shift, rotation, scale, shear, elastic, spacing, noise, cutout } =
        *augmentation;
    let ([width, height, colours], [key0, key1]) = (shape, key);
    Launch {
        kernel: &AUGMENT,
        overrides: vec![],
        uniform: Uniform {
            width,
            height,
            colours,
            key0,
            key1,
            shift,
            rotation,
            scale,
            shear,
            elastic,
            spacing,
            noise,
            cutout,
        }
        .bytes(),
        args: vec![Arg::Features, Arg::Affine, Arg::Tensor(x)],
        grid: Grid::Elements(Extent::Batch, (width * height) as usize),
    }
}

/// The CPU reference of [`AUGMENT`] for the given rows of the data set, from row `first` of the batch
/// on; x: (rows, n_0). Features that aren't bytes are left unchanged.
pub fn features<T: Vector>(
    augmentation: &Augmentation,
    step: &Step,
    first: usize,
    rows: &[u32],
    data: &Features,
    affine: &Affine,
    x: &mut [T],
) {
    let Features::U8(data) = data else { return };
    let [width, height, colours] = augmentation.shape;
    let mut canvas = Canvas::default();
    for (i, (x, &row)) in x.chunks_exact_mut(data.cols()).zip(rows).enumerate() {
        let position = step.position.wrapping_add((first + i) as u32);
        let image = augmentation.of(step.epoch, position);
        let raw = data.row(row as usize);
        debug_assert_eq!((width * height * colours) as usize, raw.len());
        image.each_row(raw, &mut canvas, |first, values| {
            let columns = first..first + values.len();
            let (shift, scale) = (&affine.shift[columns.clone()], &affine.scale[columns.clone()]);
            T::scale_values(values, shift, scale, &mut x[columns]);
        });
    }
}

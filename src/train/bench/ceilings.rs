//! The peak performance of a device, measured with programs of one op.

use crate::backend::{Backend, ValuesMut};
use crate::base::clock::Instant;
use crate::base::error::Result;
use crate::base::wait::BlockOn as _;
use crate::data::{Affine, Features, Samples};
use crate::kernels::Step;
use crate::kernels::layers::activation::UnitFunctions;
use crate::kernels::products::matmul::Form;
use crate::kernels::tensor::{Extent, Role, TensorId};
use crate::math::activation::Activation;
use crate::math::matrix::Matrix;
use crate::plan::program::{Op, Program};
use std::sync::Arc;

/// Opens the device to be measured; each program gets its own backend.
pub type Open<'a> = &'a dyn Fn() -> Result<Box<dyn Backend>>;

/// The peak performance of a device.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Ceilings {
    /// Its best matrix product, in 10⁹ floating-point operations per second.
    #[serde(rename = "ceiling_gflops")]
    pub gflops: f64,
    /// The bandwidth of a copy, reads and writes, in 10⁹ bytes per second.
    pub copy_gigabytes: f64,
    /// The smallest op, in seconds.
    pub smallest_op_seconds: f64,
}

impl Ceilings {
    /// Measures them; the copy moves about `bytes` bytes, so that data that fit into a cache are
    /// compared with the bandwidth of the cache.
    ///
    /// # Errors
    /// When the device can't be opened or was lost.
    pub fn measure(bytes: f64, open: Open<'_>) -> Result<Self> {
        let elements = (bytes / 8.0).clamp(4096.0, f64::from(1 << 24)) as usize;
        Ok(Ceilings {
            gflops: best_product(open)?,
            copy_gigabytes: 8e-9 * elements as f64 / copy(elements, open)?,
            smallest_op_seconds: copy(1, open)?,
        })
    }
}

/// The best of square matrix products, in 10⁹ floating-point operations per second. A slow device
/// stops at a small one.
///
/// # Errors
/// When the device can't be opened or was lost.
pub fn best_product(open: Open<'_>) -> Result<f64> {
    let mut flops = 0.0;
    for size in [256, 512, 1024, 2048, 4096] {
        let seconds = product(Form::Nt, [size; 3], open)?;
        flops = f64::max(flops, 2.0 * (size as f64).powi(3) / seconds);
        if seconds > 0.05 {
            break;
        }
    }
    Ok(flops / 1e9)
}

/// Seconds of a product of shape (m, n, k).
///
/// # Errors
/// When the device can't be opened or was lost.
pub fn product(form: Form, shape: [usize; 3], open: Open<'_>) -> Result<f64> {
    let (program, [.., c]) = product_program(form, shape);
    seconds(program, c, open()?)
}

/// The program c = a·b of shape (m, n, k), with these three tensors.
#[must_use]
pub fn product_program(form: Form, [m, n, k]: [usize; 3]) -> (Program, [TensorId; 3]) {
    let mut program = Program::new(1);
    let mut add = |name, [rows, cols]: [usize; 2]| {
        program.add(name, Role::Transient, Extent::Fixed(rows), cols)
    };
    let a = add("a", if form == Form::Tn { [k, m] } else { [m, k] });
    let b = add("b", if form == Form::Nt { [n, k] } else { [k, n] });
    let c = add("c", [m, n]);
    program.ops = vec![Op::Matmul { form, a, b, bias: None, c }];
    (program, [a, b, c])
}

/// Seconds of a copy of `elements` elements from one tensor to another.
fn copy(elements: usize, open: Open<'_>) -> Result<f64> {
    let mut program = Program::new(1);
    let mut add = |name| program.add(name, Role::Transient, Extent::Batch, elements);
    let (z, a) = (add("z"), add("a"));
    let functions = UnitFunctions::Same(Activation::Identity);
    // Several copies, since a backend may run a program with little work on one thread.
    let copies = ((1 << 23) / elements).clamp(1, 256);
    program.ops = vec![Op::Activation { functions, z, a }; copies];
    Ok(seconds(program, a, open()?)? / copies as f64)
}

/// The shortest time of a program's ops, in seconds.
///
/// # Errors
/// When the device can't hold it, or was lost.
pub fn seconds(program: Program, output: TensorId, mut backend: Box<dyn Backend>) -> Result<f64> {
    let ops = 0..program.ops.len();
    let rows = program.batch as u32;
    backend.load(Arc::new(program)).block_on()?;
    let features = Arc::new(Features::U8(Matrix::new(1, 1, vec![0])?));
    let affine = Affine::identity(1);
    let data = backend
        .upload(Arc::new(Samples { features, affine, targets: None, weights: None }))
        .block_on()?;
    let step = Step { rows, ..Step::default() };
    let mut time = |steps: &[Step]| -> Result<f64> {
        let begin = Instant::now();
        backend.run(ops.clone(), data, steps).block_on()?;
        let mut one = [0.0];
        backend.read(output, ValuesMut::F32(&mut one)).block_on()?;
        Ok(begin.elapsed().as_secs_f64())
    };
    time(&[step])?;
    let repeats = ((0.02 / time(&[step])?) as usize).clamp(1, 64);
    let steps = vec![step; repeats];
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        best = best.min(time(&steps)? / repeats as f64);
    }
    Ok(best)
}

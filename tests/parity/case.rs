//! One op with its tensors, run on the GPU and compared with f64; shapes and values are
//! random.

use super::adapter::has_gpu;
use super::seeds::Drawn;
use rand::RngExt;
use std::sync::Arc;
use wgrad::backend::Backend;
use wgrad::backend::gpu::Gpu;
use wgrad::data::{Affine, Features, Samples};
use wgrad::kernels::Step;
use wgrad::kernels::tensor::{Extent, Role, TensorId};
use wgrad::math::matrix::Matrix;
use wgrad::math::random::Random;
use wgrad::plan::program::{Op, Program};
use wgrad::proof::parity::Replay;

/// The GPU backend, or none where there is no adapter and none is required.
pub fn gpu(test: &str) -> Option<Box<dyn Backend>> {
    if !has_gpu(test) {
        return None;
    }
    Some(Box::new(Gpu::open(0).unwrap()))
}

/// Random numbers under a seed that is new each day, or that of `WGRAD_TEST_SEED`: see [`Drawn`].
pub fn random(test: u64) -> Drawn {
    Drawn::new(test)
}

/// A ragged size: 1, a prime, around a tile of 16, 32 or 64, or any up to 150.
pub fn size(random: &mut Random) -> usize {
    const NOTABLE: [usize; 16] = [1, 2, 3, 7, 13, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 127];
    match random.random_range(0..3) {
        0 => random.random_range(1..150),
        _ => NOTABLE[random.random_range(0..NOTABLE.len())],
    }
}

/// Whether a test uses only few shapes, which still reach every op: with `WGRAD_TEST_SHAPES=few`, for drivers
/// that take long to compile.
pub fn has_few_shapes() -> bool {
    std::env::var("WGRAD_TEST_SHAPES").is_ok_and(|shapes| shapes == "few")
}

/// The rounds of a test: all up to `all`, or of these the `few` that suffice.
pub fn rounds(all: usize, few: &[usize]) -> Vec<usize> {
    if has_few_shapes() { few.to_vec() } else { (0..all).collect() }
}

pub fn normal(random: &mut Random, len: usize) -> Vec<f32> {
    (0..len).map(|_| random.normal() as f32).collect()
}

/// A program under construction, with the content of its tensors.
pub struct Case {
    program: Program,
    rows: usize,
    values: Vec<(TensorId, Vec<f32>)>,
}

impl Case {
    pub fn new(rows: usize) -> Self {
        Case { program: Program::new(rows.max(1)), rows, values: Vec::new() }
    }

    pub fn batch(&mut self, name: &str, cols: usize, values: Vec<f32>) -> TensorId {
        self.tensor(name, Extent::Batch, cols, values)
    }

    pub fn tensor(&mut self, name: &str, rows: Extent, cols: usize, values: Vec<f32>) -> TensorId {
        let id = self.program.add(name, Role::Transient, rows, cols);
        self.values.push((id, values));
        id
    }

    /// Runs only `op` on all backends, and returns its last output.
    pub fn check(
        self,
        op: Op,
        step: Step,
        samples: Option<Samples>,
        device: Box<dyn Backend>,
    ) -> Vec<f32> {
        self.check_all(vec![op], step, samples, device)
    }

    /// The same for several, one after the other.
    pub fn check_all(
        mut self,
        ops: Vec<Op>,
        step: Step,
        samples: Option<Samples>,
        device: Box<dyn Backend>,
    ) -> Vec<f32> {
        let last = ops.last().unwrap();
        let output = *self.program.uses(last).last().map(|(t, _)| t).unwrap();
        self.program.ops = ops;
        let samples = samples.unwrap_or_else(|| Samples {
            features: Arc::new(Features::U8(Matrix::new(1, 1, vec![0]).unwrap())),
            affine: Affine::identity(1),
            targets: None,
            weights: None,
        });
        let mut replay = Replay::new(self.program, samples, device).unwrap();
        for (id, values) in self.values {
            replay.set(id, values);
        }
        let step = Step { rows: self.rows as u32, ..step };
        for report in replay.run(&step).unwrap() {
            assert!(report.passed, "{} with {} rows: {report:#?}", report.op, self.rows);
        }
        replay.get(output)
    }
}

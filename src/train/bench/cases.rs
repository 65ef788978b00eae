//! The nets of this project's benchmarks.

use crate::base::error::{Result, unknown};
use crate::data::{Dataset, Features, Targets};
use crate::math::activation::Activation;
use crate::math::loss::Loss;
use crate::math::matrix::Matrix;
use crate::math::optim::Optimizer;
use crate::math::random::{Random, Stream};
use crate::net::spec::{Net, Spec};
use rand::RngExt;

/// A benchmark: a net with data of the right shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// The widths, from the input to the output; relu in between.
    pub widths: &'static [usize],
    /// Batch size.
    pub batch: usize,
    /// Rows of the data set.
    pub rows: usize,
    /// Whether the features are bytes and the targets ten classes; else all are numbers.
    pub classes: bool,
}

/// The cases, the smallest batches first.
pub const CASES: [Case; 6] = [
    Case { name: "S64", widths: &[784, 128, 10], batch: 64, rows: 60_000, classes: true },
    Case { name: "S128", widths: &[784, 128, 10], batch: 128, rows: 60_000, classes: true },
    Case { name: "M", widths: &[784, 1024, 1024, 10], batch: 256, rows: 60_000, classes: true },
    Case {
        name: "T",
        widths: &[32, 64, 64, 64, 64, 16],
        batch: 16_384,
        rows: 65_536,
        classes: false,
    },
    Case { name: "H", widths: &[13, 512, 256, 384, 1], batch: 256, rows: 18_432, classes: false },
    Case { name: "L", widths: &[4096, 4096, 4096, 4096], batch: 512, rows: 2048, classes: false },
];

impl Case {
    /// The case called `name`.
    ///
    /// # Errors
    /// When there is no such case.
    pub fn find(name: &str) -> Result<Self> {
        let found = CASES.into_iter().find(|c| c.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| unknown("case", name, &CASES.map(|c| c.name)))
    }

    /// The spec of its training.
    #[must_use]
    pub fn spec(&self) -> Spec {
        let loss = if self.classes { Loss::CrossEntropy } else { Loss::SquaredError };
        let optimizer = match self.name {
            "H" => Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
            "L" => Optimizer::Sgd,
            _ => Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        };
        let mut spec = Spec::new(relu_net(self.widths), loss).optimizer(optimizer);
        spec.lr = spec.lr.min(1e-3);
        spec.batch_size = self.batch;
        spec
    }

    /// Random data of its shape.
    ///
    /// # Errors
    /// Never, for the cases above.
    pub fn data(&self) -> Result<Dataset> {
        let (inputs, outputs) = (self.widths[0], self.widths[self.widths.len() - 1]);
        if !self.classes {
            return random_numbers(self.name, self.rows, inputs, outputs);
        }
        let mut random = Random::new(0, Stream::Data, 0);
        let pixels =
            Matrix::from_fn(self.rows, inputs, |_, _| random.random_range(0..=255u32) as u8);
        let labels = (0..self.rows as u32).map(|r| r % outputs as u32).collect();
        let names = (0..outputs).map(|c| c.to_string()).collect();
        Dataset::new(self.name, Features::U8(pixels), Targets::Classes { labels, names })
    }
}

/// A net of these widths, from the input to the output, with relu in between.
///
/// # Panics
/// Without an input.
#[must_use]
pub fn relu_net(widths: &[usize]) -> Net {
    let last = widths.len() - 1;
    widths.iter().enumerate().skip(1).fold(Net::new(widths[0]), |net, (l, &units)| {
        net.layer(units, if l == last { Activation::Identity } else { Activation::Relu })
    })
}

/// A data set of uniform random numbers in −1…1: features (rows, inputs), targets (rows, outputs).
///
/// # Errors
/// Without rows.
pub fn random_numbers(name: &str, rows: usize, inputs: usize, outputs: usize) -> Result<Dataset> {
    let mut random = Random::new(0, Stream::Data, 0);
    let mut numbers = |cols| Matrix::from_fn(rows, cols, |_, _| random.random_range(-1.0..1.0f32));
    let (features, targets) = (numbers(inputs), numbers(outputs));
    Dataset::new(name, Features::F32(features), targets.into())
}

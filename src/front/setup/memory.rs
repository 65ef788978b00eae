//! The memory that a run needs, estimated before it is allocated.

use crate::base::error::{Error, Result};
pub(crate) use crate::base::memory::human;
use crate::base::system_memory::{self, Memory};
use crate::data::{Dataset, Features, Targets};
use crate::kernels::tensor::Extent;
use crate::net::spec::Spec;
use crate::plan::{self, Purpose};
use serde::Serialize;

/// The number of bytes that a run uses on its device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Estimate {
    /// Parameters, gradients, and the state of the optimizer, of L-BFGS's history and of averages.
    pub parameters: f64,
    /// Inputs, pre-activations, activations and δ of a batch.
    pub batch: f64,
    /// All rows, training and held out.
    pub data: f64,
}

impl Estimate {
    /// The estimate for training `spec` on these data sets: the tensors of its plain program. Fused
    /// ones store no gradients, but on the CPU a second, packed copy of the weights.
    pub fn new<'a>(spec: &Spec, data: impl IntoIterator<Item = &'a Dataset>) -> Self {
        let (mut rows, mut data_bytes) = (1, 0.0);
        for set in data {
            rows = rows.max(set.rows());
            data_bytes += bytes_of(set);
        }
        let least = plan::evaluation_rows_in_training(spec).min(rows);
        let program =
            plan::plain(spec, spec.rows_at_a_time().min(rows).max(least), Purpose::Train).program;
        // In floating point: a net that is too large must not overflow before it is refused.
        let all = program.bytes(4) as f64;
        let of_batch = program.tensors.iter().filter(|t| t.rows == Extent::Batch);
        let batch: f64 =
            of_batch.map(|t| 4.0 * program.batch as f64 * t.cols as f64).sum::<f64>().min(all);
        Estimate { parameters: all - batch, batch, data: data_bytes }
    }

    pub fn total(&self) -> f64 {
        self.parameters + self.batch + self.data
    }

    /// Refuses runs that don't fit the memory of this machine or its control group: the weights pass
    /// through it in any case.
    pub fn check(&self) -> Result<()> {
        match system_memory::total() {
            Some(Memory { bytes, by_control_group }) if self.total() > bytes as f64 => {
                let whose = match by_control_group {
                    true => "the control group of this process is limited to",
                    false => "this machine has",
                };
                let (needed, there) = (human(self.total()), human(bytes as f64));
                Err(Error::device(format!(
                    "the net and its data need {needed}, but {whose} {there} of memory"
                ))
                .help("choose fewer or smaller --layers, or a smaller --batch-size"))
            }
            _ => Ok(()),
        }
    }
}

fn bytes_of(data: &Dataset) -> f64 {
    let width = match data.features() {
        Features::U8(_) => 1.0,
        Features::F32(_) => 4.0,
    };
    let target = match data.targets() {
        Targets::Classes { .. } => 4.0,
        Targets::Numbers(_) | Targets::Labels { .. } => 4.0 * data.outputs() as f64,
    };
    data.rows() as f64 * (width * data.features().cols() as f64 + target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::activation::Activation;
    use crate::math::loss::Loss;
    use crate::math::optim::Averaging;
    use crate::net::spec::Net;

    #[test]
    fn a_net_beyond_all_memory_is_refused_without_an_overflow() {
        let mut net = Net::new(1 << 31);
        for _ in 0..5 {
            net = net.layer(1 << 31, Activation::Relu);
        }
        let data = crate::data::digits();
        let estimate = Estimate::new(&Spec::new(net, Loss::SquaredError), [&data]);
        assert!(estimate.total() > 1e19);
        if system_memory::total().is_some() {
            assert_eq!(estimate.check().unwrap_err().kind().exit_code(), 4);
        }
        let small = Net::new(64).layer(10, Activation::Identity);
        Estimate::new(&Spec::new(small, Loss::CrossEntropy), [&data]).check().unwrap();
    }

    #[test]
    fn all_that_stands_beside_the_parameters_is_counted() {
        let data = crate::data::digits();
        let net = Net::new(64).layer(512, Activation::Tanh).layer(64, Activation::Identity);
        let spec = Spec { batch_size: 100, ..Spec::new(net, Loss::SquaredError) };
        let count = |spec: &Spec| Estimate::new(spec, [&data]);
        let of = spec.net.parameters() as f64 * 4.0;
        // Copies of all parameters, beside tensors of a few numbers.
        let copies = |spec: &Spec| (count(spec).parameters / of * 100.0).round() / 100.0;
        let by = |name: &str| spec.clone().optimizer(name.parse().unwrap());
        assert_eq!(count(&spec).data, 1797.0 * 68.0);
        // Input, target, Z, A and δ of two layers, scores; the last A is the last Z.
        assert_eq!(count(&spec).batch, 4.0 * 100.0 * (64.0 * 4.0 + 512.0 * 3.0 + 4.0));
        let averaging = |averaging| Spec { averaging, ..by("sgd") };
        for (what, spec, expected) in [
            ("adam", by("adam"), 4.0),
            ("amsgrad", by("amsgrad"), 5.0),
            ("sgd", by("sgd"), 2.0),
            ("history", by("lbfgs"), 22.0),
            ("directions", by("lamb"), 5.0),
            ("the average", averaging(Averaging::Ema { decay: 0.9 }), 3.0),
            ("the mean", averaging(Averaging::Swa { fraction: 0.5 }), 3.0),
            ("the total", Spec { micro_batch: Some(50), ..by("sgd") }, 3.0),
        ] {
            assert!((copies(&spec) - expected).abs() < 0.2, "{what}: {}", copies(&spec));
        }
    }
}

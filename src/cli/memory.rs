//! How much memory a run needs, before any is taken.

use crate::data::{Dataset, Features, Targets};
use crate::error::{Error, Result};
use crate::spec::Spec;
use serde::Serialize;

/// Bytes that a run keeps on its device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Estimate {
    /// Parameters, gradients, and what the optimiser keeps.
    pub parameters: f64,
    /// Inputs, pre-activations, activations and δ of a batch.
    pub batch: f64,
    /// All rows, training and held out.
    pub data: f64,
}

impl Estimate {
    /// The estimate for training `spec` on these data sets.
    pub fn new<'a>(spec: &Spec, data: impl IntoIterator<Item = &'a Dataset>) -> Self {
        // In floating point: a net that is too large must not overflow before it is refused.
        let layers = spec.net.shapes().map(|(out, cols)| out as f64 * (cols as f64 + 1.0));
        let tables = spec.net.embeddings.iter().map(|e| e.values as f64 * e.dims as f64);
        let parameters: f64 = layers.chain(tables).sum();
        let (mut rows, mut bytes) = (0, 0.0);
        for set in data {
            rows = rows.max(set.rows());
            bytes += data_bytes(set);
        }
        let batch = spec.rows_at_a_time().min(rows) as f64;
        let units: f64 = spec.net.layers.iter().map(|l| l.units as f64).sum();
        let inputs = match spec.net.embeddings.is_empty() {
            true => spec.net.inputs as f64,
            // With the features, and the gradient of what they become.
            false => spec.net.inputs as f64 + 2.0 * spec.net.input_width() as f64,
        };
        let outputs = spec.net.outputs() as f64;
        Estimate {
            parameters: parameters * 4.0 * (2 + spec.optimizer.state_slots()) as f64,
            batch: batch * 4.0 * (inputs + 3.0 * units + outputs),
            data: bytes,
        }
    }

    pub fn total(&self) -> f64 {
        self.parameters + self.batch + self.data
    }

    /// Refuses what this machine's memory can't hold: the weights pass through it in any case.
    pub fn check(&self) -> Result<()> {
        match physical() {
            Some(all) if self.total() > all => Err(Error::device(format!(
                "the net and its data need {}, but this machine has {} of memory",
                human(self.total()),
                human(all)
            ))
            .help("choose fewer or smaller --layers, or a smaller --batch-size")),
            _ => Ok(()),
        }
    }
}

fn data_bytes(data: &Dataset) -> f64 {
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

/// The bytes of memory of this machine, where the system tells.
fn physical() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// Bytes as people read them.
pub(super) fn human(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let step = (bytes.max(1.0).log10() / 3.0) as usize;
    let unit = step.min(UNITS.len() - 1);
    let value = bytes / 1000f64.powi(unit as i32);
    let digits = usize::from(value < 9.95 && unit > 0);
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::loss::Loss;
    use crate::spec::Net;

    #[test]
    fn bytes_are_readable() {
        let all = [0.0, 999.0, 1500.0, 12e6, 3.25e9, 7e20].map(human);
        assert_eq!(all, ["0 B", "999 B", "1.5 kB", "12 MB", "3.2 GB", "700000 PB"]);
    }

    #[test]
    fn a_net_beyond_all_memory_is_refused_without_an_overflow() {
        let mut net = Net::new(1 << 31);
        for _ in 0..5 {
            net = net.layer(1 << 31, Activation::Relu);
        }
        let data = crate::data::digits();
        let estimate = Estimate::new(&Spec::new(net, Loss::SquaredError), [&data]);
        assert!(estimate.total() > 1e20);
        if physical().is_some() {
            assert_eq!(estimate.check().unwrap_err().kind().exit_code(), 4);
        }
        let small = Net::new(64).layer(10, Activation::Identity);
        let spec = Spec::new(small, Loss::CrossEntropy);
        let estimate = Estimate::new(&spec, [&data]);
        assert_eq!(estimate.parameters, 650.0 * 16.0);
        assert_eq!(estimate.data, 1797.0 * 68.0);
        estimate.check().unwrap();
    }
}

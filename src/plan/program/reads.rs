//! What an op reads of the data set.

use super::{Op, Program};

/// What an op reads of the rows of the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reads {
    /// The feature columns of a row, if it reads features.
    pub features: Option<usize>,
    /// Whether these must be bytes.
    pub bytes: bool,
    /// The targets of a row, if it reads targets.
    pub targets: Option<usize>,
    /// Whether it reads the sample weights, if there are any.
    pub weights: bool,
}

impl Program {
    /// What `op` reads of the data set.
    #[must_use]
    pub fn reads(&self, op: &Op) -> Reads {
        let cols = |id| Some(self.tensor(id).cols);
        match op {
            Op::Gather { x } => Reads { features: cols(*x), ..Reads::default() },
            Op::Augment { x, .. } => Reads { features: cols(*x), bytes: true, ..Reads::default() },
            Op::Targets { t } => Reads { targets: cols(*t), ..Reads::default() },
            Op::Loss { .. } => Reads { weights: true, ..Reads::default() },
            Op::WholeNet(net) => {
                let features = net.embedded.as_ref().map_or(net.x, |embedded| embedded.features);
                Reads {
                    features: cols(features).filter(|_| net.from == 0),
                    bytes: net.augmentation.is_some() && net.from == 0,
                    targets: net.loss.as_ref().and_then(|loss| cols(loss.t)),
                    weights: net.loss.is_some(),
                }
            }
            Op::Dense(dense) => {
                Reads { features: cols(dense.input).filter(|_| dense.gathers), ..Reads::default() }
            }
            Op::Output(output) => {
                let targets = Some(output.loss.targets(self.tensor(output.y).cols));
                Reads { targets, weights: true, ..Reads::default() }
            }
            _ => Reads::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Storage;
    use crate::kernels::Arg;
    use crate::kernels::products::tile::Tuning;
    use crate::math::activation::Activation;
    use crate::math::loss::Loss;
    use crate::net::precision::Precision;
    use crate::net::spec::{Net, PlanKind, Spec};
    use crate::plan::{Purpose, Traits, plan};

    /// The bindings of the data set agree with the checks before a run.
    #[test]
    fn an_op_reads_what_its_launches_bind() {
        let weighted = Storage { weighted: true, ..Storage::default() };
        let mut seen = [0; 3];
        for (inputs, loss) in [(5, Loss::CrossEntropy), (300, Loss::SquaredError)] {
            let net = Net::new(inputs).layer(8, Activation::Relu).layer(3, Activation::Identity);
            let spec = Spec { plan: PlanKind::Fused, ..Spec::new(net, loss) };
            let fusions = [Traits::Plain, Traits::Cpu, Traits::GPU, Traits::LAYERS];
            let plans = fusions.map(|offered| plan(&spec, 16, Purpose::Train, offered));
            let half = Spec { precision: Precision::F16, ..spec.clone() };
            let half = plan(&half, 16, Purpose::Train, Traits::Plain);
            for program in plans.into_iter().chain([half]) {
                let program = program.program;
                for op in &program.ops {
                    let launches = program.launches(op, weighted, usize::MAX, &Tuning::default());
                    let binds = |arg: Arg| launches.iter().any(|l| l.args.contains(&arg));
                    let reads = program.reads(op);
                    let text = program.describe(op);
                    // The kernel of a pass that begins behind the first layer binds them nevertheless.
                    let unread = matches!(op, Op::WholeNet(net) if net.from > 0);
                    assert_eq!(reads.features.is_some(), binds(Arg::Features) && !unread, "{text}");
                    let unread = matches!(op, Op::WholeNet(net) if net.loss.is_none());
                    assert_eq!(reads.targets.is_some(), binds(Arg::Targets) && !unread, "{text}");
                    assert_eq!(reads.weights, binds(Arg::Weights) && !unread, "{text}");
                    assert!(reads.features.is_none_or(|cols| cols == inputs), "{text}");
                    assert!(reads.targets.is_none_or(|cols| cols == 3), "{text}");
                    seen[0] += usize::from(reads.features.is_some());
                    seen[1] += usize::from(reads.targets.is_some());
                    seen[2] += usize::from(reads.weights);
                }
            }
        }
        assert!(seen.iter().all(|&ops| ops >= 10), "{seen:?}");
    }
}

//! What to train, as plain data: the net, the objective, the optimizer, the run.

mod check;
mod mixed;
mod net;
mod text;

pub use net::{Bias, Layer, Net, Norm, Units};
pub use text::parse_layers;

use crate::base::error::serde_as_text;
use crate::base::names::names;
use crate::math::loss::Objective;
use crate::math::optim::{Averaging, GradientEdits, Optimizer};
use crate::math::schedule::{MomentumCycle, Schedule, Span};
use crate::net::augment::Augment;
use crate::net::precision::{MixedPrecision, Precision};
use crate::net::stopping::Stopping;

/// The kind of program that a spec is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlanKind {
    /// Fused ops, where the backend has such kernels.
    #[default]
    Fused,
    /// One op for each mathematical operation.
    Plain,
}

names!(PlanKind, "plan": Fused "fused", Plain "plain");

/// Everything that decides what a training run computes.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The net.
    pub net: Net,
    /// The objective that is minimized.
    pub objective: Objective,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// η before the schedule.
    pub lr: f32,
    /// Weight decay λ, of weights only unless `decay_all` is set.
    pub weight_decay: f32,
    /// Max-norm constraint: the largest norm of a unit's incoming weights, to which they are scaled back after
    /// a step.
    pub max_norm: Option<f32>,
    /// ε of label smoothing, in [0, 1): [`Loss::smooth`](crate::math::loss::Loss::smooth). Held-out rows are measured without it.
    pub label_smoothing: f32,
    /// Whether biases, normalizations and the tables of embeddings are decayed too.
    pub decay_all: bool,
    /// Changes to the gradient before the optimizer's step.
    pub edits: GradientEdits,
    /// Which weights are evaluated and saved.
    pub averaging: Averaging,
    /// The schedule of η.
    pub schedule: Schedule,
    /// The steps over which η rises from nearly 0 before the schedule begins.
    pub warmup: Span,
    /// How μ, or β₁, follows a one-cycle schedule; none leaves it constant.
    pub cycle_momentum: Option<MomentumCycle>,
    /// α of mixup: convex combinations of pairs of rows ([`crate::kernels::inputs::mixup`]).
    pub mixup: Option<f32>,
    /// Image augmentation, with the images' width, height and colors of a pixel.
    pub augment: Option<(Augment, [u32; 3])>,
    /// The batch size B; all rows if it exceeds their number.
    pub batch_size: usize,
    /// Largest micro-batch; gradients are accumulated up to the batch size. None: the whole
    /// batch.
    pub micro_batch: Option<usize>,
    /// Number of passes over the training set.
    pub epochs: usize,
    /// The random seed of weights, order and splits.
    pub seed: u64,
    /// Whether rows are shuffled in each epoch.
    pub shuffle: bool,
    /// The kind of program that it is turned into.
    pub plan: PlanKind,
    /// The precision in which a step stores its large tensors.
    pub precision: Precision,
    /// The settings of mixed precision, for f16.
    pub mixed: MixedPrecision,
    /// When the run ends early, and which weights are kept.
    pub stopping: Stopping,
}

impl Spec {
    /// A run of 10 epochs with Adam and batches of 64; change its fields as needed.
    pub fn new(net: Net, objective: impl Into<Objective>) -> Self {
        let optimizer = Optimizer::ADAM;
        Spec {
            net,
            objective: objective.into(),
            optimizer,
            lr: optimizer.default_lr(),
            weight_decay: 0.0,
            max_norm: None,
            label_smoothing: 0.0,
            decay_all: false,
            edits: GradientEdits::default(),
            averaging: Averaging::None,
            schedule: Schedule::Constant,
            warmup: Span::default(),
            cycle_momentum: None,
            mixup: None,
            batch_size: 64,
            augment: None,
            micro_batch: None,
            epochs: 10,
            seed: 0,
            shuffle: true,
            plan: PlanKind::Fused,
            precision: Precision::F32,
            mixed: MixedPrecision::default(),
            stopping: Stopping::default(),
        }
    }

    /// The same run with another optimizer, at its default learning rate.
    #[must_use]
    pub fn optimizer(mut self, optimizer: Optimizer) -> Self {
        self.optimizer = optimizer;
        self.lr = optimizer.default_lr();
        self
    }

    /// The same run with another number of epochs.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Whether the forward pass in training differs from that of predictions.
    #[must_use]
    pub fn differs_in_training(&self) -> bool {
        self.net.differs_in_training() || self.augment.is_some() || self.mixup.is_some()
    }

    /// Whether gradients are accumulated over micro-batches.
    #[must_use]
    pub fn accumulates(&self) -> bool {
        self.micro_batch.is_some_and(|rows| rows < self.batch_size)
    }

    /// The number of rows that go through the net at a time.
    #[must_use]
    pub fn rows_at_a_time(&self) -> usize {
        self.micro_batch.unwrap_or(self.batch_size).min(self.batch_size)
    }

    /// Whether what a step computes depends on how many epochs the run has: through the schedule, a
    /// warmup over a fraction of the run, or an average over its last part.
    #[must_use]
    pub fn depends_on_length(&self) -> bool {
        self.schedule.depends_on_length()
            || self.warmup.depends_on_length()
            || matches!(self.averaging, Averaging::Swa { .. })
    }
}

serde_as_text!(PlanKind);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::activation::Activation;
    use crate::math::embedding::Embedding;
    use crate::math::loss::Loss;

    #[test]
    fn layers_read_back() {
        let text = "128:relu,3:tanh*2+sine,64:leaky-relu(0.2)";
        let layers = parse_layers(text, &Activation::Relu.into()).unwrap();
        assert_eq!(
            layers[1].activation,
            Units::Each(vec![Activation::Tanh, Activation::Tanh, Activation::Sine])
        );
        for layer in &layers {
            assert_eq!(layer.activation.to_string().parse(), Ok(layer.activation.clone()));
        }
        assert_eq!(
            parse_layers("7", &Units::Same(Activation::Tanh)).unwrap()[0],
            Layer::new(7, Activation::Tanh)
        );
    }

    #[test]
    fn augmentation_that_leaves_nothing_is_refused() {
        let net = Net::new(64).layer(2, Activation::Identity);
        let mut spec = Spec::new(net, Loss::CrossEntropy);
        for (text, fits) in
            [("shift(4)+cutout(7)", true), ("shift(5)", false), ("cutout(8)", false)]
        {
            spec.augment = Some((text.parse().unwrap(), [8, 8, 1]));
            assert_eq!(spec.check().is_ok(), fits, "{text}");
        }
        spec.augment = Some(("shift(1)".parse().unwrap(), [8, 8, 1]));
        spec.optimizer = Optimizer::Lbfgs;
        assert!(spec.check().unwrap_err().to_string().contains("--augment"));
    }

    #[test]
    fn mixup_and_cycles_that_make_no_sense_are_refused() {
        let net = Net::new(3).layer(2, Activation::Identity);
        let spec = Spec::new(net, Loss::CrossEntropy);
        let fault = |spec: &Spec| spec.check().unwrap_err().to_string();
        for alpha in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(fault(&Spec { mixup: Some(alpha), ..spec.clone() }).contains("--mixup"));
        }
        let cycled = Spec { cycle_momentum: Some(MomentumCycle::default()), ..spec };
        assert!(fault(&cycled).contains("with the schedule constant"));
        let schedule = "one-cycle".parse().unwrap();
        let cycled = Spec { schedule, ..cycled };
        cycled.check().unwrap();
        for optimizer in Optimizer::ALL {
            let allowed = Spec { optimizer, ..cycled.clone() }.check().is_ok();
            assert_eq!(allowed, optimizer.momentum().is_some(), "{optimizer}");
        }
        let backward = Some(MomentumCycle { high: 0.8, low: 0.9 });
        assert!(fault(&Spec { cycle_momentum: backward, ..cycled }).contains("the higher first"));
    }

    #[test]
    fn nets_that_make_no_sense_are_refused_with_the_layer() {
        let hidden_softmax = Net::new(2).layer(3, Units::Softmax).layer(1, Activation::Identity);
        let message = hidden_softmax.check().unwrap_err().to_string();
        assert!(
            message.contains("softmax in a hidden layer") && message.contains("layer 1"),
            "{message}"
        );
        assert!(Net::new(2).layer(0, Activation::Relu).check().is_err());
        assert!(Net::new(0).layer(1, Activation::Relu).check().is_err());
        assert!(Net::new(2).check().is_err());
        assert!(Net::new(2).layer(3, Units::Each(vec![Activation::Tanh])).check().is_err());
    }

    #[test]
    fn parameters_are_counted() {
        let net = Net::new(784).layer(128, Activation::Relu).layer(10, Activation::Identity);
        assert_eq!(net.parameters(), 784 * 128 + 128 + 128 * 10 + 10);
        assert_eq!(net.bias(Bias::None).parameters(), 784 * 128 + 128 * 10);
        let net = Net::new(5).embed(vec![Embedding::new(9, 3); 2]).layer(2, Activation::Tanh);
        assert_eq!(net.input_width(), 9);
        assert_eq!(net.parameters(), 2 * 9 * 3 + 2 * 9 + 2);
        net.check().unwrap();
        let error = net.embed(vec![Embedding::new(9, 3); 6]).check().unwrap_err().to_string();
        assert!(error.contains("6 embeddings of 5 feature columns"), "{error}");
    }
}

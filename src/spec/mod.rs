//! What to train, as plain data: the net, the objective, the optimiser, the run.

mod mixed;
mod net;
mod text;

pub use net::{Bias, Layer, Net, Norm, Units};
pub use text::parse_layers;

use crate::activation::Activation;
use crate::augment::{Augment, LARGEST};
use crate::error::{Error, Result, serde_as_text, unknown};
use crate::loss::{Loss, Objective};
use crate::optim::{Averaging, GradientEdits, Optimizer};
use crate::precision::{MixedPrecision, Precision};
use crate::schedule::{MomentumCycle, Schedule, Span};
use crate::stopping::Stopping;
use std::fmt;
use std::str::FromStr;

/// Which program a spec is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlanKind {
    /// Several ops at once, where the backend has such kernels.
    #[default]
    Fused,
    /// One op after the other, as the mathematics names them.
    Plain,
}

impl PlanKind {
    /// Every kind once.
    pub const ALL: [PlanKind; 2] = [PlanKind::Fused, PlanKind::Plain];

    /// The name used in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PlanKind::Fused => "fused",
            PlanKind::Plain => "plain",
        }
    }
}

/// Everything that decides what a training run computes.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The net.
    pub net: Net,
    /// What is made small.
    pub objective: Objective,
    /// How.
    pub optimizer: Optimizer,
    /// η before the schedule.
    pub lr: f32,
    /// λ, of weights only unless `decay_all` is set.
    pub weight_decay: f32,
    /// The largest norm of a unit's incoming weights, to which they are scaled back after a step.
    pub max_norm: Option<f32>,
    /// ε of label smoothing, in [0, 1): [`Loss::smooth`]. Held-out rows are measured without it.
    pub label_smoothing: f32,
    /// Whether biases, normalisations and the tables of embeddings are decayed too.
    pub decay_all: bool,
    /// What is done to the gradient before the optimiser sees it.
    pub edits: GradientEdits,
    /// Which weights are evaluated and saved.
    pub averaging: Averaging,
    /// The schedule of η.
    pub schedule: Schedule,
    /// The steps over which η rises from nearly 0 before the schedule begins.
    pub warmup: Span,
    /// How μ, or β₁, follows a one-cycle schedule; else it stays what the optimiser has.
    pub cycle_momentum: Option<MomentumCycle>,
    /// α of mixup: rows of a batch are mixed two by two ([`crate::kernels::mixup`]).
    pub mixup: Option<f32>,
    /// What happens to images in training, and their width, height and colours of a pixel.
    pub augment: Option<(Augment, [u32; 3])>,
    /// B; the full batch where it exceeds the number of rows.
    pub batch_size: usize,
    /// The most rows that go through the net at a time; the gradients of a batch's parts are added
    /// up. None: the whole batch.
    pub micro_batch: Option<usize>,
    /// How often all rows are seen.
    pub epochs: usize,
    /// What weights, order and splits are drawn from.
    pub seed: u64,
    /// Whether each epoch has its own order of rows.
    pub shuffle: bool,
    /// The program that it is turned into.
    pub plan: PlanKind,
    /// What the large tensors of a step are stored in.
    pub precision: Precision,
    /// How, in f16.
    pub mixed: MixedPrecision,
    /// When it ends early, and which weights are kept.
    pub stopping: Stopping,
}

impl Spec {
    /// A run of 10 epochs with Adam and batches of 64; change the fields at will.
    pub fn new(net: Net, objective: impl Into<Objective>) -> Self {
        let optimizer = Optimizer::ALL[3];
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

    /// The same run with another optimiser, at its default learning rate.
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

    /// Whether a pass in training differs from one that predicts.
    #[must_use]
    pub fn differs_in_training(&self) -> bool {
        self.net.differs_in_training() || self.augment.is_some() || self.mixup.is_some()
    }

    /// The options, by name, that change gradients, steps or the net in training.
    fn changes_that_a_line_search_does_not_see(&self) -> Vec<&'static str> {
        let layers = &self.net.layers;
        let options = [
            (self.edits.l1 != 0.0, "--l1"),
            (self.edits.clip_value.is_some(), "--clip-value"),
            (self.edits.clip_norm.is_some(), "--clip-norm"),
            (self.edits.clip_global_norm.is_some(), "--clip-global-norm"),
            (self.edits.noise != 0.0, "--gradient-noise"),
            (self.max_norm.is_some(), "--max-norm"),
            (matches!(self.averaging, Averaging::Ema { .. }), "--ema"),
            (self.augment.is_some(), "--augment"),
            (self.mixup.is_some(), "--mixup"),
            (self.net.input_dropout != 0.0, "--input-dropout"),
            (layers.iter().any(|layer| layer.dropout != 0.0), "--dropout"),
            (layers.iter().any(|layer| layer.norm == Some(Norm::Batch)), "--norm batch"),
        ];
        options.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect()
    }

    /// Whether a batch goes through the net in parts.
    #[must_use]
    pub fn accumulates(&self) -> bool {
        self.micro_batch.is_some_and(|rows| rows < self.batch_size)
    }

    /// The rows that go through the net at a time.
    #[must_use]
    pub fn rows_at_a_time(&self) -> usize {
        self.micro_batch.unwrap_or(self.batch_size).min(self.batch_size)
    }

    /// Whether what a step computes depends on how many epochs the run has: by the schedule, a
    /// warm-up over a share of the run, or an average over its last part.
    #[must_use]
    pub fn depends_on_length(&self) -> bool {
        self.schedule.depends_on_length()
            || self.warmup.depends_on_length()
            || matches!(self.averaging, Averaging::Swa { .. })
    }

    /// Checks the net, and the run's settings.
    ///
    /// # Errors
    /// What [`Net::check`] finds; a batch of zero rows; a learning rate or weight decay that is
    /// negative or not a number; what [`GradientEdits::check`] and [`Averaging::check`] find; an
    /// average over epochs with batch normalisation; L-BFGS with what its line search doesn't see;
    /// cross-entropy on probabilities over outputs
    /// that are none; f16 with what is trained in f32 only.
    pub fn check(&self) -> Result<()> {
        self.net.check()?;
        self.stopping.check()?;
        if self.batch_size == 0 {
            return Err(Error::usage("a batch of 0 rows").help("--batch-size is at least 1"));
        }
        if let Some((augment, shape)) = &self.augment {
            augment.check()?;
            let [width, height, colours] = shape.map(|n| n as usize);
            let features = width.saturating_mul(height).saturating_mul(colours);
            let largest = LARGEST as usize;
            if features != self.net.inputs || width.max(height) > largest || features == 0 {
                return Err(Error::usage(format!(
                    "images of {width} × {height} × {colours} for a net of {} inputs",
                    self.net.inputs
                ))
                .at("--augment")
                .help(format!(
                    "images have as many numbers as the net inputs, and at most {largest} to a side"
                )));
            }
        }
        if let Some((augment, [width, height, _])) = &self.augment {
            let side = *width.min(height) as f32;
            if augment.shift > side / 2.0 || augment.cutout >= side {
                return Err(Error::usage(format!("{augment} of images of {width} × {height}"))
                    .at("--augment")
                    .help("little would be left of them: shift by half a side at most, and cover less than one"));
            }
        }
        if self.micro_batch == Some(0) {
            return Err(Error::usage("micro-batches of 0 rows").help("--micro-batch is at least 1"));
        }
        if self.batch_size == 1 && self.net.layers.iter().any(|l| l.norm == Some(Norm::Batch)) {
            return Err(Error::usage("batch normalisation over batches of one row")
                .at("--norm batch")
                .help("one row has no variance: take a larger --batch-size, or --norm layer"));
        }
        if self.accumulates() && self.net.layers.iter().any(|l| l.norm == Some(Norm::Batch)) {
            return Err(Error::usage("batch normalisation over a batch in parts")
                .at("--micro-batch")
                .help("its statistics would be those of the parts: take --norm layer, or leave --micro-batch out"));
        }
        for (name, value) in [("learning rate", self.lr), ("weight decay", self.weight_decay)] {
            if !value.is_finite() || value < 0.0 {
                return Err(
                    Error::usage(format!("a {name} of {value}")).help("it must be 0 or more")
                );
            }
        }
        self.edits.check()?;
        self.averaging.check()?;
        let unseen = self.changes_that_a_line_search_does_not_see();
        if self.optimizer == Optimizer::Lbfgs && !unseen.is_empty() {
            return Err(Error::usage(format!("lbfgs beside {}", unseen.join(" and ")))
                .at("--optimizer lbfgs")
                .help("its line search needs the loss as it is: leave the other out (a preset's by 0 or none), or take another --optimizer"));
        }
        if matches!(self.averaging, Averaging::Swa { .. })
            && self.net.layers.iter().any(|layer| layer.norm == Some(Norm::Batch))
        {
            return Err(Error::usage("an average over epochs with batch normalisation")
                .at("--swa")
                .help("no statistics belong to averaged weights: take --ema, or --norm layer"));
        }
        if let Some(limit) = self.max_norm
            && !(limit.is_finite() && limit > 0.0)
        {
            return Err(Error::usage(format!("a largest norm of {limit}"))
                .help("--max-norm is above 0; usual are 1 to 4"));
        }
        self.check_precision()?;
        self.check_loss()?;
        self.schedule.check()?;
        self.check_mixup()?;
        self.check_momentum()?;
        let output = self.net.layers.last().map(|l| &l.activation);
        if self.objective.loss == Loss::CrossEntropyProbabilities
            && !matches!(
                output,
                Some(
                    Units::Softmax
                        | Units::Same(
                            Activation::Sigmoid | Activation::HardSigmoid | Activation::Gaussian
                        )
                )
            )
        {
            return Err(Error::usage("cross-entropy-probabilities needs outputs in (0, 1]")
                .at("the output layer")
                .help("take softmax or sigmoid as output activation, or the loss cross-entropy on logits"));
        }
        Ok(())
    }

    /// Refuses mixup where its α or the loss makes no sense of it, and micro-batches that part a pair.
    fn check_mixup(&self) -> Result<()> {
        let Some(alpha) = self.mixup else { return Ok(()) };
        if !(alpha > 0.0 && alpha.is_finite()) {
            return Err(Error::usage(format!("mixup with an α of {alpha}"))
                .at("--mixup")
                .help("it is above 0; usual are 0.1 to 0.4"));
        }
        if self.objective.loss == Loss::Hinge {
            return Err(Error::usage("mixup under the loss hinge")
                .at("--mixup")
                .help("hinge knows one class of a row: take cross-entropy"));
        }
        if self.accumulates() && !self.rows_at_a_time().is_multiple_of(2) {
            return Err(Error::usage(format!(
                "mixup over micro-batches of {} rows",
                self.rows_at_a_time()
            ))
            .at("--micro-batch")
            .help("rows are mixed two by two: take an even number"));
        }
        Ok(())
    }

    /// Refuses a momentum that could follow no schedule.
    fn check_momentum(&self) -> Result<()> {
        let Some(cycle) = self.cycle_momentum else { return Ok(()) };
        cycle.check()?;
        let fail =
            |what: String, help: &str| Err(Error::usage(what).at("--cycle-momentum").help(help));
        if !matches!(self.schedule, Schedule::OneCycle { .. }) {
            let what = format!("a cycle of the momentum beside the schedule {}", self.schedule);
            return fail(what, "take --schedule one-cycle, or leave it out");
        }
        if self.optimizer.momentum().is_none() {
            let what = format!("a cycle of the momentum of {}", self.optimizer);
            return fail(
                what,
                "it has none, or more than one: take momentum, nesterov, adam or another of its kind; rmsprop with --momentum",
            );
        }
        Ok(())
    }

    /// Refuses a loss whose parameter, smoothing or number of outputs makes no sense.
    fn check_loss(&self) -> Result<()> {
        let (loss, smoothing) = (self.objective.loss, self.label_smoothing);
        loss.check()?;
        if !(0.0..1.0).contains(&smoothing) {
            return Err(Error::usage(format!("a label smoothing of {smoothing}"))
                .help("--label-smoothing is a share from 0 to below 1; usual is 0.1"));
        }
        if smoothing > 0.0 && !loss.takes_smoothing() {
            return Err(Error::usage(format!("label smoothing under the loss {}", loss.name()))
                .help("smoothing is for classes: take cross-entropy, binary-cross-entropy, focal or binary-focal"));
        }
        if loss == Loss::GaussianNll && !self.net.outputs().is_multiple_of(2) {
            return Err(Error::usage(format!("gaussian-nll over {} outputs", self.net.outputs()))
                .at("the output layer")
                .help("each target needs two: its mean and the logarithm of its variance"));
        }
        Ok(())
    }
}

serde_as_text!(PlanKind);

impl fmt::Display for PlanKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PlanKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or_else(|| unknown("plan", name, &Self::ALL.map(Self::name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::embedding::Embedding;

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
        assert!(fault(&cycled).contains("beside the schedule constant"));
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

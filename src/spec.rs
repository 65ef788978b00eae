//! What to train, as plain data: the net, the objective, the optimiser, the run.

use crate::activation::Activation;
use crate::augment::{Augment, LARGEST};
use crate::embedding::Embedding;
use crate::error::{Error, Result, serde_as_text, unknown};
use crate::init::Init;
use crate::loss::{Loss, Objective};
use crate::optim::{Averaging, GradientEdits, Optimizer};
use crate::schedule::{Schedule, Span};
use crate::stopping::Stopping;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The sign with which a layer's bias enters: Z = A Wᵀ ± b.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bias {
    /// Z = A Wᵀ + b (sources 001, 002; 003 writes it as one more weight).
    #[default]
    Add,
    /// Z = A Wᵀ − b (source 004).
    Subtract,
    /// Z = A Wᵀ (source 000).
    None,
}

impl Bias {
    /// Every convention once.
    pub const ALL: [Bias; 3] = [Bias::Add, Bias::Subtract, Bias::None];

    /// The name used in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Bias::Add => "add",
            Bias::Subtract => "subtract",
            Bias::None => "none",
        }
    }

    /// +1, −1, or 0 without a bias.
    #[must_use]
    pub fn sign(self) -> f32 {
        match self {
            Bias::Add => 1.0,
            Bias::Subtract => -1.0,
            Bias::None => 0.0,
        }
    }
}

/// What brings a layer's Z to mean 0 and variance 1 before its activation, each unit then with a
/// scale γ and a shift β that are learnt (`kernels::norm` has the equations).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// Each unit over the batch; in predictions by running averages (Ioffe, Szegedy 2015).
    Batch,
    /// Each row over the layer's units (Ba, Kiros, Hinton 2016).
    Layer,
}

impl Norm {
    /// Every kind once.
    pub const ALL: [Norm; 2] = [Norm::Batch, Norm::Layer];

    /// The name used in files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Norm::Batch => "batch",
            Norm::Layer => "layer",
        }
    }
}

/// The activation of a layer's units.
#[derive(Debug, Clone, PartialEq)]
pub enum Units {
    /// One function for every unit (source 002).
    Same(Activation),
    /// A function for each unit (source 004).
    Each(Vec<Activation>),
    /// Softmax over the layer: only as the output layer.
    Softmax,
}

impl From<Activation> for Units {
    fn from(activation: Activation) -> Self {
        Units::Same(activation)
    }
}

/// A dense layer: A_l = σ(norm(A_{l−1} Wᵀ ± b) + A_{l−skip}), W: (units, inputs); without
/// normalisation and residual connection A_l = σ(A_{l−1} Wᵀ ± b).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The number of outputs, n_l.
    pub units: usize,
    /// σ.
    pub activation: Units,
    /// The bias convention.
    pub bias: Bias,
    /// How W is drawn.
    pub weight_init: Init,
    /// How b is drawn.
    pub bias_init: Init,
    /// The normalisation of Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// How many layers below lies the one whose outputs are added before σ (He et al. 2016), 0 for
    /// none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub skip: usize,
    /// The fraction of the outputs that dropout drops in training, in [0, 1).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f32,
}

impl Layer {
    /// A layer of `units` units with an added bias of zero and weights drawn as suits `activation`.
    pub fn new(units: usize, activation: impl Into<Units>) -> Self {
        let activation = activation.into();
        let rectifier = match &activation {
            Units::Same(a) => a.is_rectifier(),
            Units::Each(each) => each.iter().any(|a| a.is_rectifier()),
            Units::Softmax => false,
        };
        let selu = activation == Units::Same(Activation::Selu);
        Layer {
            units,
            bias: Bias::Add,
            weight_init: match () {
                () if selu => Init::LecunNormal,
                () if rectifier => Init::KaimingUniform,
                () => Init::XavierUniform,
            },
            bias_init: Init::Zeros,
            norm: None,
            skip: 0,
            dropout: 0.0,
            activation,
        }
    }
}

/// A feed-forward net: input width and layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Net {
    /// The number of feature columns: the width of the input, n_0, where there are no embeddings.
    pub inputs: usize,
    /// What the last feature columns, as many, are turned into: each holds indices of a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embeddings: Vec<Embedding>,
    /// The fraction of the inputs that dropout drops in training, in [0, 1).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input_dropout: f32,
    /// The layers 1…L in order; the last one is the output.
    pub layers: Vec<Layer>,
}

impl Net {
    /// A net without layers yet.
    #[must_use]
    pub fn new(inputs: usize) -> Self {
        Net { inputs, embeddings: Vec::new(), input_dropout: 0.0, layers: Vec::new() }
    }

    /// The net with one more layer behind.
    #[must_use]
    pub fn layer(mut self, units: usize, activation: impl Into<Units>) -> Self {
        self.layers.push(Layer::new(units, activation));
        self
    }

    /// The net with its last feature columns embedded.
    #[must_use]
    pub fn embed(mut self, embeddings: Vec<Embedding>) -> Self {
        self.embeddings = embeddings;
        self
    }

    /// The net with every layer's bias as `bias`.
    #[must_use]
    pub fn bias(mut self, bias: Bias) -> Self {
        self.layers.iter_mut().for_each(|l| l.bias = bias);
        self
    }

    /// The net with dropout of `rate` on the outputs of every hidden layer.
    #[must_use]
    pub fn dropout(mut self, rate: f32) -> Self {
        let hidden = self.layers.len().saturating_sub(1);
        self.layers[..hidden].iter_mut().for_each(|l| l.dropout = rate);
        self
    }

    /// The net with its hidden layers normalised.
    #[must_use]
    pub fn norm(mut self, norm: Option<Norm>) -> Self {
        let hidden = self.layers.len().saturating_sub(1);
        self.layers[..hidden].iter_mut().for_each(|l| l.norm = norm);
        self
    }

    /// The net with residual blocks of `depth` hidden layers each behind the first hidden layer,
    /// which brings the inputs to their width; none with 0.
    #[must_use]
    pub fn residual(mut self, depth: usize) -> Self {
        let hidden = self.layers.len().saturating_sub(1);
        for (l, layer) in self.layers[..hidden].iter_mut().enumerate() {
            layer.skip = if l > 0 && depth > 0 && l % depth == 0 { depth } else { 0 };
        }
        self
    }

    /// Whether the input is the features and every layer σ(A Wᵀ ± b), and no more.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.embeddings.is_empty() && self.layers.iter().all(|l| l.norm.is_none() && l.skip == 0)
    }

    /// Whether a pass in training differs from one that predicts.
    #[must_use]
    pub fn differs_in_training(&self) -> bool {
        self.input_dropout > 0.0
            || self.layers.iter().any(|l| l.dropout > 0.0 || l.norm == Some(Norm::Batch))
    }

    /// The width of the input, n_0: feature columns that aren't embedded, then the dimensions of
    /// every embedding.
    #[must_use]
    pub fn input_width(&self) -> usize {
        let dims = self.embeddings.iter().map(|e| e.dims);
        dims.fold(self.copied_features(), usize::saturating_add)
    }

    /// The feature columns that aren't embedded.
    #[must_use]
    pub fn copied_features(&self) -> usize {
        self.inputs.saturating_sub(self.embeddings.len())
    }

    /// The width of the output, n_L; the input's where there are no layers.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(self.input_width(), |l| l.units)
    }

    /// (n_l, n_{l−1}) of each layer.
    pub fn shapes(&self) -> impl Iterator<Item = (usize, usize)> + Clone {
        let inputs = std::iter::once(self.input_width()).chain(self.layers.iter().map(|l| l.units));
        self.layers.iter().zip(inputs).map(|(layer, cols)| (layer.units, cols))
    }

    /// The number of all parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let tables: usize = self.embeddings.iter().map(Embedding::parameters).sum();
        let layers: usize = self
            .layers
            .iter()
            .zip(self.shapes())
            .map(|(layer, (out, cols))| {
                let bias = if layer.bias == Bias::None { 0 } else { out };
                let norm = if layer.norm.is_some() { 2 * out } else { 0 };
                out * cols + bias + norm
            })
            .sum();
        tables + layers
    }

    /// Checks everything about the net that can be checked without data.
    ///
    /// # Errors
    /// For a net without layers, a width of zero or beyond 2³¹, an embedding without a column or
    /// with an impossible table, softmax in a hidden layer, and a
    /// list of activations that doesn't fit its layer.
    pub fn check(&self) -> Result<()> {
        if self.layers.is_empty() {
            return Err(
                Error::usage("the net has no layers").help("give it at least an output layer")
            );
        }
        if self.inputs == 0 {
            return Err(Error::usage("the net has an input width of 0")
                .help("the data need at least one feature column"));
        }
        check_rate("the input dropout", self.input_dropout)?;
        if self.embeddings.len() > self.inputs {
            let (tables, columns) = (self.embeddings.len(), self.inputs);
            return Err(Error::usage(format!("{tables} embeddings of {columns} feature columns"))
                .help("each takes a column of its own"));
        }
        for (i, embedding) in self.embeddings.iter().enumerate() {
            embedding.check().map_err(|e| e.at(format!("embedding {}", i + 1)))?;
        }
        let last = self.layers.len() - 1;
        for (l, layer) in self.layers.iter().enumerate() {
            let fail = |what: String, help: &str| {
                Err(Error::usage(what).at(format!("layer {}", l + 1)).help(help))
            };
            if layer.units == 0 {
                return fail("a layer of width 0".into(), "every layer needs at least one unit");
            }
            if layer.units > 1 << 31 {
                return fail(format!("a layer of width {}", layer.units), "widths end at 2³¹");
            }
            let place = format!("layer {}", l + 1);
            check_rate("the dropout", layer.dropout).map_err(|e| e.at(&place))?;
            if layer.dropout > 0.0 && l == last {
                return fail(
                    "dropout on the outputs of the net".into(),
                    "dropout is for hidden layers and the inputs",
                );
            }
            if layer.norm.is_some() && l == last {
                return fail(
                    "a normalised output layer".into(),
                    "normalise hidden layers: outputs must be free to take any value",
                );
            }
            if layer.skip > 0 {
                let Some(from) = (l + 1).checked_sub(layer.skip) else {
                    return fail(
                        format!("a residual connection from {} layers below", layer.skip),
                        "it can begin at the inputs at the earliest",
                    );
                };
                let width =
                    from.checked_sub(1).map_or(self.input_width(), |l| self.layers[l].units);
                if width != layer.units || layer.activation == Units::Softmax {
                    return fail(
                        format!("a residual connection from {width} units to {}", layer.units),
                        "give the layers of a residual block the same width",
                    );
                }
            }
            match &layer.activation {
                Units::Softmax if l != last => {
                    return fail(
                        "softmax in a hidden layer".into(),
                        "softmax is for the output layer; choose another activation here",
                    );
                }
                Units::Each(each) if each.len() != layer.units => {
                    return fail(
                        format!("{} activations for {} units", each.len(), layer.units),
                        "give one for every unit, as in 8:relu*4+tanh*4",
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Refuses a rate of dropout outside of [0, 1).
fn check_rate(what: &str, rate: f32) -> Result<()> {
    if (0.0..1.0).contains(&rate) {
        return Ok(());
    }
    Err(Error::usage(format!("{what} is {rate}")).help("it is a fraction from 0 to less than 1"))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(x: &f32) -> bool {
    *x == 0.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none(skip: &usize) -> bool {
    *skip == 0
}

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
            batch_size: 64,
            augment: None,
            micro_batch: None,
            epochs: 10,
            seed: 0,
            shuffle: true,
            plan: PlanKind::Fused,
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
        self.net.differs_in_training() || self.augment.is_some()
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

    /// Checks the net, and the run's settings.
    ///
    /// # Errors
    /// What [`Net::check`] finds; a batch of zero rows; a learning rate or weight decay that is
    /// negative or not a number; what [`GradientEdits::check`] and [`Averaging::check`] find; an
    /// average over epochs with batch normalisation; L-BFGS with what its line search doesn't see;
    /// cross-entropy on probabilities over outputs
    /// that are none.
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
        let changes_steps = !self.edits.is_empty()
            || self.max_norm.is_some()
            || matches!(self.averaging, Averaging::Ema { .. });
        if self.optimizer == Optimizer::Lbfgs && (changes_steps || self.differs_in_training()) {
            return Err(Error::usage("lbfgs beside what changes gradients, steps or the net in training")
                .help("its line search needs the loss as it is: leave out --l1, --clip-…, --gradient-noise, --max-norm, --ema, --augment, dropout and batch normalisation, or take another --optimizer"));
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
        self.check_loss()?;
        self.schedule.check()?;
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

serde_as_text!(Bias, Norm, PlanKind, Units);

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

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Norm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|n| n.name() == name)
            .ok_or_else(|| unknown("normalisation", name, &Self::ALL.map(Self::name)))
    }
}

impl fmt::Display for Bias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bias {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|b| b.name() == name)
            .ok_or_else(|| unknown("bias convention", name, &Self::ALL.map(Self::name)))
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Units::Same(activation) => write!(f, "{activation}"),
            Units::Softmax => f.write_str("softmax"),
            Units::Each(each) => {
                for (i, run) in each.chunk_by(|a, b| a == b).enumerate() {
                    write!(f, "{}{}*{}", if i > 0 { "+" } else { "" }, run[0], run.len())?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Units {
    type Err = Error;

    /// Reads `relu`, `softmax`, or a list over the units such as `relu*4+tanh*3+sine`.
    fn from_str(text: &str) -> Result<Self> {
        if text.trim() == "softmax" {
            return Ok(Units::Softmax);
        }
        if !text.contains(['*', '+']) {
            return text.parse().map(Units::Same);
        }
        let mut each = Vec::new();
        for part in text.split('+') {
            let (name, count) = part.split_once('*').unwrap_or((part, "1"));
            let count =
                count.trim().parse::<usize>().ok().filter(|&c| c <= 1 << 24).ok_or_else(|| {
                    Error::usage(format!("{count:?} is not a number of units"))
                        .help("write for example relu*4+tanh*4")
                })?;
            each.extend(std::iter::repeat_n(name.parse::<Activation>()?, count));
        }
        Ok(Units::Each(each))
    }
}

/// Reads hidden layers as `128:relu,64:tanh`; without an activation `default` stands in.
///
/// # Errors
/// For a width that isn't a number and an unknown activation.
pub fn parse_layers(text: &str, default: &Units) -> Result<Vec<Layer>> {
    if matches!(text.trim(), "" | "none") {
        return Ok(Vec::new());
    }
    let mut layers = Vec::new();
    for (l, part) in text.split(',').enumerate() {
        let (units, activation) = match part.split_once(':') {
            Some((units, activation)) => (units, activation.parse()),
            None => (part, Ok(default.clone())),
        };
        let place = |e: Error| e.at(format!("layer {} of {text:?}", l + 1));
        let units = units.trim().parse::<usize>().map_err(|_| {
            place(
                Error::usage(format!("{units:?} is not a number of units"))
                    .help("write layers as 128:relu,64:tanh"),
            )
        })?;
        layers.push(Layer::new(units, activation.map_err(place)?));
    }
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;

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

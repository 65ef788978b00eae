//! The checks of a spec, each with an error that says what to do.

use super::{Norm, Spec, Units};
use crate::base::error::{Error, Result};
use crate::math::activation::Activation;
use crate::math::loss::Loss;
use crate::math::optim::{Averaging, Optimizer};
use crate::math::schedule::Schedule;
use crate::net::augment::LARGEST;

impl Spec {
    /// Checks the net, and the run's settings.
    ///
    /// # Errors
    /// Those of [`Net::check`]; a batch of zero rows; a learning rate or weight decay that is
    /// negative or not a number; those of [`GradientEdits::check`] and [`Averaging::check`]; an
    /// average over epochs with batch normalization; L-BFGS with changes that its line search doesn't take into
    /// account; cross-entropy on probabilities over outputs that aren't probabilities; f16 with what can only
    /// be trained in f32.
    ///
    /// [`Net::check`]: super::Net::check
    /// [`GradientEdits::check`]: crate::math::optim::GradientEdits::check
    pub fn check(&self) -> Result<()> {
        self.net.check()?;
        self.stopping.check()?;
        if self.batch_size == 0 {
            return Err(
                Error::usage("invalid batch size: 0").help("--batch-size must be at least 1")
            );
        }
        self.check_augment()?;
        self.check_batches()?;
        for (name, value) in [("learning rate", self.lr), ("weight decay", self.weight_decay)] {
            if !value.is_finite() || value < 0.0 {
                return Err(
                    Error::usage(format!("invalid {name}: {value}")).help("it must be 0 or more")
                );
            }
        }
        self.edits.check()?;
        self.averaging.check()?;
        let unseen = self.changes_that_a_line_search_does_not_see();
        if self.optimizer == Optimizer::Lbfgs && !unseen.is_empty() {
            return Err(Error::usage(format!("lbfgs cannot be used with {}", unseen.join(" and ")))
                .at("--optimizer lbfgs")
                .help("its line search needs the unchanged loss: omit the other option (set a preset's to 0 or none), or choose another --optimizer"));
        }
        if matches!(self.averaging, Averaging::Swa { .. }) && self.has_batch_norm() {
            return Err(Error::usage(
                "an average over epochs cannot be used with batch normalization",
            )
            .at("--swa")
            .help("averaged weights have no batch statistics: use --ema, or --norm layer"));
        }
        if let Some(limit) = self.max_norm
            && !(limit.is_finite() && limit > 0.0)
        {
            return Err(Error::usage(format!("invalid max-norm: {limit}"))
                .help("--max-norm must be above 0, usually 1 to 4"));
        }
        self.check_precision()?;
        self.check_loss()?;
        self.schedule.check()?;
        self.check_mixup()?;
        self.check_momentum()?;
        self.check_probabilities()
    }

    /// Refuses micro-batches without rows, and batches that batch normalization can't take.
    fn check_batches(&self) -> Result<()> {
        if self.micro_batch == Some(0) {
            return Err(Error::usage("invalid micro-batch size: 0")
                .help("--micro-batch must be at least 1"));
        }
        if self.batch_size == 1 && self.has_batch_norm() {
            return Err(Error::usage("batch normalization cannot be used with batches of one row")
                .at("--norm batch")
                .help("one row has no variance: use a larger --batch-size, or --norm layer"));
        }
        if self.accumulates() && self.has_batch_norm() {
            return Err(Error::usage("batch normalization cannot be used with micro-batches")
                .at("--micro-batch")
                .help("its statistics would be those of micro-batches: use --norm layer, or omit --micro-batch"));
        }
        Ok(())
    }

    /// Refuses augmentation of data that aren't images for this net, or that leaves little of the images.
    fn check_augment(&self) -> Result<()> {
        let Some((augment, shape)) = &self.augment else { return Ok(()) };
        augment.check()?;
        let [width, height, colours] = shape.map(|n| n as usize);
        let features = width.saturating_mul(height).saturating_mul(colours);
        let largest = LARGEST as usize;
        if features != self.net.inputs || width.max(height) > largest || features == 0 {
            return Err(Error::usage(format!(
                "images of {width} × {height} × {colours} don't fit a net with {} inputs",
                self.net.inputs
            ))
            .at("--augment")
            .help(format!(
                "images must have as many values as the net has inputs, and sides of at most {largest} pixels"
            )));
        }
        let side = width.min(height) as f32;
        if augment.shift > side / 2.0 || augment.cutout >= side {
            return Err(Error::usage(format!("{augment} is too large for images of {width} × {height}"))
                .at("--augment")
                .help("little would be left of them: shift by at most half a side, and cover less than a side"));
        }
        Ok(())
    }

    /// Refuses cross-entropy on probabilities over outputs that aren't probabilities.
    fn check_probabilities(&self) -> Result<()> {
        use Activation::{Gaussian, HardSigmoid, Sigmoid};
        let output = self.net.layers.last().map(|layer| &layer.activation);
        let are_probabilities =
            matches!(output, Some(Units::Softmax | Units::Same(Sigmoid | HardSigmoid | Gaussian)));
        if self.objective.loss == Loss::CrossEntropyProbabilities && !are_probabilities {
            return Err(Error::usage("cross-entropy-probabilities needs outputs in (0, 1]")
                .at("the output layer")
                .help("use softmax or sigmoid as output activation, or the loss cross-entropy, which takes logits"));
        }
        Ok(())
    }

    fn has_batch_norm(&self) -> bool {
        self.net.layers.iter().any(|layer| layer.norm == Some(Norm::Batch))
    }

    /// Refuses mixup with an invalid α or a loss that can't use it, and micro-batches that split a pair.
    fn check_mixup(&self) -> Result<()> {
        let Some(alpha) = self.mixup else { return Ok(()) };
        if !(alpha > 0.0 && alpha.is_finite()) {
            return Err(Error::usage(format!("invalid α of mixup: {alpha}"))
                .at("--mixup")
                .help("it must be above 0, usually 0.1 to 0.4"));
        }
        if self.objective.loss == Loss::Hinge {
            return Err(Error::usage("mixup cannot be used with the loss hinge")
                .at("--mixup")
                .help("hinge takes one class per row: use cross-entropy"));
        }
        if self.accumulates() && !self.rows_at_a_time().is_multiple_of(2) {
            return Err(Error::usage(format!(
                "mixup cannot be used with micro-batches of {} rows",
                self.rows_at_a_time()
            ))
            .at("--micro-batch")
            .help("rows are mixed in pairs: choose an even number"));
        }
        Ok(())
    }

    /// Refuses a momentum cycle without a schedule that it could follow.
    fn check_momentum(&self) -> Result<()> {
        let Some(cycle) = self.cycle_momentum else { return Ok(()) };
        cycle.check()?;
        let fail =
            |what: String, help: &str| Err(Error::usage(what).at("--cycle-momentum").help(help));
        if !matches!(self.schedule, Schedule::OneCycle { .. }) {
            let what =
                format!("a momentum cycle cannot be used with the schedule {}", self.schedule);
            return fail(what, "use --schedule one-cycle, or omit it");
        }
        if self.optimizer.momentum().is_none() {
            let what = format!("a momentum cycle cannot be used with {}", self.optimizer);
            return fail(
                what,
                "it has no momentum, or more than one: use momentum, nesterov, adam or a related optimizer, or rmsprop with --momentum",
            );
        }
        Ok(())
    }

    /// Refuses a loss whose parameter, smoothing or number of outputs makes no sense.
    fn check_loss(&self) -> Result<()> {
        let (loss, smoothing) = (self.objective.loss, self.label_smoothing);
        loss.check()?;
        if !(0.0..1.0).contains(&smoothing) {
            return Err(Error::usage(format!("invalid label smoothing: {smoothing}"))
                .help("--label-smoothing must be at least 0 and below 1, usually 0.1"));
        }
        if smoothing > 0.0 && !loss.takes_smoothing() {
            return Err(Error::usage(format!("label smoothing cannot be used with the loss {}", loss.name()))
                .help("smoothing is for classes: use cross-entropy, binary-cross-entropy, focal or binary-focal"));
        }
        if loss == Loss::GaussianNll && !self.net.outputs().is_multiple_of(2) {
            return Err(Error::usage(format!(
                "gaussian-nll needs an even number of outputs, not {}",
                self.net.outputs()
            ))
            .at("the output layer")
            .help("each target needs two outputs: its mean and the logarithm of its variance"));
        }
        Ok(())
    }

    /// The names of the options that change gradients, steps or the net in training.
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
            (self.has_batch_norm(), "--norm batch"),
        ];
        options.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect()
    }
}

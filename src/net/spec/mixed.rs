//! What can be trained in mixed precision.

use super::{Net, PlanKind, Spec, Units};
use crate::base::error::{Error, Result};
use crate::math::optim::Averaging;
use crate::net::precision::Precision;

impl Net {
    /// The part of the net that has no kernels in f16, for users.
    fn needs_f32(&self) -> Option<&'static str> {
        let any = |f: fn(&super::Layer) -> bool| self.layers.iter().any(f);
        if !self.embeddings.is_empty() {
            Some("embeddings")
        } else if any(|l| l.norm.is_some()) {
            Some("--norm")
        } else if any(|l| l.skip > 0) {
            Some("--residual")
        } else if any(|l| matches!(l.activation, Units::Each(_))) {
            Some("activations that differ within a layer")
        } else if self.input_dropout > 0.0 || any(|l| l.dropout > 0.0) {
            Some("dropout")
        } else {
            None
        }
    }
}

impl Spec {
    /// The setting of the run that has no kernels in f16, for users.
    fn needs_f32(&self) -> Option<&'static str> {
        let run = [
            (self.plan == PlanKind::Plain, "--plan plain"),
            (!self.optimizer.is_element_wise(), "an optimizer of whole tensors"),
            (self.optimizer.state_slots() > 2, "an optimizer with three states"),
            (!self.edits.is_empty(), "--l1, --clip-… or --gradient-noise"),
            (self.max_norm.is_some(), "--max-norm"),
            (self.averaging != Averaging::None, "--ema or --swa"),
            (self.augment.is_some(), "--augment"),
            (self.mixup.is_some(), "--mixup"),
            (self.accumulates(), "--micro-batch"),
        ];
        let of_run = run.into_iter().find(|(is_used, _)| *is_used).map(|(_, what)| what);
        of_run.or_else(|| self.net.needs_f32())
    }

    /// Refuses f16 with what can only be trained in f32, and an invalid loss scale.
    pub(super) fn check_precision(&self) -> Result<()> {
        self.mixed.check()?;
        match self.needs_f32() {
            Some(what) if self.precision == Precision::F16 => {
                Err(Error::usage(format!("--precision f16 cannot be used with {what}"))
                    .help("this requires f32: omit one of the two"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::activation::Activation;
    use crate::math::loss::Loss;
    use crate::math::optim::Optimizer;

    #[test]
    fn what_has_no_kernels_in_f16_is_refused_by_name() {
        let net = || Net::new(4).layer(8, Activation::Relu).layer(2, Activation::Identity);
        let spec = |net| Spec { precision: Precision::F16, ..Spec::new(net, Loss::CrossEntropy) };
        let error = |spec: &Spec| spec.check().unwrap_err().to_string();
        spec(net()).check().unwrap();
        assert!(error(&spec(net().dropout(0.5))).contains("dropout"));
        let clipped = Spec { max_norm: Some(1.0), ..spec(net()) };
        assert!(error(&clipped).contains("--max-norm"));
        let muon = spec(net()).optimizer(Optimizer::Muon { momentum: 0.9 });
        assert!(error(&muon).contains("whole tensors"));
        let in_f32 = Spec { precision: Precision::F32, ..clipped };
        in_f32.check().unwrap();
    }
}

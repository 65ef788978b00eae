//! An op as a line to read: what it computes, with shapes.

use super::{Op, Program};
use crate::kernels::fused::whole_net::Reach;
use crate::kernels::mixed::Mixed;
use crate::kernels::optim::combine::Factors;
use crate::kernels::products::dense::Dense;
use crate::kernels::products::matmul::Form;
use crate::kernels::tensor::{Extent, TensorId};
use std::fmt;

pub(super) struct OpText<'a> {
    pub(super) program: &'a Program,
    pub(super) op: &'a Op,
}

impl OpText<'_> {
    /// Name and shape: `layers.0.weight (128, 784)`.
    fn tensor(&self, id: TensorId) -> String {
        let t = self.program.tensor(id);
        match t.rows {
            Extent::Batch => format!("{} (B, {})", t.name, t.cols),
            Extent::Fixed(rows) => format!("{} ({rows}, {})", t.name, t.cols),
        }
    }

    fn dense(&self, f: &mut fmt::Formatter<'_>, op: &Dense, name: &str) -> fmt::Result {
        let t = |id: &TensorId| self.tensor(*id);
        let from = if op.gathers { "gathered " } else { "" };
        if let Some(parts) = &op.parts {
            let (parts, x, w) = (t(parts), t(&op.input), t(&op.weight));
            return write!(f, "{name:<20} {parts} = stretches of {from}{x} · {w}ᵀ");
        }
        let to = if op.functions.is_some() { op.a } else { op.z };
        write!(f, "{name:<20} {} = ", t(&to))?;
        if let Some(functions) = &op.functions {
            write!(f, "{} of ", functions.units())?;
        }
        write!(f, "{from}{} · {}ᵀ", t(&op.input), t(&op.weight))?;
        match op.bias {
            Some((bias, sign)) if sign < 0.0 => write!(f, " − {}", t(&bias)),
            Some((bias, _)) => write!(f, " + {}", t(&bias)),
            None => Ok(()),
        }
    }

    fn mixed(&self, f: &mut fmt::Formatter<'_>, op: &Mixed) -> fmt::Result {
        let t = |id: &TensorId| self.tensor(*id);
        match op {
            Mixed::Gather { x } => write!(f, "f16 gather           {} = scaled feature rows", t(x)),
            Mixed::Dense { dense, .. } => self.dense(f, dense, "f16 dense"),
            Mixed::Rescale { x, y, loss_scale } => {
                write!(f, "f16 rescale          {} = {} · {}", t(y), t(x), t(loss_scale))
            }
            Mixed::Delta { delta: d, .. } => {
                let (out, above, w) = (t(&d.out), t(&d.above), t(&d.weight));
                write!(
                    f,
                    "f16 delta            {out} = {above} · {w} ⊙ {}′({})",
                    d.functions.units(),
                    t(&d.z)
                )
            }
            Mixed::Update(op) => {
                let (w, shadow) = (t(&op.gradient.weight), t(&op.shadow));
                write!(f, "f16 update           {w}, {shadow} by {}", op.rule.optimizer)
            }
            Mixed::Scale { loss_scale, .. } => {
                write!(f, "f16 loss scale       {} by overflows", t(loss_scale))
            }
        }
    }
}

impl fmt::Display for OpText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = |id: &TensorId| self.tensor(*id);
        match self.op {
            Op::Gather { x } => write!(f, "gather               {} = scaled feature rows", t(x)),
            Op::Augment { x, .. } => {
                write!(f, "augment              {} = augmented feature rows", t(x))
            }
            Op::Embed { place, features, table, x } => write!(
                f,
                "embed                {} = {} at column {} of {}",
                t(x),
                t(table),
                place.column + 1,
                t(features)
            ),
            Op::SortIndices { place, features, order, .. } => write!(
                f,
                "sort indices         {} = rows by column {} of {}",
                t(order),
                place.column + 1,
                t(features)
            ),
            Op::EmbedGradient { order, gradient, out, .. } => {
                write!(f, "embed gradient       {} = {} by {}", t(out), t(gradient), t(order))
            }
            Op::TableGradient { place, features, gradient, out } => write!(
                f,
                "table gradient       {} = {} by column {} of {}",
                t(out),
                t(gradient),
                place.column + 1,
                t(features)
            ),
            Op::Targets { t: out } => write!(f, "targets              {} = target rows", t(out)),
            Op::Matmul { form, a, b, bias, c } => {
                let (name, left, right) = match form {
                    Form::Nn => ("matmul", "", ""),
                    Form::Nt => ("matmul", "", "ᵀ"),
                    Form::Tn => ("outer product", "ᵀ", ""),
                };
                write!(f, "{name:<20} {} = {}{left} · {}{right}", t(c), t(a), t(b))?;
                match bias {
                    Some((bias, sign)) if *sign < 0.0 => write!(f, " − {}", t(bias)),
                    Some((bias, _)) => write!(f, " + {}", t(bias)),
                    None => Ok(()),
                }
            }
            Op::Activation { functions, z, a } => {
                write!(f, "activation           {} = {}({})", t(a), functions.units(), t(z))
            }
            Op::ActivationGradient { functions, z, delta } => {
                write!(f, "δ ⊙ σ′               {} ⊙= {}′({})", t(delta), functions.units(), t(z))
            }
            Op::Softmax { z, y } => write!(f, "softmax              {} = softmax({})", t(y), t(z)),
            Op::SoftmaxGradient { y, delta } => {
                write!(f, "softmax gradient     {} ← Jᵀ {0} at {}", t(delta), t(y))
            }
            Op::Loss { loss, y, t: target, gradient, scores, .. } => write!(
                f,
                "loss                 {}, {} = {}({}, {}) and its gradient",
                t(gradient),
                t(scores),
                loss.name(),
                t(y),
                t(target)
            ),
            Op::Accumulate { scores, sums } => {
                write!(f, "accumulate           {} += Σ {}", t(sums), t(scores))
            }
            Op::ColumnSums { delta, sign, out } => {
                let sign = if *sign < 0.0 { "−" } else { "" };
                write!(f, "column sums          {} = {sign}Σ_rows {}", t(out), t(delta))
            }
            Op::VectorNorm { x, norm, .. } => {
                write!(f, "norm                 {} = ‖{}‖", t(norm), t(x))
            }
            Op::Edit { edit, g } => {
                write!(f, "edit                 {} by {}", t(g), edit.name())?;
                edit.reads().map_or(Ok(()), |other| write!(f, " with {}", t(&other)))
            }
            Op::Average { w, average, .. } => {
                write!(f, "average              {} += ρ ({} − {0})", t(average), t(w))
            }
            Op::Collect { g, total, last: false } => {
                write!(f, "collect              {} += {}", t(total), t(g))
            }
            Op::Collect { g, total, .. } => {
                write!(f, "collect              {} += {}, {1} = 0", t(g), t(total))
            }
            Op::Swap { a, b } => write!(f, "swap                 {} and {}", t(a), t(b)),
            Op::Direction { rule, g, u, .. } => {
                write!(f, "direction            {} by {} with {}", t(u), rule.optimizer, t(g))
            }
            Op::Combine { factors: Factors::Fixed([a, b]), x, y } => {
                write!(f, "combine              {} = {a} · {0} + {b} · {}", t(x), t(y))
            }
            Op::Combine { x, y, .. } => write!(f, "step                 {} along {}", t(x), t(y)),
            Op::Update { rule, w, g, .. } => {
                write!(f, "update               {} by {} with {}", t(w), rule.optimizer, t(g))
            }
            Op::Add { y, x } => write!(f, "add                  {} += {}", t(x), t(y)),
            Op::BatchStatistics { z, statistics, running } => {
                write!(f, "batch statistics     {}, {} of {}", t(statistics), t(running), t(z))
            }
            Op::Normalize(op) => {
                let over = if op.statistics.is_some() { "batch" } else { "layer" };
                write!(f, "{over} norm           {} of {}", t(&op.out), t(&op.z))
            }
            Op::NormalizeSums(op) => {
                write!(f, "norm sums            {}, {}", t(&op.scale), t(&op.shift))
            }
            Op::NormalizeGradient(op) => {
                write!(f, "norm gradient        {} from {}", t(&op.delta), t(&op.gradient))
            }
            Op::Dropout { dropout, x } => {
                write!(f, "dropout              {} with {} dropped", t(x), dropout.rate)
            }
            Op::Mixup { x } => write!(f, "mixup                {} two rows at a time", t(x)),
            Op::MaxNorm { w, limit } => {
                write!(f, "max-norm             {} to {limit} for each unit", t(w))
            }
            Op::WholeNet(net) => {
                let reach = match net.reach() {
                    Reach::Outputs => "",
                    Reach::Loss => ", loss",
                    Reach::Deltas => ", loss, δ of all layers",
                };
                write!(
                    f,
                    "whole net            gather, {}{} layers{reach}: {} rows at a time",
                    if net.embedded.is_some() { "embed, " } else { "" },
                    net.layers.len(),
                    net.block
                )
            }
            Op::GradientUpdate(update) => {
                let rule = update.rule.optimizer;
                write!(f, "gradient + update    {} layers by {rule}", update.layers.len())?;
                let with = &update.with;
                if let Some(collected) = &with.collected {
                    write!(f, ", with {}", t(collected))?;
                }
                if with.l1 != 0.0 {
                    write!(f, ", sign penalty")?;
                }
                if with.clip_value.is_some() {
                    write!(f, ", clip by value")?;
                }
                if let Some(u) = &with.direction {
                    write!(f, ", direction to {}", t(u))?;
                }
                with.average.map_or(Ok(()), |(_, average)| write!(f, ", {}", t(&average)))
            }
            Op::GradientParts(op) => {
                let equals = if op.adds { "+=" } else { "=" };
                let (parts, layers) = (t(&op.parts), op.layers.len());
                let rows = op.rows;
                write!(
                    f,
                    "gradient parts       {parts} {equals} of {layers} layers, {rows} rows each"
                )?;
                op.collected.map_or(Ok(()), |collected| write!(f, ", with {}", t(&collected)))
            }
            Op::SumUpdate(op) => {
                write!(f, "sum + update         Σ {} by {}", t(&op.parts), op.rule.optimizer)
            }
            Op::Dense(op) => self.dense(f, op, "dense"),
            Op::Mixed(op) => self.mixed(f, op),
            Op::Output(op) => {
                write!(f, "output               ")?;
                if let Some(delta) = op.delta {
                    write!(f, "{}, ", t(&delta))?;
                }
                write!(f, "{} = {} at {}", t(&op.scores), op.loss.name(), t(&op.y))?;
                op.parts.map_or(Ok(()), |parts| write!(f, " of Σ {}", t(&parts.sums)))
            }
            Op::Backward(op) => {
                write!(f, "backward             ")?;
                if let Some(d) = &op.delta {
                    let (out, above, w) = (t(&d.out), t(&d.above), t(&d.weight));
                    write!(f, "{out} = {above} · {w} ⊙ {}′({})", d.functions.units(), t(&d.z))?;
                }
                for (i, u) in op.updates.iter().enumerate() {
                    let between = if i > 0 || op.delta.is_some() { "; " } else { "" };
                    write!(f, "{between}{}", t(&u.weight))?;
                    match op.parts {
                        Some(parts) if parts.count == 1 => write!(f, ", its gradient")?,
                        Some(parts) => write!(f, " in {} parts", parts.count)?,
                        None => write!(f, " by {}", op.rule.optimizer)?,
                    }
                }
                Ok(())
            }
            Op::Nonfinite { x, found } => {
                write!(f, "nonfinite            {} of {}", t(found), t(x))
            }
            Op::Uniform { out, .. } => {
                write!(f, "uniform              {} = random numbers", t(out))
            }
            Op::Permutation { out } => write!(f, "permutation          {} = shuffled rows", t(out)),
        }
    }
}

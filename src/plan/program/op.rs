//! The ops that programs consist of, in one table.
//!
//! An entry has the equation, the operands with what the op does to each, its line of text, and the function that
//! launches it on a GPU. `given` operands are constants of the op; it `reads`, `writes` or `changes` tensors:
//! changes them in place, each element read and written by one invocation or workgroup. If an op touches only parts
//! of tensors, `touches` says which. In launches, `on` is `Launching`: the shapes, precisions, tiles and data set of the
//! device; its `in_parts` cuts elements to what one binding holds. Composite ops, such as all fused ones, are structures, described in the same
//! way by modules of [`composite`].

use super::composite;
use super::operand::{Effects, Launching, Named, Text};
use super::{Program, Task};
use crate::kernels::Launch;
use crate::kernels::common::random::{self, PERMUTATION, UNIFORM};
use crate::kernels::fused::gradient::{GradientParts, SumUpdate};
use crate::kernels::fused::whole_net::WholeNet;
use crate::kernels::inputs::embed::{self, Lookup, TableGradients};
use crate::kernels::inputs::{augment, gather, mixup};
use crate::kernels::layers::activation::{self, ACTIVATION, ACTIVATION_GRADIENT, UnitFunctions};
use crate::kernels::layers::dropout::{self, Dropout};
use crate::kernels::layers::norm::{self, Normalized, NormalizedGradient};
use crate::kernels::layers::softmax::{self, SOFTMAX, SOFTMAX_GRADIENT};
use crate::kernels::layers::{add, nonfinite};
use crate::kernels::loss::{self, output::Output};
use crate::kernels::mixed;
use crate::kernels::optim::average::{self, Share};
use crate::kernels::optim::combine::{self, Factors};
use crate::kernels::optim::edits::{self, Edit};
use crate::kernels::optim::gradient_update::{Companions, GradientUpdate};
use crate::kernels::optim::{collect, direction, max_norm, optimizer, vector_norm};
use crate::kernels::products::backward::Backward;
use crate::kernels::products::dense::Dense;
use crate::kernels::products::matmul::{self, Form};
use crate::kernels::products::sums;
use crate::kernels::tensor::TensorId;
use crate::math::loss::Loss;
use crate::math::optim::UpdateRule;
use crate::net::augment::Augmentation;
use crate::net::precision::Precision;
use std::fmt::{self, Formatter};
use std::ops::Range;

/// The type of an operand: a tensor, unless a type is given.
macro_rules! operand {
    () => {
        TensorId
    };
    ($type:ty) => {
        $type
    };
}

/// The effects of an op: those of its operands, or its own.
macro_rules! effects {
    ($program:ident [$($role:ident $field:ident)*]) => {{
        let mut effects = Effects::of($program);
        $(effects.$role($field);)*
        effects.task()
    }};
    ($program:ident [$($role:ident $field:ident)*] $by:ident $touches:expr) => {{
        let $by = $program;
        $touches
    }};
}

macro_rules! ops {
    (
        simple { $(
            $(#[$equation:meta])*
            $name:ident { $($role:ident $field:ident $(: $type:ty)?),* }
            $label:expr, $text:literal $(with $($part:expr),*)?;
            $(touches |$by:ident| $touches:expr;)?
            launches |$on:ident| $launches:expr;
        )* }
        composite { $(
            $(#[$product:meta])*
            $composite:ident($kind:ty) by $module:ident;
        )* }
    ) => {
        /// One operation of a program.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs, reason = "the fields are named as in the equation above each op")]
        pub enum Op {
            $($(#[$equation])* $name { $($field: operand!($($type)?)),* },)*
            $($(#[$product])* $composite(Box<$kind>),)*
        }

        #[allow(unused_variables, reason = "not every entry names all operands")]
        impl Op {
            /// Every tensor of the op.
            #[must_use]
            pub fn tensors_mut(&mut self) -> Vec<&mut TensorId> {
                match self {
                    $(Op::$name { $($field),* } => {
                        let mut named = Named::default();
                        $(named.$role($field);)*
                        named.tensors()
                    })*
                    $(Op::$composite(op) => composite::$module::tensors_mut(op),)*
                }
            }

            /// See [`Program::effects`].
            pub(super) fn effects(&self, program: &Program) -> Vec<Task> {
                match self {
                    $(Op::$name { $($field),* } => {
                        effects!(program [$($role $field)*] $($by $touches)?)
                    })*
                    $(Op::$composite(op) => composite::$module::effects(op, program),)*
                }
            }

            /// See [`Program::launches`].
            pub(super) fn launches(&self, launching: &Launching<'_>) -> Vec<Launch> {
                match self {
                    $(Op::$name { $($field),* } => {
                        let $on = launching;
                        Vec::from_iter($launches)
                    })*
                    $(Op::$composite(op) => vec![composite::$module::launch(op, launching)],)*
                }
            }

            /// Writes what it computes as a line of text, with shapes.
            pub(super) fn line(&self, text: &Text<'_>, f: &mut Formatter<'_>) -> fmt::Result {
                match self {
                    $(Op::$name { $($field),* } => {
                        $(let $field = text.$role($field);)*
                        write!(f, "{:<20} ", $label)?;
                        write!(f, $text $($(, $part)*)?)
                    })*
                    $(Op::$composite(op) => composite::$module::line(op, text, f),)*
                }
            }
        }
    };
}

ops! {
    simple {
        /// x = the features of the batch's rows, scaled: (B, n_0).
        Gather { writes x }
        "gather", "{x} = scaled feature rows";
        launches |on| [match on.precision(*x) {
            Precision::F32 => gather::launch_features(*x, on.cols(*x), on.storage.bytes),
            Precision::F16 => mixed::launch_gather(*x, on.cols(*x), on.storage.bytes),
        }];

        /// x = each row's index replaced by its row of a table, after the columns before it: (B, n_0).
        Embed { given lookup: Lookup, reads features, reads table, writes x }
        "embed", "{x} = {table} at column {} of {features}" with lookup.column + 1;
        touches |program| match lookup.copies {
            true => program.task(&[*features, *table], &[*x], &[]),
            false => program.task(&[*features, *table], &[], &[*x]),
        };
        launches |on| [embed::launch(*lookup, [*features, *table, *x])];

        /// tables = ∂E/∂table of each: (values, dims), from gradient = ∂E/∂x: (B, n_0) by the rows of each index.
        EmbedGradient { reads features, reads gradient, writes tables: TableGradients }
        "embed gradient", "{tables} = {gradient} by {features}";
        touches |program| {
            program.task(&[*features, *gradient], &Vec::from_iter(tables.tensors()), &[])
        };
        launches |on| {
            let of_rows = [*features, *gradient];
            embed::launches_gradient(tables, of_rows, on.program.batch, |id| on.layout(id).0)
        };

        /// x = the features of the batch's images, each augmented: (B, n_0).
        Augment { given augmentation: Augmentation, writes x }
        "augment", "{x} = augmented feature rows";
        launches |on| [augment::launch(augmentation, *x)];

        /// t = the targets of the batch's rows: (B, targets).
        Targets { writes t }
        "targets", "{t} = target rows";
        launches |on| [gather::launch_targets(*t, on.cols(*t), on.storage.classes)];

        /// c = a·b, a·bᵀ or aᵀ·b, ± bias.
        Matmul { given form: Form, reads a, reads b, reads bias: Option<(TensorId, f32)>, writes c }
        if *form == Form::Tn { "outer product" } else { "matmul" },
        "{c} = {a}{} · {b}{}{bias}" with transposed(*form == Form::Tn), transposed(*form == Form::Nt);
        launches |on| {
            let shape = on.program.matmul_shape(*form, *a, *c);
            matmul::launches(shape, on.program.batch, [*a, *b, *c], *bias, on.tuning)
        };

        /// a = σ(z): (B, n_l).
        Activation { reads functions: UnitFunctions, reads z, writes a }
        "activation", "{a} = {functions}({z})";
        launches |on| [activation::launch(&ACTIVATION, functions, *z, *a, on.cols(*z))];

        /// δ ← δ ⊙ σ′(z): (B, n_l).
        ActivationGradient { reads functions: UnitFunctions, reads z, changes delta }
        "δ ⊙ σ′", "{delta} ⊙= {functions}′({z})";
        launches |on| [activation::launch(&ACTIVATION_GRADIENT, functions, *z, *delta, on.cols(*z))];

        /// y = softmax(z): (B, n_L).
        Softmax { reads z, writes y }
        "softmax", "{y} = softmax({z})";
        launches |on| [softmax::launch(&SOFTMAX, *z, *y, on.cols(*z))];

        /// δ ← Jᵀ δ with the Jacobian of softmax at y: (B, n_L).
        SoftmaxGradient { reads y, changes delta }
        "softmax gradient", "{delta} ← Jᵀ {delta} at {y}";
        launches |on| [softmax::launch(&SOFTMAX_GRADIENT, *y, *delta, on.cols(*y))];

        /// gradient = ∂E/∂y: (B, n_L), and the scores of each row: (B, 4).
        Loss { given loss: Loss, reads y, reads t, reads unit, writes gradient, writes scores }
        "loss", "{gradient}, {scores} = {}({y}, {t}) and its gradient" with loss.name();
        launches |on| {
            let tensors = [*y, *t, *unit, *gradient, *scores];
            [loss::launch(*loss, tensors, on.cols(*y), on.storage.weighted)]
        };

        /// sums += Σ_rows scores: (1, 4).
        Accumulate { reads scores, changes sums }
        "accumulate", "{sums} += Σ {scores}";
        launches |on| loss::launches_accumulate(*scores, *sums, on.program.batch);

        /// out = ± Σ_rows δ: (1, n_l).
        ColumnSums { reads delta, given sign: f32, writes out }
        "column sums", "{out} = {}Σ_rows {delta}" with if *sign < 0.0 { "−" } else { "" };
        launches |on| sums::launches(*delta, *out, on.cols(*delta), *sign, on.program.batch);

        /// norm = ‖x‖₂: (1, 1); partial: a partial sum for each chunk of x.
        VectorNorm { reads x, writes partial, writes norm }
        "norm", "{norm} = ‖{x}‖";
        launches |on| vector_norm::launches([*x, *partial, *norm], on.program.len(*x), on.largest);

        /// g ← g after an edit, before the optimizer's step.
        Edit { reads edit: Edit, changes g }
        "edit", "{g} by {edit}";
        launches |on| on.in_parts(*g, |start, len| edits::launch(*edit, *g, start, len));

        /// The optimizer's step on elements `range` of all parameters in one row, which begin at a multiple of
        /// [`ALIGNMENT`](crate::kernels::tensor::ALIGNMENT).
        Update { given rule: UpdateRule, changes w, reads g, changes state: [TensorId; 3], given range: Range<usize> }
        "update", "{w} by {} with {g}" with rule.optimizer;
        touches |program| program.step(*rule, *w, *g, state, range);
        launches |on| on.in_parts_of(range.len(), |start, len| {
            optimizer::launch(*rule, [*w, *g], *state, range.start + start, len)
        });

        /// u = the direction of LAMB or Muon; its states start at element `at`.
        Direction { given rule: UpdateRule, reads w, reads g, changes state: [TensorId; 2], given at: usize, writes u }
        "direction", "{u} by {} with {g}" with rule.optimizer;
        touches |program| {
            let end = at.saturating_add(program.len(*w));
            let mut tasks = program.task(&[*w, *g], &[*u], &[]);
            tasks[0].changes.extend(state.iter().map(|id| program.slice(*id, *at..end)));
            tasks
        };
        launches |on| on.in_parts(*w, |start, len| {
            direction::launch(*rule, [*w, *g, *u], *state, *at, start, len)
        });

        /// x ← α x + β y.
        Combine { reads factors: Factors, changes x, reads y }
        "combine", "{x} and {y} by {factors}";
        launches |on| on.in_parts(*x, |start, len| combine::launch(*factors, *x, *y, start, len));

        /// average ← average + ρ (w − average), for all parameters in one row.
        Average { given share: Share, reads w, changes average }
        "average", "{average} += ρ ({w} − {average})";
        launches |on| on.in_parts(*w, |start, len| average::launch(*share, *w, *average, start, len));

        /// Exchanges a and b.
        Swap { changes a, changes b }
        "swap", "{a} and {b}";
        launches |on| on.in_parts(*a, |start, len| average::launch_swap(*a, *b, start, len));

        /// total += g, or after the last micro-batch of a batch g += total, total = 0: (1, len).
        Collect { changes g, changes total, given last: bool }
        "collect", "{}" with if *last { format!("{g} += {total}, {total} = 0") } else { format!("{total} += {g}") };
        launches |on| on.in_parts(*g, |start, len| collect::launch(*g, *total, *last, start, len));

        /// x ← (1 − m) x + m x′ with x′ the other row of a pair: (B, n).
        Mixup { changes x }
        "mixup", "{x} two rows at a time";
        launches |on| [mixup::launch(*x, on.cols(*x))];

        /// x ← x ⊙ m / (1 − p): (B, n).
        Dropout { given dropout: Dropout, changes x }
        "dropout", "{x} with {} dropped" with dropout.rate;
        launches |on| [dropout::launch(*dropout, *x, on.cols(*x))];

        /// w ← w · min(1, limit / ‖w‖) for each unit: (n_l, n_{l−1}).
        MaxNorm { changes w, given limit: f32 }
        "max-norm", "{w} to {limit} for each unit";
        launches |on| [max_norm::launch(*w, on.shape(*w), *limit)];

        /// x += y: (B, n_l).
        Add { reads y, changes x }
        "add", "{x} += {y}";
        launches |on| [add::launch(*y, *x, on.cols(*x))];

        /// statistics = mean and variance of each unit over the batch: (2, n_l), and their running
        /// averages: (2, n_l).
        BatchStatistics { reads z, writes statistics, changes running }
        "batch statistics", "{statistics}, {running} of {z}";
        launches |on| [norm::launch_statistics([*z, *statistics, *running], on.cols(*z))];

        /// y = S x: (B, n_L), x in f32, y in f16.
        Rescale { reads x, writes y, changes loss_scale }
        "rescale", "{y} = {x} · {loss_scale}";
        launches |on| [mixed::launch_rescale([*x, *y, *loss_scale], on.cols(*x))];

        /// S and its counts at the end of a step: halved after an overflow, doubled after `interval` steps
        /// without one.
        LossScale { changes loss_scale, given interval: u32 }
        "loss scale", "{loss_scale} by overflows";
        launches |on| [mixed::launch_scale(*loss_scale, *interval)];

        /// found = the first column of each row in which x is NaN or infinite, −1 if there is none:
        /// (B, 1) or (rows, 1).
        Nonfinite { reads x, writes found }
        "nonfinite", "{found} of {x}";
        launches |on| [nonfinite::launch(*x, *found, on.program.tensor(*x).rows, on.cols(*x))];

        /// out = uniform random numbers in [0, 1).
        Uniform { given key: [u32; 2], writes out }
        "uniform", "{out} = random numbers";
        launches |on| [random::launch(&UNIFORM, *out, on.cols(*out), *key)];

        /// out = the rows of the data set at the batch's positions: (B, 1).
        Permutation { writes out }
        "permutation", "{out} = shuffled rows";
        launches |on| [random::launch(&PERMUTATION, *out, 1, [0; 2])];

    }
    composite {
        /// normal = (z − mean) / deviation, out = scale · normal + shift: (B, n_l).
        Normalize(Normalized) by normalize;
        /// The gradients of scale and shift: (1, n_l).
        NormalizeSums(NormalizedGradient) by normalize_sums;
        /// delta = ∂E/∂z from ∂E/∂out: (B, n_l).
        NormalizeGradient(NormalizedGradient) by normalize_gradient;
        /// Gather, forward, loss and backward to all δ, a block of rows at a time.
        WholeNet(WholeNet) by whole_net;
        /// All gradients of all parameters, each immediately followed by the optimizer's step; and
        /// sums += Σ_rows scores.
        GradientUpdate(GradientUpdate) by gradient_update;
        /// The same without the step, separately for each part of the batch.
        GradientParts(GradientParts) by gradient_parts;
        /// The sums over the parts of all gradients, each immediately followed by the optimizer's step.
        SumUpdate(SumUpdate) by sum_update;
        /// z = input·weightᵀ ± bias, a = σ(z); the first layer gathers its input.
        Dense(Dense) by dense;
        /// The loss with its scores, and δ_L from the targets of the data set.
        Output(Output) by output;
        /// Backward by data, δ_l from δ_{l+1}, and by weights: the updates of layers whose weights no later op reads.
        Backward(Backward) by backward;
    }
}

/// The mark of a transposed matrix, if it is transposed.
fn transposed(is_transposed: bool) -> &'static str {
    if is_transposed { "ᵀ" } else { "" }
}

impl Op {
    /// Whether GPUs have a kernel for it: the CPU's `WholeNet` and updates do more in one op.
    #[must_use]
    pub fn runs_on_gpus(&self) -> bool {
        match self {
            Op::WholeNet(op) => op.runs_on_gpus(),
            Op::GradientUpdate(op) => op.norms.is_empty() && op.with == Companions::default(),
            Op::GradientParts(op) => op.norms.is_empty() && !op.adds && op.collected.is_none(),
            _ => true,
        }
    }

    /// Whether it draws random numbers from its own seed.
    #[must_use]
    pub fn draws(&self) -> bool {
        match self {
            Op::Augment { .. } | Op::Dropout { .. } | Op::Uniform { .. } => true,
            Op::Edit { edit, .. } => matches!(edit, Edit::Noise { .. }),
            Op::GradientUpdate(op) => op.with.noise.is_some(),
            Op::WholeNet(op) => {
                let dropout = op.layers.iter().map(|layer| layer.dropout).chain([op.input_dropout]);
                op.augmentation.is_some() || dropout.flatten().next().is_some()
            }
            _ => false,
        }
    }
}

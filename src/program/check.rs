//! What backends rely on: that what an op writes is nothing else that it uses.

use super::{Op, Program};
use crate::data::Storage;
use crate::error::{Error, Result};
use crate::kernels::fused::{self, ParameterGradient, Rows};
use crate::kernels::mixed::Mixed;
use crate::kernels::tile::Tuning;
use crate::kernels::{Access, Arg, sort_indices};
use crate::tensor::TensorId;
use std::ops::Range;

/// A tensor as an op names it, with its elements in its buffer.
type Use = (TensorId, Range<usize>, Access);

impl Program {
    /// Checks what backends rely on: no op writes what it also reads, as the same tensor or as another, or
    /// twice; and its numbers are such that kernels can count them.
    ///
    /// # Errors
    /// For such an op, with its place.
    pub fn check(&self) -> Result<()> {
        for (i, op) in self.ops.iter().enumerate() {
            let at = || format!("op {i}: {}", self.describe(op));
            let fail = |what: &str| Err(Error::usage(what).at(at()));
            let whole = |(id, access)| (id, self.range(id, self.batch), access);
            // Between the launches of an op stands a barrier: one may read what another wrote.
            let different = |a: &Use, b: &Use| a.0 != b.0;
            let every = |_: &Use, _: &Use| true;
            if self.launched(op).any(|uses| self.overlap(&uses, every))
                || self.overlap(&Vec::from_iter(self.uses(op).into_iter().map(whole)), different)
                || self.overlap(&Vec::from_iter(named(op).into_iter().map(whole)), every)
            {
                return fail("an op writes a tensor that overlaps another of its own");
            }
            match op {
                Op::Rows(rows) if !(1..=fused::LARGEST_BLOCK).contains(&rows.block) => {
                    return fail("a block of too few or too many rows");
                }
                Op::SortIndices { .. } if self.batch > sort_indices::MOST_ROWS => {
                    let what = format!("embeddings of a batch of {} rows", self.batch);
                    return Err(Error::usage(what).at(at()).help(
                        "up to 2²⁴ rows can be sorted: choose a smaller --batch-size or --micro-batch",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What each launch of an op binds.
    fn launched(&self, op: &Op) -> impl Iterator<Item = Vec<Use>> {
        let launches = self.launches(op, Storage::default(), usize::MAX, &Tuning::default());
        launches.into_iter().map(|launch| {
            let args = launch.args.iter().zip(launch.kernel.bindings);
            let bound = args.filter_map(|(arg, binding)| match *arg {
                Arg::Tensor(id) => Some((id, self.range(id, self.batch), binding.access)),
                Arg::Part(id, start, len) => {
                    // Saturates, as sizes do that no machine can hold.
                    let first = self.tensor(id).offset.saturating_add(start);
                    Some((id, first..first.saturating_add(len), binding.access))
                }
                _ => None,
            });
            bound.collect()
        })
    }

    /// Whether two of these that are `compared` have an element in common that is written.
    fn overlap(&self, uses: &[Use], compared: impl Fn(&Use, &Use) -> bool) -> bool {
        let common = |a: &Use, b: &Use| {
            let same = self.tensor(a.0).buffer == self.tensor(b.0).buffer;
            same && a.1.start < b.1.end && b.1.start < a.1.end
        };
        let written = |a: &Use, b: &Use| [a.2, b.2].contains(&Access::ReadWrite);
        uses.iter().enumerate().any(|(n, a)| {
            uses[n + 1..].iter().any(|b| compared(a, b) && written(a, b) && common(a, b))
        })
    }
}

/// All tensors that an op names, but those that others of them lie in, where its launches bind only these,
/// or not all at once. What an op may do in place is one tensor of its own.
fn named(op: &Op) -> Vec<(TensorId, Access)> {
    use Access::{Read, ReadWrite};
    let mut named = Vec::new();
    let (read, written): (Vec<_>, Vec<_>) = match op {
        Op::SortIndices { features, order, spare, .. } => (vec![*features], vec![*order, *spare]),
        // Of a tensor that ends before `from` no launch binds anything.
        Op::Update { w, g, state: [first, second, third], .. } => {
            (vec![*g], vec![*w, *first, *second, *third])
        }
        Op::Rows(op) => return of_rows(op),
        Op::GradientUpdate(op) => {
            named.extend(op.layers.iter().flat_map(of_layer));
            let [scores, sums] = op.scores.map_or([None; 2], |ids| ids.map(Some));
            (scores.into_iter().collect(), op.state.into_iter().chain(sums).collect())
        }
        Op::GradientParts(op) => {
            named.extend(op.layers.iter().flat_map(of_layer));
            let [scores, sums] = op.scores;
            (vec![scores], vec![op.parts, sums])
        }
        Op::Backward(op) => {
            named.extend(op.updates.iter().flat_map(of_layer));
            let (delta, parts) = (op.delta.as_ref(), op.parts.map(|parts| parts.sums));
            let written = op.state.into_iter().chain(delta.map(|d| d.out)).chain(parts);
            (delta.map_or(vec![], |d| vec![d.above, d.weight, d.z]), written.collect())
        }
        Op::Mixed(op) => match &**op {
            Mixed::Update(op) => {
                named.extend(of_layer(&op.gradient));
                (vec![op.loss_scale], op.state.into_iter().chain([op.shadow]).collect())
            }
            _ => return named,
        },
        _ => return named,
    };
    named.extend(read.into_iter().map(|id| (id, Read)));
    named.extend(written.into_iter().map(|id| (id, ReadWrite)));
    named
}

/// Those of an update.
fn of_layer(layer: &ParameterGradient) -> Vec<(TensorId, Access)> {
    let read = [layer.delta, layer.input].map(|id| (id, Access::Read));
    let written = [Some(layer.weight), layer.bias.map(|(bias, _)| bias)];
    let written = written.into_iter().flatten().map(|id| (id, Access::ReadWrite));
    read.into_iter().chain(written).collect()
}

/// Those of a fused pass: A may take the place of Z, and the last δ that of the loss's gradient.
fn of_rows(op: &Rows) -> Vec<(TensorId, Access)> {
    let (computed, layers) = op.layers.split_at(op.from.min(op.layers.len()));
    let mut read = vec![op.unit];
    let mut written = vec![op.t, op.scores];
    match computed.last() {
        None => written.push(op.x),
        Some(below) => {
            read.extend([below.z, below.a]);
            written.extend(below.delta);
        }
    }
    for layer in layers {
        read.push(layer.weight);
        read.extend(layer.bias.map(|(bias, _)| bias));
        let in_place = layer.a == layer.z && layer.functions.is_some();
        written.extend(
            [Some(layer.z), (!in_place).then_some(layer.a), layer.delta].into_iter().flatten(),
        );
    }
    let last = op.layers.last().and_then(|layer| layer.delta);
    written.extend((last != Some(op.gradient)).then_some(op.gradient));
    let read = read.into_iter().map(|id| (id, Access::Read));
    read.chain(written.into_iter().map(|id| (id, Access::ReadWrite))).collect()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;

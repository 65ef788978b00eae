//! The ops up to the gradients, cut into pieces: the gradients of the last layers are final while those of the
//! layers below are still computed.

use super::Plan;
use crate::kernels::fused::gradient::GradientParts;
use crate::kernels::tensor::ALIGNMENT;
use crate::plan::program::{Op, Slice, Task};
use std::ops::Range;

/// Consecutive ops, and the gradients that no later op up to the update writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The ops; none if the gradients are final with those of the piece before.
    pub ops: Range<usize>,
    /// Elements of the row of all gradients, from the start of a tensor to the start of another or to the end.
    pub bucket: Range<usize>,
}

impl Plan {
    /// Cuts the ops up to the gradients into pieces, whose buckets have each gradient once: one piece after the other
    /// computes the same bits as all ops at once. Layers are grouped from the last one down, so that the weights of
    /// a bucket are at least `least` elements; all other parameters are in one bucket. An op that
    /// computes the gradients of several buckets is divided.
    ///
    /// Empty, with nothing changed, for a plan that doesn't keep gradients, and where all are final at once.
    pub fn cut(&mut self, least: usize) -> Vec<Piece> {
        let Some(all) = self.gradients else { return Vec::new() };
        let buckets = self.buckets(self.program.len(all), least);
        if buckets.len() <= 2 {
            return Vec::new();
        }
        self.divide(&buckets);
        let p = &self.program;
        let ops = p.routines.step.start..p.routines.update.start;
        let writes = |i: usize, bucket: &Slice| {
            let tasks = p.effects(&p.ops[i]);
            tasks.iter().flat_map(Task::written).any(|slice| p.overlap(slice, bucket))
        };
        let end = |range: &Range<usize>| {
            let bucket = Slice { tensor: all, range: range.clone() };
            ops.clone().rev().find(|&i| writes(i, &bucket)).map_or(ops.start, |last| last + 1)
        };
        let mut ends: Vec<_> = buckets.into_iter().map(|bucket| (end(&bucket), bucket)).collect();
        ends.sort_by_key(|(end, _)| *end);
        if ends.first().map(|(end, _)| end) == ends.last().map(|(end, _)| end) {
            return Vec::new();
        }
        if let Some((last, _)) = ends.last_mut() {
            *last = ops.end;
        }
        let mut start = ops.start;
        let piece = |(end, bucket)| Piece { ops: std::mem::replace(&mut start, end)..end, bucket };
        ends.into_iter().map(piece).collect()
    }

    /// The weights of the last layers, of those below and so on, and then all other parameters.
    fn buckets(&self, len: usize, least: usize) -> Vec<Range<usize>> {
        let p = &self.program;
        let weights = self.layers.iter().map(|layer| p.range(layer.weight, 0));
        let behind = weights.clone().map(|weight| weight.end).max().unwrap_or(0);
        let others = behind.next_multiple_of(ALIGNMENT).min(len);
        let (mut buckets, mut end) = (Vec::new(), others);
        for start in weights.map(|weight| weight.start).rev() {
            if end - start >= least || start == 0 {
                buckets.push(start..end);
                end = start;
            }
        }
        buckets.push(others..len);
        buckets
    }

    /// Divides the op of all gradients of a whole net between the buckets. On a GPU it also sums the scores, for small
    /// nets only, and stays as it is.
    fn divide(&mut self, buckets: &[Range<usize>]) {
        let p = &mut self.program;
        let mut ops = p.routines.step.start..p.routines.update.start;
        let whole = ops.find_map(|at| match &p.ops[at] {
            Op::GradientParts(op) if op.scores.is_none() => Some((at, (**op).clone())),
            _ => None,
        });
        let Some((at, mut whole)) = whole else { return };
        let (mut layers, norms) =
            (std::mem::take(&mut whole.layers), std::mem::take(&mut whole.norms));
        let each = buckets.iter().map(|bucket| {
            let is_inside = |id| bucket.contains(&p.tensor(id).offset);
            let layers = layers.extract_if(.., |layer| is_inside(layer.weight)).collect();
            GradientParts { layers, ..whole.clone() }
        });
        let mut divided: Vec<_> = each.filter(|op| !op.layers.is_empty()).collect();
        if let Some(last) = divided.last_mut() {
            last.norms = norms;
        }
        p.replace(at, divided.into_iter().map(|op| Op::GradientParts(Box::new(op))).collect());
    }
}

//! The rules of a small net on a GPU, after the rule of whole nets: what its two kernels do, or else why not.

use super::{Refused, Routine, ensure};
use crate::kernels::fused::gradient::{GradientParts, SumUpdate, part_rows_of_net};
use crate::kernels::fused::whole_net::{self, WholeNet};
use crate::kernels::optim::gradient_update::{Companions, GradientUpdate};
use crate::kernels::tensor::{Extent, Role};
use crate::plan::program::Op;

impl Routine {
    /// On a GPU: the step of a small net, with the scores beside the gradients. A long batch would leave
    /// too few blocks of gradients: it is split into parts ([`part_rows_of_net`]), which another launch sums.
    pub(super) fn whole_net_on_gpu(&mut self, largest: u64) -> Result<(), Refused> {
        let Op::WholeNet(net) = self.op(0) else { return Ok(()) };
        let net: WholeNet = (**net).clone();
        let (batch, cols) = (self.program.batch, |id| self.cols(id));
        let parameters = self.program.len(self.parameters);
        ensure(net.runs_on_gpus(), "its ops are more than the kernel of whole nets does")?;
        let fits = whole_net::fits(&net, batch, parameters, largest, cols);
        ensure(fits, "the net is large, or its units have several activations")?;
        let inputs = [net.x].into_iter().chain(net.layers.iter().map(|layer| layer.a));
        let shapes = net.layers.iter().zip(inputs);
        let shapes: Vec<_> = shapes
            .map(|(layer, input)| [cols(layer.z), cols(input) + usize::from(layer.bias.is_some())])
            .collect();
        // Tables have a separate step, so that gradients can't be cut into parts.
        let has_tables = !self.gradients_of_tables().is_empty();
        let rows = if has_tables { batch } else { part_rows_of_net(&shapes, batch) };
        if let Some((at, kept)) = self.kept_of_net() {
            self.step_on_gpu(at, kept, rows)?;
        }
        self.wide_input(rows < batch);
        self.tables();
        Ok(())
    }

    /// Fuses the gradients kept by op `at` with the scores, and with the step if nothing else reads them.
    fn step_on_gpu(&mut self, at: usize, kept: GradientParts, rows: usize) -> Result<(), Refused> {
        let (batch, g) = (self.program.batch, kept.parts);
        let tables = self.gradients_of_tables();
        let is_of_tables = |k: &usize| matches!(self.op(*k), Op::EmbedGradient { .. });
        let mut behind = (at + 1..self.nodes.len()).filter(|&k| self.touches(k, g));
        let next = behind.find(|k| !is_of_tables(k));
        let step = next.and_then(|k| match *self.op(k) {
            Op::Update { rule, state, ref range, .. } if *range == self.all() => {
                Some((k, rule, state))
            }
            _ => None,
        });
        ensure(step.is_some() || rows >= batch, "gradients of a long batch are kept")?;
        let sum = self.nodes.iter().enumerate().find_map(|(i, node)| match node.op {
            Op::Accumulate { scores, sums } => Some((i, [scores, sums])),
            _ => None,
        });
        let scores = sum.map(|(_, scores)| scores);
        let GradientParts { layers, arena, norms, .. } = kept.clone();
        let parameters = self.parameters;
        match step {
            None => self.set(at, Op::GradientParts(Box::new(GradientParts { scores, ..kept }))),
            Some((k, rule, state)) if rows >= batch => {
                let with = Companions::default();
                let update =
                    GradientUpdate { layers, rule, state, arena, parameters, scores, norms, with };
                self.set(at, Op::GradientUpdate(Box::new(update)));
                self.remove(k);
                let of_tables = self.step_of_tables(&tables, None, rule, state);
                of_tables.into_iter().rev().for_each(|op| self.insert(k, op));
            }
            Some((k, rule, state)) => {
                let (count, len) = (Extent::Fixed(batch.div_ceil(rows)), self.all().end);
                let parts = self.program.add("gradients.parts", Role::Gradient, count, len);
                let of_parts = GradientParts { parts, rows, scores, ..kept };
                self.set(at, Op::GradientParts(Box::new(of_parts)));
                let sum = SumUpdate { parts, rule, parameters, state, scores: None };
                self.set(k, Op::SumUpdate(Box::new(sum)));
            }
        }
        if let Some((i, _)) = sum {
            self.remove(i);
        }
        Ok(())
    }
}

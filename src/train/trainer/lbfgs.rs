//! A step of L-BFGS, driven by the host, which requests losses and gradients from the device.

use super::Trainer;
use super::run::Run;
use crate::backend::{Values, ValuesMut};
use crate::base::error::Result;
use crate::base::wait::BlockOn as _;
use crate::kernels::Step;
use crate::kernels::tensor::TensorId;
use crate::math::optim::lbfgs::{HISTORY, Pair, Point, direction, first_length, search};

impl Trainer {
    /// One step. The pairs of the last steps are also on the device, as part of checkpoints.
    pub(super) fn lbfgs_step(&mut self, run: &Run, step: &Step) -> Result<()> {
        let mut pairs = match self.pairs.take() {
            Some(pairs) => pairs,
            None => self.read_pairs(step.t as usize)?,
        };
        let w = self.read_row(self.session.plan().parameters)?;
        let start = self.evaluate_at(run, step, &w)?;
        // The loss of a step is that of the weights before it.
        let sums = self.session.sums()?;
        let d = direction(&start.g, &pairs);
        let first = first_length(step.lr.into(), &start.g, &pairs);
        let found = search(&start, &d, first, |w| self.evaluate_at(run, step, w))?;
        let pair = found.as_ref().and_then(|found| Pair::between(&start, found));
        if found.is_none() {
            // H was of no use: the next step starts over along −g.
            pairs.clear();
            for slot in 0..HISTORY {
                self.write_pair(slot, None)?;
            }
        }
        let end = found.as_ref().unwrap_or(&start);
        let parameters = self.session.plan().parameters;
        self.session.backend_mut().write(parameters, Values::F64(&end.w)).block_on()?;
        self.session.set_sums(sums)?;
        let slot = step.t as usize % HISTORY;
        self.write_pair(slot, pair.as_ref())?;
        // As rounded by the device, so that a resumed run has the same.
        pairs.extend(self.read_pair(slot)?);
        let old = pairs.len().saturating_sub(HISTORY);
        pairs.drain(..old);
        self.pairs = Some(pairs);
        Ok(())
    }

    /// E with its penalty λ/2 ‖w‖² and gradient at w, as stored on the device.
    fn evaluate_at(&mut self, run: &Run, step: &Step, w: &[f64]) -> Result<Point> {
        let plan = self.session.plan();
        let parameters = plan.parameters;
        let decayed: Vec<_> = match self.spec.decay_all {
            true => std::iter::once(0..w.len()).collect(),
            false => plan.layers.iter().map(|l| plan.program.range(l.weight, 0)).collect(),
        };
        let gradients = plan.gradients;
        self.session.backend_mut().write(parameters, Values::F64(w)).block_on()?;
        self.session.clear_sums()?;
        // The program's step, which for L-BFGS ends at the gradients.
        self.run_steps_of(run, &[*step])?;
        let mut sums = [0.0];
        let sums_at = self.session.plan().sums;
        self.session.backend_mut().read(sums_at, ValuesMut::F64(&mut sums)).block_on()?;
        // Rounded to the device's precision.
        let w = self.read_row(parameters)?;
        let mut g = gradients.map_or(Ok(Vec::new()), |g| self.read_row(g))?;
        let mut loss = sums[0] * f64::from(step.reduction_factor);
        let decay = f64::from(self.spec.weight_decay);
        for i in decayed.into_iter().flatten() {
            loss += 0.5 * decay * w[i] * w[i];
            g[i] += decay * w[i];
        }
        Ok(Point { w, loss, g })
    }

    /// The pairs that the steps before step `t` left on the device, from the oldest on.
    fn read_pairs(&mut self, t: usize) -> Result<Vec<Pair>> {
        let mut pairs = Vec::new();
        for t in t.saturating_sub(HISTORY)..t {
            pairs.extend(self.read_pair(t % HISTORY)?);
        }
        Ok(pairs)
    }

    /// The pair in a slot, if there is one.
    fn read_pair(&mut self, slot: usize) -> Result<Option<Pair>> {
        let [Some(s), Some(y)] = self.slot(slot) else { return Ok(None) };
        let pair = Pair { s: self.read_row(s)?, y: self.read_row(y)? };
        Ok((pair.curvature() > 0.0).then_some(pair))
    }

    /// Writes a pair; zeros if there is none.
    fn write_pair(&mut self, slot: usize, pair: Option<&Pair>) -> Result<()> {
        let [Some(s), Some(y)] = self.slot(slot) else { return Ok(()) };
        let zeros = vec![0.0; self.session.plan().program.len(s)];
        let values = pair.map_or([&zeros, &zeros], |pair| [&pair.s, &pair.y]);
        for (tensor, values) in [s, y].into_iter().zip(values) {
            self.session.backend_mut().write(tensor, Values::F64(values)).block_on()?;
        }
        Ok(())
    }

    fn slot(&self, slot: usize) -> [Option<TensorId>; 2] {
        let program = &self.session.plan().program;
        ["s", "y"].map(|which| program.find(&format!("optimizer.history.{slot}.{which}")))
    }

    fn read_row(&mut self, tensor: TensorId) -> Result<Vec<f64>> {
        let mut values = vec![0.0; self.session.plan().program.len(tensor)];
        self.session.backend_mut().read(tensor, ValuesMut::F64(&mut values)).block_on()?;
        Ok(values)
    }
}

//! Data-parallel steps: every rank computes the gradient of its part of a batch, the gradients are summed over all
//! ranks, and every rank takes the same update.

use super::Trainer;
use super::greeting::{check, first_of_another_kind, hellos};
use super::hook::Seam;
use crate::backend::session::Session;
use crate::backend::{Backend, DataId, Values, ValuesMut};
use crate::base::clock::Instant;
use crate::base::error::{Error, Result};
use crate::base::wait::BlockOn as _;
use crate::kernels::Step;
use crate::kernels::tensor::TensorId;
use crate::net::metrics::Metrics;
use crate::net::spec::Spec;
use crate::plan::{self, Plan, Purpose};
use crate::train::ranks::{Parts, Ranks, Reduction, Tree, micro_batches, reduce, reduce_in_place};
use std::ops::Range;

/// The sums of losses and scores, which go with the gradients.
const SUMS: usize = 4;
/// Seconds for which the speed of a rank is measured, and steps at most.
const TIMED: (f64, usize) = (0.2, 20);

/// What data-parallel steps need beside the session.
pub(super) struct DataParallel {
    ranks: Box<dyn Ranks>,
    parts: Parts,
    seam: Seam,
    tree: Tree,
    /// Whether the weights may differ in their last bits between ranks, as their devices are of different kinds.
    drifts: bool,
}

impl Trainer {
    /// Trains as one of several ranks from now on: each computes the gradient of its part of every batch, and all take
    /// the same steps. Batch size and learning rate mean what they mean in a single process. With
    /// [`Reduction::Reproducible`] the weights are the same to the bit for any number of ranks; a single rank
    /// ([`Alone`](crate::train::ranks::Alone)) computes them too.
    ///
    /// Rank 0 alone is to have observers that decide anything: where it stops and at which learning rate it goes on is
    /// done by all. A run of ranks stops where it diverges. To go on with a run, set the ranks before.
    ///
    /// # Errors
    /// After the first step; for batch normalization, whose statistics are those of the whole batch, mixed precision,
    /// L-BFGS, and a run that goes around divergence; when the ranks train different nets, or on different rows, or
    /// reproducibly on devices of different kinds; when there are more ranks than blocks, or a rank is gone; and when
    /// the device can't hold the program.
    pub fn set_ranks(&mut self, ranks: Box<dyn Ranks>, reduction: Reduction) -> Result<()> {
        self.check_seam("data-parallel training")?;
        let mut ranks = ranks;
        check(&self.spec, reduction, ranks.size())?;
        let own = self.hello()?;
        let all = hellos(ranks.as_mut(), &own)?;
        let differ = first_of_another_kind(&all);
        if let (Some(other), Reduction::Reproducible { .. }) = (differ, reduction) {
            let [name, backend] = &all[other].device;
            let what = format!(
                "reproducible training on devices of different kinds: rank {other} has {name} ({backend}), rank 0 {} ({})",
                all[0].device[0], all[0].device[1]
            );
            return Err(
                Error::device(what).help("take the same --device everywhere, or --reproducible=no")
            );
        }
        let size = ranks.size();
        let equal = (1..=size).map(|rank| rank as f64 / size as f64).collect();
        let parts = match reduction {
            Reduction::Reproducible { blocks } => Parts::Blocks(blocks),
            Reduction::Fastest => Parts::Ends(equal),
        };
        let seam = Seam::new(self.session.plan());
        let (tree, drifts) = (Tree::default(), differ.is_some());
        let mut parallel = DataParallel { ranks, parts, seam, tree, drifts };
        self.load_parts(&mut parallel)?;
        let same_threads = all.iter().all(|hello| hello.detail == all[0].detail);
        if size > 1 && reduction == Reduction::Fastest && (drifts || !same_threads) {
            parallel.parts = Parts::Ends(self.measured_ends(&mut parallel)?);
            self.load_parts(&mut parallel)?;
        }
        self.parallel = Some(parallel);
        Ok(())
    }

    /// The number of ranks that train the net together.
    #[must_use]
    pub fn ranks(&self) -> usize {
        self.parallel.as_ref().map_or(1, |parallel| parallel.ranks.size())
    }

    /// Loads the program for the parts of a rank.
    fn load_parts(&mut self, parallel: &mut DataParallel) -> Result<()> {
        let weights = self.session.weights()?;
        let most = parallel.most_rows(&self.spec);
        let evaluation = plan::evaluation_rows(&self.spec.net, self.spec.batch_size.min(256));
        let rows = match self.spec.micro_batch {
            Some(rows) if matches!(parallel.parts, Parts::Ends(_)) => most.min(rows),
            _ => most,
        };
        let spec = Spec { micro_batch: None, ..self.spec.clone() };
        let traits = self.session.backend().traits();
        let plan = plan::plan(&spec, rows.max(evaluation), Purpose::TrainWithHook, traits);
        parallel.seam = Seam::new(&plan);
        self.session.replace(plan)?;
        self.session.set_weights(&self.spec.net, &weights)
    }

    /// The parts of all ranks by their measured speeds, as fractions at which they end.
    fn measured_ends(&mut self, parallel: &mut DataParallel) -> Result<Vec<f64>> {
        let rows = self.training.rows.min(self.session.plan().program.batch);
        let step = Step { rows: rows as u32, loss_scale: 1.0, ..Step::default() };
        let (plan, backend) = self.session.parts();
        let (begin, mut steps) = (Instant::now(), 0);
        let (mut first, mut values) = (0.0, [0.0; SUMS]);
        while steps < TIMED.1 && begin.elapsed().as_secs_f64() < TIMED.0 + first {
            backend.run(gradient(plan), self.training.id, &[step]).block_on()?;
            backend.read(plan.sums, ValuesMut::F32(&mut values)).block_on()?;
            // The first one compiles kernels and fills caches.
            first = if steps == 0 { begin.elapsed().as_secs_f64() } else { first };
            steps += 1;
        }
        let seconds = (begin.elapsed().as_secs_f64() - first).max(1e-9);
        let speed = (rows * steps.saturating_sub(1).max(1)) as f64 / seconds;
        let speeds = parallel.ranks.gather(&speed.to_le_bytes())?;
        let speeds: Vec<f64> = speeds
            .iter()
            .map(|bytes| bytes.as_slice().try_into().map_or(1.0, f64::from_le_bytes))
            .collect();
        let all: f64 = speeds.iter().sum();
        let mut so_far = 0.0;
        let end = |speed: &f64| {
            so_far += speed / all;
            so_far
        };
        Ok(speeds.iter().map(end).collect())
    }

    /// `values` as rank 0 has them.
    pub(super) fn as_first<const N: usize>(&mut self, values: [f64; N]) -> Result<[f64; N]> {
        let mut values = values;
        if let Some(parallel) = &mut self.parallel {
            parallel.ranks.broadcast(&mut values)?;
        }
        Ok(values)
    }

    /// Metrics as rank 0 has them, by which all decide alike.
    pub(super) fn metrics_as_first(&mut self, metrics: &mut Metrics) -> Result<()> {
        let Some(parallel) = &mut self.parallel else { return Ok(()) };
        let mut numbers: Vec<f64> =
            [metrics.loss].into_iter().chain(metrics.values.iter().map(|(_, x)| *x)).collect();
        parallel.ranks.broadcast(&mut numbers)?;
        metrics.loss = numbers[0];
        metrics.values.iter_mut().zip(&numbers[1..]).for_each(|((_, x), first)| *x = *first);
        Ok(())
    }

    /// Takes over the state of rank 0 where the devices of the ranks round differently.
    pub(super) fn state_as_first(&mut self) -> Result<()> {
        if !self.parallel.as_ref().is_some_and(|parallel| parallel.drifts) {
            return Ok(());
        }
        let mut tensors = self.session.read_tensors(&self.session.state())?;
        let Some(parallel) = &mut self.parallel else { return Ok(()) };
        for tensor in &mut tensors {
            let mut wide: Vec<f64> = tensor.values.iter().map(|&x| x.into()).collect();
            parallel.ranks.broadcast(&mut wide)?;
            tensor.values.iter_mut().zip(wide).for_each(|(x, first)| *x = first as f32);
        }
        self.session.write_tensors(&tensors)
    }
}

impl DataParallel {
    /// The rows of this rank's largest part of a batch.
    fn most_rows(&self, spec: &Spec) -> usize {
        let of = [self.ranks.rank(), self.ranks.size()];
        let parts = self.parts.of(spec.batch_size, multiple(spec), of);
        let most = parts.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0);
        match self.parts {
            // The same program everywhere.
            Parts::Blocks(blocks) => {
                spec.batch_size.div_ceil(blocks).next_multiple_of(multiple(spec))
            }
            Parts::Ends(_) => most,
        }
        .max(1)
    }

    /// Runs a step together with the other ranks.
    pub(super) fn step(
        &mut self,
        session: &mut Session,
        spec: &Spec,
        data: DataId,
        step: &Step,
    ) -> Result<()> {
        let (plan, backend) = session.parts();
        let mut before = [0.0; SUMS];
        backend.read(plan.sums, ValuesMut::F32(&mut before)).block_on()?;
        let sums = self.gradients(plan, backend, spec, data, step)?;
        let after: [f32; SUMS] = std::array::from_fn(|i| before[i] + sums[i]);
        backend.write(plan.sums, Values::F32(&after)).block_on()?;
        let update = plan.program.routines.update.clone();
        // The update is that of the whole batch, of which the program holds no more rows.
        let rows = step.rows.min(plan.program.batch as u32);
        backend.run(update, data, &[Step { rows, ..*step }]).block_on()
    }

    /// Puts the gradients of the whole batch of a step into their places: the sums of its losses and scores.
    fn gradients(
        &mut self,
        plan: &Plan,
        backend: &mut dyn Backend,
        spec: &Spec,
        data: DataId,
        step: &Step,
    ) -> Result<[f32; SUMS]> {
        let of = [self.ranks.rank(), self.ranks.size()];
        let parts = self.parts.of(step.rows as usize, multiple(spec), of);
        if let Some(gradients) = self.in_place(backend) {
            let multiple = multiple(spec);
            return self.gradients_in_place(
                plan,
                backend,
                data,
                step,
                multiple,
                (gradients, parts),
            );
        }
        // Gradients, running statistics, and behind them the sums of losses and scores.
        let len = self.seam.len() + SUMS;
        let mut total = match self.parts {
            Parts::Blocks(blocks) => {
                for (block, rows) in parts {
                    let mut values = self.tree.buffer(len);
                    match rows.is_empty() {
                        // What adds nothing to a sum, not even the sign of 0.
                        true => values.fill(-0.0),
                        false => {
                            self.part(plan, backend, data, &of_rows(step, &rows), &mut values)?
                        }
                    }
                    self.tree.push(block, values);
                }
                reduce(self.ranks.as_mut(), blocks, &mut self.tree, len)?
            }
            Parts::Ends(_) => {
                let whole = parts.into_iter().map(|(_, rows)| rows).next().unwrap_or(0..0);
                let mut total = self.add_up(plan, backend, data, step, whole, multiple(spec))?;
                self.ranks.sum(&mut total)?;
                total
            }
        };
        let (gradients, sums) = total.split_at_mut(self.seam.len());
        self.seam.write(plan, backend, gradients)?;
        let sums = std::array::from_fn(|i| sums[i]);
        self.tree.give(total);
        Ok(sums)
    }

    /// The tensor of all gradients where it can be summed in the place where it lies.
    fn in_place(&self, backend: &mut dyn Backend) -> Option<TensorId> {
        let is_single = match self.parts {
            Parts::Blocks(_) => self.ranks.size().is_power_of_two(),
            Parts::Ends(_) => true,
        };
        let gradients = self.seam.only().filter(|_| is_single)?;
        backend.host_mut(gradients).map(|_| gradients)
    }

    /// As [`DataParallel::gradients`], where they are summed in their places.
    fn gradients_in_place(
        &mut self,
        plan: &Plan,
        backend: &mut dyn Backend,
        data: DataId,
        step: &Step,
        multiple: usize,
        (gradients, parts): (TensorId, Vec<(usize, Range<usize>)>),
    ) -> Result<[f32; SUMS]> {
        let lost = || Error::failed("the gradients are no longer in memory");
        let parts = match self.parts {
            Parts::Blocks(_) => parts,
            Parts::Ends(_) => micro_batches(parts, most(plan, multiple)),
        };
        let (last, mut sums_tree) = (parts.len().saturating_sub(1), Tree::default());
        let (mut sums, by_blocks) = ([0.0; SUMS], matches!(self.parts, Parts::Blocks(_)));
        for (i, (block, rows)) in parts.into_iter().enumerate() {
            let mut own = [if by_blocks { -0.0 } else { 0.0 }; SUMS];
            if !rows.is_empty() {
                backend.write(plan.sums, Values::F32(&[0.0; SUMS])).block_on()?;
                backend.run(gradient(plan), data, &[of_rows(step, &rows)]).block_on()?;
                backend.read(plan.sums, ValuesMut::F32(&mut own)).block_on()?;
            }
            let values = backend.host_mut(gradients).ok_or_else(lost)?;
            if rows.is_empty() {
                values.fill(own[0]);
            }
            match i == last {
                true => {
                    self.tree.push_last(values);
                    sums_tree.push_last(&mut own);
                    sums = own;
                }
                false => {
                    self.tree.push_copy(block, values);
                    sums_tree.push_copy(block, &own);
                }
            }
        }
        let values = backend.host_mut(gradients).ok_or_else(lost)?;
        match self.parts {
            Parts::Blocks(_) => {
                reduce_in_place(self.ranks.as_mut(), &mut self.tree, values)?;
                reduce_in_place(self.ranks.as_mut(), &mut sums_tree, &mut sums)?;
            }
            Parts::Ends(_) => {
                self.ranks.sum(values)?;
                self.ranks.sum(&mut sums)?;
            }
        }
        Ok(sums)
    }

    /// The gradients, losses and scores of this rank's rows of a step, in as many parts as the program takes.
    fn add_up(
        &mut self,
        plan: &Plan,
        backend: &mut dyn Backend,
        data: DataId,
        step: &Step,
        rows: Range<usize>,
        multiple: usize,
    ) -> Result<Vec<f32>> {
        let mut total = self.tree.buffer(self.seam.len() + SUMS);
        if rows.is_empty() {
            total.fill(0.0);
            return Ok(total);
        }
        for (i, rows) in micro_batches(vec![(0, rows)], most(plan, multiple)) {
            let part = of_rows(step, &rows);
            if i == 0 {
                self.part(plan, backend, data, &part, &mut total)?;
                continue;
            }
            let mut values = self.tree.buffer(total.len());
            self.part(plan, backend, data, &part, &mut values)?;
            total.iter_mut().zip(&values).for_each(|(sum, x)| *sum += x);
            self.tree.give(values);
        }
        Ok(total)
    }

    /// The gradients, losses and scores of some rows.
    fn part(
        &self,
        plan: &Plan,
        backend: &mut dyn Backend,
        data: DataId,
        step: &Step,
        values: &mut [f32],
    ) -> Result<()> {
        backend.write(plan.sums, Values::F32(&[0.0; SUMS])).block_on()?;
        backend.run(gradient(plan), data, &[*step]).block_on()?;
        let (gradients, sums) = values.split_at_mut(self.seam.len());
        self.seam.read(plan, backend, gradients)?;
        backend.read(plan.sums, ValuesMut::F32(sums)).block_on()
    }
}

/// The most rows that the program takes, as a multiple.
fn most(plan: &Plan, multiple: usize) -> usize {
    (plan.program.batch / multiple * multiple).max(1)
}

/// The ops up to the gradients.
fn gradient(plan: &Plan) -> Range<usize> {
    plan.program.routines.step.start..plan.program.routines.update.start
}

/// Some rows of a step.
fn of_rows(step: &Step, rows: &Range<usize>) -> Step {
    Step { rows: rows.len() as u32, ..step.from_row(rows.start as u32) }
}

/// What the rows of a part are a multiple of: mixup mixes pairs of neighbors.
pub(super) fn multiple(spec: &Spec) -> usize {
    if spec.mixup.is_some() { 2 } else { 1 }
}

//! A trainer as one of several ranks: how they join, and the decisions of rank 0.

use super::Trainer;
use super::data_parallel::overlap::Overlap;
use super::data_parallel::sync_batch_norm::{SyncBatchNorm, has_batch_norm};
use super::data_parallel::{DataParallel, SUMS, gradient};
use super::greeting::{check, check_shards, first_of_another_kind, hellos};
use super::hook::Seam;
use super::stream::Windows;
use crate::backend::ValuesMut;
use crate::backend::session::Loaded;
use crate::base::clock::Instant;
use crate::base::error::{Error, Result};
use crate::base::wait::BlockOn as _;
use crate::kernels::Step;
use crate::net::metrics::Metrics;
use crate::net::spec::{PlanKind, Spec};
use crate::plan::{self, Purpose};
use crate::train::ranks::{Parts, Ranks, Reduction, Shards, Tree};

/// Seconds for which the speed of a rank is measured, and steps at most.
const TIMED: (f64, usize) = (0.2, 20);

impl Trainer {
    /// Trains as one of several ranks from now on: each computes the gradient of its part of every batch, and all take
    /// the same steps. Batch size and learning rate have the same meaning as in a single process. With
    /// [`Reduction::Reproducible`] the weights are bit-identical for any number of ranks; a single rank
    /// ([`Alone`](crate::train::ranks::Alone)) computes them too.
    ///
    /// Only rank 0 may have observers that make decisions: all ranks follow when it stops or changes the
    /// learning rate. A run of ranks stops when it diverges. To resume a run, set the ranks first.
    ///
    /// On the CPU, 2, 4, 8, … ranks share the update where it takes each parameter by itself: every rank updates its part
    /// of the parameters and keeps its part of the optimizer's state, which is gathered for checkpoints.
    ///
    /// Statistics of batch normalization are those of the whole batch, too: all ranks exchange two numbers for each unit
    /// and block of rows, once in the forward pass and once in the backward pass. The program isn't fused then.
    ///
    /// # Errors
    /// After the first step; for mixed precision, L-BFGS, and a run that doesn't stop on divergence; when the ranks train
    /// different nets, or on different rows, or reproducibly on devices of different kinds; when there are more ranks
    /// than blocks, the rows aren't in as many shards as there are blocks, or a rank is gone; and when the device can't
    /// hold the program.
    pub fn set_ranks(&mut self, ranks: Box<dyn Ranks>, reduction: Reduction) -> Result<()> {
        self.check_seam("data-parallel training")?;
        let mut ranks = ranks;
        check(&self.spec, reduction, ranks.size())?;
        if let Some(shards) = self.shards() {
            check_shards(shards, reduction, [ranks.rank(), ranks.size()])?;
        }
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
                Error::device(what).help("use the same --device everywhere, or --reproducible=no")
            );
        }
        let size = ranks.size();
        let equal = (1..=size).map(|rank| rank as f64 / size as f64).collect();
        let parts = match reduction {
            Reduction::Reproducible { blocks } => Parts::Blocks(blocks),
            Reduction::Fastest => Parts::Ends(equal),
        };
        let seam = Seam::of_gradients(self.session.plan());
        let (tree, drifts) = (Tree::default(), differ.is_some());
        let mut parallel = DataParallel {
            ranks,
            parts,
            seam,
            tree,
            norms: None,
            overlap: None,
            shared_update: None,
            drifts,
        };
        self.load_parts(&mut parallel)?;
        let same_threads = all.iter().all(|hello| hello.detail == all[0].detail);
        let may_differ = self.shards().is_none() && reduction == Reduction::Fastest;
        if size > 1 && may_differ && (drifts || !same_threads) {
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

    /// Whether gradients are summed over the ranks while others are still computed ([`Ranks::bucket`]).
    #[must_use]
    pub fn overlaps(&self) -> bool {
        self.parallel.as_ref().is_some_and(|parallel| parallel.overlap.is_some())
    }

    /// The shards of the training rows, if they are split over ranks.
    pub(super) fn shards(&self) -> Option<&Shards> {
        self.windows.as_ref().map(Windows::shards).filter(|shards| shards.count() > 1)
    }

    /// Loads the program for the parts of a rank.
    fn load_parts(&mut self, parallel: &mut DataParallel) -> Result<()> {
        let weights = self.session.weights()?;
        let most = parallel.most_rows(&self.spec, self.shards());
        let evaluation = plan::evaluation_rows_in_training(&self.spec);
        let rows = match self.spec.micro_batch {
            Some(rows) if matches!(parallel.parts, Parts::Ends(_)) => most.min(rows),
            _ => most,
        };
        let mut spec = Spec { micro_batch: None, ..self.spec.clone() };
        if has_batch_norm(&spec) {
            // A fused op has no place in its middle where ranks could meet.
            spec.plan = PlanKind::Plain;
        }
        let traits = self.session.backend().traits();
        let mut plan = plan::plan(&spec, rows.max(evaluation), Purpose::TrainWithHook, traits);
        parallel.seam = Seam::of_gradients(&plan);
        parallel.norms = has_batch_norm(&spec).then(|| SyncBatchNorm::new(&plan));
        parallel.overlap = Overlap::new(&mut plan, parallel);
        self.session.replace(plan)?;
        self.session.set_weights(&self.spec.net, &weights)?;
        self.share_update(parallel)
    }

    /// The parts of all ranks by their measured speeds, as fractions at which they end.
    fn measured_ends(&mut self, parallel: &mut DataParallel) -> Result<Vec<f64>> {
        let rows = self.training.rows.min(self.session.plan().program.batch);
        let step = Step { rows: rows as u32, reduction_factor: 1.0, ..Step::default() };
        let before = self.session.weights()?;
        let (plan, backend) = self.session.plan_and_backend();
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
        // Running statistics have followed the rows.
        self.session.set_weights(&self.spec.net, &before)?;
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

    /// The `values` of rank 0.
    pub(super) fn as_first<const N: usize>(&mut self, values: [f64; N]) -> Result<[f64; N]> {
        let mut values = values;
        if let Some(parallel) = &mut self.parallel {
            parallel.ranks.broadcast(&mut values)?;
        }
        Ok(values)
    }

    /// Refuses to train together from different positions.
    pub(super) fn check_together(&mut self) -> Result<()> {
        let step = self.at.step;
        let [first] = self.as_first([step as f64])?;
        match first == step as f64 {
            true => Ok(()),
            false => {
                Err(Error::data(format!("this rank resumes from step {step}, rank 0 from {first}"))
                    .help("put the run directory where all ranks see the same checkpoints"))
            }
        }
    }

    /// Loss and metrics on held-out rows, of which each rank evaluates its part.
    pub(super) fn evaluate_together(&mut self, data: &Loaded) -> Result<Metrics> {
        let Some(parallel) = &mut self.parallel else { return self.session.evaluate(data) };
        let sums = parallel.scores(&mut self.session, data)?;
        self.session.set_sums(sums)?;
        self.session.metrics(data, data.rows)
    }

    /// The metrics of rank 0, so that all decide alike.
    pub(super) fn metrics_as_first(&mut self, metrics: &mut Metrics) -> Result<()> {
        let Some(parallel) = &mut self.parallel else { return Ok(()) };
        let mut numbers: Vec<f64> =
            [metrics.loss].into_iter().chain(metrics.values.iter().map(|(_, x)| *x)).collect();
        parallel.ranks.broadcast(&mut numbers)?;
        metrics.loss = numbers[0];
        metrics.values.iter_mut().zip(&numbers[1..]).for_each(|((_, x), first)| *x = *first);
        Ok(())
    }

    /// Copies the state of rank 0 if the devices of the ranks round differently.
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

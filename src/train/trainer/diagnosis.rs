//! Finds the op, the layer and the rows of the first value of a step that isn't finite.
//!
//! The step is replayed with the plain program, with a check of all that each op writes: on the device
//! itself, in the run's micro-batches, or in smaller ones if the device can't hold that program
//! beside the run's; else on the CPU.

use super::Trainer;
use super::learnt::lower_rate;
use super::run::Run;
use super::start::with_half_the_micro_batch;
use crate::backend::cpu::Cpu;
use crate::backend::session::Session;
use crate::backend::{Backend, ValuesMut};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::wait::BlockOn as _;
use crate::kernels::Step;
use crate::kernels::tensor::Extent;
use crate::net::precision::Precision;
use crate::net::spec::Spec;
use crate::plan::{self, Plan, Watch, Watched};
use crate::train::event::Diverged;
use crate::train::snapshot::{Position, Snapshot};
use std::sync::Arc;

/// The advice for values that f16 can't represent.
const OVERFLOW_IN_F16: &str =
    "values beyond 65,504 overflow in f16: scale the inputs, lower --lr, or train in f32";
/// The most rows that are named.
const NAMED: usize = 5;

/// The result of a replay.
pub(super) struct Found {
    /// The step of the first value that isn't finite, as the number of steps before it.
    pub step: u64,
    layer: Option<usize>,
    tensor: String,
    op: String,
    /// The affected rows of the batch, if the tensor has a row for each.
    rows: Vec<usize>,
    /// The column of the first value.
    column: usize,
    batch: usize,
}

/// Loads the watched program of a spec with `load`, with smaller micro-batches if the device can't
/// hold it; returns the spec with these, and the result of `load`.
fn load_watched<T>(
    spec: &Spec,
    mut load: impl FnMut(Plan) -> Result<T>,
) -> Result<(Spec, [Vec<Watch>; 2], T)> {
    // The checks are in f32.
    let mut spec = Spec { precision: Precision::F32, ..spec.clone() };
    loop {
        let rows = spec.rows_at_a_time();
        let Watched { plan, gradient, update } = plan::watched(&spec, rows);
        match load(plan) {
            Ok(loaded) => return Ok((spec, [gradient, update], loaded)),
            Err(error) if error.kind() == ErrorKind::Device => {
                spec = with_half_the_micro_batch(&spec, rows).ok_or(error)?;
            }
            Err(error) => return Err(error),
        }
    }
}

impl Trainer {
    /// Replays the steps from `before`, where the trainer is, up to step `last`, counted from 0; returns the
    /// first op whose result isn't finite, if there is one.
    ///
    /// # Errors
    /// When they can't be replayed, neither on the device nor on the CPU.
    pub(super) fn diagnose(
        &mut self,
        run: &Run,
        before: &Snapshot,
        last: u64,
    ) -> Result<Option<Found>> {
        let session = &mut self.session;
        if let Ok((spec, watches, plan)) = load_watched(&self.spec, |plan| session.replace(plan)) {
            let found = self.watch(&Run::new(spec, run.rows), before, last, &watches);
            self.is_intact = false;
            // If this fails the run can't continue, which `is_intact` says; the finding is still reported.
            let _ = self.session.replace(plan).and_then(|_| self.restore(before));
            if found.is_ok() {
                return found;
            }
        }
        self.diagnose_on_cpu(run, before, last)
    }

    /// The same on the CPU, while the device stays as it is.
    fn diagnose_on_cpu(
        &mut self,
        run: &Run,
        before: &Snapshot,
        last: u64,
    ) -> Result<Option<Found>> {
        let mut cpu = Cpu::<f32>::new(None)?;
        let (spec, watches, plan) = load_watched(&self.spec, |plan| {
            cpu.load(Arc::new(plan.program.clone())).block_on()?;
            Ok(plan)
        })?;
        let mut session = Session::loaded(Box::new(cpu), plan, self.spec.objective);
        let rows = session.upload(self.samples.clone(), &self.preprocessing)?;
        let (is_intact, skipped) = (self.is_intact, self.skipped_before);
        let session = std::mem::replace(&mut self.session, session);
        let rows = std::mem::replace(&mut self.training, rows);
        let found = self.watch(&Run::new(spec, run.rows), before, last, &watches);
        (self.session, self.training) = (session, rows);
        // The device may have another window, if a replay needed one.
        self.forget_window();
        (self.at, self.is_intact, self.skipped_before) = (before.position, is_intact, skipped);
        found
    }

    /// Runs steps up to `last` in the watched program, from `before` on.
    fn watch(
        &mut self,
        run: &Run,
        before: &Snapshot,
        last: u64,
        [gradient, update]: &[Vec<Watch>; 2],
    ) -> Result<Option<Found>> {
        self.restore(&in_f32(before))?;
        while self.at.step <= last {
            self.at = self.page(run, self.at);
            self.steps_at_hand(run)?;
            // None if the step is skipped.
            let step = self.next_steps(run, 1).pop();
            if let Some(step) = &step
                && let Some(found) = self.watch_gradient(run, step, gradient)?
            {
                return Ok(Some(found));
            }
            let number = self.at.step;
            self.advance(run, number + 1)?;
            let Some(step) = &step else { continue };
            for watch in update {
                let found = self.look(watch, step)?;
                if let Some(found) = found {
                    return Ok(Some(Found { step: number, batch: step.rows as usize, ..found }));
                }
            }
        }
        Ok(None)
    }

    /// The first op of the gradient of a step whose result isn't finite, with any micro-batches:
    /// rows are those of the batch. Nothing that training reads is changed.
    fn watch_gradient(
        &mut self,
        run: &Run,
        step: &Step,
        watches: &[Watch],
    ) -> Result<Option<Found>> {
        let sums = self.session.sums()?;
        let mut first: Option<(usize, Found)> = None;
        for part in run.micro_batches(step) {
            let routine = self.session.plan().program.routines.gradient.clone();
            self.session.backend_mut().run(routine, self.training.id, &[part]).block_on()?;
            let before = part.first.wrapping_sub(step.first) as usize;
            // Ops after the first one found so far don't matter.
            let end = first.as_ref().map_or(watches.len(), |(at, _)| at + 1);
            for (at, watch) in watches[..end].iter().enumerate() {
                let Some(mut found) = self.look(watch, &part)? else { continue };
                found.rows.iter_mut().for_each(|row| *row += before);
                match &mut first {
                    Some((same, first)) if *same == at => first.rows.extend(found.rows),
                    first => *first = Some((at, found)),
                }
                break;
            }
        }
        self.session.set_sums(sums)?;
        let (number, batch) = (self.at.step, step.rows as usize);
        Ok(first.map(|(_, found)| Found { step: number, batch, ..found }))
    }

    /// The result of the check of one tensor, after `step` was run.
    fn look(&mut self, watch: &Watch, step: &Step) -> Result<Option<Found>> {
        let batch = step.rows as usize;
        let program = &self.session.plan().program;
        let t = program.tensor(watch.tensor);
        let by_row = t.rows == Extent::Batch;
        let mut first = vec![0.0; t.rows.rows(batch)];
        let (tensor, op) = (t.name.clone(), program.describe(&watch.op));
        self.session.backend_mut().read(watch.found, ValuesMut::F32(&mut first)).block_on()?;
        let rows: Vec<usize> = (0..first.len()).filter(|&row| first[row] >= 0.0).collect();
        let Some(&row) = rows.first() else { return Ok(None) };
        let number = tensor.strip_prefix("layers.").and_then(|rest| rest.split('.').next());
        let number = number.and_then(|l| l.parse::<usize>().ok());
        Ok(Some(Found {
            step: self.at.step,
            // The inputs of the first layer count as its own.
            layer: number.or(is_input(&tensor).then_some(0)).map(|l| l + 1),
            op: op.split_whitespace().collect::<Vec<_>>().join(" "),
            tensor,
            column: first[row] as usize,
            rows: if by_row { rows } else { Vec::new() },
            batch,
        }))
    }

    /// The event for observers.
    pub(super) fn describe(
        &self,
        run: &Run,
        loss: f64,
        noticed: Position,
        found: Option<&Found>,
    ) -> Diverged {
        let step = found.map_or(noticed.step, |found| found.step + 1);
        let epoch = (step.saturating_sub(1) / run.steps as u64) as usize;
        let within = step.saturating_sub(1) as usize % run.steps;
        let source = |row: &usize| self.source(run, Position { epoch, within, step }, *row);
        let rows = found.map_or(&[][..], |found| found.rows.as_slice());
        Diverged {
            loss,
            epoch: epoch + 1,
            step,
            layer: found.and_then(|found| found.layer),
            tensor: found.map(|found| found.tensor.clone()),
            op: found.map(|found| found.op.clone()),
            rows: rows.iter().take(NAMED).map(|row| (self.row_name)(source(row))).collect(),
            action: self.spec.stopping.on_divergence,
            lr: self.lr(run, step.saturating_sub(1)),
        }
    }

    /// The error for a run of this trainer.
    pub(super) fn report(&self, diverged: &Diverged, found: Option<&Found>, what: &str) -> Error {
        let error = error(&self.spec, diverged, found, what);
        match self.spec.precision {
            // A run of several ranks always stops on divergence.
            _ if self.parallel.is_some() => error.help(lower_rate(&self.spec, self.spec.lr)),
            Precision::F16 => error.help(OVERFLOW_IN_F16),
            Precision::F32 => error,
        }
    }
}

/// Whether a tensor is an input of the net: gathered rows, or tables of embeddings.
fn is_input(tensor: &str) -> bool {
    ["input", "features", "embeddings"].contains(&tensor.split('.').next().unwrap_or_default())
}

/// A snapshot for the watched program, which is in f32 without loss scaling.
fn in_f32(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.tensors.retain(|tensor| tensor.name != "loss_scale");
    snapshot
}

/// The error for a run of this spec.
fn error(spec: &Spec, diverged: &Diverged, found: Option<&Found>, what: &str) -> Error {
    let Diverged { loss, epoch, step, layer, .. } = diverged;
    let layers = spec.net.layers.len();
    let mut place = format!("epoch {epoch}, step {step}");
    let mut help = format!(
        "{}; or let the run lower it with --on-divergence lower-lr",
        lower_rate(spec, spec.lr)
    );
    if let Some(found) = found {
        let Found { tensor, op, rows, column, batch, .. } = found;
        place += &match layer {
            Some(layer) if is_input(tensor) => format!(", the input of layer {layer} of {layers}"),
            Some(layer) => format!(", layer {layer} of {layers}"),
            None => ", the loss".into(),
        };
        place += &format!(": {tensor} in column {} by {op}", column + 1);
        let are_all = rows.len() == *batch && *batch > 1 && !is_input(tensor);
        if are_all {
            place += &format!("; in all {batch} rows of the batch");
        } else if !rows.is_empty() {
            let more = if rows.len() > NAMED { ", …" } else { "" };
            let of = format!("in {} of the {batch} rows of the batch", rows.len());
            place += &format!("; {of}: {}{more}", diverged.rows.join(", "));
        }
        // If only some rows are affected, they are the cause; a learning rate that is too high affects all.
        if is_input(tensor) || (!rows.is_empty() && 4 * rows.len() <= *batch) {
            help = format!(
                "check these rows: correct or remove them, or skip such \
                 batches with --on-divergence skip-batch; otherwise {help}"
            );
        }
    }
    let shown = match loss.is_finite() {
        true => "weights are NaN or infinite".into(),
        false => format!("the loss is {loss}"),
    };
    Error::new(ErrorKind::Diverged, format!("training diverged: {shown}{what}"))
        .at(place)
        .help(help)
}

//! What to do when the loss is no longer finite: find the step, the op and the rows from which on it
//! isn't, by going back to the last good state and replaying; then stop, or go around it.
//!
//! While all is well this costs nothing but a copy of the state in host memory, taken so seldom that
//! it is a hundredth of the time at most; runs of a few seconds go back to their start and have none.

use super::learnt::lower_rate;
use super::run::Run;
use super::{Trainer, initial_weights};
use crate::backend::ValuesMut;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Diverged, Observer};
use crate::optim::Averaging;
use crate::plan::{self, Watch};
use crate::precision::Precision;
use crate::schedule::Schedule;
use crate::session::LayerWeights;
use crate::snapshot::{Position, Snapshot};
use crate::spec::Spec;
use crate::stopping::OnDivergence;
use crate::tensor::Extent;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What to do about values that f16 can't hold.
const OVERFLOW_IN_F16: &str =
    "values beyond 65,504 overflow in f16: scale the inputs, lower --lr, or train in f32";
/// A state in host memory is replaced when it is so old, or a hundred times as old as reading it took.
const OLDEST: Duration = Duration::from_secs(10);
/// The learning rate is halved so often at most.
const MOST_HALVINGS: u32 = 20;
/// Batches that a run may skip in any case, and the part of its steps beyond.
const MOST_SKIPPED: (u64, u64) = (10, 10);
/// Rows that are named at most.
const NAMED: usize = 5;

/// The last state that was finite.
pub(super) struct LastGood {
    state: State,
    taken: Instant,
    /// What reading it took.
    cost: Duration,
    /// Steps at the last read of the loss that was finite.
    seen: u64,
}

/// A state to go back to.
enum State {
    /// Net and optimiser as a run begins, with these weights or drawn ones.
    Start(Option<Vec<LayerWeights>>),
    /// In host memory.
    Kept(Arc<Snapshot>),
    /// Somebody changed the weights since.
    Unknown,
}

impl LastGood {
    /// That of a run that begins with `weights`, or drawn ones.
    pub fn start(weights: Option<&[LayerWeights]>) -> Self {
        Self::of(State::Start(weights.map(<[LayerWeights]>::to_vec)), 0)
    }

    /// That of a run that goes on from `snapshot`.
    pub fn kept(snapshot: Arc<Snapshot>) -> Self {
        let step = snapshot.position.step;
        Self::of(State::Kept(snapshot), step)
    }

    /// None until the next state is read.
    pub fn unknown() -> Self {
        Self::of(State::Unknown, 0)
    }

    fn of(state: State, seen: u64) -> Self {
        LastGood { state, taken: Instant::now(), cost: Duration::ZERO, seen }
    }

    /// Steps done then.
    fn step(&self) -> u64 {
        match &self.state {
            State::Kept(snapshot) => snapshot.position.step,
            _ => 0,
        }
    }
}

/// What a replay found.
struct Found {
    /// The step in which the first value stopped being finite: steps done before it.
    step: u64,
    layer: Option<usize>,
    tensor: String,
    op: String,
    /// The rows of the batch, where the tensor has a row for each.
    rows: Vec<usize>,
    /// Where the first of them isn't.
    column: usize,
    batch: usize,
}

impl Trainer {
    /// Keeps the state at the start of an epoch, where the run may go back to it; and where replays
    /// mustn't go back beyond it, since what happens at the end of an epoch is no step.
    pub(super) fn keep_epoch_start(&mut self) -> Result<()> {
        let goes_back = self.spec.stopping.on_divergence == OnDivergence::LowerLr;
        let stays = matches!(self.spec.schedule, Schedule::Plateau { .. })
            || matches!(self.spec.averaging, Averaging::Swa { .. });
        if goes_back || stays {
            let start = Arc::new(self.snapshot()?);
            self.epoch_start = goes_back.then(|| start.clone());
            self.good = LastGood::kept(start);
        }
        Ok(())
    }

    /// Notes that the loss was finite at the present step.
    pub(super) fn note_good(&mut self) -> Result<()> {
        self.good.seen = self.at.step;
        let is_known = !matches!(self.good.state, State::Unknown);
        if is_known && self.good.taken.elapsed() < OLDEST.max(100 * self.good.cost) {
            return Ok(());
        }
        let begin = Instant::now();
        let snapshot = self.snapshot()?;
        // The last update may have been the first bad one, which the next loss will show.
        if snapshot.is_finite() {
            self.good.state = State::Kept(Arc::new(snapshot));
        }
        self.good.cost = begin.elapsed();
        self.good.taken = Instant::now();
        Ok(())
    }

    /// Goes to the last good state: whether there is one.
    fn go_back(&mut self) -> Result<bool> {
        match &self.good.state {
            State::Unknown => return Ok(false),
            State::Kept(snapshot) => {
                let snapshot = snapshot.clone();
                self.restore(&snapshot)?;
            }
            State::Start(weights) => {
                let weights = weights.clone().unwrap_or_else(|| initial_weights(&self.spec));
                // Loaded anew, what the optimiser keeps is as it was at first.
                self.session.replace(self.session.plan().clone())?;
                self.session.set_weights(&self.spec.net, &weights)?;
                self.averaged = false;
                self.at = Position::default();
            }
        }
        Ok(true)
    }

    /// Finds out what made the loss `loss`, and goes back as the spec says; an error where it says
    /// to stop, or going around it led nowhere.
    pub(super) fn treat(
        &mut self,
        run: &Run,
        observer: &mut dyn Observer,
        loss: f64,
    ) -> Result<()> {
        let noticed = self.at;
        let found = self.locate(run, noticed.step)?;
        let diverged = self.describe(run, loss, noticed, found.as_ref());
        let spec = self.spec.clone();
        let error = |what: &str| {
            let error = error(&spec, &diverged, found.as_ref(), what);
            match spec.precision {
                Precision::F16 => error.help(OVERFLOW_IN_F16),
                Precision::F32 => error,
            }
        };
        match self.spec.stopping.on_divergence {
            OnDivergence::Stop => return Err(error("")),
            OnDivergence::LowerLr => {
                if self.detours.halvings >= MOST_HALVINGS {
                    return Err(error(", however often the learning rate was halved"));
                }
                let Some(start) = self.epoch_start.clone() else { return Err(error("")) };
                self.detours.halvings += 1;
                self.restore(&start)?;
            }
            OnDivergence::SkipBatch => {
                let Some(found) = &found else { return Err(error("")) };
                let skipped = self.detours.skipped.len() as u64;
                let (any, part) = MOST_SKIPPED;
                let repeated = !self.detours.skipped.insert(found.step);
                if repeated || skipped >= any.max(found.step / part) {
                    return Err(error(&format!(
                        ", with {skipped} of {} batches skipped",
                        found.step + 1
                    )));
                }
                self.go_to(run, found.step)?;
            }
        }
        self.good.seen = self.at.step;
        observer.diverged(&diverged)
    }

    /// Replays the run from the last good state: the first op whose result isn't finite. None where
    /// there is no such state, or the replay comes to no such result.
    fn locate(&mut self, run: &Run, noticed: u64) -> Result<Option<Found>> {
        if !self.go_back()? {
            return Ok(None);
        }
        // Until the last read all was well; from there on the loss is looked at after each step.
        self.advance(run, self.good.seen.min(noticed))?;
        let mut bad = None;
        while bad.is_none() && self.at.step < noticed {
            self.advance(run, self.at.step + 1)?;
            if self.session.sums()?.iter().any(|x| !x.is_finite()) {
                bad = Some(self.at.step - 1);
            }
        }
        let Some(bad) = bad else { return Ok(None) };
        // What the loss shows may have been done by the update before.
        let first = bad.saturating_sub(1).max(self.good.step());
        self.go_to(run, first)?;
        let before = self.snapshot()?;
        // In one piece, of which every row is the batch's.
        let spec = Spec { micro_batch: None, precision: Precision::F32, ..self.spec.clone() };
        let (watched, watches) = plan::watched(&spec, run.batch);
        let in_one = Run::new(spec, run.rows);
        let plan = self.session.replace(watched)?;
        let found = self.watch(&in_one, &before, bad, &watches);
        self.session.replace(plan)?;
        self.restore(&before)?;
        found
    }

    /// Runs steps up to `last` in the watched program, from `before` on.
    fn watch(
        &mut self,
        run: &Run,
        before: &Snapshot,
        last: u64,
        watches: &[Watch],
    ) -> Result<Option<Found>> {
        self.restore(&in_f32(before))?;
        while self.at.step <= last {
            let step = self.at.step;
            let Position { within, .. } = self.page(run, self.at);
            self.advance(run, step + 1)?;
            if self.detours.skipped.contains(&step) {
                continue;
            }
            let batch = run.batch.min(run.rows - within * run.batch);
            for watch in watches {
                if let Some(found) = self.look(watch, step, batch)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// What the device found in one tensor.
    fn look(&mut self, watch: &Watch, step: u64, batch: usize) -> Result<Option<Found>> {
        let program = &self.session.plan().program;
        let t = program.tensor(watch.tensor);
        let by_row = t.rows == Extent::Batch;
        let mut first = vec![0.0; t.rows.rows(batch)];
        let (tensor, op) = (t.name.clone(), program.describe(&watch.op));
        self.session.backend_mut().read(watch.found, ValuesMut::F32(&mut first))?;
        let rows: Vec<usize> = (0..first.len()).filter(|&row| first[row] >= 0.0).collect();
        let Some(&row) = rows.first() else { return Ok(None) };
        let number = tensor.strip_prefix("layers.").and_then(|rest| rest.split('.').next());
        let number = number.and_then(|l| l.parse::<usize>().ok());
        Ok(Some(Found {
            step,
            // What the first layer takes counts as its own.
            layer: number.or(is_input(&tensor).then_some(0)).map(|l| l + 1),
            op: op.split_whitespace().collect::<Vec<_>>().join(" "),
            tensor,
            column: first[row] as usize,
            rows: if by_row { rows } else { Vec::new() },
            batch,
        }))
    }

    /// Goes to where `step` steps are done, from the last good state on.
    fn go_to(&mut self, run: &Run, step: u64) -> Result<()> {
        self.go_back()?;
        self.advance(run, step)
    }

    /// Runs until `step` steps are done, without observers, over the ends of epochs too.
    fn advance(&mut self, run: &Run, step: u64) -> Result<()> {
        while self.at.step < step {
            self.at = self.page(run, self.at);
            if self.at.within == 0 {
                self.session.clear_sums()?;
            }
            let left = (step - self.at.step).min(self.steps_at_hand(run)? as u64);
            self.run_piece(run, left as usize)?;
        }
        Ok(())
    }

    /// The same position; at the end of an epoch the start of the next.
    fn page(&self, run: &Run, at: Position) -> Position {
        match at.within == run.steps {
            true => Position { epoch: at.epoch + 1, within: 0, ..at },
            false => at,
        }
    }

    fn describe(&self, run: &Run, loss: f64, noticed: Position, found: Option<&Found>) -> Diverged {
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
}

/// Whether a tensor is what the net takes: rows as they are gathered, and tables of embeddings.
fn is_input(tensor: &str) -> bool {
    ["input", "features", "embeddings"].contains(&tensor.split('.').next().unwrap_or_default())
}

/// A snapshot for the watched program, which is in f32 and scales no loss.
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
        // What only some rows do is theirs; a rate that is too high shows in all of them.
        if is_input(tensor) || (!rows.is_empty() && 4 * rows.len() <= *batch) {
            help = format!(
                "look at what stands there: repair or leave out these rows, or pass over such \
                 batches with --on-divergence skip-batch; else {help}"
            );
        }
    }
    Error::new(ErrorKind::Diverged, format!("training diverged: the loss is {loss}{what}"))
        .at(place)
        .help(help)
}

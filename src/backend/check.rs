//! The checks of every backend before it touches memory: shaders run without their own checks, so
//! no call of the safe API may lead to an access outside of a buffer.

use crate::base::error::{Error, Result};
use crate::data::{Samples, Storage, Targets};
use crate::kernels::Step;
use crate::kernels::tensor::TensorId;
use crate::plan::program::{Program, Reads};
use std::ops::Range;

/// The shape of uploaded rows, which a backend keeps with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RowShape {
    rows: usize,
    /// Feature columns.
    features: usize,
    storage: Storage,
    targets: TargetShape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum TargetShape {
    #[default]
    None,
    /// One more than the largest class.
    Classes(usize),
    /// Numbers or labels of a row.
    Numbers(usize),
}

impl RowShape {
    /// The shape of `samples`, whose parts must belong together.
    ///
    /// # Errors
    /// When scaling, targets or weights don't match the numbers of columns and rows.
    pub(crate) fn of(samples: &Samples) -> Result<Self> {
        let (rows, features) = (samples.rows(), samples.features.cols());
        let affine = [samples.affine.shift.len(), samples.affine.scale.len()];
        if affine != [features; 2] {
            return Err(mismatch(format!(
                "a scaling of {} columns for {features} feature columns",
                affine[0].min(affine[1])
            )));
        }
        let (of, targets) = match &samples.targets {
            None => (rows, TargetShape::None),
            Some(Targets::Classes { labels, .. }) => {
                let largest = labels.iter().max().map_or(0, |&label| label as usize + 1);
                (labels.len(), TargetShape::Classes(largest))
            }
            Some(Targets::Numbers(m)) => (m.rows(), TargetShape::Numbers(m.cols())),
            Some(Targets::Labels { values, .. }) => {
                (values.rows(), TargetShape::Numbers(values.cols()))
            }
        };
        if of != rows {
            return Err(mismatch(format!("{of} rows of targets for {rows} rows of features")));
        }
        if let Some(weights) = samples.weights.as_ref().filter(|weights| weights.len() != rows) {
            return Err(mismatch(format!("{} row weights for {rows} rows", weights.len())));
        }
        Ok(RowShape { rows, features, storage: samples.storage(), targets })
    }

    /// Whether there are targets.
    pub(crate) fn has_targets(&self) -> bool {
        self.targets != TargetShape::None
    }

    /// Refuses rows that the ops of `program` would read differently.
    ///
    /// # Errors
    /// When an op reads other feature columns or targets than the rows have.
    pub(crate) fn check(&self, program: &Program, ops: Range<usize>) -> Result<()> {
        program.ops[ops].iter().try_for_each(|op| self.suits(program.reads(op)))
    }

    fn suits(&self, reads: Reads) -> Result<()> {
        let Reads { features, targets, bytes, .. } = reads;
        if let Some(expected) = features.filter(|&expected| expected != self.features) {
            return Err(mismatch(format!(
                "the rows have {} feature columns, but the program takes {expected}",
                self.features
            )));
        }
        if bytes && !self.storage.bytes {
            return Err(mismatch("the features are numbers, but the program takes bytes"));
        }
        let Some(expected) = targets else { return Ok(()) };
        match self.targets {
            TargetShape::None => Err(Error::usage("the rows have no targets")
                .help("a loss, a gradient or a training step needs rows with targets")),
            TargetShape::Numbers(found) if found != expected => Err(mismatch(format!(
                "the rows have {found} targets each, but the program takes {expected}"
            ))),
            // A single output is for two classes.
            TargetShape::Classes(found) if found > expected.max(2) => Err(mismatch(format!(
                "class {} is out of range for a program with {} classes",
                found - 1,
                expected.max(2)
            ))),
            TargetShape::Classes(_) | TargetShape::Numbers(_) => Ok(()),
        }
    }
}

fn mismatch(what: impl Into<String>) -> Error {
    Error::usage(what).help("upload rows that were prepared for this net")
}

/// Refuses steps that would access memory outside of the program's tensors or the rows of the data set.
///
/// # Errors
/// For ops that the program doesn't have, rows that don't suit them, more rows than a batch has, and
/// positions beyond the last row.
pub(super) fn run(
    program: &Program,
    ops: &Range<usize>,
    rows: RowShape,
    steps: &[Step],
) -> Result<()> {
    let Some(run) = program.ops.get(ops.clone()) else {
        return Err(Error::usage(format!(
            "there are no ops {} to {}: the program has {}",
            ops.start,
            ops.end,
            program.ops.len()
        )));
    };
    let mut from_data = false;
    for op in run {
        let reads = program.reads(op);
        from_data |= reads.features.is_some()
            || reads.targets.is_some()
            || (reads.weights && rows.storage.weighted);
        rows.suits(reads)?;
    }
    let available = if from_data { rows.rows as u64 } else { u64::MAX };
    steps.iter().try_for_each(|step| check_step(program, available, step))
}

fn check_step(program: &Program, available: u64, step: &Step) -> Result<()> {
    let [n, a, b, ..] = step.order.map(u64::from);
    let end = u64::from(step.first) + u64::from(step.rows);
    if step.rows as usize > program.batch {
        let batch = program.batch;
        return Err(Error::usage(format!(
            "a step of {} rows exceeds the batch size, {batch}",
            step.rows
        )));
    }
    // Without an order, or with one of all rows, every position is a row.
    if end > available || (n != 0 && (end > n || n > available)) {
        let of = if n == 0 { available } else { n.min(available) };
        return Err(Error::usage(format!("a step that ends at row {end} of {of}")));
    }
    if n != 0 && a * b < n {
        return Err(Error::usage("the order is not a permutation")
            .help("use the words of a Permutation of the rows"));
    }
    Ok(())
}

/// Refuses a transfer to or from a tensor that isn't the program's, or with more values than it has.
///
/// # Errors
/// For such a tensor or length.
pub(super) fn transfer(program: &Program, tensor: TensorId, len: usize) -> Result<()> {
    let Some(t) = program.tensors.get(tensor.0) else {
        let has = program.tensors.len();
        return Err(Error::usage(format!(
            "there is no tensor {}: the program has {has}",
            tensor.0
        ))
        .help("use a tensor of the loaded program"));
    };
    let capacity = program.len(tensor).saturating_mul(program.nets);
    if len <= capacity {
        return Ok(());
    }
    Err(Error::usage(format!("{len} values for {}, which has {capacity}", t.name)))
}

/// Refuses a program with constants that don't fit their tensors.
///
/// # Errors
/// For the first of them.
pub(super) fn constants(program: &Program) -> Result<()> {
    let mut constants = program.constants.iter();
    constants.try_for_each(|(tensor, values)| transfer(program, *tensor, values.len()))
}

/// The error for rows that no longer exist.
pub(super) fn forgotten() -> Error {
    Error::usage("the rows were freed, or belong to another backend").help("upload them again")
}

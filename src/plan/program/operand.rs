//! The operands of the table of ops: their tensors, an op's effects on these, their text,
//! and what a launch needs of them.

use super::{Op, Program, Task};
use crate::data::Storage;
use crate::kernels::Launch;
use crate::kernels::inputs::embed::TableGradients;
use crate::kernels::layers::activation::UnitFunctions;
use crate::kernels::mixed;
use crate::kernels::optim::combine::Factors;
use crate::kernels::optim::edits::Edit;
use crate::kernels::products::tile::{Tiling, Tuning};
use crate::kernels::tensor::{ALIGNMENT, Extent, TensorId};
use crate::net::precision::Precision;
use std::fmt::{self, Formatter};

/// An operand of an op, which may contain tensors.
pub(super) trait Operand: Clone {
    /// Its tensors, mutable.
    fn tensors_mut(&mut self) -> impl Iterator<Item = &mut TensorId>;

    /// Its text in a line of the program.
    fn text(&self, text: &Text<'_>) -> String;

    /// The tensors.
    fn tensors(&self) -> Vec<TensorId> {
        self.clone().tensors_mut().map(|id| *id).collect()
    }
}

impl Operand for TensorId {
    fn tensors_mut(&mut self) -> impl Iterator<Item = &mut TensorId> {
        std::iter::once(self)
    }

    fn text(&self, text: &Text<'_>) -> String {
        text.tensor(*self)
    }
}

impl<const N: usize> Operand for [TensorId; N] {
    fn tensors_mut(&mut self) -> impl Iterator<Item = &mut TensorId> {
        self.iter_mut()
    }

    fn text(&self, text: &Text<'_>) -> String {
        self.map(|id| text.tensor(id)).join(", ")
    }
}

/// A bias with its sign.
impl Operand for Option<(TensorId, f32)> {
    fn tensors_mut(&mut self) -> impl Iterator<Item = &mut TensorId> {
        self.iter_mut().map(|(id, _)| id)
    }

    fn text(&self, text: &Text<'_>) -> String {
        match self {
            Some((bias, sign)) if *sign < 0.0 => format!(" − {}", text.tensor(*bias)),
            Some((bias, _)) => format!(" + {}", text.tensor(*bias)),
            None => String::new(),
        }
    }
}

impl Operand for UnitFunctions {
    fn tensors_mut(&mut self) -> impl Iterator<Item = &mut TensorId> {
        match self {
            UnitFunctions::Same(_) => None,
            UnitFunctions::Each(_, table) => Some(table),
        }
        .into_iter()
    }

    fn text(&self, _: &Text<'_>) -> String {
        self.units().to_string()
    }
}

impl Operand for TableGradients {
    fn tensors_mut(&mut self) -> impl Iterator<Item = &mut TensorId> {
        self.each.iter_mut().map(|(_, out)| out).chain(&mut self.within)
    }

    fn text(&self, text: &Text<'_>) -> String {
        Vec::from_iter(self.tensors().map(|id| text.tensor(id))).join(", ")
    }
}

impl Operand for Edit {
    fn tensors_mut(&mut self) -> impl Iterator<Item = &mut TensorId> {
        match self {
            Edit::SignPenalty { w: other, .. }
            | Edit::ClipNorm { norm: other, .. }
            | Edit::Unit { norm: other } => Some(other),
            Edit::ClipValue { .. } | Edit::Noise { .. } => None,
        }
        .into_iter()
    }

    fn text(&self, text: &Text<'_>) -> String {
        let with = self.reads().map(|other| format!(" with {}", text.tensor(other)));
        self.name().to_string() + &with.unwrap_or_default()
    }
}

impl Operand for Factors {
    fn tensors_mut(&mut self) -> impl Iterator<Item = &mut TensorId> {
        match self {
            Factors::Trust { norms } => &mut norms[..],
            Factors::Fixed(_) | Factors::Step { .. } => &mut [],
        }
        .iter_mut()
    }

    fn text(&self, text: &Text<'_>) -> String {
        match self {
            Factors::Fixed([a, b]) => format!("{a} and {b}"),
            Factors::Step { decay, scale } => format!("1 − {decay} η and −{scale} η"),
            Factors::Trust { norms } => format!("1 and −η · the ratio of {}", norms.text(text)),
        }
    }
}

/// Collects the tensors of operands.
#[derive(Default)]
pub(super) struct Named<'a>(Vec<&'a mut TensorId>);

impl<'a> Named<'a> {
    pub(super) fn given<T>(&mut self, _: &mut T) {}

    pub(super) fn reads(&mut self, operand: &'a mut impl Operand) {
        self.0.extend(operand.tensors_mut());
    }

    pub(super) fn writes(&mut self, operand: &'a mut impl Operand) {
        self.reads(operand);
    }

    pub(super) fn changes(&mut self, operand: &'a mut impl Operand) {
        self.reads(operand);
    }

    pub(super) fn tensors(self) -> Vec<&'a mut TensorId> {
        self.0
    }
}

/// Collects operands into the single task of an op whose effects are on whole tensors.
pub(super) struct Effects<'a> {
    program: &'a Program,
    task: Task,
}

impl<'a> Effects<'a> {
    pub(super) fn of(program: &'a Program) -> Self {
        Effects { program, task: Task::default() }
    }

    pub(super) fn given<T>(&mut self, _: &T) {}

    pub(super) fn reads(&mut self, operand: &impl Operand) {
        self.task.reads.extend(operand.tensors().into_iter().map(|id| self.program.whole(id)));
    }

    pub(super) fn writes(&mut self, operand: &impl Operand) {
        self.task.writes.extend(operand.tensors().into_iter().map(|id| self.program.whole(id)));
    }

    pub(super) fn changes(&mut self, operand: &impl Operand) {
        self.task.changes.extend(operand.tensors().into_iter().map(|id| self.program.whole(id)));
    }

    pub(super) fn task(self) -> Vec<Task> {
        vec![self.task]
    }
}

/// Operands as text, tensors with their shapes.
pub(super) struct Text<'a> {
    pub(super) program: &'a Program,
}

impl Text<'_> {
    /// Name and shape: `layers.0.weight (128, 784)`.
    pub(super) fn tensor(&self, id: TensorId) -> String {
        let t = self.program.tensor(id);
        match t.rows {
            Extent::Batch => format!("{} (B, {})", t.name, t.cols),
            Extent::Fixed(rows) => format!("{} ({rows}, {})", t.name, t.cols),
        }
    }

    pub(super) fn given<'b, T>(&self, value: &'b T) -> &'b T {
        value
    }

    pub(super) fn reads(&self, operand: &impl Operand) -> String {
        operand.text(self)
    }

    pub(super) fn writes(&self, operand: &impl Operand) -> String {
        operand.text(self)
    }

    pub(super) fn changes(&self, operand: &impl Operand) -> String {
        operand.text(self)
    }
}

/// An op as a line of text: what it computes, with shapes.
pub(super) struct OpText<'a>(pub(super) &'a Program, pub(super) &'a Op);

impl fmt::Display for OpText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let line = Line(self.1, Text { program: self.0 });
        match self.0.precision_of(self.1) {
            Precision::F32 => line.fmt(f),
            // Replaces some of the padding behind the name.
            Precision::F16 => write!(f, "f16 {}", line.to_string().replacen("    ", "", 1)),
        }
    }
}

/// An op as a line, whatever its precision.
struct Line<'a>(&'a Op, Text<'a>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.line(&self.1, f)
    }
}

/// The context of an op's launch.
pub(super) struct Launching<'a> {
    pub(super) program: &'a Program,
    pub(super) op: &'a Op,
    /// The storage of the data set.
    pub(super) storage: Storage,
    /// The most elements that one binding may have.
    pub(super) largest: usize,
    pub(super) tuning: &'a Tuning,
}

impl Launching<'_> {
    /// The columns of a tensor.
    pub(super) fn cols(&self, id: TensorId) -> usize {
        self.program.tensor(id).cols
    }

    /// Rows and columns of a tensor in a full batch.
    pub(super) fn shape(&self, id: TensorId) -> [usize; 2] {
        let t = self.program.tensor(id);
        [t.rows.rows(self.program.batch), t.cols]
    }

    /// The first element of a tensor in its buffer, and its columns.
    pub(super) fn layout(&self, id: TensorId) -> (u32, u32) {
        let t = self.program.tensor(id);
        (t.offset as u32, t.cols as u32)
    }

    /// The precision of a tensor.
    pub(super) fn precision(&self, id: TensorId) -> Precision {
        self.program.tensor(id).precision
    }

    /// The block of the one product of an op in f16.
    pub(super) fn block(&self) -> mixed::Choice {
        let product = self.program.products(self.op).shapes.first().copied();
        self.tuning.mixed.take(product.unwrap_or_default(), self.tuning.registers)
    }

    /// How the products of the op are cut into tiles.
    pub(super) fn tiling(&self) -> Tiling {
        Tiling::new(&self.program.products(self.op), self.tuning)
    }

    /// Launches over all elements of a tensor, in parts that each fit a binding.
    pub(super) fn in_parts(
        &self,
        id: TensorId,
        launch: impl Fn(usize, usize) -> Launch,
    ) -> Vec<Launch> {
        self.in_parts_of(self.program.len(id), launch)
    }

    /// Launches over `len` elements, in parts that each fit a binding.
    pub(super) fn in_parts_of(
        &self,
        len: usize,
        launch: impl Fn(usize, usize) -> Launch,
    ) -> Vec<Launch> {
        let part = self.largest / ALIGNMENT * ALIGNMENT;
        (0..len).step_by(part).map(|start| launch(start, part.min(len - start))).collect()
    }
}

//! The tensors of one net, and the state of the fused ops.

use super::inputs::Inputs;
use super::packed::Packed;
use super::partial::Partial;
use crate::kernels::tensor::{Role, TensorId};
use crate::math::gemm::{Aligned, Gemm};
use crate::math::real::Real;
use crate::net::precision::Precision;
use crate::plan::program::Program;

/// The memory of a program for one of its nets.
#[derive(Debug)]
pub(super) struct NetMemory<T> {
    pub(super) buffers: Vec<Aligned<T>>,
    pub(super) packed: Packed<T>,
    pub(super) partial: Option<Partial<T>>,
    pub(super) inputs: Option<Inputs<T>>,
}

impl<T: Gemm> NetMemory<T> {
    /// Zeros, for a team of `threads` threads.
    pub(super) fn new(program: &Program, threads: usize) -> Self {
        let partial = Partial::new(program);
        NetMemory {
            buffers: program.buffers.iter().map(|&len| Aligned::zeros(len)).collect(),
            packed: Packed::new(program, partial.is_none()),
            partial,
            inputs: Inputs::new(program, threads),
        }
    }

    /// Writes the first elements of a tensor, which must have that many.
    pub(super) fn write<S: Real>(&mut self, program: &Program, tensor: TensorId, values: &[S]) {
        let t = program.tensor(tensor);
        if t.role == Role::Parameter {
            self.packed.fresh = false;
        }
        let to = &mut self.buffers[t.buffer][t.offset..];
        match self.packed.order(program, tensor) {
            None => to.iter_mut().zip(values).for_each(|(to, x)| *to = T::of(x.double())),
            Some(order) => {
                values.iter().enumerate().for_each(|(i, x)| to[order(i)] = T::of(x.double()));
            }
        }
        if t.precision != Precision::F32 {
            to[..values.len()].iter_mut().for_each(|x| *x = t.precision.round(*x));
        }
    }

    /// Reads the first elements of a tensor, which must have that many.
    pub(super) fn read<S: Real>(&self, program: &Program, tensor: TensorId, values: &mut [S]) {
        let t = program.tensor(tensor);
        let from = &self.buffers[t.buffer][t.offset..];
        match self.packed.order(program, tensor) {
            None => values.iter_mut().zip(from).for_each(|(x, from)| *x = S::of(from.double())),
            Some(order) => {
                let values = values.iter_mut().enumerate();
                values.for_each(|(i, x)| *x = S::of(from[order(i)].double()));
            }
        }
    }

    /// All elements of a tensor, if they are stored unchanged and in order.
    pub(super) fn in_order(&mut self, program: &Program, tensor: TensorId) -> Option<&mut [T]> {
        let t = program.tensor(tensor);
        if t.precision != Precision::F32 || self.packed.order(program, tensor).is_some() {
            return None;
        }
        if t.role == Role::Parameter {
            self.packed.fresh = false;
        }
        let len = program.len(tensor);
        Some(&mut self.buffers[t.buffer][t.offset..t.offset + len])
    }
}

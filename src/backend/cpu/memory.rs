//! The buffers of a program, shared by the threads that run it.

use crate::gemm::Aligned;
use crate::program::Program;
use crate::real::Real;
use crate::tensor::TensorId;
use std::marker::PhantomData;
use std::ops::Range;

/// Access to a program's buffers from many threads at once.
///
/// The rule that makes it sound: within one op, a piece writes elements that no other piece reads
/// or writes, and a barrier stands between ops ([`super::team`]).
pub(super) struct Shared<'a, T> {
    program: &'a Program,
    buffers: Vec<(*mut T, usize)>,
    borrowed: PhantomData<&'a mut [Aligned<T>]>,
}

// SAFETY: all access goes through `read` and `write`, whose callers keep the rule above.
unsafe impl<T: Send + Sync> Sync for Shared<'_, T> {}

impl<'a, T: Real> Shared<'a, T> {
    pub(super) fn new(program: &'a Program, buffers: &'a mut [Aligned<T>]) -> Self {
        let buffers = buffers.iter_mut().map(|b| (b.as_mut_ptr(), b.len())).collect();
        Shared { program, buffers, borrowed: PhantomData }
    }

    /// The program whose buffers these are.
    pub(super) fn program(&self) -> &'a Program {
        self.program
    }

    /// Elements `range` of a tensor.
    ///
    /// # Safety
    /// No piece of the current op writes them.
    pub(super) unsafe fn read(&self, id: TensorId, range: Range<usize>) -> &[T] {
        let (at, len) = self.locate(id, &range);
        // SAFETY: `locate` found the elements inside the buffer; the caller excludes writers.
        unsafe { std::slice::from_raw_parts(at, len) }
    }

    /// Elements `range` of a tensor, to be written.
    ///
    /// # Safety
    /// No other piece of the current op reads or writes them, and the caller holds no other
    /// reference to them.
    #[allow(clippy::mut_from_ref, reason = "the caller has these elements to itself")]
    pub(super) unsafe fn write(&self, id: TensorId, range: Range<usize>) -> &mut [T] {
        let (at, len) = self.locate(id, &range);
        // SAFETY: as above, and the caller excludes all other access.
        unsafe { std::slice::from_raw_parts_mut(at, len) }
    }

    /// Where an element of a tensor is, for pieces whose elements don't lie in one range.
    pub(super) fn pointer(&self, id: TensorId, element: usize) -> *mut T {
        self.locate(id, &(element..element)).0
    }

    fn locate(&self, id: TensorId, range: &Range<usize>) -> (*mut T, usize) {
        let t = self.program.tensor(id);
        let (at, len) = self.buffers[t.buffer];
        let end = t.offset + range.end;
        let inside = range.end <= self.program.len(id) && end <= len;
        assert!(range.start <= range.end && inside, "outside of {}", t.name);
        // SAFETY: the assert keeps it inside the tensor, and that inside the buffer.
        (unsafe { at.add(t.offset + range.start) }, range.len())
    }
}

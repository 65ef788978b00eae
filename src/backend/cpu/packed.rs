//! Weights in the order in which the fused forward pass reads them: W_lᵀ, packed.
//!
//! They are packed whenever weights have changed from outside of the fused step, which keeps them
//! up to date itself while the new weights are in cache. Those of the first layer, which the backward
//! pass doesn't need, have no second form if all ops can use this one: they and everything with one
//! number per parameter, such as the optimizer's state, are in this order in the program's own
//! buffers.

use super::memory::{Cells, Shared};
use super::team::Worker;
use crate::kernels::fused::whole_net::Reach;
use crate::kernels::optim::edits::Edit;
use crate::kernels::tensor::TensorId;
use crate::math::gemm::{self, Gemm, View};
use crate::plan::program::{Op, Program};
use std::ops::Range;

/// The packed weights of a program's fused layers.
#[derive(Debug, Default)]
pub(super) struct Packed<T> {
    layers: Vec<Layer<T>>,
    in_place: Option<InPlace>,
    /// Whether they are up to date with the parameters.
    pub(super) fresh: bool,
}

/// The most weights of a layer that is kept packed: with more, packing during the product takes negligible
/// time, and a second copy would cost memory.
const LARGEST: usize = 1 << 22;

/// Units and inputs of a layer's weights.
fn shape(program: &Program, weight: TensorId) -> [usize; 2] {
    let inputs = program.tensor(weight).cols;
    [program.range(weight, 0).len() / inputs, inputs]
}

/// Weights that are packed in the program's own buffers.
#[derive(Debug)]
struct InPlace {
    weight: TensorId,
    /// Units and inputs.
    shape: [usize; 2],
    /// Their offset in their buffer.
    offset: usize,
    /// The buffers with a number for each parameter, all in this order.
    buffers: Vec<usize>,
}

impl InPlace {
    /// The first layer's weights, if no op of `program` needs them in rows.
    fn new<T: Gemm>(program: &Program) -> Option<Self> {
        let first = program.ops.iter().find_map(|op| match op {
            Op::WholeNet(net) if net.reach() == Reach::Deltas && net.from == 0 => {
                net.layers.first()
            }
            _ => None,
        });
        let layer = first?;
        let mut like_parameters = Vec::new();
        for op in &program.ops {
            like_parameters.extend(whole_rows(op, program.batch)?);
        }
        let [parameters, ..] = like_parameters[..] else { return None };
        let len = |id: TensorId| program.range(id, 0).len();
        let (t, all) = (program.tensor(layer.weight), program.tensor(parameters));
        let shape = shape(program, layer.weight);
        let weights = len(layer.weight);
        let fits = weights <= LARGEST
            && gemm::packed_len::<T>([shape[1], shape[0]]) == weights
            && t.buffer == all.buffer
            && like_parameters.iter().all(|&id| len(id) == len(parameters));
        let mut buffers =
            Vec::from_iter(like_parameters.iter().map(|&id| program.tensor(id).buffer));
        buffers.sort_unstable();
        buffers.dedup();
        fits.then_some(InPlace { weight: layer.weight, shape, offset: t.offset, buffers })
    }
}

/// The tensors of an op that have a number for each parameter, in one row; none if the op depends on
/// which number belongs to which weight.
fn whole_rows(op: &Op, batch: usize) -> Option<Vec<TensorId>> {
    let rows = match op {
        Op::WholeNet(net) if net.from == 0 => {
            let needs_rows = net.embedded.as_ref().is_some_and(|e| e.gradient.is_some());
            return (!needs_rows).then(|| vec![net.parameters]);
        }
        // Noise is drawn by the index of an element in its rows.
        Op::GradientUpdate(op) if op.with.noise.is_some() => return None,
        Op::GradientUpdate(op) => {
            let mut rows = vec![op.parameters];
            rows.extend(&op.state[..op.rule.optimizer.state_slots()]);
            rows.extend([op.with.collected, op.with.direction].into_iter().flatten());
            rows.extend(op.with.average.map(|(_, average)| average));
            rows
        }
        Op::GradientParts(op) if op.rows >= batch => {
            [Some(op.parts), op.collected].into_iter().flatten().collect()
        }
        Op::Update { rule, w, g, state, .. } => {
            let used = &state[..rule.optimizer.state_slots()];
            [*w, *g].into_iter().chain(used.iter().copied()).collect()
        }
        Op::Direction { w, g, state, u, .. } => [*w, *g, *u].into_iter().chain(*state).collect(),
        Op::Average { w, average, .. } => vec![*w, *average],
        Op::Swap { a, b } => vec![*a, *b],
        // These treat each number separately, or sum all of them.
        Op::Edit { edit: Edit::Noise { .. }, .. } => return None,
        Op::Accumulate { .. } | Op::VectorNorm { .. } | Op::Edit { .. } | Op::Combine { .. } => {
            vec![]
        }
        _ => return None,
    };
    Some(rows)
}

#[derive(Debug)]
struct Layer<T> {
    weight: TensorId,
    /// Units and inputs.
    shape: [usize; 2],
    numbers: Cells<T>,
}

impl<T: Gemm> Packed<T> {
    /// Memory for the weights that the fused ops of `program` read; the first layer's may be packed in the
    /// program's buffers if `in_place`.
    pub(super) fn new(program: &Program, in_place: bool) -> Self {
        let in_place = if in_place { InPlace::new::<T>(program) } else { None };
        let rows = program.ops.iter().find_map(|op| match op {
            Op::WholeNet(net) => Some(net),
            _ => None,
        });
        let layer = |weight: TensorId| {
            let shape = shape(program, weight);
            let numbers = Cells::zeros(gemm::packed_len::<T>([shape[1], shape[0]]));
            Layer { weight, shape, numbers }
        };
        let small = |weight: &TensorId| program.range(*weight, 0).len() <= LARGEST;
        let weights = rows.into_iter().flat_map(|rows| rows.layers.iter().map(|l| l.weight));
        let lies_packed =
            |weight: &TensorId| in_place.as_ref().is_some_and(|p| p.weight == *weight);
        let layers = weights.filter(|w| small(w) && !lies_packed(w)).map(layer).collect();
        Packed { layers, in_place, fresh: false }
    }

    /// Whether a weight tensor is packed in the program's own buffer.
    pub(super) fn is_in_place(&self, weight: TensorId) -> bool {
        self.in_place.as_ref().is_some_and(|p| p.weight == weight)
    }

    /// The index of element `i` of a tensor in its buffer.
    pub(super) fn order(
        &self,
        program: &Program,
        tensor: TensorId,
    ) -> Option<impl Fn(usize) -> usize> {
        let p = self.in_place.as_ref()?;
        let t = program.tensor(tensor);
        if !p.buffers.contains(&t.buffer) {
            return None;
        }
        let ([n, k], panel, start) = (p.shape, gemm::panel_cols::<T>(), t.offset);
        let offset = p.offset;
        Some(move |i: usize| {
            let place = start + i;
            if !(offset..offset + n * k).contains(&place) {
                return i;
            }
            let (unit, input) = ((place - offset) / k, (place - offset) % k);
            let first = unit - unit % panel;
            let packed = first * k + input * panel.min(n - first) + unit % panel;
            (offset + packed).saturating_sub(start)
        })
    }

    /// The packed form of some units of `weight`, which begin with a panel; none for a large layer.
    ///
    /// # Safety
    /// Nothing writes these units' weights, packed or not, while the reference lives.
    pub(super) unsafe fn get<'a>(
        &'a self,
        memory: &'a Shared<'_, T>,
        weight: TensorId,
        units: Range<usize>,
    ) -> Option<&'a [T]> {
        let whole = units.start.is_multiple_of(gemm::panel_cols::<T>());
        assert!(whole, "not whole panels");
        if let Some(p) = self.in_place.as_ref().filter(|p| p.weight == weight) {
            let [n, k] = p.shape;
            assert!(units.end <= n, "outside of the weights");
            // SAFETY: these units' weights, which the caller keeps from being written.
            return Some(unsafe { memory.read(weight, units.start * k..units.end * k) });
        }
        let layer = self.layer(weight)?;
        let [n, k] = layer.shape;
        let len = gemm::packed_len::<T>([k, units.len()]);
        assert!(units.end <= n, "outside of the weights");
        let first = units.start * k;
        // SAFETY: the panels of these units, which the caller keeps from being written.
        Some(unsafe { layer.numbers.span().read(first..first + len) })
    }

    /// Packs all weights, together with the other threads of the team.
    pub(super) fn all(&self, memory: &Shared<'_, T>, worker: &Worker<'_>) {
        let cols = gemm::panel_cols::<T>();
        for layer in &self.layers {
            let [units, inputs] = layer.shape;
            worker.share(units.div_ceil(cols), |i| {
                let units = i * cols..((i + 1) * cols).min(units);
                // SAFETY: other pieces have other panels, and no op runs meanwhile that writes weights.
                unsafe { self.part(memory, layer.weight, units, 0..inputs) };
            });
        }
    }

    /// Packs the weights of some units, whole panels, to some inputs.
    ///
    /// # Safety
    /// Nothing writes these weights meanwhile, and nothing else reads or writes their packed form.
    pub(super) unsafe fn part(
        &self,
        memory: &Shared<'_, T>,
        weight: TensorId,
        units: Range<usize>,
        inputs: Range<usize>,
    ) {
        let Some(layer) = self.layer(weight) else { return };
        let [n, k] = layer.shape;
        let packed = layer.numbers.span().block(1, 0..gemm::packed_len::<T>([k, n]), 0..1);
        let at = memory.block(weight, 0..n, 0..k);
        // SAFETY: the weight has n rows of k numbers, of which those are read that the caller keeps from
        // being written.
        let w = unsafe { View::from_raw(at, n, k) };
        // SAFETY: the packed form has that many numbers, of which these panels are the caller's.
        unsafe { gemm::pack(w.transposed(), inputs, units, packed) };
    }

    fn layer(&self, weight: TensorId) -> Option<&Layer<T>> {
        self.layers.iter().find(|layer| layer.weight == weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::tensor::Role;
    use crate::math::activation::Activation;
    use crate::math::loss::Loss;
    use crate::math::optim::{Averaging, Optimizer};
    use crate::net::spec::{Net, Spec};
    use crate::plan::{self, Purpose, Traits};

    fn spec(inputs: usize, units: usize) -> Spec {
        let net = Net::new(inputs).layer(units, Activation::Relu).layer(3, Activation::Identity);
        Spec::new(net, Loss::SquaredError).optimizer(Optimizer::ALL[4])
    }

    fn program(spec: &Spec) -> Program {
        plan::plan(spec, 8, Purpose::Train, Traits::Cpu).program
    }

    #[test]
    fn numbers_lie_where_the_packed_form_has_them() {
        let (inputs, units) = (7, 80);
        let program =
            program(&Spec { averaging: Averaging::Ema { decay: 0.9 }, ..spec(inputs, units) });
        let packed = Packed::<f32>::new(&program, true);
        let find =
            |name: &str| TensorId(program.tensors.iter().position(|t| t.name == name).unwrap());
        let weight = find("layers.0.weight");
        assert!(packed.is_in_place(weight) && !packed.is_in_place(find("layers.1.weight")));
        let numbers = Vec::from_iter((0..inputs * units).map(|i| i as f32));
        let mut to = vec![0.0; numbers.len()];
        let w = View::new(&numbers, units, inputs).transposed();
        // SAFETY: the packed form belongs to this test.
        unsafe { gemm::pack(w, 0..inputs, 0..units, to.as_mut_ptr()) };
        let order = packed.order(&program, weight).unwrap();
        assert!((0..to.len()).all(|i| to[order(i)] == numbers[i]));
        // Whatever has a number for each parameter, in the same order; nothing else.
        let p = packed.in_place.as_ref().unwrap();
        let weights = p.offset..p.offset + numbers.len();
        for (id, t) in program.tensors.iter().enumerate() {
            let all = matches!(t.role, Role::State | Role::Parameter) && t.cols > numbers.len();
            let in_parameters = t.buffer == program.tensor(weight).buffer;
            let of_all = packed.order(&program, TensorId(id));
            assert_eq!(of_all.is_some(), all || in_parameters, "{}", t.name);
            if let Some(of_all) = of_all.filter(|_| all) {
                for i in 0..t.cols {
                    let inside = weights.contains(&i).then(|| p.offset + order(i - p.offset));
                    assert_eq!(of_all(i), inside.unwrap_or(i), "{}", t.name);
                }
            }
        }
        // Other tensors of the buffer keep their layout.
        let bias = packed.order(&program, find("layers.0.bias")).unwrap();
        assert!((0..units).all(|i| bias(i) == i));
    }

    #[test]
    fn weights_that_an_op_needs_in_rows_do_not_lie_packed() {
        let in_place = |spec: &Spec| Packed::<f32>::new(&program(spec), true).in_place.is_some();
        assert!(in_place(&spec(7, 32)));
        assert!(!in_place(&spec(7, 33)), "no whole vectors");
        assert!(!in_place(&Spec { max_norm: Some(1.0), ..spec(7, 32) }));
        assert!(!in_place(&Spec { plan: crate::net::spec::PlanKind::Plain, ..spec(7, 32) }));
        assert!(!in_place(&spec(1 << 17, 64)), "too large");
    }
}

//! A = σ(Z) and δ ← δ ⊙ σ′(Z), element by element. The functions are in [`crate::math::activation`].

use crate::kernels::common::declaration::{COMMON, FUNCTIONS, Kernel, read, read_write, uniform};
use crate::kernels::common::launch::{Arg, Grid, Launch};
use crate::kernels::tensor::{Extent, TensorId};
use crate::math::activation::Activation;
use crate::math::vector::Vector;
use crate::net::spec::Units;
use std::ops::Range;

uniform! {
    /// The shape: `rows` 0 means the current batch.
    Uniform { rows: u32, cols: u32 }
}

/// The WGSL of the activation functions.
pub const ACTIVATION_FUNCTIONS: &str =
    include_str!("../../../shaders/layers/activation_functions.wgsl");

const SOURCE: &[&str] = &[
    COMMON,
    FUNCTIONS,
    ACTIVATION_FUNCTIONS,
    include_str!("../../../shaders/layers/activation.wgsl"),
];

/// A = σ(Z): (B, n_l).
pub static ACTIVATION: Kernel = Kernel {
    entry: "activation",
    source: SOURCE,
    uniform: Uniform::FIELDS,
    bindings: &[read("units"), read("z"), read_write("out")],
    workgroup_size: 64,
};

/// δ ← δ ⊙ σ′(Z): (B, n_l).
pub static ACTIVATION_GRADIENT: Kernel = Kernel {
    entry: "activation_gradient",
    source: SOURCE,
    uniform: Uniform::FIELDS,
    bindings: &[read("units"), read("z"), read_write("out")],
    workgroup_size: 64,
};

/// The functions of a layer's units, with the table of a mixed layer on the device.
#[derive(Debug, Clone, PartialEq)]
pub enum UnitFunctions {
    /// One for all.
    Same(Activation),
    /// One for each; the tensor holds (code, parameter) of each unit: (n_l, 2).
    Each(Vec<Activation>, TensorId),
}

impl UnitFunctions {
    /// The function of unit `j`.
    #[must_use]
    pub fn of(&self, j: usize) -> Activation {
        match self {
            UnitFunctions::Same(activation) => *activation,
            UnitFunctions::Each(each, _) => each[j],
        }
    }

    /// As a spec names them.
    #[must_use]
    pub fn units(&self) -> Units {
        match self {
            UnitFunctions::Same(activation) => Units::Same(*activation),
            UnitFunctions::Each(each, _) => Units::Each(each.clone()),
        }
    }
}

/// (code, parameter) of each unit, as the shaders read it: (n_l, 2).
#[must_use]
pub fn unit_table(each: &[Activation]) -> Vec<f32> {
    each.iter().flat_map(|a| [a.code() as f32, a.parameter()]).collect()
}

/// Launches one of the two kernels on z and out: (B, cols).
#[must_use]
pub fn launch(
    kernel: &'static Kernel,
    functions: &UnitFunctions,
    z: TensorId,
    out: TensorId,
    cols: usize,
) -> Launch {
    let (overrides, table) = match functions {
        UnitFunctions::Same(a) => (
            vec![
                ("PER_UNIT", 0.0),
                ("ACTIVATION", f64::from(a.code())),
                ("PARAMETER", f64::from(a.parameter())),
            ],
            Arg::Unused,
        ),
        UnitFunctions::Each(_, table) => (vec![("PER_UNIT", 1.0)], Arg::Tensor(*table)),
    };
    Launch {
        kernel,
        overrides,
        uniform: Uniform { rows: 0, cols: cols as u32 }.bytes(),
        args: vec![table, Arg::Tensor(z), Arg::Tensor(out)],
        grid: Grid::Elements(Extent::Batch, cols),
    }
}

/// The CPU reference of [`ACTIVATION`]: z, a: (rows, cols).
pub fn value<T: Vector>(functions: &UnitFunctions, cols: usize, z: &[T], a: &mut [T]) {
    a.copy_from_slice(z);
    value_in_place(functions, 0..cols, a);
}

/// a ← σ(a) for some units: (rows, units).
pub fn value_in_place<T: Vector>(functions: &UnitFunctions, units: Range<usize>, a: &mut [T]) {
    match functions {
        UnitFunctions::Same(Activation::Identity) => {}
        UnitFunctions::Same(f) => T::activate(*f, a),
        UnitFunctions::Each(each, _) => {
            for a in a.chunks_exact_mut(units.len()) {
                a.iter_mut().zip(&each[units.clone()]).for_each(|(a, f)| *a = f.value(*a));
            }
        }
    }
}

/// The CPU reference of [`ACTIVATION_GRADIENT`] for some units: z, delta: (rows, units).
pub fn gradient<T: Vector>(
    functions: &UnitFunctions,
    units: Range<usize>,
    z: &[T],
    delta: &mut [T],
) {
    match functions {
        UnitFunctions::Same(Activation::Identity) => {}
        UnitFunctions::Same(f) => T::activate_gradient(*f, z, delta),
        UnitFunctions::Each(each, _) => {
            let n = units.len();
            for (delta, z) in delta.chunks_exact_mut(n).zip(z.chunks_exact(n)) {
                let each = &each[units.clone()];
                delta.iter_mut().zip(z).zip(each).for_each(|((d, &z), f)| *d *= f.derivative(z));
            }
        }
    }
}

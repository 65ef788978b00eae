//! Loops over slices, compiled separately for each function, so that none has a branch inside.

use super::Activation;
use crate::math::real::Real;

/// The body for each function, in which the compiler knows `$f` except for its parameter.
macro_rules! for_each_function {
    ($f:ident: $($name:ident $(($parameter:ident))?),+ => $body:block) => {
        match $f {
            $(Activation::$name $(($parameter))? => {
                let $f = Activation::$name $(($parameter))?;
                $body
            })+
        }
    };
    ($f:ident => $body:block) => {
        for_each_function!(
            $f: Identity, Sigmoid, Tanh, Relu, Relu6, LeakyRelu(slope), Elu(alpha), Selu, Gelu,
            GeluTanh, Silu, Softplus, Softsign, Mish, HardSigmoid, HardSwish, Sine, Gaussian
            => $body
        )
    };
}

/// a ← σ(a).
#[inline(always)]
pub fn values<T: Real>(f: Activation, a: &mut [T]) {
    // Loops, not closures, which needn't be compiled for the caller's instruction set.
    for_each_function!(f => {
        for a in a {
            *a = f.value(*a);
        }
    });
}

/// δ ← δ ⊙ σ′(z), of equal length.
#[inline(always)]
pub fn gradients<T: Real>(f: Activation, z: &[T], delta: &mut [T]) {
    for_each_function!(f => {
        for (delta, &z) in delta.iter_mut().zip(z) {
            *delta *= f.derivative(z);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::vector::Vector;

    #[test]
    fn loops_give_the_bits_of_single_numbers() {
        // So many that there are whole vectors and a rest.
        let z: Vec<f32> = (0..77).map(|i| (i as f32 - 38.0) * 0.37).collect();
        for f in Activation::ALL {
            let (mut a, mut delta) = (z.clone(), vec![1.5; z.len()]);
            f32::activate(f, &mut a);
            f32::activate_gradient(f, &z, &mut delta);
            for (i, &z) in z.iter().enumerate() {
                assert_eq!(a[i].to_bits(), f.value(z).to_bits(), "{f}({z})");
                assert_eq!(delta[i].to_bits(), (1.5 * f.derivative(z)).to_bits(), "{f}′({z})");
            }
        }
    }
}

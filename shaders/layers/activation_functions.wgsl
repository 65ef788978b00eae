// Activations σ and derivatives σ′ of the pre-activation z, and δ ⊙ σ′. The equations are in
// src/math/activation/; the codes are the indices in `Activation::ALL`.

const IDENTITY = 0u;
const SIGMOID = 1u;
const TANH = 2u;
const RELU = 3u;
const RELU6 = 4u;
const LEAKY_RELU = 5u;
const ELU = 6u;
const SELU = 7u;
const GELU = 8u;
const GELU_TANH = 9u;
const SILU = 10u;
const SOFTPLUS = 11u;
const SOFTSIGN = 12u;
const MISH = 13u;
const HARD_SIGMOID = 14u;
const HARD_SWISH = 15u;
const SINE = 16u;
const GAUSSIAN = 17u;

const SELU_ALPHA = 1.6732632423543772;
const SELU_LAMBDA = 1.0507009873554805;
const SQRT_HALF = 0.7071067811865476;
const INVERSE_SQRT_TAU = 0.3989422804014327;
const GELU_SCALE = 0.7978845608028654; // √(2/π)
const GELU_CUBIC = 0.044715;

fn softplus(z: f32) -> f32 {
    return select(z, 0.0, z <= 0.0) + log1p_f(exp_f(-abs(z)));
}

fn relu6(z: f32) -> f32 {
    return select(select(z, 6.0, z >= 6.0), 0.0, z <= 0.0);
}

fn normal_cdf(z: f32) -> f32 {
    return 0.5 * (1.0 + erf_f(z * SQRT_HALF));
}

fn gelu_inner(z: f32) -> f32 {
    return GELU_SCALE * (z + GELU_CUBIC * z * z * z);
}

// σ(z); parameter: the slope of a leaky relu, the α of an ELU
fn activation_value(code: u32, parameter: f32, z: f32) -> f32 {
    switch code {
        case SIGMOID: { return sigmoid_f(z); }
        case TANH: { return tanh_f(z); }
        case RELU: { return select(z, 0.0, z <= 0.0); }
        case RELU6: { return relu6(z); }
        case LEAKY_RELU: { return select(parameter * z, z, z > 0.0); }
        case ELU: { return select(parameter * expm1_f(z), z, z > 0.0); }
        case SELU: { return SELU_LAMBDA * select(SELU_ALPHA * expm1_f(z), z, z > 0.0); }
        case GELU: { return z * normal_cdf(z); }
        case GELU_TANH: { return 0.5 * z * (1.0 + tanh_f(gelu_inner(z))); }
        case SILU: { return z * sigmoid_f(z); }
        case SOFTPLUS: { return softplus(z); }
        case SOFTSIGN: { return z / (1.0 + abs(z)); }
        case MISH: { return z * tanh_f(softplus(z)); }
        case HARD_SIGMOID: { return relu6(z + 3.0) / 6.0; }
        case HARD_SWISH: { return z * relu6(z + 3.0) / 6.0; }
        case SINE: { return sin_f(z); }
        case GAUSSIAN: { return exp_f(-z * z); }
        default: { return z; }
    }
}

// σ′(z)
fn activation_derivative(code: u32, parameter: f32, z: f32) -> f32 {
    switch code {
        case SIGMOID: { return sigmoid_f(z) * sigmoid_f(-z); }
        case TANH: {
            let t = tanh_f(z);
            return 1.0 - t * t;
        }
        case RELU: { return select(0.0, 1.0, z > 0.0); }
        case RELU6: { return select(0.0, 1.0, z > 0.0 && z < 6.0); }
        case LEAKY_RELU: { return select(parameter, 1.0, z > 0.0); }
        case ELU: { return select(parameter * exp_f(z), 1.0, z > 0.0); }
        case SELU: { return SELU_LAMBDA * select(SELU_ALPHA * exp_f(z), 1.0, z > 0.0); }
        case GELU: { return normal_cdf(z) + z * exp_f(-0.5 * z * z) * INVERSE_SQRT_TAU; }
        case GELU_TANH: {
            let t = tanh_f(gelu_inner(z));
            let inner = GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * z * z);
            return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * inner;
        }
        case SILU: { return sigmoid_f(z) * (1.0 + z * sigmoid_f(-z)); }
        case SOFTPLUS: { return sigmoid_f(z); }
        case SOFTSIGN: { return 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z))); }
        case MISH: {
            let t = tanh_f(softplus(z));
            return t + z * sigmoid_f(z) * (1.0 - t * t);
        }
        case HARD_SIGMOID: { return select(0.0, 1.0 / 6.0, z > -3.0 && z < 3.0); }
        case HARD_SWISH: { return select(select(z / 3.0 + 0.5, 1.0, z >= 3.0), 0.0, z <= -3.0); }
        case SINE: { return cos_f(z); }
        case GAUSSIAN: { return -2.0 * z * exp_f(-z * z); }
        default: { return 1.0; }
    }
}

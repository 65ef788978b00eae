// The losses of one output with their derivatives. The equations are in src/math/loss; the codes are
// the indices in `Loss::ALL`.

override LOSS: u32 = 0u;

const SQUARED_ERROR = 0u;
const ABSOLUTE_ERROR = 1u;
const HUBER = 2u;
const LOG_COSH = 3u;
const CROSS_ENTROPY = 4u;
const CROSS_ENTROPY_PROBABILITIES = 5u;
const BINARY_CROSS_ENTROPY = 6u;
const POISSON = 7u;
const FOCAL = 8u;
const BINARY_FOCAL = 9u;
const QUANTILE = 10u;
const HINGE = 11u;
const KL_DIVERGENCE = 12u;
const COSINE = 13u;
const GAUSSIAN_NLL = 14u;

const LN_2 = 0.6931471805599453;
const SMALLEST_PROBABILITY = 1e-37;

fn sign_or_zero(d: f32) -> f32 {
    return select(select(0.0, -1.0, d < 0.0), 1.0, d > 0.0);
}

// The number of targets of a row with `cols` outputs.
fn targets_of(cols: u32) -> u32 {
    return select(cols, cols / 2u, LOSS == GAUSSIAN_NLL);
}

// t ← (1 − ε) t + ε/K for K classes, or 2 for each independent output.
fn smooth_target(t: f32, cols: u32) -> f32 {
    if (now.smoothing == 0.0) {
        return t;
    }
    let independent = LOSS == BINARY_CROSS_ENTROPY || LOSS == BINARY_FOCAL;
    return t * (1.0 - now.smoothing) + now.smoothing / select(f32(cols), 2.0, independent);
}

// ln(1 + eʸ)
fn softplus_of(y: f32) -> f32 {
    return select(y, 0.0, y <= 0.0) + log1p_f(exp_f(-abs(y)));
}

// q^γ for q in [0, 1] and γ ≥ 0, with 0⁰ = 1.
fn power_of(q: f32, gamma: f32) -> f32 {
    return select(exp_f(gamma * ln_f(q)), select(0.0, 1.0, gamma == 0.0), q <= 0.0);
}

// The prediction of an output in the target's units.
fn predicted(y: f32, facts: vec4<f32>) -> f32 {
    switch LOSS {
        case POISSON: { return exp_f(y); }
        case KL_DIVERGENCE: { return exp_f(y - facts.x); }
        default: { return y; }
    }
}

// The mean and the logarithm s of the variance: the loss, and its derivatives by both.
fn gaussian_nll(y: f32, s: f32, t: f32) -> vec3<f32> {
    let d = y - t;
    let inverse = exp_f(-s);
    let square = d * d * inverse;
    return vec3<f32>(0.5 * (s + square), d * inverse, 0.5 * (1.0 - square));
}

// Output j's term of the loss, and its derivative by y. parameter: δ of Huber's loss, γ of the focal
// ones, τ of the quantile. facts: values of the whole row that the term needs,
//   cross-entropy, divergence   ln Σ exp y, Σ t
//   focal                       ln Σ exp y, Σ g: see `focal_slope`
//   hinge of several outputs    the margin, the class and its rival
//   cosine                      y·t, |y|², |y| |t|
fn loss_term(y: f32, t: f32, j: u32, facts: vec4<f32>, parameter: f32) -> vec2<f32> {
    let d = y - t;
    switch LOSS {
        case SQUARED_ERROR: { return vec2<f32>(d * d, 2.0 * d); }
        case ABSOLUTE_ERROR: { return vec2<f32>(abs(d), sign_or_zero(d)); }
        case HUBER: {
            // Here and below, FXC takes a case that returns on both sides of a condition for one that may
            // not return.
            let inside = vec2<f32>(0.5 * d * d, d);
            let outside = vec2<f32>(abs(d) - 0.5 * parameter, sign_or_zero(d)) * parameter;
            return select(outside, inside, abs(d) <= parameter);
        }
        case LOG_COSH: {
            return vec2<f32>(abs(d) + log1p_f(exp_f(-2.0 * abs(d))) - LN_2, tanh_f(d));
        }
        case CROSS_ENTROPY: {
            return vec2<f32>(t * (facts.x - y), exp_f(y - facts.x) * facts.y - t);
        }
        case KL_DIVERGENCE: {
            let entropy = select(t * ln_f(t), 0.0, t == 0.0);
            return vec2<f32>(t * (facts.x - y) + entropy, exp_f(y - facts.x) * facts.y - t);
        }
        case FOCAL: {
            let log_p = y - facts.x;
            let value = -t * power_of(-expm1_f(log_p), parameter) * log_p;
            return vec2<f32>(value, focal_slope(log_p, t, parameter) - exp_f(log_p) * facts.y);
        }
        case CROSS_ENTROPY_PROBABILITIES: {
            let q = select(y, SMALLEST_PROBABILITY, y <= SMALLEST_PROBABILITY);
            return vec2<f32>(select(-t * ln_f(q), 0.0, t == 0.0), -t / q);
        }
        case BINARY_CROSS_ENTROPY: {
            return vec2<f32>(softplus_of(y) - t * y, sigmoid_f(y) - t);
        }
        case BINARY_FOCAL: {
            let p = sigmoid_f(y);
            let q = sigmoid_f(-y);
            let yes = power_of(q, parameter);
            let no = power_of(p, parameter);
            let value = t * yes * softplus_of(-y) + (1.0 - t) * no * softplus_of(y);
            let slope = (1.0 - t) * no * (parameter * q * softplus_of(y) + p)
                - t * yes * (parameter * p * softplus_of(-y) + q);
            return vec2<f32>(value, slope);
        }
        case POISSON: {
            let rate = exp_f(y);
            return vec2<f32>(rate - t * y, rate - t);
        }
        case QUANTILE: {
            let above = vec2<f32>((1.0 - parameter) * d, 1.0 - parameter);
            let below = vec2<f32>(-parameter * d, select(0.0, -parameter, d < 0.0));
            return select(above, below, d <= 0.0);
        }
        case HINGE: {
            return hinge_term(y, t, j, facts);
        }
        case COSINE: {
            // Rows of zeros, which have no direction, count as orthogonal to any row.
            let is_zero = facts.z == 0.0;
            let squares = select(facts.yz, vec2<f32>(1.0), is_zero);
            let slope = (facts.x / squares.x * y - t) / squares.y;
            let whole = select(1.0 - facts.x / squares.y, 1.0, is_zero);
            return vec2<f32>(select(0.0, whole, j == 0u), select(slope, 0.0, is_zero));
        }
        default: { return vec2<f32>(0.0, 0.0); }
    }
}

// g = p ∂E/∂p of the focal loss, from ln p; the quotient ln p / (1 − p) goes to −1 for p = 1.
fn focal_slope(log_p: f32, t: f32, gamma: f32) -> f32 {
    let q = -expm1_f(log_p);
    let quotient = select(log_p / q, -1.0, q <= 0.0);
    return t * power_of(q, gamma) * (gamma * exp_f(log_p) * quotient - 1.0);
}

// A single output has its own class; with several, the margin is that of the row.
fn hinge_term(y: f32, t: f32, j: u32, facts: vec4<f32>) -> vec2<f32> {
    let side = 2.0 * t - 1.0;
    let alone = facts.y < 0.0;
    let margin = select(facts.x, 1.0 - side * y, alone);
    if (margin <= 0.0) {
        return vec2<f32>(0.0, 0.0);
    }
    if (alone) {
        return vec2<f32>(margin, -side);
    }
    let slope = select(select(0.0, 1.0, f32(j) == facts.z), -1.0, f32(j) == facts.y);
    return vec2<f32>(select(0.0, margin, f32(j) == facts.y), slope);
}

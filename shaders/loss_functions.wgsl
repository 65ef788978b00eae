// The losses of one output with their derivatives. The equations stand in src/loss.rs; the codes
// are the places in `Loss::ALL`.

override LOSS: u32 = 0u;

const SQUARED_ERROR = 0u;
const ABSOLUTE_ERROR = 1u;
const HUBER = 2u;
const LOG_COSH = 3u;
const CROSS_ENTROPY = 4u;
const CROSS_ENTROPY_PROBABILITIES = 5u;
const BINARY_CROSS_ENTROPY = 6u;
const POISSON = 7u;

const LN_2 = 0.6931471805599453;
const SMALLEST_PROBABILITY = 1e-37;

fn sign_or_zero(d: f32) -> f32 {
    return select(select(0.0, -1.0, d < 0.0), 1.0, d > 0.0);
}

// One output's term of the loss, and its derivative by y; parameter: δ of Huber's loss. The
// cross-entropy on logits is no sum of such terms: see `cross_entropy`.
fn loss_term(y: f32, t: f32, parameter: f32) -> vec2<f32> {
    let d = y - t;
    switch LOSS {
        case SQUARED_ERROR: { return vec2<f32>(d * d, 2.0 * d); }
        case ABSOLUTE_ERROR: { return vec2<f32>(abs(d), sign_or_zero(d)); }
        case HUBER: {
            if (abs(d) <= parameter) {
                return vec2<f32>(0.5 * d * d, d);
            }
            return vec2<f32>(parameter * (abs(d) - 0.5 * parameter), parameter * sign_or_zero(d));
        }
        case LOG_COSH: {
            return vec2<f32>(abs(d) + log1p_f(exp_f(-2.0 * abs(d))) - LN_2, tanh_f(d));
        }
        case CROSS_ENTROPY_PROBABILITIES: {
            let q = select(y, SMALLEST_PROBABILITY, y <= SMALLEST_PROBABILITY);
            return vec2<f32>(select(-t * ln_f(q), 0.0, t == 0.0), -t / q);
        }
        case BINARY_CROSS_ENTROPY: {
            let positive = select(y, 0.0, y <= 0.0);
            return vec2<f32>(positive + log1p_f(exp_f(-abs(y))) - t * y, sigmoid_f(y) - t);
        }
        case POISSON: {
            let rate = exp_f(y);
            return vec2<f32>(rate - t * y, rate - t);
        }
        default: { return vec2<f32>(0.0, 0.0); }
    }
}

// The same for the cross-entropy on logits: log_sum = ln Σ exp y and weight = Σ t of the row.
fn cross_entropy(y: f32, t: f32, log_sum: f32, weight: f32) -> vec2<f32> {
    return vec2<f32>(t * (log_sum - y), exp_f(y - log_sum) * weight - t);
}

// Every loss with its gradient, and the sums that the host reads. The equations stand in
// src/loss.rs; the codes are the places in `Loss::ALL`.

struct Loss {
    rows: u32,
    cols: u32,
    parameter: f32, // δ of Huber's loss
    threshold: f32, // above it, a single output says yes
}

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

@group(1) @binding(0) var<uniform> p: Loss;
@group(1) @binding(1) var<storage, read> y: array<f32>;                 // (rows, cols)
@group(1) @binding(2) var<storage, read> t: array<f32>;                 // (rows, cols)
@group(1) @binding(3) var<storage, read> unit: array<f32>;              // (cols): users' units in one of ours
@group(1) @binding(4) var<storage, read_write> gradient: array<f32>;    // ∂E/∂y: (rows, cols)
@group(1) @binding(5) var<storage, read_write> scores: array<vec4<f32>>; // (rows): loss, right, d², |d|

fn sign_or_zero(d: f32) -> f32 {
    return select(select(0.0, -1.0, d < 0.0), 1.0, d > 0.0);
}

// One output's term of the loss, and its derivative by y.
fn term(y: f32, t: f32) -> vec2<f32> {
    let d = y - t;
    switch LOSS {
        case SQUARED_ERROR: { return vec2<f32>(d * d, 2.0 * d); }
        case ABSOLUTE_ERROR: { return vec2<f32>(abs(d), sign_or_zero(d)); }
        case HUBER: {
            let bound = p.parameter;
            if (abs(d) <= bound) {
                return vec2<f32>(0.5 * d * d, d);
            }
            return vec2<f32>(bound * (abs(d) - 0.5 * bound), bound * sign_or_zero(d));
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

// One workgroup for each row.
@compute @workgroup_size(64)
fn loss(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat(group, groups);
    if (row >= extent(p.rows)) {
        return;
    }
    let base = row * p.cols;

    var best_y = y[base];
    var best_t = t[base];
    var at_y = 0u;
    var at_t = 0u;
    var weight = 0.0;
    for (var j = lane; j < p.cols; j += 64u) {
        weight += t[base + j];
        if (y[base + j] > best_y) {
            best_y = y[base + j];
            at_y = j;
        }
        if (t[base + j] > best_t) {
            best_t = t[base + j];
            at_t = j;
        }
    }
    let largest_y = workgroup_max(lane, best_y, at_y);
    let largest_t = workgroup_max(lane, best_t, at_t);

    var log_sum = 0.0;
    if (LOSS == CROSS_ENTROPY) {
        var total = 0.0;
        for (var j = lane; j < p.cols; j += 64u) {
            total += exp_f(y[base + j] - largest_y.x);
        }
        let sums = workgroup_sum(lane, vec4<f32>(total, weight, 0.0, 0.0));
        log_sum = largest_y.x + ln_f(sums.x);
        weight = sums.y;
    }

    var score = vec4<f32>(0.0, 0.0, 0.0, 0.0);
    for (var j = lane; j < p.cols; j += 64u) {
        let i = base + j;
        var value_and_slope = term(y[i], t[i]);
        if (LOSS == CROSS_ENTROPY) {
            value_and_slope = vec2<f32>(t[i] * (log_sum - y[i]), exp_f(y[i] - log_sum) * weight - t[i]);
        }
        gradient[i] = now.loss_scale * value_and_slope.y;
        let d = (y[i] - t[i]) * unit[j];
        score += vec4<f32>(value_and_slope.x, 0.0, d * d, abs(d));
    }
    let total = workgroup_sum(lane, score);
    if (lane == 0u) {
        let one_output = (y[base] > p.threshold) == (t[base] > 0.5);
        let right = select(largest_y.y == largest_t.y, one_output, p.cols == 1u);
        scores[row] = vec4<f32>(total.x, f32(right), total.z, total.w);
    }
}

// Every loss with its gradient, and the scores of each row.

struct Loss {
    rows: u32,
    cols: u32,
    parameter: f32, // δ of Huber's loss
    threshold: f32, // above it, a single output says yes
}

@group(1) @binding(0) var<uniform> p: Loss;
@group(1) @binding(1) var<storage, read> y: array<f32>;                 // (rows, cols)
@group(1) @binding(2) var<storage, read> t: array<f32>;                 // (rows, cols)
@group(1) @binding(3) var<storage, read> unit: array<f32>;              // (cols): users' units in one of ours
@group(1) @binding(4) var<storage, read_write> gradient: array<f32>;    // ∂E/∂y: (rows, cols)
@group(1) @binding(5) var<storage, read_write> scores: array<vec4<f32>>; // (rows): loss, right, d², |d|

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
        var value_and_slope = loss_term(y[i], t[i], p.parameter);
        if (LOSS == CROSS_ENTROPY) {
            value_and_slope = cross_entropy(y[i], t[i], log_sum, weight);
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

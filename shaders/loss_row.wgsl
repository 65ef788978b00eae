// One row through every loss, by a workgroup: its scores, and the slope of each of its terms. The
// text around it gives `output_at(row, j)`, `target_at(row, j)` and `put_slope(row, j, slope)`.

// (loss, right, Σ d², Σ |d|), the same in every invocation
fn loss_row(lane: u32, row: u32, cols: u32, parameter: f32, threshold: f32) -> vec4<f32> {
    var best_y = output_at(row, 0u);
    var best_t = target_at(row, 0u);
    var at_y = 0u;
    var at_t = 0u;
    var weight = 0.0;
    for (var j = lane; j < cols; j += 64u) {
        let y = output_at(row, j);
        let t = target_at(row, j);
        weight += t;
        if (y > best_y) {
            best_y = y;
            at_y = j;
        }
        if (t > best_t) {
            best_t = t;
            at_t = j;
        }
    }
    let largest_y = workgroup_max(lane, best_y, at_y);
    let largest_t = workgroup_max(lane, best_t, at_t);

    var log_sum = 0.0;
    if (LOSS == CROSS_ENTROPY) {
        var total = 0.0;
        for (var j = lane; j < cols; j += 64u) {
            total += exp_f(output_at(row, j) - largest_y.x);
        }
        let sums = workgroup_sum(lane, vec4<f32>(total, weight, 0.0, 0.0));
        log_sum = largest_y.x + ln_f(sums.x);
        weight = sums.y;
    }

    var score = vec4<f32>(0.0, 0.0, 0.0, 0.0);
    for (var j = lane; j < cols; j += 64u) {
        let y = output_at(row, j);
        let t = target_at(row, j);
        var value_and_slope = loss_term(y, t, parameter);
        if (LOSS == CROSS_ENTROPY) {
            value_and_slope = cross_entropy(y, t, log_sum, weight);
        }
        put_slope(row, j, now.loss_scale * value_and_slope.y);
        let d = (y - t) * unit[j];
        score += vec4<f32>(value_and_slope.x, 0.0, d * d, abs(d));
    }
    let total = workgroup_sum(lane, score);
    let one_output = (output_at(row, 0u) > threshold) == (target_at(row, 0u) > 0.5);
    let right = select(largest_y.y == largest_t.y, one_output, cols == 1u);
    return vec4<f32>(total.x, f32(right), total.z, total.w);
}

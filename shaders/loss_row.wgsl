// One row through every loss, by LANES neighbouring invocations of a workgroup: its scores, and the
// slope of each of its terms. The text around it gives LANES, `row_sum` and `row_max` over them,
// `output_at(row, j)`, `target_at(row, j)`, `weight_of(row)` and `put_slope(row, j, slope)`.

override WEIGHTED: bool = false; // rows have weights

// (loss, right, Σ d², Σ |d|), the same in every invocation of the row. Called by all invocations of
// the workgroup; those whose row isn't `inside` the batch do nothing.
fn loss_row(
    lane: u32,
    row: u32,
    inside: bool,
    cols: u32,
    parameter: f32,
    threshold: f32,
) -> vec4<f32> {
    let first = lane % LANES;
    let end = select(0u, cols, inside);
    var best = vec2<f32>();
    var at = vec2<u32>();
    var total_t = 0.0;
    if (inside) {
        best = vec2<f32>(output_at(row, 0u), target_at(row, 0u));
    }
    for (var j = first; j < end; j += LANES) {
        let y = output_at(row, j);
        let t = target_at(row, j);
        total_t += t;
        if (y > best.x) {
            best.x = y;
            at.x = j;
        }
        if (t > best.y) {
            best.y = t;
            at.y = j;
        }
    }
    let largest_y = row_max(lane, best.x, at.x);
    let largest_t = row_max(lane, best.y, at.y);

    var log_sum = 0.0;
    if (LOSS == CROSS_ENTROPY) {
        var total = 0.0;
        for (var j = first; j < end; j += LANES) {
            total += exp_f(output_at(row, j) - largest_y.x);
        }
        let sums = row_sum(lane, vec4<f32>(total, total_t, 0.0, 0.0));
        log_sum = largest_y.x + ln_f(sums.x);
        total_t = sums.y;
    }

    var weight = 1.0;
    if (WEIGHTED && inside) {
        weight = weight_of(row);
    }
    var score = vec4<f32>();
    for (var j = first; j < end; j += LANES) {
        let y = output_at(row, j);
        let t = target_at(row, j);
        var value_and_slope = loss_term(y, t, parameter);
        if (LOSS == CROSS_ENTROPY) {
            value_and_slope = cross_entropy(y, t, log_sum, total_t);
        }
        var slope = now.loss_scale * value_and_slope.y;
        if (WEIGHTED) {
            slope *= weight;
        }
        put_slope(row, j, slope);
        let d = (y - t) * unit[j];
        score += vec4<f32>(value_and_slope.x, 0.0, d * d, abs(d));
    }
    var scores = row_sum(lane, score);
    if (inside) {
        let one_output = (output_at(row, 0u) > threshold) == (target_at(row, 0u) > 0.5);
        scores.y = f32(select(largest_y.y == largest_t.y, one_output, cols == 1u));
    }
    if (WEIGHTED) {
        scores.x *= weight;
    }
    return scores;
}

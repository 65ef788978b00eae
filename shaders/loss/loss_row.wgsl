// The loss of one row, computed by LANES neighboring invocations of a workgroup: its scores, and the
// slope of each of its terms. The including text defines LANES, `row_sum` and `row_max` over them,
// `output_at(row, j)`, `target_at(row, j)`, `weight_of(row)` and `put_slope(row, j, slope)`.

override WEIGHTED: bool = false; // rows have weights

// (loss, right, Σ d², Σ |d|) times the row's weight, the same in every invocation of the row. Called by all invocations of
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
    let targets = targets_of(cols);
    let end = select(0u, targets, inside);
    var best = vec2<f32>();
    var at = vec2<u32>();
    var total_t = 0.0;
    if (inside) {
        best = vec2<f32>(output_at(row, 0u), target_at(row, 0u));
    }
    for (var j = first; j < end; j += LANES) {
        let y = output_at(row, j);
        let t = target_at(row, j);
        total_t += smooth_target(t, cols);
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

    // The values of the whole row that the terms need: see `loss_term`.
    var facts = vec4<f32>();
    if ((LOSS == CROSS_ENTROPY) | (LOSS == KL_DIVERGENCE) | (LOSS == FOCAL)) {
        var total = 0.0;
        for (var j = first; j < end; j += LANES) {
            total += exp_f(output_at(row, j) - largest_y.x);
        }
        let sums = row_sum(lane, vec4<f32>(total, total_t, 0.0, 0.0));
        facts = vec4<f32>(largest_y.x + ln_f(sums.x), sums.y, 0.0, 0.0);
    }
    if (LOSS == FOCAL) {
        var along = 0.0;
        for (var j = first; j < end; j += LANES) {
            let t = smooth_target(target_at(row, j), cols);
            along += focal_slope(output_at(row, j) - facts.x, t, parameter);
        }
        facts.y = row_sum(lane, vec4<f32>(along, 0.0, 0.0, 0.0)).x;
    }
    if (LOSS == COSINE) {
        var products = vec4<f32>();
        for (var j = first; j < end; j += LANES) {
            let y = output_at(row, j);
            let t = target_at(row, j);
            products += vec4<f32>(y * t, y * y, t * t, 0.0);
        }
        let sums = row_sum(lane, products);
        facts = vec4<f32>(sums.x, sums.y, sqrt(sums.y) * sqrt(sums.z), 0.0);
    }
    if (LOSS == HINGE) {
        // The largest of the others: the start value is less than any output.
        let right_one = u32(largest_t.y);
        var rival = vec2<f32>(-3.4e38, 0.0);
        for (var j = first; j < end; j += LANES) {
            let y = output_at(row, j);
            if (j != right_one && !(y <= rival.x)) {
                rival = vec2<f32>(y, f32(j));
            }
        }
        let largest = row_max(lane, rival.x, u32(rival.y));
        facts.y = -1.0;
        if (inside && cols > 1u) {
            facts = vec4<f32>(1.0 + largest.x - output_at(row, right_one), largest_t.y, largest.y, 0.0);
        }
    }

    var weight = 1.0;
    if (WEIGHTED && inside) {
        weight = weight_of(row);
    }
    var score = vec4<f32>();
    for (var j = first; j < end; j += LANES) {
        let y = output_at(row, j);
        let target_here = target_at(row, j);
        var term: vec2<f32>;
        if (LOSS == GAUSSIAN_NLL) {
            let both = gaussian_nll(y, output_at(row, targets + j), target_here);
            put_slope(row, targets + j, weighted(now.reduction_factor * both.z, weight));
            term = both.xy;
        } else {
            term = loss_term(y, smooth_target(target_here, cols), j, facts, parameter);
        }
        put_slope(row, j, weighted(now.reduction_factor * term.y, weight));
        let d = (predicted(y, facts) - target_here) * unit[j];
        score += vec4<f32>(term.x, 0.0, d * d, abs(d));
    }
    var scores = row_sum(lane, score);
    if (inside) {
        let one_output = (output_at(row, 0u) > threshold) == (target_at(row, 0u) > 0.5);
        scores.y = f32(select(largest_y.y == largest_t.y, one_output, cols == 1u));
    }
    if (WEIGHTED) {
        scores *= weight;
    }
    return scores;
}

fn weighted(x: f32, weight: f32) -> f32 {
    if (WEIGHTED) {
        return x * weight;
    }
    return x;
}

// Mean and deviation of a row, for kernels with a binding z and a uniform with its columns.

// μ and 1 / √(v + ε) of a row, the same in every invocation.
fn row_statistics(lane: u32, base: u32) -> vec2<f32> {
    let count = f32(p.cols);
    var total = 0.0;
    for (var j = lane; j < p.cols; j += 64u) {
        total += z[base + j];
    }
    let mean = workgroup_sum(lane, vec4<f32>(total, 0.0, 0.0, 0.0)).x / count;
    var squares = 0.0;
    for (var j = lane; j < p.cols; j += 64u) {
        let d = z[base + j] - mean;
        squares += d * d;
    }
    let variance = workgroup_sum(lane, vec4<f32>(squares, 0.0, 0.0, 0.0)).x / count;
    return vec2<f32>(mean, 1.0 / sqrt(variance + p.epsilon));
}

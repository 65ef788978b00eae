// Sums and maxima over the first 64 invocations of a workgroup, in a fixed order.

var<workgroup> partial: array<vec4<f32>, 64>;

fn workgroup_sum(lane: u32, value: vec4<f32>) -> vec4<f32> {
    if (lane < 64u) {
        partial[lane] = value;
    }
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    let total = partial[0];
    workgroupBarrier();
    return total;
}

// The largest value and its lowest index.
fn workgroup_max(lane: u32, value: f32, index: u32) -> vec2<f32> {
    partial[lane] = vec4<f32>(value, f32(index), 0.0, 0.0);
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            let other = partial[lane + half];
            let mine = partial[lane];
            if (other.x > mine.x || (other.x == mine.x && other.y < mine.y)) {
                partial[lane] = other;
            }
        }
        workgroupBarrier();
    }
    let best = partial[0].xy;
    workgroupBarrier();
    return best;
}

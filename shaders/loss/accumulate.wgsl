// The scores of a batch added to the running sums, by one workgroup in a fixed order.

struct Accumulate {
    rows: u32,
    first: u32, // this part: rows first … first + count
    count: u32,
}

@group(1) @binding(0) var<uniform> p: Accumulate;
@group(1) @binding(1) var<storage, read> scores: array<vec4<f32>>;       // (rows): loss, right, d², |d|
@group(1) @binding(2) var<storage, read_write> sums: array<vec4<f32>>;   // (1)

@compute @workgroup_size(64)
fn accumulate(@builtin(local_invocation_index) lane: u32) {
    let total = scores_sum(lane, p.first, min(p.first + p.count, extent(p.rows)));
    if (lane == 0u) {
        sums[0] += total;
    }
}

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
    var mine = vec4<f32>(0.0, 0.0, 0.0, 0.0);
    let end = min(p.first + p.count, extent(p.rows));
    // In stretches of 64, so that the rounding errors of a long sum don't grow with its length.
    for (var start = p.first + lane; start < end; start += 4096u) {
        var stretch = vec4<f32>(0.0, 0.0, 0.0, 0.0);
        for (var row = start; row < min(start + 4096u, end); row += 64u) {
            stretch += scores[row];
        }
        mine += stretch;
    }
    let total = workgroup_sum(lane, mine);
    if (lane == 0u) {
        sums[0] += total;
    }
}

// The sum of the parts of every gradient in order, and the optimizer's step on its parameter; if
// requested, the first workgroup also sums the scores of the batch.

struct SumUpdate {
    decay: f32,
    decayed: u32,   // parameters before this one are decayed
    constant0: f32, // μ or β₁
    constant1: f32, // β₂ or α
    constant2: f32, // ε
    len: u32,
    parts: u32,
}

@group(1) @binding(0) var<uniform> p: SumUpdate;
@group(1) @binding(1) var<storage, read> parts: array<f32>;        // (parts, len)
@group(1) @binding(2) var<storage, read_write> w: array<f32>;      // (len)
@group(1) @binding(3) var<storage, read_write> first: array<f32>;  // (len), or unused
@group(1) @binding(4) var<storage, read_write> second: array<f32>; // (len), or unused
@group(1) @binding(5) var<storage, read_write> third: array<f32>;  // (len), or unused
@group(1) @binding(6) var<storage, read> scores: array<vec4<f32>>;     // (B): loss, right, d², |d|
@group(1) @binding(7) var<storage, read_write> sums: array<vec4<f32>>; // (1)

override SCORES: bool = false;

@compute @workgroup_size(64)
fn sum_update(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var block = flat(group, groups);
    if (SCORES) {
        if (block == 0u) {
            let total = scores_sum(lane, 0u, now.rows);
            if (lane == 0u) {
                sums[0] += total;
            }
            return;
        }
        block -= 1u;
    }
    let i = block * 64u + lane;
    if (i >= p.len) {
        return;
    }
    var total = 0.0;
    for (var part = 0u; part < p.parts; part++) {
        total += parts[part * p.len + i];
    }
    update(i, total);
}

// average ← average + ρ (w − average).

struct Average {
    len: u32,
    share: f32, // ρ at every step but the first
    since: u32, // if all epochs have equal weight, the first of them
}

override EQUAL: bool = false; // all epochs have equal weight

@group(1) @binding(0) var<uniform> p: Average;
@group(1) @binding(1) var<storage, read> w: array<f32>;             // (len)
@group(1) @binding(2) var<storage, read_write> average: array<f32>; // (len)

@compute @workgroup_size(64)
fn average_weights(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    var share = select(p.share, 1.0, now.t == 0u);
    if (EQUAL) {
        share = 1.0 / f32(max(now.epoch, p.since) - p.since + 1u);
    }
    if (i < p.len) {
        average[i] += share * (w[i] - average[i]);
    }
}

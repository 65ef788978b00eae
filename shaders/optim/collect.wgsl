// The sum of the gradients of micro-batches, returned after the last one.

struct Collect {
    len: u32,
}

override LAST: bool = false;

@group(1) @binding(0) var<uniform> p: Collect;
@group(1) @binding(1) var<storage, read_write> g: array<f32>;     // (len)
@group(1) @binding(2) var<storage, read_write> total: array<f32>; // (len)

@compute @workgroup_size(64)
fn collect(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= p.len) {
        return;
    }
    if (LAST) {
        g[i] += total[i];
        total[i] = 0.0;
    } else {
        total[i] += g[i];
    }
}

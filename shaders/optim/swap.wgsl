// a and b exchanged.

struct Swap {
    len: u32,
}

@group(1) @binding(0) var<uniform> p: Swap;
@group(1) @binding(1) var<storage, read_write> a: array<f32>; // (len)
@group(1) @binding(2) var<storage, read_write> b: array<f32>; // (len)

@compute @workgroup_size(64)
fn swap(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i < p.len) {
        let kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

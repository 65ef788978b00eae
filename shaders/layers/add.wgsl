// x ← x + y

struct Add {
    rows: u32,
    cols: u32,
}

@group(1) @binding(0) var<uniform> p: Add;
@group(1) @binding(1) var<storage, read> y: array<f32>;       // (rows, cols)
@group(1) @binding(2) var<storage, read_write> x: array<f32>; // (rows, cols)

@compute @workgroup_size(64)
fn add(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i < extent(p.rows) * p.cols) {
        x[i] += y[i];
    }
}

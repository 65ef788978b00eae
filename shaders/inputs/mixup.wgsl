// Mixup: convex combinations of the two rows of a pair.

struct Mixup {
    rows: u32,
    cols: u32,
}

@group(1) @binding(0) var<uniform> p: Mixup;
@group(1) @binding(1) var<storage, read_write> x: array<f32>; // (rows, cols)

// One invocation for each column of a pair: x_{2k} ← (1 − m) x_{2k} + m x_{2k+1}, and the reverse.
@compute @workgroup_size(64)
fn mixup(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= extent(p.rows) / 2u * p.cols) {
        return;
    }
    let upper = i / p.cols * 2u * p.cols + i % p.cols;
    let lower = upper + p.cols;
    let a = x[upper];
    let b = x[lower];
    let rest = 1.0 - now.mixing;
    x[upper] = rest * a + now.mixing * b;
    x[lower] = rest * b + now.mixing * a;
}

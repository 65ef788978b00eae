// x̂ = (z − μ) / √(v + ε), u = γ x̂ + β, with μ and v of each row. One workgroup for each row.

struct Norm {
    rows: u32,
    cols: u32,
    epsilon: f32,
    momentum: f32, // the weight of a batch in the running averages
}

@group(1) @binding(0) var<uniform> p: Norm;
@group(1) @binding(1) var<storage, read> z: array<f32>;            // (rows, cols)
@group(1) @binding(2) var<storage, read> scale: array<f32>;        // γ: (cols)
@group(1) @binding(3) var<storage, read> shift: array<f32>;        // β: (cols)
@group(1) @binding(4) var<storage, read_write> normal: array<f32>; // x̂: (rows, cols)
@group(1) @binding(5) var<storage, read_write> out: array<f32>;    // u: (rows, cols)

@compute @workgroup_size(64)
fn layer_norm(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat(group, groups);
    if (row >= extent(p.rows)) {
        return;
    }
    let base = row * p.cols;
    let statistics = row_statistics(lane, base);
    for (var j = lane; j < p.cols; j += 64u) {
        let x = (z[base + j] - statistics.x) * statistics.y;
        normal[base + j] = x;
        out[base + j] = scale[j] * x + shift[j];
    }
}

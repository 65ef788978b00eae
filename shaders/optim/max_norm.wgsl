// Max-norm: w ← w · min(1, c / ‖w‖₂) for each unit. One workgroup for each unit.

struct MaxNorm {
    rows: u32,
    cols: u32,
    limit: f32, // c
}

@group(1) @binding(0) var<uniform> p: MaxNorm;
@group(1) @binding(1) var<storage, read_write> w: array<f32>; // (rows, cols)

@compute @workgroup_size(64)
fn max_norm(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat(group, groups);
    if (row >= p.rows) {
        return;
    }
    let base = row * p.cols;
    var squares = 0.0;
    for (var j = lane; j < p.cols; j += 64u) {
        squares += w[base + j] * w[base + j];
    }
    let norm = sqrt(workgroup_sum(lane, vec4<f32>(squares, 0.0, 0.0, 0.0)).x);
    if (norm > p.limit) {
        let factor = p.limit / norm;
        for (var j = lane; j < p.cols; j += 64u) {
            w[base + j] *= factor;
        }
    }
}

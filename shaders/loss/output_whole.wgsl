// The outputs as stored by the last layer.

@group(1) @binding(2) var<storage, read> y: array<f32>; // A_L: (B, cols)
@group(1) @binding(3) var<storage, read> z: array<f32>; // Z_L: (B, cols)

fn z_at(row: u32, j: u32) -> f32 {
    return z[row * p.cols + j];
}

@compute @workgroup_size(64)
fn output(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat(group, groups);
    if (row >= now.rows) {
        return;
    }
    output_row(lane, row);
}

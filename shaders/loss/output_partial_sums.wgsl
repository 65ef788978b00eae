// The outputs from the sums of segments of k, which the last layer has stored separately.

override BIAS: bool = false;

@group(1) @binding(2) var<storage, read_write> y: array<f32>;      // A_L: (B, cols)
@group(1) @binding(3) var<storage, read> partial_sums: array<f32>; // (B, segments · cols)
@group(1) @binding(8) var<storage, read> bias: array<f32>;         // (cols)

fn z_at(row: u32, j: u32) -> f32 {
    var total = 0.0;
    for (var i = 0u; i < p.segments; i++) {
        total += partial_sums[(row * p.segments + i) * p.cols + j];
    }
    if (BIAS) {
        total += p.bias_sign * bias[j];
    }
    return total;
}

@compute @workgroup_size(64)
fn output_partial_sums(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat(group, groups);
    if (row >= now.rows) {
        return;
    }
    for (var j = lane; j < p.cols; j += 64u) {
        y[row * p.cols + j] = activation_value(ACTIVATION, PARAMETER, z_at(row, j));
    }
    storageBarrier();
    workgroupBarrier();
    output_row(lane, row);
}

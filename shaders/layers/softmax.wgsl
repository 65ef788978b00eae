// Softmax over each row, and its Jacobian-vector product. One workgroup for each row.

struct Softmax {
    rows: u32,
    cols: u32,
}

@group(1) @binding(0) var<uniform> p: Softmax;
@group(1) @binding(1) var<storage, read> input: array<f32>;     // Z or Y: (rows, cols)
@group(1) @binding(2) var<storage, read_write> out: array<f32>; // Y or δ: (rows, cols)

// Y = exp(Z − max) / Σ exp(Z − max)
@compute @workgroup_size(64)
fn softmax(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat(group, groups);
    if (row >= extent(p.rows)) {
        return;
    }
    let base = row * p.cols;
    var largest = input[base];
    for (var j = lane; j < p.cols; j += 64u) {
        largest = select(largest, input[base + j], input[base + j] > largest);
    }
    let shift = workgroup_max(lane, largest, 0u).x;
    var total = 0.0;
    for (var j = lane; j < p.cols; j += 64u) {
        let e = exp_f(input[base + j] - shift);
        out[base + j] = e;
        total += e;
    }
    let sum = workgroup_sum(lane, vec4<f32>(total, 0.0, 0.0, 0.0)).x;
    for (var j = lane; j < p.cols; j += 64u) {
        out[base + j] /= sum;
    }
}

// δ ← Jᵀ δ: δ_j ← y_j (δ_j − Σ_i δ_i y_i)
@compute @workgroup_size(64)
fn softmax_gradient(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat(group, groups);
    if (row >= extent(p.rows)) {
        return;
    }
    let base = row * p.cols;
    var along = 0.0;
    for (var j = lane; j < p.cols; j += 64u) {
        along += out[base + j] * input[base + j];
    }
    let sum = workgroup_sum(lane, vec4<f32>(along, 0.0, 0.0, 0.0)).x;
    for (var j = lane; j < p.cols; j += 64u) {
        out[base + j] = input[base + j] * (out[base + j] - sum);
    }
}

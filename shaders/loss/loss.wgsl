// Every loss with its gradient, and the scores of each row.

struct Loss {
    rows: u32,
    cols: u32,
    parameter: f32, // of the loss
    threshold: f32, // above it, a single output means yes
}

@group(1) @binding(0) var<uniform> p: Loss;
@group(1) @binding(1) var<storage, read> y: array<f32>;                 // (rows, cols)
@group(1) @binding(2) var<storage, read> t: array<f32>;                 // (rows, targets)
@group(1) @binding(3) var<storage, read> unit: array<f32>;              // (targets): the unit of a scaled target in the user's units
@group(1) @binding(4) var<storage, read> weights: array<f32>;           // (N): of the data set's rows
@group(1) @binding(5) var<storage, read_write> gradient: array<f32>;    // ∂E/∂y: (rows, cols)
@group(1) @binding(6) var<storage, read_write> scores: array<vec4<f32>>; // (rows): loss, right, d², |d|

fn output_at(row: u32, j: u32) -> f32 {
    return y[row * p.cols + j];
}

fn target_at(row: u32, j: u32) -> f32 {
    return t[row * targets_of(p.cols) + j];
}

fn weight_of(row: u32) -> f32 {
    return weights[permute(now.first + row)];
}

fn put_slope(row: u32, j: u32, slope: f32) {
    gradient[row * p.cols + j] = slope;
}

// One workgroup for each row.
@compute @workgroup_size(64)
fn loss(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat(group, groups);
    if (row >= extent(p.rows)) {
        return;
    }
    let score = loss_row(lane, row, true, p.cols, p.parameter, p.threshold);
    if (lane == 0u) {
        scores[row] = score;
    }
}

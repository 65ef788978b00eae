// Mean and variance of each unit over the batch, and their running averages. One workgroup for each
// unit.

struct Norm {
    rows: u32,
    cols: u32,
    epsilon: f32,
    momentum: f32, // the weight of a batch in the running averages
}

@group(1) @binding(0) var<uniform> p: Norm;
@group(1) @binding(1) var<storage, read> z: array<f32>;                // (rows, cols)
@group(1) @binding(2) var<storage, read_write> statistics: array<f32>; // (2, cols): mean, biased variance
@group(1) @binding(3) var<storage, read_write> running: array<f32>;    // (2, cols): mean, unbiased variance

@compute @workgroup_size(64)
fn batch_statistics(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let c = flat(group, groups);
    if (c >= p.cols) {
        return;
    }
    let rows = extent(p.rows);
    let count = f32(rows);
    var total = 0.0;
    for (var row = lane; row < rows; row += 64u) {
        total += z[row * p.cols + c];
    }
    let mean = workgroup_sum(lane, vec4<f32>(total, 0.0, 0.0, 0.0)).x / count;
    var squares = 0.0;
    for (var row = lane; row < rows; row += 64u) {
        let d = z[row * p.cols + c] - mean;
        squares += d * d;
    }
    let variance = workgroup_sum(lane, vec4<f32>(squares, 0.0, 0.0, 0.0)).x / count;
    if (lane == 0u) {
        statistics[c] = mean;
        statistics[p.cols + c] = variance;
        // A last batch of one row has no variance to learn from.
        if (rows > 1u) {
            let unbiased = count / f32(rows - 1u) * variance;
            running[c] += p.momentum * (mean - running[c]);
            running[p.cols + c] += p.momentum * (unbiased - running[p.cols + c]);
        }
    }
}

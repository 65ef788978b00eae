// ∂E/∂z = γ (g − (∂E/∂β + x̂ ∂E/∂γ) / m) / √(v + ε), m rows in the batch.

struct Norm {
    rows: u32,
    cols: u32,
    epsilon: f32,
    momentum: f32, // the weight of a batch in the running averages
}

@group(1) @binding(0) var<uniform> p: Norm;
@group(1) @binding(1) var<storage, read> gradient: array<f32>;    // g = ∂E/∂u: (rows, cols)
@group(1) @binding(2) var<storage, read> normal: array<f32>;      // x̂: (rows, cols)
@group(1) @binding(3) var<storage, read> statistics: array<f32>;  // (2, cols): μ, v
@group(1) @binding(4) var<storage, read> scale: array<f32>;       // γ: (cols)
@group(1) @binding(5) var<storage, read> scale_sums: array<f32>;  // ∂E/∂γ: (cols)
@group(1) @binding(6) var<storage, read> shift_sums: array<f32>;  // ∂E/∂β: (cols)
@group(1) @binding(7) var<storage, read_write> delta: array<f32>; // ∂E/∂z: (rows, cols)

@compute @workgroup_size(64)
fn batch_norm_gradient(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    let rows = extent(p.rows);
    if (i >= rows * p.cols) {
        return;
    }
    let c = i % p.cols;
    let rest = gradient[i] - (shift_sums[c] + normal[i] * scale_sums[c]) / f32(rows);
    delta[i] = scale[c] * (1.0 / sqrt(statistics[p.cols + c] + p.epsilon)) * rest;
}

// ∂E/∂z = (h − Σ h / n − x̂ Σ h x̂ / n) / √(v + ε), h = γ g, sums over a row's n units. One workgroup
// for each row.

struct Norm {
    rows: u32,
    cols: u32,
    epsilon: f32,
    momentum: f32, // the weight of a batch in the running averages
}

@group(1) @binding(0) var<uniform> p: Norm;
@group(1) @binding(1) var<storage, read> z: array<f32>;           // (rows, cols)
@group(1) @binding(2) var<storage, read> gradient: array<f32>;    // g = ∂E/∂u: (rows, cols)
@group(1) @binding(3) var<storage, read> normal: array<f32>;      // x̂: (rows, cols)
@group(1) @binding(4) var<storage, read> scale: array<f32>;       // γ: (cols)
@group(1) @binding(5) var<storage, read_write> delta: array<f32>; // ∂E/∂z: (rows, cols)

@compute @workgroup_size(64)
fn layer_norm_gradient(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat(group, groups);
    if (row >= extent(p.rows)) {
        return;
    }
    let base = row * p.cols;
    let inverse = row_statistics(lane, base).y;
    var sums = vec4<f32>(0.0, 0.0, 0.0, 0.0);
    for (var j = lane; j < p.cols; j += 64u) {
        let h = scale[j] * gradient[base + j];
        sums += vec4<f32>(h, h * normal[base + j], 0.0, 0.0);
    }
    let means = workgroup_sum(lane, sums) / f32(p.cols);
    for (var j = lane; j < p.cols; j += 64u) {
        let h = scale[j] * gradient[base + j];
        delta[base + j] = inverse * (h - means.x - normal[base + j] * means.y);
    }
}

// ∂E/∂γ = Σ_rows g x̂ and ∂E/∂β = Σ_rows g. One workgroup for each unit.

struct Norm {
    rows: u32,
    cols: u32,
    epsilon: f32,
    momentum: f32, // the weight of a batch in the running averages
}

@group(1) @binding(0) var<uniform> p: Norm;
@group(1) @binding(1) var<storage, read> gradient: array<f32>;    // g = ∂E/∂u: (rows, cols)
@group(1) @binding(2) var<storage, read> normal: array<f32>;      // x̂: (rows, cols)
@group(1) @binding(3) var<storage, read_write> scale: array<f32>; // ∂E/∂γ: (cols)
@group(1) @binding(4) var<storage, read_write> shift: array<f32>; // ∂E/∂β: (cols)

@compute @workgroup_size(64)
fn norm_sums(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let c = flat(group, groups);
    if (c >= p.cols) {
        return;
    }
    var sums = vec4<f32>(0.0, 0.0, 0.0, 0.0);
    for (var row = lane; row < extent(p.rows); row += 64u) {
        let g = gradient[row * p.cols + c];
        sums += vec4<f32>(g * normal[row * p.cols + c], g, 0.0, 0.0);
    }
    let total = workgroup_sum(lane, sums);
    if (lane == 0u) {
        scale[c] = total.x;
        shift[c] = total.y;
    }
}

// x̂ = (z − μ) / √(v + ε), u = γ x̂ + β, with μ and v of each unit.

struct Norm {
    rows: u32,
    cols: u32,
    epsilon: f32,
    momentum: f32, // the weight of a batch in the running averages
}

@group(1) @binding(0) var<uniform> p: Norm;
@group(1) @binding(1) var<storage, read> z: array<f32>;            // (rows, cols)
@group(1) @binding(2) var<storage, read> statistics: array<f32>;   // (2, cols): μ, v
@group(1) @binding(3) var<storage, read> scale: array<f32>;        // γ: (cols)
@group(1) @binding(4) var<storage, read> shift: array<f32>;        // β: (cols)
@group(1) @binding(5) var<storage, read_write> normal: array<f32>; // x̂: (rows, cols)
@group(1) @binding(6) var<storage, read_write> out: array<f32>;    // u: (rows, cols)

@compute @workgroup_size(64)
fn batch_norm(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= extent(p.rows) * p.cols) {
        return;
    }
    let c = i % p.cols;
    let x = (z[i] - statistics[c]) * (1.0 / sqrt(statistics[p.cols + c] + p.epsilon));
    normal[i] = x;
    out[i] = scale[c] * x + shift[c];
}

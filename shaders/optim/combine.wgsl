// x ← α x + β y, with given factors or those of a step along y.

struct Combine {
    len: u32,
    alpha: f32, // or λ
    beta: f32,  // or the scale of a step
}

override FACTORS: u32 = 0u;

const STEP = 1u;
const TRUST = 2u;

@group(1) @binding(0) var<uniform> p: Combine;
@group(1) @binding(1) var<storage, read> y: array<f32>;       // (len)
@group(1) @binding(2) var<storage, read> x_norm: array<f32>;  // (1), or unused
@group(1) @binding(3) var<storage, read> y_norm: array<f32>;  // (1), or unused
@group(1) @binding(4) var<storage, read_write> x: array<f32>; // (len)

@compute @workgroup_size(64)
fn combine(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= p.len) {
        return;
    }
    var alpha = p.alpha;
    var beta = p.beta;
    if (FACTORS == STEP) {
        alpha = 1.0 - now.lr * p.alpha;
        beta = -now.lr * p.beta;
    } else if (FACTORS == TRUST) {
        alpha = 1.0;
        beta = -now.lr;
        if (x_norm[0] > 0.0 && y_norm[0] > 0.0) {
            beta = -now.lr * (x_norm[0] / y_norm[0]);
        }
    }
    x[i] = alpha * x[i] + beta * y[i];
}

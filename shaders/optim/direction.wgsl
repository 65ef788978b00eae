// The directions of LAMB and Muon. The equations are in src/math/optim/mod.rs.

struct Direction {
    len: u32,
    decay: f32,
    decayed: u32,   // parameters before this one are decayed
    constant0: f32, // β₁ or μ
    constant1: f32, // β₂
    constant2: f32, // ε
}

override LAMB: bool = true; // otherwise Muon

@group(1) @binding(0) var<uniform> p: Direction;
@group(1) @binding(1) var<storage, read> w: array<f32>;            // (len)
@group(1) @binding(2) var<storage, read> g: array<f32>;            // (len)
@group(1) @binding(3) var<storage, read_write> first: array<f32>;  // (len)
@group(1) @binding(4) var<storage, read_write> second: array<f32>; // (len)
@group(1) @binding(5) var<storage, read_write> u: array<f32>;      // (len)

@compute @workgroup_size(64)
fn direction(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= p.len) {
        return;
    }
    let gradient = g[i];
    let momentum = p.constant0 + now.momentum_change;
    let m = momentum * first[i] + (1.0 - momentum) * gradient;
    first[i] = m;
    if (LAMB) {
        let v = p.constant1 * second[i] + (1.0 - p.constant1) * gradient * gradient;
        second[i] = v;
        let root = sqrt(now.correction2);
        let adam = root / now.correction1 * m / (sqrt(v) + p.constant2 * root);
        u[i] = adam + select(0.0, p.decay, i < p.decayed) * w[i];
    } else {
        u[i] = (1.0 - momentum) * gradient + momentum * m;
    }
}

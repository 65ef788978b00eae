// One step of the optimizer for every parameter.

struct Optimizer {
    len: u32,
    decay: f32,
    decayed: u32,   // parameters before this one are decayed
    constant0: f32, // μ or β₁
    constant1: f32, // β₂ or α
    constant2: f32, // ε
}

@group(1) @binding(0) var<uniform> p: Optimizer;
@group(1) @binding(1) var<storage, read_write> w: array<f32>;      // (len)
@group(1) @binding(2) var<storage, read> g: array<f32>;            // (len)
@group(1) @binding(3) var<storage, read_write> first: array<f32>;  // (len), or unused
@group(1) @binding(4) var<storage, read_write> second: array<f32>; // (len), or unused
@group(1) @binding(5) var<storage, read_write> third: array<f32>;  // (len), or unused

@compute @workgroup_size(64)
fn optimizer(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i < p.len) {
        update(i, g[i]);
    }
}

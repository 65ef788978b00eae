// The parts of every gradient added up in order, and the optimiser's step on its parameter.

struct SumUpdate {
    decay: f32,
    decayed: u32,   // parameters before this one are decayed
    constant0: f32, // μ or β₁
    constant1: f32, // β₂ or α
    constant2: f32, // ε
    len: u32,
    parts: u32,
}

@group(1) @binding(0) var<uniform> p: SumUpdate;
@group(1) @binding(1) var<storage, read> parts: array<f32>;        // (parts, len)
@group(1) @binding(2) var<storage, read_write> w: array<f32>;      // (len)
@group(1) @binding(3) var<storage, read_write> first: array<f32>;  // (len), or unused
@group(1) @binding(4) var<storage, read_write> second: array<f32>; // (len), or unused
@group(1) @binding(5) var<storage, read_write> third: array<f32>;  // (len), or unused

@compute @workgroup_size(64)
fn sum_update(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= p.len) {
        return;
    }
    var total = 0.0;
    for (var part = 0u; part < p.parts; part++) {
        total += parts[part * p.len + i];
    }
    update(i, total);
}

// The activation of a layer, and the product of the incoming gradient with its derivative.

struct Activate {
    rows: u32,
    cols: u32,
}

override PER_UNIT: bool = false;
override ACTIVATION: u32 = 0u;
override PARAMETER: f32 = 0.0;

@group(1) @binding(0) var<uniform> p: Activate;
@group(1) @binding(1) var<storage, read> units: array<vec2<f32>>; // (code, parameter) of each unit
@group(1) @binding(2) var<storage, read> z: array<f32>;           // (rows, cols)
@group(1) @binding(3) var<storage, read_write> out: array<f32>;   // (rows, cols)

// A = σ(Z)
@compute @workgroup_size(64)
fn activation(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= extent(p.rows) * p.cols) {
        return;
    }
    if (PER_UNIT) {
        let unit = units[i % p.cols];
        out[i] = activation_value(u32(unit.x), unit.y, z[i]);
    } else {
        out[i] = activation_value(ACTIVATION, PARAMETER, z[i]);
    }
}

// δ ← δ ⊙ σ′(Z)
@compute @workgroup_size(64)
fn activation_gradient(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= extent(p.rows) * p.cols) {
        return;
    }
    if (PER_UNIT) {
        let unit = units[i % p.cols];
        out[i] *= activation_derivative(u32(unit.x), unit.y, z[i]);
    } else {
        out[i] *= activation_derivative(ACTIVATION, PARAMETER, z[i]);
    }
}

// One step of the optimiser for every parameter. The equations stand in src/optim.rs; the codes
// are the places in `Optimizer::ALL`.

struct Optimizer {
    len: u32,
    decay: f32,
    constant0: f32, // μ or β₁
    constant1: f32, // β₂
    constant2: f32, // ε
}

override RULE: u32 = 0u;

const SGD = 0u;
const MOMENTUM = 1u;
const NESTEROV = 2u;
const ADAM = 3u;
const ADAMW = 4u;

@group(1) @binding(0) var<uniform> p: Optimizer;
@group(1) @binding(1) var<storage, read_write> w: array<f32>;      // (len)
@group(1) @binding(2) var<storage, read> g: array<f32>;            // (len)
@group(1) @binding(3) var<storage, read_write> first: array<f32>;  // (len), or unused
@group(1) @binding(4) var<storage, read_write> second: array<f32>; // (len), or unused

// The step of Adam, after its two moments took the gradient in.
fn adam(i: u32, gradient: f32) -> f32 {
    let m = p.constant0 * first[i] + (1.0 - p.constant0) * gradient;
    let v = p.constant1 * second[i] + (1.0 - p.constant1) * gradient * gradient;
    first[i] = m;
    second[i] = v;
    return now.lr * (m / now.correction1) / (sqrt(v / now.correction2) + p.constant2);
}

@compute @workgroup_size(64)
fn optimizer(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= p.len) {
        return;
    }
    var weight = w[i];
    var gradient = g[i];
    if (RULE != ADAMW) {
        gradient += p.decay * weight;
    }
    switch RULE {
        case MOMENTUM: {
            let v = p.constant0 * first[i] + gradient;
            first[i] = v;
            weight -= now.lr * v;
        }
        case NESTEROV: {
            let v = p.constant0 * first[i] + gradient;
            first[i] = v;
            weight -= now.lr * (gradient + p.constant0 * v);
        }
        case ADAM: {
            weight -= adam(i, gradient);
        }
        case ADAMW: {
            weight -= now.lr * p.decay * weight;
            weight -= adam(i, gradient);
        }
        default: {
            weight -= now.lr * gradient;
        }
    }
    w[i] = weight;
}

// Changes to the gradient before the optimizer sees it; one variant for each.

struct Edits {
    len: u32,
    value: f32, // λ₁, the limit, or η
    first: u32, // the index of the first element, for random numbers
    key0: u32,
    key1: u32,
}

override EDIT: u32 = 0u;

const SIGN_PENALTY = 0u;
const CLIP_VALUE = 1u;
const CLIP_NORM = 2u;
const UNIT = 3u;

@group(1) @binding(0) var<uniform> p: Edits;
@group(1) @binding(1) var<storage, read> other: array<f32>;    // w: (len), or the norm: (1)
@group(1) @binding(2) var<storage, read_write> g: array<f32>;  // (len)

// A standard normal number by its index, from uniform ones that are multiples of 2⁻²⁴.
fn normal(place: u32) -> f32 {
    let bits = threefry(vec2<u32>(p.key0, p.key1), vec2<u32>(place, now.t)) >> vec2<u32>(8u, 8u);
    let above_zero = f32(bits.x + 1u) * 5.9604644775390625e-8;
    let turn = f32(bits.y) * 5.9604644775390625e-8;
    return sqrt(-2.0 * ln_f(above_zero)) * cos_f(6.2831853071795864769 * turn);
}

@compute @workgroup_size(64)
fn edit(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= p.len) {
        return;
    }
    let x = g[i];
    switch EDIT {
        case SIGN_PENALTY: {
            let w = other[i];
            g[i] = x + p.value * select(select(w, -1.0, w < 0.0), 1.0, w > 0.0);
        }
        case CLIP_VALUE: {
            g[i] = select(select(x, -p.value, x < -p.value), p.value, x > p.value);
        }
        case CLIP_NORM: {
            let factor = p.value / (other[0] + 1e-6);
            g[i] = select(x * factor, x, factor >= 1.0);
        }
        case UNIT: {
            g[i] = x / (other[0] + 1e-7);
        }
        default: {
            let deviation = exp_f(0.5 * (ln_f(p.value) - 0.55 * log1p_f(f32(now.t))));
            g[i] = x + deviation * normal(p.first + i);
        }
    }
}

// δ_l = (δ_{l+1} W_{l+1}) ⊙ σ_l′(Z_l) in mixed precision. The product is written by
// src/kernels/mixed/block.rs; this is its input and the use of its elements.

struct Delta {
    n: u32,
    k: u32,
}

override ACTIVATION: u32 = 0u; // σ_l
override PARAMETER: f32 = 0.0;

@group(1) @binding(0) var<uniform> p: Delta;
@group(1) @binding(1) var<storage, read> above: array<f16>;     // δ_{l+1}: (B, k)
@group(1) @binding(2) var<storage, read> w: array<f16>;         // W_{l+1}: (k, n)
@group(1) @binding(3) var<storage, read> z: array<f16>;         // Z_l: (B, n)
@group(1) @binding(4) var<storage, read_write> out: array<f16>; // δ_l: (B, n)
@group(1) @binding(5) var<storage, read_write> loss_scale: array<Word>;

fn delta_a(row: u32, k: u32) -> vec4<f16> {
    var value = vec4<f16>();
    for (var i = 0u; i < 4u; i++) {
        if (row + i < now.rows && k < p.k) {
            value[i] = above[(row + i) * p.k + k];
        }
    }
    return value;
}

fn delta_b(col: u32, k: u32) -> vec4<f16> {
    var value = vec4<f16>();
    for (var j = 0u; j < 4u; j++) {
        if (col + j < p.n && k < p.k) {
            value[j] = w[k * p.n + col + j];
        }
    }
    return value;
}

fn delta_store(row: u32, col: u32, value: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        if (row < now.rows && col + j < p.n) {
            let i = row * p.n + col + j;
            out[i] = stored(value[j] * activation_derivative(ACTIVATION, PARAMETER, f32(z[i])));
        }
    }
}

fn delta(lane: u32, group: u32) {
    let across = (p.n + COLS - 1u) / COLS;
    let top = group / across * ROWS;
    let left = group % across * COLS;
    if (top < now.rows) {
        delta_product(lane, top, left, p.k);
    }
}

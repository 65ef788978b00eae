// The update of a layer's W and b in mixed precision: ∂E/∂W = δᵀ A / S and ∂E/∂b = ± Σ_rows δ / S,
// each immediately followed by the optimizer's step, and the conversion of W to f16. After an overflow nothing
// changes. The product is written by src/kernels/mixed/block.rs; this is its input and the use of
// its elements. As in backward.wgsl, a column of ones after A gives ∂E/∂b.

struct Update {
    decay: f32,
    decayed: u32,   // parameters before this one are decayed
    constant0: f32, // μ or β₁
    constant1: f32, // β₂ or α
    constant2: f32, // ε
    n: u32,
    k: u32,
    weight: u32,    // offset of W
    bias: u32,      // offset of b
    sign: f32,      // of the biases; 0 without
}

@group(1) @binding(0) var<uniform> p: Update;
@group(1) @binding(1) var<storage, read_write> w: array<f32>;      // all parameters
@group(1) @binding(2) var<storage, read_write> first: array<f32>;  // the same number, or unused
@group(1) @binding(3) var<storage, read_write> second: array<f32>; // the same number, or unused
@group(1) @binding(4) var<storage, read> delta: array<f16>;        // (B, n)
@group(1) @binding(5) var<storage, read> input: array<f16>;        // (B, k)
@group(1) @binding(6) var<storage, read_write> shadow: array<f16>; // W in f16: (n, k)
@group(1) @binding(7) var<storage, read> loss_scale: array<f32>;   // S, …, 1 after an overflow

// No binding is left for a third state: rules that need one aren't trained in f16.
fn largest_so_far(i: u32, v: f32) -> f32 {
    return v;
}

fn update_a(row: u32, k: u32) -> vec4<f16> {
    var value = vec4<f16>();
    for (var i = 0u; i < 4u; i++) {
        if (k < now.rows && row + i < p.n) {
            value[i] = delta[k * p.n + row + i];
        }
    }
    return value;
}

fn update_b(col: u32, k: u32) -> vec4<f16> {
    var value = vec4<f16>();
    for (var j = 0u; j < 4u; j++) {
        if (k < now.rows && col + j < p.k) {
            value[j] = input[k * p.k + col + j];
        } else if (col + j == p.k) {
            value[j] = 1.0h;
        }
    }
    return value;
}

// Four elements of a row of S ∂E/∂W, with S ∂E/∂b after the last.
fn update_store(row: u32, col: u32, value: vec4<f32>) {
    if (loss_scale[3] != 0.0) {
        return;
    }
    // S is a power of two.
    let gradient = value / loss_scale[0];
    for (var j = 0u; j < 4u; j++) {
        let is_bias = col + j == p.k && p.sign != 0.0;
        if (row < p.n && (col + j < p.k || is_bias)) {
            let i = row * p.k + col + j;
            let at = select(p.weight + i, p.bias + row, is_bias);
            update(at, select(1.0, p.sign, is_bias) * gradient[j]);
            if (!is_bias) {
                shadow[i] = f16(w[at]);
            }
        }
    }
}

fn update_layer(lane: u32, group: u32) {
    let across = (p.k + u32(p.sign != 0.0) + COLS - 1u) / COLS;
    let top = group / across * ROWS;
    if (top < p.n) {
        update_product(lane, top, group % across * COLS, now.rows);
    }
}

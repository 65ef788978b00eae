// A layer forward: Z = X Wᵀ ± b and A = σ(Z), X: (B, k), W: (n, k), Z and A: (B, n). The product
// is written by src/kernels/tile.rs; this is what it reads and what becomes of its elements.

struct Dense {
    n: u32,
    k: u32,
    bias_sign: f32,
}

override BIAS: bool = false;
override STORE_Z: bool = true;  // Z is wanted besides A, or alone
override STORE_A: bool = false;
override ACTIVATION: u32 = 0u;
override PARAMETER: f32 = 0.0;

@group(1) @binding(0) var<uniform> p: Dense;

fn dense_b(col: u32, k: u32) -> vec4<f32> {
    var value = vec4<f32>();
    for (var j = 0u; j < 4u; j++) {
        if (col + j < p.n && k < p.k) {
            value[j] = w[(col + j) * p.k + k];
        }
    }
    return value;
}

fn dense_store(row: u32, col: u32, value: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        if (row < now.rows && col + j < p.n) {
            let i = row * p.n + col + j;
            var total = value[j];
            if (BIAS) {
                total += p.bias_sign * bias[col + j];
            }
            if (STORE_Z) {
                z[i] = total;
            }
            if (STORE_A) {
                a[i] = activation_value(ACTIVATION, PARAMETER, total);
            }
        }
    }
}

fn dense(lane: u32, group: u32) {
    let across = (p.n + COLS - 1u) / COLS;
    let top = group / across * ROWS;
    let left = group % across * COLS;
    if (top >= now.rows) {
        return;
    }
    begin(lane, top, left);
    dense_product(lane, top, left, p.k);
}

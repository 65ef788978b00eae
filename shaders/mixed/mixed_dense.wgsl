// A layer forward in mixed precision: Z = X Wᵀ ± b and A = σ(Z), X: (B, k), W: (n, k), Z and A:
// (B, n). The product is written by src/kernels/mixed/block.rs; this is its input and the use of
// its elements. Result and result() are in mixed_dense_hidden.wgsl and mixed_dense_last.wgsl.

struct Dense {
    n: u32,
    k: u32,
    segments: u32, // 1
    bias_sign: f32,
}

override BIAS: bool = false;
override STORE_Z: bool = true;  // Z is needed besides A, or alone
override STORE_A: bool = false;
override ACTIVATION: u32 = 0u;
override PARAMETER: f32 = 0.0;

@group(1) @binding(0) var<uniform> p: Dense;
@group(1) @binding(1) var<storage, read> x: array<f16>;          // (B, k)
@group(1) @binding(2) var<storage, read> w: array<f16>;          // (n, k)
@group(1) @binding(3) var<storage, read> bias: array<f32>;       // (n)
@group(1) @binding(4) var<storage, read_write> z: array<Result>; // (B, n)
@group(1) @binding(5) var<storage, read_write> a: array<Result>; // (B, n)
@group(1) @binding(6) var<storage, read_write> loss_scale: array<Word>;

// The offsets of rows are the same for all invocations, so that only the first address is held in a register.
fn dense_a(row: u32, k: u32) -> vec4<f16> {
    var value = vec4<f16>();
    let first = row * p.k + k;
    for (var i = 0u; i < 4u; i++) {
        if (row + i < now.rows && k < p.k) {
            value[i] = x[first + i * p.k];
        }
    }
    return value;
}

fn dense_b(col: u32, k: u32) -> vec4<f16> {
    var value = vec4<f16>();
    let first = col * p.k + k;
    for (var j = 0u; j < 4u; j++) {
        if (col + j < p.n && k < p.k) {
            value[j] = w[first + j * p.k];
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
                z[i] = result(total);
            }
            if (STORE_A) {
                a[i] = result(activation_value(ACTIVATION, PARAMETER, total));
            }
        }
    }
}

fn dense(lane: u32, group: u32) {
    let across = (p.n + COLS - 1u) / COLS;
    let top = group / across * ROWS;
    let left = group % across * COLS;
    if (top < now.rows) {
        dense_product(lane, top, left, p.k);
    }
}

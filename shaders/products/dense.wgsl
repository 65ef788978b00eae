// A layer forward: Z = X Wᵀ ± b and A = σ(Z), X: (B, k), W: (n, k), Z and A: (B, n). The product
// is written by src/kernels/products/tile/; this is its input and the use of its elements.

struct Dense {
    n: u32,
    k: u32,
    segments: u32, // of the inner dimension that are stored separately, or 1
    bias_sign: f32,
}

override BIAS: bool = false;
override STORE_Z: bool = true;  // Z is needed besides A, or alone, or partial sums
override STORE_A: bool = false;
override ACTIVATION: u32 = 0u;
override PARAMETER: f32 = 0.0;

@group(1) @binding(0) var<uniform> p: Dense;

// The current segment, and its first k.
var<private> part: vec2<u32>;

fn dense_store(row: u32, col: u32, value: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        if (row < now.rows && col + j < p.n) {
            let i = (row * p.segments + part.x) * p.n + col + j;
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
    let across = (p.n + COLS - 1u) / COLS * p.segments;
    let top = group / across * ROWS;
    let left = group % across / p.segments * COLS;
    if (top >= now.rows) {
        return;
    }
    var depth = p.k;
    if (p.segments > 1u) {
        let which = group % p.segments;
        part = vec2<u32>(which, which * SEGMENT);
        depth = min(SEGMENT, p.k - which * SEGMENT);
    }
    begin(lane, top, left);
    dense_product(lane, top, left, depth);
}

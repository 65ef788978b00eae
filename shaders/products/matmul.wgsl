// C = A·B, A·Bᵀ or Aᵀ·B, with ± bias: C is (m, n), the inner dimension is k. The product is written
// by src/kernels/products/tile/; this is its input and the use of its elements.
//
// A product with a large inner dimension is computed in parts, one launch after the other, each
// adding its part to C: some drivers silently stop a loop after 65,535 iterations.

struct Matmul {
    m: u32,
    n: u32,
    k: u32,
    k_first: u32,     // this part: k_first … k_first + k_count
    k_count: u32,
    bias_sign: f32,
}

override BIAS: bool = false;
override ADD: bool = false; // C += A·B

@group(1) @binding(0) var<uniform> p: Matmul;
// a and b, the operands, are declared by src/kernels/products/tile.
@group(1) @binding(3) var<storage, read> bias: array<f32>; // (n)
@group(1) @binding(4) var<storage, read_write> c: array<f32>;

fn matmul_store(row: u32, col: u32, value: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        if (row < extent(p.m) && col + j < p.n) {
            let i = row * p.n + col + j;
            var total = value[j];
            if (BIAS) {
                total += p.bias_sign * bias[col + j];
            }
            if (ADD) {
                total += c[i];
            }
            c[i] = total;
        }
    }
}

fn matmul(lane: u32, group: u32) {
    let across = (p.n + COLS - 1u) / COLS;
    let top = group / across * ROWS;
    if (top < extent(p.m)) {
        let depth = extent(p.k);
        let left = min(p.k_count, depth - min(p.k_first, depth));
        matmul_product(lane, top, group % across * COLS, left);
    }
}

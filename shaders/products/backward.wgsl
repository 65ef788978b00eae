// The backward pass of a layer: δ_l = (δ_{l+1} W_{l+1}) ⊙ σ_l′(Z_l), together with the gradients of
// parameters that are no longer needed, each immediately followed by the optimizer's step. The
// products are written by src/kernels/products/tile/; this is their input and the use of their
// elements.
//
// ∂E/∂W = δᵀ A and ∂E/∂b = ± Σ_rows δ are one product, with a column of ones after A.

struct Backward {
    decay: f32,
    decayed: u32,   // parameters before this one are decayed
    constant0: f32, // μ or β₁
    constant1: f32, // β₂ or α
    constant2: f32, // ε
    groups0: u32,   // workgroups of the first update; the rest compute δ_l or the second
    parts: u32,     // parts of the batch for the updates
    rows: u32,      // rows of each
    len: u32,       // all parameters
    sign0: f32,     // of the biases; 0 without
    sign1: f32,
    padding0: u32,
    update0: vec4<u32>, // n, k, and the offsets of W and b
    update1: vec4<u32>,
    delta: vec4<u32>,   // n, k, and the offset of W: δ_l is (B, n), δ_{l+1} is (B, k)
}

@group(1) @binding(0) var<uniform> p: Backward;
@group(1) @binding(1) var<storage, read_write> w: array<f32>;      // all parameters
@group(1) @binding(2) var<storage, read_write> first: array<f32>;  // the same number, or unused; see PARTS
@group(1) @binding(3) var<storage, read_write> second: array<f32>; // the same number, or unused
// The operands are declared by src/kernels/products/tile: d0, δ of the first update: (B, n), and a0, its
// layer's input: (B, k).

// No binding is left for a third state: optimizers that need one run the plain plan.
fn largest_so_far(i: u32, v: f32) -> f32 {
    return v;
}

override PARTS: bool = false; // sums over parts go to `first`, (parts, all), instead of the step

var<private> task: vec4<u32>; // the current update: n, k, and the offsets of W and b
var<private> sign: f32;       // of its bias
var<private> part: vec2<u32>; // the part of the batch, and its first row

fn put(at: u32, gradient: f32) {
    if (PARTS) {
        first[part.x * p.len + at] = gradient;
    } else {
        update(at, gradient);
    }
}

// Four elements of a row of ∂E/∂W, with ∂E/∂b after the last.
fn update_store(row: u32, col: u32, gradient: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        let is_bias = col + j == task.y && sign != 0.0;
        if (row < task.x && (col + j < task.y || is_bias)) {
            let at = select(task.z + row * task.y + col + j, task.w + row, is_bias);
            put(at, select(1.0, sign, is_bias) * gradient[j]);
        }
    }
}

// The start of block `tile` of a matrix with `cols` columns.
fn corner(tile: u32, cols: u32) -> vec2<u32> {
    let across = (cols + COLS - 1u) / COLS;
    return vec2<u32>(tile / across * ROWS, tile % across * COLS);
}

// Block `tile` of an update, counted over all parts.
fn update_block(lane: u32, tile: u32, shape: vec4<u32>, bias_sign: f32) {
    if (shape.x == 0u) {
        // After the last update, if the grid is folded.
        return;
    }
    task = shape;
    sign = bias_sign;
    let cols = shape.y + u32(bias_sign != 0.0);
    let blocks = (shape.x + ROWS - 1u) / ROWS * ((cols + COLS - 1u) / COLS);
    let which = tile / blocks;
    if (which >= p.parts) {
        return;
    }
    let start = which * p.rows;
    part = vec2<u32>(which, start);
    let at = corner(tile % blocks, cols);
    // A part of a ragged batch may have no rows: its sums are 0.
    let rows = min(p.rows, now.rows - min(start, now.rows));
    update_product(lane, at.x, at.y, rows);
}

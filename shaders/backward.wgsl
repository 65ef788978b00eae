// The backward pass of a layer: δ_l = (δ_{l+1} W_{l+1}) ⊙ σ_l′(Z_l), and beside it the gradients of
// parameters that nothing needs any more, each followed at once by the optimiser's step. The
// products are written by src/kernels/tile.rs; this is what they read and what becomes of their
// elements.
//
// ∂E/∂W = δᵀ A and ∂E/∂b = ± Σ_rows δ are one product, with a column of ones behind A.

struct Backward {
    decay: f32,
    decayed: u32,   // parameters before this one are decayed
    constant0: f32, // μ or β₁
    constant1: f32, // β₂ or α
    constant2: f32, // ε
    groups0: u32,   // workgroups of the first update; the rest compute δ_l or the second
    sign0: f32,     // of the biases; 0 without
    sign1: f32,
    update0: vec4<u32>, // n, k, and where W and b lie
    update1: vec4<u32>,
    delta: vec4<u32>,   // n, k, and where W lies: δ_l is (B, n), δ_{l+1} is (B, k)
}

@group(1) @binding(0) var<uniform> p: Backward;
@group(1) @binding(1) var<storage, read_write> w: array<f32>;      // all parameters
@group(1) @binding(2) var<storage, read_write> first: array<f32>;  // as many, or unused
@group(1) @binding(3) var<storage, read_write> second: array<f32>; // as many, or unused
@group(1) @binding(4) var<storage, read> d0: array<f32>;           // δ of the first update: (B, n)
@group(1) @binding(5) var<storage, read> a0: array<f32>;           // its layer's input: (B, k)

// No binding is left for a third state: rules that need one run the plain plan.
fn largest_so_far(i: u32, v: f32) -> f32 {
    return v;
}

var<private> task: vec4<u32>; // the update at hand: n, k, and where W and b lie
var<private> sign: f32;       // of its bias

fn update_a(row: u32, k: u32) -> vec4<f32> {
    var value = vec4<f32>();
    for (var i = 0u; i < 4u; i++) {
        if (k < now.rows && row + i < task.x) {
            value[i] = delta_at(k * task.x + row + i);
        }
    }
    return value;
}

fn update_b(col: u32, k: u32) -> vec4<f32> {
    var value = vec4<f32>();
    for (var j = 0u; j < 4u; j++) {
        if (k < now.rows && col + j < task.y) {
            value[j] = input_at(k * task.y + col + j);
        } else if (col + j == task.y) {
            value[j] = 1.0;
        }
    }
    return value;
}

// Four elements of a row of ∂E/∂W, with ∂E/∂b behind the last.
fn update_store(row: u32, col: u32, gradient: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        if (row < task.x && col + j < task.y) {
            update(task.z + row * task.y + col + j, gradient[j]);
        } else if (row < task.x && col + j == task.y && sign != 0.0) {
            update(task.w + row, sign * gradient[j]);
        }
    }
}

// Where block `tile` of a matrix of `cols` columns begins.
fn corner(tile: u32, cols: u32) -> vec2<u32> {
    let across = (cols + COLS - 1u) / COLS;
    return vec2<u32>(tile / across * ROWS, tile % across * COLS);
}

// Block `tile` of an update.
fn update_block(lane: u32, tile: u32, shape: vec4<u32>, bias_sign: f32) {
    task = shape;
    sign = bias_sign;
    let at = corner(tile, shape.y + u32(bias_sign != 0.0));
    if (at.x < shape.x) {
        update_product(lane, at.x, at.y, now.rows);
    }
}

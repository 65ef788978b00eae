// Every gradient of every parameter of a small net in one launch: blocks of ∂E/∂W = δᵀ A and
// ∂E/∂b = ± Σ_rows δ, which are one product with a column of ones after A, and one more workgroup
// that sums the scores of the batch. The product is written by src/kernels/products/tile/.

struct Gradient {
    decay: f32,
    decayed: u32,   // parameters before this one are decayed
    constant0: f32, // μ or β₁
    constant1: f32, // β₂ or α
    constant2: f32, // ε
    layers: u32,
    blocks: u32, // workgroups of a part
    parts: u32,  // parts of the batch
    rows: u32,   // rows of each
    len: u32,    // all parameters
    padding0: u32,
    padding1: u32,
    // For each layer (n, k, δ, A), (W, b, first workgroup, sign of b): b and the sign are 0 without
    // a bias; gradients and state are at the same offsets as the parameters.
    table: array<vec4<u32>, 32>,
}

@group(1) @binding(0) var<uniform> p: Gradient;
// arena, which contains δ and A, holds the operands and is declared by src/kernels/products/tile.
@group(1) @binding(2) var<storage, read> scores: array<vec4<f32>>;     // (B): loss, right, d², |d|
@group(1) @binding(3) var<storage, read_write> sums: array<vec4<f32>>; // (1)

// The current layer, and the part of the batch: its number and first row.
var<private> shape: vec4<u32>;
var<private> places: vec4<u32>;
var<private> part: vec2<u32>;

fn gradient_store(row: u32, col: u32, value: vec4<f32>) {
    let sign = bitcast<f32>(places.w);
    for (var j = 0u; j < 4u; j++) {
        let is_bias = col + j == shape.y && sign != 0.0;
        if (row < shape.x && (col + j < shape.y || is_bias)) {
            let at = select(places.x + row * shape.y + col + j, places.y + row, is_bias);
            put(at, select(1.0, sign, is_bias) * value[j]);
        }
    }
}

fn add_scores(lane: u32) {
    let total = scores_sum(lane, 0u, now.rows);
    if (lane == 0u) {
        sums[0] += total;
    }
}

// Block `block` of part `which`.
fn gradient_block(lane: u32, which: u32, block: u32) {
    var layer = 0u;
    while (layer + 1u < p.layers && block >= p.table[layer * 2u + 3u].z) {
        layer++;
    }
    shape = p.table[layer * 2u];
    places = p.table[layer * 2u + 1u];
    let first = which * p.rows;
    let end = min(first + p.rows, now.rows);
    part = vec2<u32>(which, first);
    let across = (shape.y + u32(places.w != 0u) + COLS - 1u) / COLS;
    let tile = block - places.z;
    // A part of a ragged batch may have no rows: its sums are 0.
    gradient_product(lane, tile / across * ROWS, tile % across * COLS, max(end, first) - first);
}

fn gradient(lane: u32, group: u32) {
    // No branch returns early: FXC assumes that a barrier after it isn't reached by a whole workgroup.
    if (group == 0u) {
        add_scores(lane);
    } else {
        let which = (group - 1u) / p.blocks;
        if (which < p.parts) {
            gradient_block(lane, which, (group - 1u) % p.blocks);
        }
    }
}

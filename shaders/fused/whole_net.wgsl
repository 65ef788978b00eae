// The whole forward pass, the loss and the backward pass to every δ, for a block of rows in one
// workgroup: the first of the two kernels of a fused step. Nothing that a workgroup writes is read
// by another. The products are written by src/kernels/products/tile/.
//
// Everything with a row for each row of the batch (X, T, Z, A, δ) is in one buffer, `arena`; the
// table has the offsets.

struct WholeNet {
    layers: u32,
    reach: u32,       // 0: to the outputs, 1: to the loss, 2: back to all δ
    inputs: u32,      // n_0
    outputs: u32,     // n_L
    x: u32,           // offsets in the arena
    t: u32,
    y: u32,
    gradient: u32,    // ∂E/∂A_L, which becomes δ_L
    parameter: f32,   // of the loss
    threshold: f32,   // above it, a single output means yes
    first_layer: u32, // the first layer to compute: 1 if another launch has computed the first
    targets: u32,     // columns of T
    features: u32,    // feature columns; stored at `raw` if some are embedded
    raw: u32,
    copied: u32,      // the first columns, which aren't embedded: inputs as they are
    tables: u32,
    input_gradient: u32, // ∂E/∂X; only columns from `first_column` on are computed
    first_column: u32,
    padding0: u32,
    padding1: u32,
    // For each layer (n, k, W, b), (Z, A, δ, activation), (sign of b, parameter, -, -): b and the
    // sign are 0 without a bias; floats are stored as their bits.
    table: array<vec4<u32>, 48>,
    // What is dropped of X, and of each layer's A: a random number below the first drops an element, what
    // stays is multiplied by the second, a float kept as its bits; the key. 0 for nothing.
    drops: array<vec4<u32>, 17>,
    // For each embedding (column of the indices, first input, rows, columns), (offset of its table, -, -, -).
    embeddings: array<vec4<u32>, 64>,
}

override BYTES: bool = false;
override CLASSES: bool = false;
override OUTPUT: u32 = 0u; // the activation of the last layer
override DROPS: bool = false; // whether there is dropout in training
override EMBEDS: bool = false; // whether feature columns are embedded

@group(1) @binding(0) var<uniform> p: WholeNet;
@group(1) @binding(1) var<storage, read> data: array<u32>;
@group(1) @binding(2) var<storage, read> affine: array<vec2<f32>>;
@group(1) @binding(3) var<storage, read> labels: array<u32>;
// w, all parameters, is declared by src/kernels/products/tile: weights are operands.
@group(1) @binding(5) var<storage, read> unit: array<f32>;
@group(1) @binding(6) var<storage, read> weights: array<f32>;
@group(1) @binding(7) var<storage, read_write> arena: array<f32>;
@group(1) @binding(8) var<storage, read_write> scores: array<vec4<f32>>;

const SOFTMAX = 255u;
// The number of invocations that share a row outside of products.
const LANES = 16u;
// The number of rows that the invocations then process at a time.
const PASS = INVOCATIONS / LANES;

var<workgroup> partial: array<vec4<f32>, INVOCATIONS>; // (PASS, 16)
var<workgroup> source: array<u32, ROWS>;               // the row of the data set for each row of the block

// The value of `layer` in the product that gives ∂E/∂X.
const INPUT = 0xFFFFFFFFu;

// The current product: (k, n), the offsets of its input and its weights, and its layer.
var<private> shape: vec2<u32>;
var<private> input: u32;
var<private> weight: u32;
var<private> layer: u32;

fn row_sum(lane: u32, value: vec4<f32>) -> vec4<f32> {
    partial[lane] = value;
    workgroupBarrier();
    for (var half = 8u; half > 0u; half /= 2u) {
        if (lane % 16u < half) {
            partial[lane] += partial[lane + half];
        }
        workgroupBarrier();
    }
    let total = partial[lane / 16u * 16u];
    workgroupBarrier();
    return total;
}

// The largest value of a row and its lowest index.
fn row_max(lane: u32, value: f32, index: u32) -> vec2<f32> {
    partial[lane] = vec4<f32>(value, f32(index), 0.0, 0.0);
    workgroupBarrier();
    for (var half = 8u; half > 0u; half /= 2u) {
        if (lane % 16u < half) {
            let other = partial[lane + half];
            let mine = partial[lane];
            if (other.x > mine.x || (other.x == mine.x && other.y < mine.y)) {
                partial[lane] = other;
            }
        }
        workgroupBarrier();
    }
    let best = partial[lane / 16u * 16u].xy;
    workgroupBarrier();
    return best;
}

fn arena_at(i: u32) -> f32 {
    return arena[i];
}

// x ⊙ m / (1 − p) for an element of X, l = 0, or of the A or δ of layer l, counted from 1, as in dropout.wgsl.
fn dropped(l: u32, row: u32, col: u32, x: f32) -> f32 {
    if (!DROPS || p.reach < 2u) {
        return x;
    }
    let drop = p.drops[l];
    if (drop.y == 0u) {
        return x;
    }
    let key = vec2<u32>(drop.z, drop.w ^ now.epoch);
    let draws = threefry(key, vec2<u32>(now.position + row, col / 32u * 16u + col % 16u));
    let drawn = select(draws.x, draws.y, col % 32u >= 16u);
    return select(x * bitcast<f32>(drop.y), 0.0, drawn < drop.x);
}

// Z = A Wᵀ ± b, followed by A = σ(Z).
fn forward_store(row: u32, col: u32, value: vec4<f32>) {
    let places = p.table[layer * 3u + 1u];
    let more = p.table[layer * 3u + 2u];
    let sign = bitcast<f32>(more.x);
    for (var j = 0u; j < 4u; j++) {
        if (row < now.rows && col + j < shape.y) {
            let at = row * shape.y + col + j;
            var z = value[j];
            if (sign != 0.0) {
                z += sign * w_at(p.table[layer * 3u].w + col + j);
            }
            arena[places.x + at] = z;
            if (places.w != SOFTMAX) {
                let a = activation_value(places.w, bitcast<f32>(more.y), z);
                arena[places.y + at] = dropped(layer + 1u, row, col + j, a);
            }
        }
    }
}

// δ W ⊙ σ′(Z) of the layer below, with the same dropout as its A; or ∂E/∂X.
fn backward_store(row: u32, col: u32, value: vec4<f32>) {
    if (EMBEDS && layer == INPUT) {
        for (var j = 0u; j < 4u; j++) {
            if (row < now.rows && col + j < shape.y) {
                let at = p.input_gradient + row * shape.y + col + j;
                arena[at] = dropped(0u, row, col + j, value[j]);
            }
        }
        return;
    }
    let places = p.table[layer * 3u + 1u];
    let parameter = bitcast<f32>(p.table[layer * 3u + 2u].y);
    for (var j = 0u; j < 4u; j++) {
        if (row < now.rows && col + j < shape.y) {
            let at = row * shape.y + col + j;
            let z = arena[places.x + at];
            let delta = value[j] * activation_derivative(places.w, parameter, z);
            arena[places.z + at] = dropped(layer + 1u, row, col + j, delta);
        }
    }
}

// Y = softmax(Z), 16 invocations for each row.
fn softmax_rows(lane: u32, first: u32, z: u32, y: u32) {
    let n = p.outputs;
    let row = first + lane / 16u;
    let inside = row < now.rows;
    let base = row * n;
    var largest = 0.0;
    if (inside) {
        largest = arena[z + base];
        for (var j = lane % 16u; j < n; j += 16u) {
            largest = select(largest, arena[z + base + j], arena[z + base + j] > largest);
        }
    }
    let shift = row_max(lane, largest, 0u).x;
    var total = 0.0;
    if (inside) {
        for (var j = lane % 16u; j < n; j += 16u) {
            let e = exp_f(arena[z + base + j] - shift);
            arena[y + base + j] = e;
            total += e;
        }
    }
    let sum = row_sum(lane, vec4<f32>(total, 0.0, 0.0, 0.0)).x;
    if (inside) {
        for (var j = lane % 16u; j < n; j += 16u) {
            arena[y + base + j] /= sum;
        }
    }
    storageBarrier();
    workgroupBarrier();
}

// The functions needed by `loss_row` in loss_row.wgsl, for rows in the arena.
fn output_at(row: u32, j: u32) -> f32 {
    return arena[p.y + row * p.outputs + j];
}

fn target_at(row: u32, j: u32) -> f32 {
    return arena[p.t + row * p.targets + j];
}

fn weight_of(row: u32) -> f32 {
    return weights[source[row % ROWS]];
}

fn put_slope(row: u32, j: u32, slope: f32) {
    arena[p.gradient + row * p.outputs + j] = slope;
}

// Losses, scores and ∂E/∂A_L, 16 invocations for each row.
fn loss_rows(lane: u32, first: u32) {
    let row = first + lane / LANES;
    let inside = row < now.rows;
    let scored = loss_row(lane, row, inside, p.outputs, p.parameter, p.threshold);
    if (inside && lane % LANES == 0u) {
        scores[row] = scored;
    }
    storageBarrier();
    workgroupBarrier();
}

// δ_L from ∂E/∂A_L in place: ⊙ σ′(Z_L), or Jᵀ for softmax.
fn output_delta(lane: u32, first: u32, layer: u32) {
    let n = p.outputs;
    let row = first + lane / 16u;
    let inside = row < now.rows;
    let base = row * n;
    let places = p.table[layer * 3u + 1u];
    var sum = 0.0;
    if (OUTPUT == SOFTMAX) {
        var along = 0.0;
        if (inside) {
            for (var j = lane % 16u; j < n; j += 16u) {
                along += arena[places.z + base + j] * arena[places.y + base + j];
            }
        }
        sum = row_sum(lane, vec4<f32>(along, 0.0, 0.0, 0.0)).x;
    }
    if (inside) {
        let parameter = bitcast<f32>(p.table[layer * 3u + 2u].y);
        for (var j = lane % 16u; j < n; j += 16u) {
            let i = base + j;
            let g = arena[places.z + i];
            if (OUTPUT == SOFTMAX) {
                arena[places.z + i] = arena[places.y + i] * (g - sum);
            } else {
                arena[places.z + i] = g * activation_derivative(OUTPUT, parameter, arena[places.x + i]);
            }
        }
    }
    storageBarrier();
    workgroupBarrier();
}

// A scaled feature of a row of the data set.
fn feature(row: u32, c: u32) -> f32 {
    let at = row * p.features + c;
    var raw: f32;
    if (BYTES) {
        raw = f32((data[at / 4u] >> (8u * (at % 4u))) & 0xFFu);
    } else {
        raw = bitcast<f32>(data[at]);
    }
    return (raw - affine[c].x) * affine[c].y;
}

// X of a block of rows.
fn gather_rows(lane: u32, first: u32, count: u32) {
    for (var i = lane; i < count * p.features; i += INVOCATIONS) {
        let row = first + i / p.features;
        let c = i % p.features;
        let x = feature(source[i / p.features], c);
        if (EMBEDS) {
            arena[p.raw + row * p.features + c] = x;
        }
        if (!EMBEDS || c < p.copied) {
            arena[p.x + row * p.inputs + c] = dropped(0u, row, c, x);
        }
    }
    if (!EMBEDS) {
        return;
    }
    for (var t = 0u; t < p.tables; t++) {
        let place = p.embeddings[2u * t];
        for (var i = lane; i < count * place.w; i += INVOCATIONS) {
            let row = first + i / place.w;
            // An index outside of the table, or NaN, counts as 0.
            let found = feature(source[i / place.w], place.x);
            let index = select(0u, u32(found), found >= 0.0 && found < f32(place.z));
            let c = place.y + i % place.w;
            let x = w_at(p.embeddings[2u * t + 1u].x + index * place.w + i % place.w);
            arena[p.x + row * p.inputs + c] = dropped(0u, row, c, x);
        }
    }
}

// n and k of a layer. FXC assumes that an element at a changing index may differ between
// invocations, so that no barrier may depend on it: here no index changes.
fn shape_of(l: u32) -> vec2<u32> {
    var found = p.table[0].xy;
    found = select(found, p.table[3].xy, l == 1u);
    found = select(found, p.table[6].xy, l == 2u);
    found = select(found, p.table[9].xy, l == 3u);
    found = select(found, p.table[12].xy, l == 4u);
    found = select(found, p.table[15].xy, l == 5u);
    found = select(found, p.table[18].xy, l == 6u);
    found = select(found, p.table[21].xy, l == 7u);
    found = select(found, p.table[24].xy, l == 8u);
    found = select(found, p.table[27].xy, l == 9u);
    found = select(found, p.table[30].xy, l == 10u);
    found = select(found, p.table[33].xy, l == 11u);
    found = select(found, p.table[36].xy, l == 12u);
    found = select(found, p.table[39].xy, l == 13u);
    found = select(found, p.table[42].xy, l == 14u);
    found = select(found, p.table[45].xy, l == 15u);
    return found;
}

fn whole_net(lane: u32, group: u32) {
    let first = group * ROWS;
    if (first >= now.rows) {
        return;
    }
    let count = min(ROWS, now.rows - first);
    for (var i = lane; i < count; i += INVOCATIONS) {
        source[i] = permute(now.first + first + i);
    }
    workgroupBarrier();
    if (p.first_layer == 0u) {
        gather_rows(lane, first, count);
    }
    storageBarrier();
    workgroupBarrier();

    input = p.x;
    if (p.first_layer > 0u) {
        input = p.table[(p.first_layer - 1u) * 3u + 1u].y;
    }
    for (var l = p.first_layer; l < p.layers; l++) {
        let sides = shape_of(l);
        let places = p.table[l * 3u + 1u];
        layer = l;
        shape = sides.yx;
        weight = p.table[l * 3u].z;
        for (var left = 0u; left < sides.x; left += COLS) {
            forward_product(lane, first, left, sides.y);
        }
        storageBarrier();
        workgroupBarrier();
        if (OUTPUT == SOFTMAX && l + 1u == p.layers) {
            for (var row = 0u; row < ROWS; row += PASS) {
                softmax_rows(lane, first + row, places.x, places.y);
            }
        }
        input = places.y;
    }
    if (p.reach == 0u) {
        return;
    }

    for (var i = lane; i < count * p.targets; i += INVOCATIONS) {
        let c = i % p.targets;
        let row = source[i / p.targets];
        var wanted: f32;
        if (CLASSES) {
            wanted = select(f32(labels[row] == c), f32(labels[row]), p.targets == 1u);
        } else {
            wanted = bitcast<f32>(labels[row * p.targets + c]);
        }
        arena[p.t + first * p.targets + i] = wanted;
    }
    storageBarrier();
    workgroupBarrier();
    for (var row = 0u; row < ROWS; row += PASS) {
        loss_rows(lane, first + row);
    }
    if (p.reach == 1u) {
        return;
    }

    for (var row = 0u; row < ROWS; row += PASS) {
        output_delta(lane, first + row, p.layers - 1u);
    }
    // To the first layer, or to X if it has embeddings.
    for (var l = p.layers - 1u; EMBEDS || l > 0u; l--) {
        let sides = shape_of(l);
        layer = l - 1u;
        input = p.table[l * 3u + 1u].z;
        shape = sides;
        weight = p.table[l * 3u].z;
        for (var left = select(0u, p.first_column, l == 0u); left < sides.y; left += COLS) {
            backward_product(lane, first, left, sides.x);
        }
        if (l == 0u) {
            break;
        }
        storageBarrier();
        workgroupBarrier();
    }
}

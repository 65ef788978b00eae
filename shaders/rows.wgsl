// The whole forward pass, the loss and the backward pass to every δ, for 16 rows in one workgroup:
// the first of the two kernels of a fused step. Nothing that a workgroup writes is read by another.
//
// All that has a row for each row of the batch (X, T, Z, A, δ) lies in one buffer, `arena`; the
// table says where. A workgroup multiplies a tile of 16 rows by 64 columns in steps of 16.

struct Rows {
    layers: u32,
    reach: u32,       // 0: to the outputs, 1: to the loss, 2: back to all δ
    inputs: u32,      // n_0
    outputs: u32,     // n_L
    x: u32,           // places in the arena
    t: u32,
    y: u32,
    gradient: u32,    // ∂E/∂A_L, which becomes δ_L
    parameter: f32,   // δ of Huber's loss
    threshold: f32,   // above it, a single output says yes
    padding0: u32,
    padding1: u32,
    // For each layer (n, k, W, b), (Z, A, δ, activation), (sign of b, parameter, -, -): b and the
    // sign are 0 without a bias; floats are kept as their bits.
    table: array<vec4<u32>, 48>,
}

override BYTES: bool = false;
override CLASSES: bool = false;

@group(1) @binding(0) var<uniform> p: Rows;
@group(1) @binding(1) var<storage, read> data: array<u32>;
@group(1) @binding(2) var<storage, read> affine: array<vec2<f32>>;
@group(1) @binding(3) var<storage, read> labels: array<u32>;
@group(1) @binding(4) var<storage, read> w: array<f32>;
@group(1) @binding(5) var<storage, read> unit: array<f32>;
@group(1) @binding(6) var<storage, read_write> arena: array<f32>;
@group(1) @binding(7) var<storage, read_write> scores: array<vec4<f32>>;

const ROWS = 16u;
const COLS = 64u;
const DEPTH = 16u;
const SOFTMAX = 255u;

var<workgroup> tile_a: array<f32, 256>;  // (ROWS, DEPTH)
var<workgroup> tile_w: array<f32, 1024>; // (DEPTH, COLS)
var<workgroup> partial: array<vec4<f32>, 256>; // (ROWS, 16)
var<workgroup> source: array<u32, 16>;   // the row of the data set for each of ours

// What is done to the elements of a product before they are stored.
const FORWARD = 0u;  // + bias, and A = σ(Z) behind it
const BACKWARD = 1u; // ⊙ σ′(Z) of the layer below

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

// The largest value of a row and the lowest index at which it stands.
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

// out = input · Wᵀ forward, or input · W backward: (16 rows of k) to (16 rows of n), of which
// `first` is the first row of the batch.
fn product(lane: u32, first: u32, direction: u32, input: u32, k: u32, weight: u32, n: u32, layer: u32) {
    let where_to = p.table[layer * 3u + 1u];
    let more = p.table[layer * 3u + 2u];
    let bias = p.table[layer * 3u].w;
    let row = lane / 16u;
    let col = lane % 16u;
    let inside = first + row < now.rows;
    for (var left = 0u; left < n; left += COLS) {
        var sum = vec4<f32>();
        for (var start = 0u; start < k; start += DEPTH) {
            var value = 0.0;
            if (inside && start + col < k) {
                value = arena[input + (first + row) * k + start + col];
            }
            tile_a[lane] = value;
            for (var i = 0u; i < 4u; i++) {
                // Neighbouring invocations read neighbouring weights, whichever way W lies.
                let along = select(lane / 64u + 4u * i, lane % 16u, direction == FORWARD);
                let across = select(lane % 64u, lane / 16u + 16u * i, direction == FORWARD);
                let d = start + along;
                let j = left + across;
                var element = 0.0;
                if (d < k && j < n) {
                    element = w[weight + select(d * n + j, j * k + d, direction == FORWARD)];
                }
                tile_w[along * COLS + across] = element;
            }
            workgroupBarrier();
            var part = vec4<f32>();
            for (var d = 0u; d < DEPTH; d += 2u) {
                let a0 = tile_a[row * DEPTH + d];
                let a1 = tile_a[row * DEPTH + d + 1u];
                let at = d * COLS + col;
                part += a0 * vec4<f32>(tile_w[at], tile_w[at + 16u], tile_w[at + 32u], tile_w[at + 48u]);
                let next = at + COLS;
                part += a1 * vec4<f32>(tile_w[next], tile_w[next + 16u], tile_w[next + 32u], tile_w[next + 48u]);
            }
            sum += part;
            workgroupBarrier();
        }
        for (var i = 0u; i < 4u; i++) {
            let j = left + col + 16u * i;
            if (inside && j < n) {
                let at = (first + row) * n + j;
                var value = sum[i];
                if (direction == FORWARD) {
                    let sign = bitcast<f32>(more.x);
                    if (sign != 0.0) {
                        value += sign * w[bias + j];
                    }
                    arena[where_to.x + at] = value;
                    if (where_to.w != SOFTMAX) {
                        arena[where_to.y + at] = activation_value(where_to.w, bitcast<f32>(more.y), value);
                    }
                } else {
                    let z = arena[where_to.x + at];
                    arena[where_to.z + at] = value * activation_derivative(where_to.w, bitcast<f32>(more.y), z);
                }
            }
        }
    }
    storageBarrier();
    workgroupBarrier();
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

// Losses, scores and ∂E/∂A_L, 16 invocations for each row, as in loss.wgsl.
fn loss_rows(lane: u32, first: u32) {
    let n = p.outputs;
    let row = first + lane / 16u;
    let inside = row < now.rows;
    let base = row * n;
    var best = vec2<f32>();
    var at = vec2<u32>();
    var weight = 0.0;
    if (inside) {
        best = vec2<f32>(arena[p.y + base], arena[p.t + base]);
        for (var j = lane % 16u; j < n; j += 16u) {
            let y = arena[p.y + base + j];
            let t = arena[p.t + base + j];
            weight += t;
            if (y > best.x) {
                best.x = y;
                at.x = j;
            }
            if (t > best.y) {
                best.y = t;
                at.y = j;
            }
        }
    }
    let largest_y = row_max(lane, best.x, at.x);
    let largest_t = row_max(lane, best.y, at.y);
    var total = 0.0;
    if (inside && LOSS == CROSS_ENTROPY) {
        for (var j = lane % 16u; j < n; j += 16u) {
            total += exp_f(arena[p.y + base + j] - largest_y.x);
        }
    }
    let sums = row_sum(lane, vec4<f32>(total, weight, 0.0, 0.0));
    var score = vec4<f32>();
    if (inside) {
        let log_sum = largest_y.x + ln_f(sums.x);
        for (var j = lane % 16u; j < n; j += 16u) {
            let y = arena[p.y + base + j];
            let t = arena[p.t + base + j];
            var value_and_slope = loss_term(y, t, p.parameter);
            if (LOSS == CROSS_ENTROPY) {
                value_and_slope = cross_entropy(y, t, log_sum, sums.y);
            }
            arena[p.gradient + base + j] = now.loss_scale * value_and_slope.y;
            let d = (y - t) * unit[j];
            score += vec4<f32>(value_and_slope.x, 0.0, d * d, abs(d));
        }
    }
    let scored = row_sum(lane, score);
    if (inside && lane % 16u == 0u) {
        let one_output = (arena[p.y + base] > p.threshold) == (arena[p.t + base] > 0.5);
        let right = select(largest_y.y == largest_t.y, one_output, n == 1u);
        scores[row] = vec4<f32>(scored.x, f32(right), scored.z, scored.w);
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
    var along = 0.0;
    if (inside && places.w == SOFTMAX) {
        for (var j = lane % 16u; j < n; j += 16u) {
            along += arena[places.z + base + j] * arena[places.y + base + j];
        }
    }
    let sum = row_sum(lane, vec4<f32>(along, 0.0, 0.0, 0.0)).x;
    if (inside) {
        let parameter = bitcast<f32>(p.table[layer * 3u + 2u].y);
        for (var j = lane % 16u; j < n; j += 16u) {
            let i = base + j;
            let g = arena[places.z + i];
            if (places.w == SOFTMAX) {
                arena[places.z + i] = arena[places.y + i] * (g - sum);
            } else {
                arena[places.z + i] = g * activation_derivative(places.w, parameter, arena[places.x + i]);
            }
        }
    }
    storageBarrier();
    workgroupBarrier();
}

@compute @workgroup_size(256)
fn rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = flat(group, groups) * ROWS;
    if (first >= now.rows) {
        return;
    }
    let count = min(ROWS, now.rows - first);
    if (lane < count) {
        source[lane] = permute(now.first + first + lane);
    }
    workgroupBarrier();
    for (var i = lane; i < count * p.inputs; i += 256u) {
        let c = i % p.inputs;
        let at = source[i / p.inputs] * p.inputs + c;
        var raw: f32;
        if (BYTES) {
            raw = f32((data[at / 4u] >> (8u * (at % 4u))) & 0xFFu);
        } else {
            raw = bitcast<f32>(data[at]);
        }
        arena[p.x + first * p.inputs + i] = (raw - affine[c].x) * affine[c].y;
    }
    storageBarrier();
    workgroupBarrier();

    var input = p.x;
    for (var l = 0u; l < p.layers; l++) {
        let shape = p.table[l * 3u];
        let places = p.table[l * 3u + 1u];
        product(lane, first, FORWARD, input, shape.y, shape.z, shape.x, l);
        if (places.w == SOFTMAX) {
            softmax_rows(lane, first, places.x, places.y);
        }
        input = places.y;
    }
    if (p.reach == 0u) {
        return;
    }

    for (var i = lane; i < count * p.outputs; i += 256u) {
        let c = i % p.outputs;
        let row = source[i / p.outputs];
        var wanted: f32;
        if (CLASSES) {
            wanted = select(f32(labels[row] == c), f32(labels[row]), p.outputs == 1u);
        } else {
            wanted = bitcast<f32>(labels[row * p.outputs + c]);
        }
        arena[p.t + first * p.outputs + i] = wanted;
    }
    storageBarrier();
    workgroupBarrier();
    loss_rows(lane, first);
    if (p.reach == 1u) {
        return;
    }

    output_delta(lane, first, p.layers - 1u);
    for (var l = p.layers - 1u; l > 0u; l--) {
        let shape = p.table[l * 3u];
        product(lane, first, BACKWARD, p.table[l * 3u + 1u].z, shape.x, shape.z, shape.y, l - 1u);
    }
}

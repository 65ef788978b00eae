// Every gradient of every parameter, each followed at once by the optimiser's step: the second of
// the two kernels of a fused step. A workgroup computes a 32 × 32 tile of one layer's
// ∂E/∂W = δᵀ A, and with the leftmost tiles ∂E/∂b = ± Σ_rows δ; each of its 8 × 8 invocations 4 × 4
// elements.

struct GradientUpdate {
    layers: u32,
    decay: f32,
    constant0: f32, // μ or β₁
    constant1: f32, // β₂
    constant2: f32, // ε
    padding0: u32,
    padding1: u32,
    padding2: u32,
    // For each layer (n, k, δ, A), (W, b, first workgroup, sign of b): b and the sign are 0 without
    // a bias; state lies at the same places as the parameters.
    table: array<vec4<u32>, 32>,
}

@group(1) @binding(0) var<uniform> p: GradientUpdate;
@group(1) @binding(1) var<storage, read> arena: array<f32>;
@group(1) @binding(2) var<storage, read_write> w: array<f32>;
@group(1) @binding(3) var<storage, read_write> first: array<f32>;
@group(1) @binding(4) var<storage, read_write> second: array<f32>;

const TILE = 32u;
const DEPTH = 16u;
const STRETCH = 256u; // a multiple of DEPTH

var<workgroup> tile_d: array<f32, 512>; // (DEPTH, TILE)
var<workgroup> tile_a: array<f32, 512>; // (DEPTH, TILE)

@compute @workgroup_size(64)
fn gradient_update(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let id = flat(group, groups);
    var layer = 0u;
    while (layer + 1u < p.layers && id >= p.table[layer * 2u + 3u].z) {
        layer++;
    }
    let shape = p.table[layer * 2u];
    let places = p.table[layer * 2u + 1u];
    let n = shape.x;
    let k = shape.y;
    let across = (k + TILE - 1u) / TILE;
    let tile = id - places.z;
    let top = tile / across * TILE;
    let left = tile % across * TILE;
    if (top >= n) {
        return;
    }
    let row = lane / 8u * 4u;
    let col = lane % 8u * 4u;

    var sum: array<vec4<f32>, 4>;
    var total: array<vec4<f32>, 4>;
    var bias_sum = 0.0;
    var bias_total = 0.0;
    for (var start = 0u; start < now.rows; start += DEPTH) {
        for (var i = lane; i < TILE * DEPTH; i += 64u) {
            let r = start + i / TILE;
            let c = i % TILE;
            var d = 0.0;
            if (r < now.rows && top + c < n) {
                d = arena[shape.z + r * n + top + c];
            }
            var a = 0.0;
            if (r < now.rows && left + c < k) {
                a = arena[shape.w + r * k + left + c];
            }
            tile_d[i] = d;
            tile_a[i] = a;
        }
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i++) {
            let at = i * TILE + col;
            let d = i * TILE + row;
            let right = vec4<f32>(tile_a[at], tile_a[at + 1u], tile_a[at + 2u], tile_a[at + 3u]);
            sum[0] += tile_d[d] * right;
            sum[1] += tile_d[d + 1u] * right;
            sum[2] += tile_d[d + 2u] * right;
            sum[3] += tile_d[d + 3u] * right;
            bias_sum += tile_d[i * TILE + lane % TILE];
        }
        workgroupBarrier();
        // Long sums in stretches, as in matmul.wgsl.
        if ((start + DEPTH) % STRETCH == 0u || start + DEPTH >= now.rows) {
            for (var i = 0u; i < 4u; i++) {
                total[i] += sum[i];
                sum[i] = vec4<f32>();
            }
            bias_total += bias_sum;
            bias_sum = 0.0;
        }
    }

    for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) {
            if (top + row + i < n && left + col + j < k) {
                let at = places.x + (top + row + i) * k + left + col + j;
                update(at, total[i][j]);
            }
        }
    }
    let sign = bitcast<f32>(places.w);
    if (left == 0u && lane < TILE && top + lane < n && sign != 0.0) {
        let at = places.y + top + lane;
        update(at, sign * bias_total);
    }
}

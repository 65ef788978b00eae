// C = A·B, A·Bᵀ or Aᵀ·B, with ± bias: C is (m, n), the inner dimension is k.
//
// A workgroup computes a 32 × 32 tile of C in steps of 16 along k; each of its 8 × 8 invocations
// computes 4 × 4 elements. What lies outside a ragged matrix is read as 0 and not written.
//
// A product with a large inner dimension is computed in parts, one launch after the other, each
// adding its part to C: some drivers end a loop after 65,535 rounds without a word.
//
// Long sums are added up in stretches of 256: the rounding errors of a sum of k terms then grow
// with k / 256 + 256 and not with k.

struct Matmul {
    m: u32,
    n: u32,
    k: u32,
    k_first: u32,     // this part: k_first … k_first + k_count
    k_count: u32,
    bias_sign: f32,
}

override TRANSPOSE_A: bool = false; // A is stored as (k, m)
override TRANSPOSE_B: bool = false; // B is stored as (n, k)
override BIAS: bool = false;
override ADD: bool = false; // C += A·B

@group(1) @binding(0) var<uniform> p: Matmul;
@group(1) @binding(1) var<storage, read> a: array<f32>;
@group(1) @binding(2) var<storage, read> b: array<f32>;
@group(1) @binding(3) var<storage, read> bias: array<f32>; // (n)
@group(1) @binding(4) var<storage, read_write> c: array<f32>;

const TILE = 32u;
const DEPTH = 16u;
const STRETCH = 256u; // a multiple of DEPTH

var<workgroup> tile_a: array<f32, 512>; // (DEPTH, TILE)
var<workgroup> tile_b: array<f32, 512>; // (DEPTH, TILE)

@compute @workgroup_size(64)
fn matmul(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let m = extent(p.m);
    let n = p.n;
    let depth = extent(p.k);
    let end = min(p.k_first + p.k_count, depth);
    let across = (n + TILE - 1u) / TILE;
    let tile = flat(group, groups);
    let top = tile / across * TILE;
    let left = tile % across * TILE;
    if (top >= m) {
        return;
    }
    let row = lane / 8u * 4u;
    let col = lane % 8u * 4u;

    var sum: array<vec4<f32>, 4>;
    var total: array<vec4<f32>, 4>;
    for (var start = p.k_first; start < end; start += DEPTH) {
        for (var i = lane; i < TILE * DEPTH; i += 64u) {
            // Neighbouring invocations read neighbouring addresses, whichever way A and B lie.
            let along_a = select(i % DEPTH, i / TILE, TRANSPOSE_A);
            let across_a = select(i / DEPTH, i % TILE, TRANSPOSE_A);
            let along_b = select(i / TILE, i % DEPTH, TRANSPOSE_B);
            let across_b = select(i % TILE, i / DEPTH, TRANSPOSE_B);
            let ka = start + along_a;
            let kb = start + along_b;
            let ra = top + across_a;
            let cb = left + across_b;
            var value_a = 0.0;
            if (ka < end && ra < m) {
                value_a = a[select(ra * depth + ka, ka * m + ra, TRANSPOSE_A)];
            }
            var value_b = 0.0;
            if (kb < end && cb < n) {
                value_b = b[select(kb * n + cb, cb * depth + kb, TRANSPOSE_B)];
            }
            tile_a[along_a * TILE + across_a] = value_a;
            tile_b[along_b * TILE + across_b] = value_b;
        }
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i++) {
            let at_a = i * TILE + row;
            let at_b = i * TILE + col;
            let right = vec4<f32>(tile_b[at_b], tile_b[at_b + 1u], tile_b[at_b + 2u], tile_b[at_b + 3u]);
            sum[0] += tile_a[at_a] * right;
            sum[1] += tile_a[at_a + 1u] * right;
            sum[2] += tile_a[at_a + 2u] * right;
            sum[3] += tile_a[at_a + 3u] * right;
        }
        workgroupBarrier();
        if ((start + DEPTH) % STRETCH == 0u || start + DEPTH >= end) {
            for (var i = 0u; i < 4u; i++) {
                total[i] += sum[i];
                sum[i] = vec4<f32>();
            }
        }
    }

    for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) {
            let r = top + row + i;
            let s = left + col + j;
            if (r < m && s < n) {
                var value = total[i][j];
                if (BIAS) {
                    value += p.bias_sign * bias[s];
                }
                if (ADD) {
                    value += c[r * n + s];
                }
                c[r * n + s] = value;
            }
        }
    }
}

// The bindings of a first layer, whose input is gathered from the data set by shuffled index, as
// in gather.wgsl. The leftmost blocks store it, for the gradient of the weights.

override BYTES: bool = false;

@group(1) @binding(1) var<storage, read> data: array<u32>;         // (N, k)
@group(1) @binding(2) var<storage, read> affine: array<vec2<f32>>; // (k): shift, scale
@group(1) @binding(3) var<storage, read_write> x: array<f32>;      // (B, k)
// w: (n, k), an operand, is declared by src/kernels/products/tile.
@group(1) @binding(5) var<storage, read> bias: array<f32>;         // (n)
@group(1) @binding(6) var<storage, read_write> z: array<f32>;      // (B, n)
@group(1) @binding(7) var<storage, read_write> a: array<f32>;      // (B, n)

var<workgroup> source: array<u32, ROWS>; // the row of the data set for each row of the block
var<private> block: vec2<u32>;           // its top row, and whether it stores the input

fn begin(lane: u32, top: u32, left: u32) {
    block = vec2<u32>(top, u32(left == 0u));
    for (var row = lane; row < ROWS; row += INVOCATIONS) {
        if (top + row < now.rows) {
            source[row] = permute(now.first + top + row);
        }
    }
    workgroupBarrier();
}

// Input `k` of a row.
fn gathered_at(row: u32, k: u32) -> f32 {
    let at = source[row - block.x] * p.k + k;
    var raw: f32;
    if (BYTES) {
        raw = f32((data[at / 4u] >> (8u * (at % 4u))) & 0xFFu);
    } else {
        raw = bitcast<f32>(data[at]);
    }
    let value = (raw - affine[k].x) * affine[k].y;
    if (block.y == 1u) {
        x[row * p.k + k] = value;
    }
    return value;
}

// Inputs `k` … `k + 3`, if the row length is a multiple of four: its bytes are in one word.
fn gathered_four(row: u32, k: u32) -> vec4<f32> {
    let at = source[row - block.x] * p.k + k;
    var raw: vec4<f32>;
    if (BYTES) {
        raw = vec4<f32>((vec4<u32>(data[at / 4u]) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(0xFFu));
    } else {
        raw = bitcast<vec4<f32>>(vec4<u32>(data[at], data[at + 1u], data[at + 2u], data[at + 3u]));
    }
    let shift = vec4<f32>(affine[k].x, affine[k + 1u].x, affine[k + 2u].x, affine[k + 3u].x);
    let scale = vec4<f32>(affine[k].y, affine[k + 1u].y, affine[k + 2u].y, affine[k + 3u].y);
    let value = (raw - shift) * scale;
    if (block.y == 1u) {
        let first = row * p.k + k;
        x[first] = value.x;
        x[first + 1u] = value.y;
        x[first + 2u] = value.z;
        x[first + 3u] = value.w;
    }
    return value;
}

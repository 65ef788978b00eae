// The features of the batch in f16, otherwise as in gather.wgsl.

struct Gather {
    rows: u32,
    cols: u32,
}

override BYTES: bool = false;

@group(1) @binding(0) var<uniform> p: Gather;
@group(1) @binding(1) var<storage, read> data: array<u32>;
@group(1) @binding(2) var<storage, read> affine: array<vec2<f32>>; // (shift, scale) of each column
@group(1) @binding(3) var<storage, read_write> out: array<f16>;

// X[r, c] = (data[row(r), c] − shift[c]) · scale[c]; data: (N, cols), out: (rows, cols)
@compute @workgroup_size(64)
fn mixed_gather(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= extent(p.rows) * p.cols) {
        return;
    }
    let col = i % p.cols;
    let at = permute(now.first + i / p.cols) * p.cols + col;
    var raw: f32;
    if (BYTES) {
        raw = f32((data[at / 4u] >> (8u * (at % 4u))) & 0xFFu);
    } else {
        raw = bitcast<f32>(data[at]);
    }
    out[i] = f16((raw - affine[col].x) * affine[col].y);
}

// The batch, by shuffled index, from the data set on the device.

struct Gather {
    rows: u32,
    cols: u32,
}

// How the data set is stored: bytes or 4-byte words; targets as classes or numbers.
override BYTES: bool = false;
override CLASSES: bool = false;

@group(1) @binding(0) var<uniform> p: Gather;
@group(1) @binding(1) var<storage, read> data: array<u32>;
@group(1) @binding(2) var<storage, read> affine: array<vec2<f32>>; // (shift, scale) of each column
@group(1) @binding(3) var<storage, read_write> out: array<f32>;

fn element(index: u32) -> f32 {
    if (BYTES) {
        return f32((data[index / 4u] >> (8u * (index % 4u))) & 0xFFu);
    }
    return bitcast<f32>(data[index]);
}

// X[r, c] = (data[row(r), c] − shift[c]) · scale[c]; data: (N, cols), out: (rows, cols)
@compute @workgroup_size(64)
fn gather(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= extent(p.rows) * p.cols) {
        return;
    }
    let col = i % p.cols;
    let row = permute(now.first + i / p.cols);
    out[i] = (element(row * p.cols + col) - affine[col].x) * affine[col].y;
}

// T[r, c]: the numbers of the row, or 1 at its class and 0 elsewhere; with a single output the
// class itself, 0 or 1. out: (rows, cols)
@compute @workgroup_size(64)
fn targets(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= extent(p.rows) * p.cols) {
        return;
    }
    let col = i % p.cols;
    let row = permute(now.first + i / p.cols);
    if (CLASSES) {
        let label = data[row];
        out[i] = select(f32(label == col), f32(label), p.cols == 1u);
    } else {
        out[i] = bitcast<f32>(data[row * p.cols + col]);
    }
}

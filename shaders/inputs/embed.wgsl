// X[r, at + j] = E[i(r), j]: the rows of a table given by the indices in a feature column; and
// a copy of the feature columns before them.

struct Embed {
    features: u32,
    column: u32, // of the indices
    inputs: u32,
    at: u32,     // the first input from the table
    values: u32,
    dims: u32,
    start: u32,  // the first input that is written
}

@group(1) @binding(0) var<uniform> p: Embed;
@group(1) @binding(1) var<storage, read> features: array<f32>;  // (B, features)
@group(1) @binding(2) var<storage, read> table: array<f32>;     // (values, dims)
@group(1) @binding(3) var<storage, read_write> x: array<f32>;   // (B, inputs)

@compute @workgroup_size(64)
fn embed(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let cols = p.at + p.dims - p.start;
    let i = flat(group, groups) * 64u + lane;
    if (i >= now.rows * cols) {
        return;
    }
    let row = i / cols;
    let col = p.start + i % cols;
    let first = row * p.features;
    if (col < p.at) {
        x[row * p.inputs + col] = features[first + col];
        return;
    }
    // Invalid indices count as 0.
    let found = features[first + p.column];
    let index = select(0u, u32(found), found >= 0.0 && found < f32(p.values));
    x[row * p.inputs + col] = table[index * p.dims + col - p.at];
}

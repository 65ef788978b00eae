// ∂E/∂E[v, j] = Σ_{r: i(r) = v} ∂E/∂X[r, at + j], in the order of the rows.

struct EmbedGradient {
    inputs: u32,
    at: u32,     // the first input from the table
    len: u32,    // elements of the table
    dims: u32,
    first: u32,  // this part: rows first … first + count
    count: u32,
}

@group(1) @binding(0) var<uniform> p: EmbedGradient;
@group(1) @binding(1) var<storage, read> order: array<vec2<f32>>;           // (B, 2): index, row
@group(1) @binding(2) var<storage, read> gradient: array<f32>;              // (B, inputs)
@group(1) @binding(3) var<storage, read_write> table_gradient: array<f32>;  // (values, dims)

@compute @workgroup_size(64)
fn clear_table_gradient(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i < p.len) {
        table_gradient[i] = 0.0;
    }
}

// Whether a position in the order comes before a row of this index.
fn is_before(place: u32, index: f32, row: u32) -> bool {
    let at = order[place];
    return at.x < index || (at.x == index && u32(at.y) < row);
}

// An invocation for each column and each row in the order; the first of those with the same index
// sums all of them.
@compute @workgroup_size(64)
fn embed_gradient(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    let place = i / p.dims;
    if (place >= now.rows) {
        return;
    }
    let index = order[place].x;
    let row = u32(order[place].y);
    if (row < p.first || row >= p.first + p.count) {
        return;
    }
    if (place > 0u && !is_before(place - 1u, index, p.first)) {
        return;
    }
    var end = place;
    var high = min(place + p.count, now.rows);
    while (end < high) {
        let middle = (end + high) / 2u;
        if (is_before(middle, index, p.first + p.count)) {
            end = middle + 1u;
        } else {
            high = middle;
        }
    }
    let col = i % p.dims;
    // In stretches of 256 rows of the batch, so that the rounding errors of a long sum don't grow with its
    // length.
    var sum = 0.0;
    var stretch = 0.0;
    var block = row / 256u;
    for (var at = place; at < end; at++) {
        let next = u32(order[at].y);
        if (next / 256u != block) {
            sum += stretch;
            stretch = 0.0;
            block = next / 256u;
        }
        stretch += gradient[next * p.inputs + p.at + col];
    }
    table_gradient[u32(index) * p.dims + col] += sum + stretch;
}

// A tile of 256 rows with their indices, sorted by index; rows with the same index keep
// their order.

struct SortIndices {
    features: u32,
    column: u32, // of the indices
    values: u32,
}

const TILE = 256u;

@group(1) @binding(0) var<uniform> p: SortIndices;
@group(1) @binding(1) var<storage, read> features: array<f32>;          // (B, features)
@group(1) @binding(2) var<storage, read_write> order: array<vec2<f32>>; // (B, 2): index, row

var<workgroup> indices: array<u32, TILE>;

@compute @workgroup_size(256)
fn sort_indices(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = flat(group, groups) * TILE;
    let row = first + lane;
    // Larger than any index, after the batch.
    var index = 0xffffffffu;
    if (row < now.rows) {
        // Invalid indices count as 0.
        let found = features[row * p.features + p.column];
        index = select(0u, u32(found), found >= 0.0 && found < f32(p.values));
    }
    indices[lane] = index;
    workgroupBarrier();
    if (row >= now.rows) {
        return;
    }
    var before = 0u;
    for (var i = 0u; i < TILE; i++) {
        let other = indices[i];
        before += select(0u, 1u, other < index || (other == index && i < lane));
    }
    order[first + before] = vec2<f32>(f32(index), f32(row));
}

// Merges pairs of sorted runs of rows with their indices. An invocation for each row counts
// the rows of the other run that come before it.

struct MergeIndices {
    run: u32, // rows of a run
}

@group(1) @binding(0) var<uniform> p: MergeIndices;
@group(1) @binding(1) var<storage, read> runs: array<vec2<f32>>;         // (B, 2): index, row
@group(1) @binding(2) var<storage, read_write> merged: array<vec2<f32>>; // (B, 2): index, row

@compute @workgroup_size(64)
fn merge_indices(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= now.rows) {
        return;
    }
    let own = i / p.run;
    let is_left = own % 2u == 0u;
    let other = select(own - 1u, own + 1u, is_left);
    let start = min(other * p.run, now.rows);
    let index = runs[i].x;
    var low = start;
    var high = min(start + p.run, now.rows);
    while (low < high) {
        let middle = (low + high) / 2u;
        // For equal indices, rows of the left run come first.
        if (runs[middle].x < index || (runs[middle].x == index && !is_left)) {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    let pair = (own / 2u) * 2u * p.run;
    merged[pair + i % p.run + low - start] = runs[i];
}

// ∂E/∂E[v, j] = Σ_{r: i(r) = v} ∂E/∂X[r, at + j] of tables, in the order of the rows. A workgroup computes
// consecutive elements of one table. It reads the batch in tiles of 256 rows, marks the rows whose index is in
// its range of the table by a bit each, and each invocation sums the marked rows with the index of its element.

struct EmbedGradient {
    features: u32, // feature columns
    inputs: u32,
    first: u32,    // the rows of this launch: first … first + count
    count: u32,
    tables: u32,
    padding0: u32,
    padding1: u32,
    padding2: u32,
    // For each table (column of the indices, first input, rows, columns), (offset of its gradient, first
    // workgroup, -, -).
    table: array<vec4<u32>, 64>,
}

override SLOTS: u32 = 1u; // elements per invocation, at most 8

const TILE = 256u;

@group(1) @binding(0) var<uniform> p: EmbedGradient;
@group(1) @binding(1) var<storage, read> features: array<f32>;              // (B, features)
@group(1) @binding(2) var<storage, read> gradient: array<f32>;              // (B, inputs)
@group(1) @binding(3) var<storage, read_write> table_gradients: array<f32>;

var<workgroup> indices: array<u32, TILE>;
var<workgroup> asking: array<atomic<u32>, 8>; // a bit for each row
var<workgroup> sums: array<f32, 2048>;        // (8, TILE)

@compute @workgroup_size(256)
fn embed_gradient(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = flat(group, groups);
    var which = 0u;
    while (which + 1u < p.tables && block >= p.table[2u * which + 3u].y) {
        which++;
    }
    let place = p.table[2u * which];
    let to = p.table[2u * which + 1u];
    let len = place.z * place.w;
    let start = (block - to.y) * TILE * SLOTS;
    let least = start / place.w;
    let most = (min(start + TILE * SLOTS, len) - 1u) / place.w;
    for (var slot = 0u; slot < SLOTS; slot++) {
        sums[slot * TILE + lane] = 0.0;
    }
    let end = min(p.first + p.count, now.rows);
    for (var top = p.first; top < end; top += TILE) {
        if (lane < 8u) {
            atomicStore(&asking[lane], 0u);
        }
        workgroupBarrier();
        if (top + lane < end) {
            // An index outside of the table, or NaN, counts as 0.
            let found = features[(top + lane) * p.features + place.x];
            let index = select(0u, u32(found), found >= 0.0 && found < f32(place.z));
            indices[lane] = index;
            if (index >= least && index <= most) {
                atomicOr(&asking[lane / 32u], 1u << (lane % 32u));
            }
        }
        workgroupBarrier();
        for (var slot = 0u; slot < SLOTS; slot++) {
            let i = start + slot * TILE + lane;
            let value = i / place.w;
            let col = place.y + i % place.w;
            // In chunks of 256 rows, so that the rounding errors of a long sum don't grow with its length.
            var chunk = 0.0;
            for (var word = 0u; word < 8u; word++) {
                var bits = atomicLoad(&asking[word]);
                while (bits != 0u) {
                    let row = word * 32u + firstTrailingBit(bits);
                    bits &= bits - 1u;
                    if (indices[row] == value) {
                        chunk += gradient[(top + row) * p.inputs + col];
                    }
                }
            }
            sums[slot * TILE + lane] += chunk;
        }
        workgroupBarrier();
    }
    for (var slot = 0u; slot < SLOTS; slot++) {
        let i = start + slot * TILE + lane;
        if (i < len) {
            // The sum of the launches before, and of this one.
            let before = select(0.0, table_gradients[to.x + i], p.first > 0u);
            table_gradients[to.x + i] = before + sums[slot * TILE + lane];
        }
    }
}

// Dropout: x ← x ⊙ m / (1 − p), with m from the key, the epoch, the row's position and the column.

struct Dropout {
    rows: u32,
    cols: u32,
    threshold: u32, // a random number below it drops its element
    scale: f32,     // 1 / (1 − p)
    key0: u32,
    key1: u32,
}

@group(1) @binding(0) var<uniform> p: Dropout;
@group(1) @binding(1) var<storage, read_write> x: array<f32>; // (rows, cols)

// Columns c and c + 16 of each 32 share a draw.
@compute @workgroup_size(64)
fn dropout(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = flat(group, groups) * 64u + lane;
    if (i >= extent(p.rows) * p.cols) {
        return;
    }
    let col = i % p.cols;
    let key = vec2<u32>(p.key0, p.key1 ^ now.epoch);
    let draws = threefry(key, vec2<u32>(now.position + i / p.cols, col / 32u * 16u + col % 16u));
    let drawn = select(draws.x, draws.y, col % 32u >= 16u);
    x[i] = select(x[i] * p.scale, 0.0, drawn < p.threshold);
}

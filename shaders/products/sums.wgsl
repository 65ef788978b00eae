// ∂E/∂b = ± Σ_rows δ: the sums of the columns of δ, in a fixed order.

struct Sums {
    rows: u32,
    cols: u32,
    sign: f32,
    first: u32, // this part: rows first … first + count
    count: u32,
}

override ADD: bool = false; // add to the sum of the previous parts

@group(1) @binding(0) var<uniform> p: Sums;
@group(1) @binding(1) var<storage, read> delta: array<f32>;     // (rows, cols)
@group(1) @binding(2) var<storage, read_write> out: array<f32>; // (cols)

var<workgroup> strips: array<f32, 256>; // (16 strips of rows, 16 columns)

// A workgroup sums 16 columns; each column is summed by 16 invocations, every 16th row each.
@compute @workgroup_size(256)
fn column_sums(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let col = flat(group, groups) * 16u + lane % 16u;
    let strip = lane / 16u;
    var sum = 0.0;
    if (col < p.cols) {
        let end = min(p.first + p.count, extent(p.rows));
        // In chunks of 64, so that the rounding errors of a long sum don't grow with its length.
        for (var start = p.first + strip; start < end; start += 1024u) {
            var chunk = 0.0;
            for (var row = start; row < min(start + 1024u, end); row += 16u) {
                chunk += delta[row * p.cols + col];
            }
            sum += chunk;
        }
    }
    strips[lane] = sum;
    workgroupBarrier();
    if (strip == 0u && col < p.cols) {
        for (var s = 1u; s < 16u; s++) {
            sum += strips[s * 16u + lane];
        }
        let before = select(0.0, out[col], ADD);
        out[col] = before + p.sign * sum;
    }
}

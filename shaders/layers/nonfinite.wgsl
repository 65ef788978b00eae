// The first column of each row of a tensor with a NaN or infinite value, or −1.

struct Nonfinite {
    rows: u32,
    cols: u32,
}

@group(1) @binding(0) var<uniform> p: Nonfinite;
@group(1) @binding(1) var<storage, read> x: array<u32>;           // (rows, cols), the bits of f32
@group(1) @binding(2) var<storage, read_write> found: array<f32>; // (rows, 1)

const NONE: u32 = 0xffffffffu;

var<workgroup> firsts: array<u32, 256>;

// A workgroup checks a row, each invocation every 256th value. The bits are compared,
// since shader compilers may assume that no value is NaN.
@compute @workgroup_size(256)
fn nonfinite(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = flat(group, groups);
    var first = NONE;
    if (row < extent(p.rows)) {
        for (var col = lane; col < p.cols && first == NONE; col += 256u) {
            if ((x[row * p.cols + col] & 0x7f800000u) == 0x7f800000u) {
                first = col;
            }
        }
    }
    firsts[lane] = first;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if (lane < half) {
            firsts[lane] = min(firsts[lane], firsts[lane + half]);
        }
        workgroupBarrier();
    }
    if (lane == 0u && row < extent(p.rows)) {
        found[row] = select(f32(firsts[0]), -1.0, firsts[0] == NONE);
    }
}

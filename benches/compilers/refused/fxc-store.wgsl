// X3511: FXC writes a vector component chosen by a loop index only if it can unroll the loop. The number of
// iterations of this loop is unknown.
@group(0) @binding(0) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn refused(@builtin(local_invocation_index) lane: u32) {
    var value = vec4<f32>();
    let raw = out[lane];
    for (var i = 0u; i < u32(raw.x); i++) {
        value[i] = raw[i] - out[lane + i].x;
        if (lane == 7u) {
            out[i] = value;
        }
    }
    out[lane] = value;
}

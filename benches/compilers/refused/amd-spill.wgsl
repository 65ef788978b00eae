// More live values than registers: they are loaded before the barrier and stored after it.
@group(1) @binding(1) var<storage, read_write> values: array<mat4x4f>;

@compute @workgroup_size(64)
fn refused(@builtin(global_invocation_id) id: vec3u) {
    let at = id.x * 20u;
    let m0 = values[at];
    let m1 = values[at + 1u];
    let m2 = values[at + 2u];
    let m3 = values[at + 3u];
    let m4 = values[at + 4u];
    let m5 = values[at + 5u];
    let m6 = values[at + 6u];
    let m7 = values[at + 7u];
    let m8 = values[at + 8u];
    let m9 = values[at + 9u];
    let m10 = values[at + 10u];
    let m11 = values[at + 11u];
    let m12 = values[at + 12u];
    let m13 = values[at + 13u];
    let m14 = values[at + 14u];
    let m15 = values[at + 15u];
    let m16 = values[at + 16u];
    let m17 = values[at + 17u];
    storageBarrier();
    values[at + 1u] = m0;
    values[at + 2u] = m1;
    values[at + 3u] = m2;
    values[at + 4u] = m3;
    values[at + 5u] = m4;
    values[at + 6u] = m5;
    values[at + 7u] = m6;
    values[at + 8u] = m7;
    values[at + 9u] = m8;
    values[at + 10u] = m9;
    values[at + 11u] = m10;
    values[at + 12u] = m11;
    values[at + 13u] = m12;
    values[at + 14u] = m13;
    values[at + 15u] = m14;
    values[at + 16u] = m15;
    values[at + 17u] = m16;
    values[at] = m17;
}

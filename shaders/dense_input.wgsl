// The bindings of a layer whose input is the layer below.

@group(1) @binding(1) var<storage, read> x: array<f32>;       // (B, k)
@group(1) @binding(2) var<storage, read> w: array<f32>;       // (n, k)
@group(1) @binding(3) var<storage, read> bias: array<f32>;    // (n)
@group(1) @binding(4) var<storage, read_write> z: array<f32>; // (B, n)
@group(1) @binding(5) var<storage, read_write> a: array<f32>; // (B, n)

fn begin(lane: u32, top: u32, left: u32) {}

fn dense_a(row: u32, k: u32) -> vec4<f32> {
    var value = vec4<f32>();
    for (var i = 0u; i < 4u; i++) {
        if (row + i < now.rows && k < p.k) {
            value[i] = x[(row + i) * p.k + k];
        }
    }
    return value;
}

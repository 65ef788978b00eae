// Complete gradients are immediately followed by the optimizer's step.

@group(1) @binding(4) var<storage, read_write> w: array<f32>;
@group(1) @binding(5) var<storage, read_write> first: array<f32>;
@group(1) @binding(6) var<storage, read_write> second: array<f32>;
@group(1) @binding(7) var<storage, read_write> third: array<f32>;

fn put(at: u32, gradient: f32) {
    update(at, gradient);
}

// The scale of the loss at the end of a step: halved after an overflow, doubled after enough steps
// without one.

struct Scale {
    interval: f32, // steps without an overflow until it is doubled
    largest: f32,
}

@group(1) @binding(0) var<uniform> p: Scale;
@group(1) @binding(1) var<storage, read_write> loss_scale: array<f32>; // S, good steps, skipped, overflow

@compute @workgroup_size(1)
fn mixed_scale(@builtin(workgroup_id) group: vec3<u32>) {
    var scale = loss_scale[0];
    var good = loss_scale[1];
    if (loss_scale[3] != 0.0) {
        scale = max(0.5 * scale, 1.0);
        good = 0.0;
        loss_scale[2] += 1.0;
    } else {
        good += 1.0;
        if (good >= p.interval) {
            scale = min(2.0 * scale, p.largest);
            good = 0.0;
        }
    }
    loss_scale[0] = scale;
    loss_scale[1] = good;
    loss_scale[3] = 0.0;
}

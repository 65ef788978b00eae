// Two updates, the last of a step.

@group(1) @binding(6) var<storage, read> d1: array<f32>; // δ of the second update: (B, n)
@group(1) @binding(7) var<storage, read> a1: array<f32>; // its layer's input: (B, k)

var<private> is_second: bool;

fn delta_at(i: u32) -> f32 {
    if (is_second) {
        return d1[i];
    }
    return d0[i];
}

fn input_at(i: u32) -> f32 {
    if (is_second) {
        return a1[i];
    }
    return a0[i];
}

fn updates(lane: u32, group: u32) {
    is_second = group >= p.groups0;
    if (is_second) {
        update_block(lane, group - p.groups0, p.update1, p.sign1);
    } else {
        update_block(lane, group, p.update0, p.sign0);
    }
}

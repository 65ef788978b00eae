// Two updates, the last of a step.

// The operands of the second, declared by src/kernels/products/tile too: d1, its δ: (B, n), and a1, its
// layer's input: (B, k).

var<private> is_second: bool;

fn delta_at(i: u32) -> f32 {
    if (is_second) {
        return d1_at(i);
    }
    return d0_at(i);
}

fn delta_four(i: u32) -> vec4<f32> {
    if (is_second) {
        return d1_four(i);
    }
    return d0_four(i);
}

fn input_at(i: u32) -> f32 {
    if (is_second) {
        return a1_at(i);
    }
    return a0_at(i);
}

fn input_four(i: u32) -> vec4<f32> {
    if (is_second) {
        return a1_four(i);
    }
    return a0_four(i);
}

fn updates(lane: u32, group: u32) {
    if (group >= p.groups0) {
        is_second = true;
        update_block(lane, group - p.groups0, p.update1, p.sign1);
    } else {
        update_block(lane, group, p.update0, p.sign0);
    }
}

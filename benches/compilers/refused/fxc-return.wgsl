// X3507: FXC reports a path without a value if a case returns on both sides of a condition and is chosen by
// a constant.
const WHICH = 1u;

@group(0) @binding(0) var<storage, read_write> out: array<f32>;

fn huber(d: f32) -> f32 {
    switch WHICH {
        case 1u: {
            if (abs(d) <= 1.0) {
                return 0.5 * d * d;
            }
            return abs(d) - 0.5;
        }
        default: {
            return d;
        }
    }
}

@compute @workgroup_size(64)
fn refused(@builtin(local_invocation_index) lane: u32) {
    out[lane] = huber(out[lane]);
}

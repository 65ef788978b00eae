// Values stored in f16, in kernels with a binding loss_scale. An overflow in training is recorded in it by
// note_overflow(), by any invocation.

override WATCH: bool = false; // overflows are recorded

// The bits of 65,520, from which on a magnitude is infinite in f16; those of infinity and NaN are
// larger.
const OVERFLOW = 0x477FF000u;

fn stored(value: f32) -> f16 {
    if (WATCH && (bitcast<u32>(value) & 0x7FFFFFFFu) >= OVERFLOW) {
        note_overflow();
    }
    return f16(value);
}

// The words of loss_scale in kernels that write to it, and the note of an overflow there: the bits of 1.0.

alias Word = atomic<u32>;

fn note_overflow() {
    atomicStore(&loss_scale[3], 0x3F800000u);
}

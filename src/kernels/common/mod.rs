//! What kernels of all families share: declarations, launches, the texts in front of every shader.

pub mod declaration;
pub mod launch;
pub mod random;

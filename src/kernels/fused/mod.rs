//! Fused ops: the pass of rows through a whole small net, then the update of all its parameters.

pub mod gradient;
pub mod whole_net;

//! Several ops at once: whole rows through a small net, then all of its parameters.

pub mod gradient;
pub mod whole_net;

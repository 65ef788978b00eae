//! From options to everything that a run needs: the library does it, and the command line says what it says.

pub(super) mod open;

pub(super) use crate::front::setup::{
    choices, job, members, memory, settings, source, splitting, unseen,
};

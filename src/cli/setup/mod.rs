//! From options to everything that a run needs: done by the library, with messages by the command line.

pub(super) mod open;

pub(super) use crate::front::setup::{
    choices, job, members, memory, settings, source, splitting, unseen,
};

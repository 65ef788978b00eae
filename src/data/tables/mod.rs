//! Tables with the roles and kinds of their columns: features, targets and weights.

pub(super) mod class_names;
pub(super) mod column;
pub(super) mod doubts;
pub(super) mod fitting;
pub(super) mod memory;
pub(super) mod missing_target;
pub(super) mod prepare;
pub(super) mod roles;
pub(super) mod table;
pub(super) mod target;
pub(super) mod target_columns;
pub(super) mod task;
pub(super) mod task_guess;
#[cfg(feature = "data")]
pub(super) mod trained;

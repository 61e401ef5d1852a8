//! What several tests use.

pub(crate) mod component;
pub(crate) mod tee;

//! The TEEP Agent: the program inside the TEE.

pub mod backend;
pub mod sys;

#[cfg(test)]
mod testing;

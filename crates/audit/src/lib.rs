//! The log of decisions: an append-only Merkle tree (RFC 9162), and what is signed about it.
//!
//! Whoever keeps the log adds an [`Entry`] for each decision, and signs [`Checkpoint`]s and
//! [`receipt`]s with a key that signs nothing else. Whoever reads it needs that public key alone:
//! every check here is offline. An operator who takes an entry out, changes one or shows two
//! people different logs has to sign something that contradicts an older checkpoint.
//!
//! What this crate deliberately does not know: where entries are stored, what a decision means,
//! clocks and randomness.

mod checkpoint;
mod entry;
pub mod receipt;
mod refused;
pub mod tree;

pub use checkpoint::Checkpoint;
pub use entry::{Entry, SALT_BYTES};
pub use refused::Refused;
pub use tree::Hash;

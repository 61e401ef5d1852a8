//! The Network User's library: packages, the M/OC's interface, the own appraisal, the release.
//!
//! What decides about trust here is pure and offline; `client` alone talks to a network.
//!
//! It deliberately does not know how to believe the M/OC: whatever the M/OC says is compared with
//! what the user's own appraisal of the raw Evidence found.

pub mod appraisal;
pub mod client;
pub mod deploy;
pub mod identity;
pub mod launch;
pub mod live;
pub mod package;
pub mod pinned;
pub mod project;
pub mod refusal;
pub mod release;
pub mod rights;
pub mod trust;

pub use client::{CallFailed, MocClient};
pub use project::Project;
pub use refusal::Refusal;

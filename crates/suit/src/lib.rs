//! SUIT manifests (suit-manifest, suit-trust-domains, suit-firmware-encryption, suit-report,
//! suit-update-management): read, checked, run, reported and built.
//!
//! ```text
//! bytes -> Envelope::decode -> authenticate -> Verified -> Processor::new -> run -> step/resume
//!                                                                                    -> Report
//! ```
//!
//! Nothing of a manifest is looked at before a trust anchor answers for it. Hashed and signed
//! bytes are used as received. The processor is a value that asks for effects; payloads never
//! pass through it.
//!
//! What this crate deliberately does not know: where components are stored, how a URI is
//! fetched, what a component does when it is invoked, what time it is, and who owns which
//! device. Whom to believe is the caller's answer to [`TrustAnchors`], and who may touch which
//! component its answer to [`Authority`](authority::Authority).

#[cfg(test)]
extern crate self as suit;

mod cbor;

pub mod authentication;
pub mod authority;
pub mod build;
pub mod command;
pub mod common;
mod component;
mod digest;
pub mod encryption;
mod envelope;
mod error;
mod intake;
mod manifest;
pub mod parameter;
pub mod process;
pub mod report;
pub mod rollback;
#[cfg(test)]
mod sample;
mod section;
mod sequence;
mod severable;
pub mod slot;
#[cfg(test)]
mod testing;
pub mod text;
mod verified;

pub use authentication::{Anchors, Hint, SIGNATURES, Secret, Signer, TrustAnchors};
pub use component::ComponentId;
pub use digest::{Digest, DigestAlgorithm};
pub use envelope::Envelope;
pub use error::{Error, Malformed, Unsupported, Untrusted};
pub use intake::{Intake, Measured, Sink};
pub use manifest::Manifest;
pub use parameter::{Parameter, Uuid};
pub use process::{Context, Device, Limits, Outcome, Processor, Request};
pub use report::Report;
pub use section::{Procedure, Section};
pub use sequence::{Place, Sequence};
pub use severable::Severable;
pub use verified::Verified;

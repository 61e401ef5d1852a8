//! Appraisal of hardware evidence: evidence, endorsements, reference values, policy and time go
//! in, an explained [`Appraisal`] comes out.
//!
//! One model for every kind of evidence: SGX, TDX, SEV-SNP, SEV, Arm CCA and TrustZone differ in
//! how they are read and verified ([`evidence`]), not in what an appraisal is. Whether hardware is
//! real or emulated follows from the trust anchor alone ([`Anchors`]).
//!
//! This crate deliberately knows no clock, no file, no network and no randomness, and it does not
//! know who asks: the Network M/OC's Verifier and the Network User's tool call the same functions.

pub mod anchor;
pub mod cache;
pub mod check;
pub mod claims;
pub mod collateral;
pub mod corim;
pub mod evidence;
pub mod forecast;
pub mod platform;
pub mod policy;
pub mod reference;
pub mod teep;
pub mod value;

mod appraisal;
mod runtime;
mod tcb;
mod trust;

pub use anchor::{Anchor, Anchors};
pub use appraisal::{Appraisal, Appraised};
pub use check::{Check, Failure, Owner, Reason};
pub use claims::Claims;
pub use collateral::Collateral;
pub use evidence::{Endorsements, Kind, Request, UserData, appraise};
pub use forecast::{Forecast, forecast};
pub use platform::Platform;
pub use policy::Policy;
pub use rats::Timestamp;
pub use reference::ReferenceValues;
pub use tcb::Tcb;
pub use teep::{AgentAppraisal, AppraisedAgent, TeepEvidence, appraise_teep};
pub use value::Value;
pub use x509::{self, crypto, time};

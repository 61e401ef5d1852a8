//! The TEEP Broker (RFC 9397 section 6.1) of a Confidential Computing Device.
//!
//! It stands in the REE: it carries TEEP messages between the TAM and the TEEP Agent, does what the
//! Agent asks for in the REE (fetch bytes, place Untrusted Applications), and hosts those
//! applications. Everybody else counts it as an adversary.
//!
//! It deliberately knows nothing about TEEP: messages are opaque bytes here. It holds no key that
//! anybody trusts, and sees Personalization Data as ciphertext only.

pub mod agent;
pub mod capture;
pub mod config;
mod contain;
mod fence;
mod frames;
pub mod join;
pub mod launch;
pub mod loads;
pub mod machine;
pub mod moc;
pub mod payloads;
pub mod probe;
pub mod refusal;
pub mod relay;
pub mod session;
pub mod tam;
pub mod ua;
pub mod wake;

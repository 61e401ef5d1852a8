//! The local interfaces inside one device, as messages.
//!
//! | module | who asks | who answers | how they are connected |
//! |---|---|---|---|
//! | [`broker`] | TEEP Broker | TEEP Agent | Unix socket, [`AGENT_LISTENER_FD`] in the Agent |
//! | [`tee`] | TEEP Agent | the TEE's own interface | socket pair, [`TEE_FD`] in the Agent |
//! | [`storage`] | TEEP Agent in a VM | the REE's disk | [`STORAGE_FD`] in the Agent |
//! | [`launch`] | owner of a guest | host of SEV guests | TCP, through whoever carries it |
//! | [`ua`] | Untrusted Application | TEEP Broker | socket pair, [`UA_FD`] in the UA |
//!
//! A message is one deterministically encoded CBOR array whose first element names its kind.
//! It travels in a [`frame`]. Every connection is strictly one request, then one reply; who
//! wants concurrency opens another connection.
//!
//! This crate deliberately does not know sockets, processes, TEEP, SUIT or what any of the
//! opaque bytes mean. The side that answers must treat each request as hostile, and the Agent
//! must treat each *reply* of the Broker as hostile too.

pub mod broker;
mod codec;
mod component;
mod failure;
pub mod frame;
pub mod launch;
mod malformed;
pub mod storage;
pub mod tee;
pub mod ua;

pub use component::ComponentId;
pub use failure::{Failure, FailureCode};
pub use malformed::Malformed;

/// A message of one of the interfaces, with exactly one encoding.
pub trait Message: Sized {
    /// Encodes the message.
    fn encode(&self) -> Vec<u8>;

    /// Decodes exactly one message; anything before, after or beside it is an error.
    fn decode(bytes: &[u8]) -> Result<Self, Malformed>;
}

/// File descriptor of the TEE's interface in the TEEP Agent.
pub const TEE_FD: i32 = 3;

/// File descriptor of the listening Unix socket for the TEEP Broker in the TEEP Agent.
pub const AGENT_LISTENER_FD: i32 = 4;

/// File descriptor of the measured settings (read only) in the TEEP Agent.
pub const SETTINGS_FD: i32 = 5;

/// File descriptor of the REE's disk in a TEEP Agent that is started with `--storage-fd`.
pub const STORAGE_FD: i32 = 6;

/// File descriptor of the TEEP Broker's socket in an Untrusted Application: standard input.
pub const UA_FD: i32 = 0;

#[cfg(test)]
mod tests;

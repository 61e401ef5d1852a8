//! The link between a host and a confidential VM: one serial port, many connections.
//!
//! ```text
//!   TEEP Broker ─ socket ┐                            ┌ socket ─ TEEP Agent
//!   TEE interface ─ pair ┤ Relay ══ serial port ══ Relay ├ pair ─ descriptor 3
//!   storage ─────── pair ┘  host                guest └ pair ─ descriptor 6
//! ```
//!
//! A virtio-serial port is one stream of bytes without connections, so [`Link`] puts frames on it:
//! channels are opened, carry bytes within a window that the other side grants, and end. [`Relay`]
//! is the loop that joins channels and Unix sockets.
//!
//! Neither side trusts the other. What one side can make the other keep is bounded by the number of
//! channels and their windows; whatever breaks a rule ends the link. It deliberately does not know
//! what travels in a channel.

mod frame;
mod mux;
mod relay;
#[cfg(test)]
mod tests;

pub use frame::{Goodbye, Service};
pub use mux::{CHANNELS_MAX, Event, Full, Link, OUTGOING_BYTES_MAX, Side, Violation, WINDOW_BYTES};
pub use relay::{Broken, Ending, Handle, Notice, Relay};

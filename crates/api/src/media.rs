//! Media types of the interface.

/// A signed CMW, RATS conceptual message wrapper.
pub const CMW: &str = "application/cmw+cbor";
/// JSON.
pub const JSON: &str = "application/json";
/// Any bytes: blobs.
pub const OCTETS: &str = "application/octet-stream";
/// RFC 9457 problem details.
pub const PROBLEM: &str = "application/problem+json";
/// SUIT_Envelope.
pub const SUIT_ENVELOPE: &str = "application/suit-envelope+cbor";
/// TEEP message.
pub const TEEP: &str = "application/teep+cbor";

//! Every bound of this crate, by name.
//!
//! A message that passes one of them is refused, never cut: what a peer may make this side store
//! or compute is known before the first byte arrives (draft-ietf-teep-protocol-26 section 10.1).

use cose::cbor::Limits;

/// Longest TEEP message, COSE wrapper included.
//= teep 14.75 (S): size and number of manifests are limited
//= teep 15.111: an oversized message, manifest-list or list is refused
pub const MESSAGE_BYTES: usize = 16 << 20;

/// What one message may hold as CBOR.
//= teep 15.109: nesting bombs are refused at a fixed depth
pub const MESSAGE: Limits = Limits { depth: 16, bytes: MESSAGE_BYTES, items: 65_536 };

/// What a SUIT_Report or other small attachment may hold as CBOR.
pub const ATTACHMENT: Limits = Limits { depth: 16, bytes: 1 << 20, items: 16_384 };

/// Shortest and longest token (section 4.2).
pub const TOKEN_BYTES: (usize, usize) = (8, 64);

/// Shortest and longest challenge (section 4.2).
pub const CHALLENGE_BYTES: (usize, usize) = (8, 512);

/// Longest nonce that an EAT can carry (RFC 9711 section 4.1).
pub const EAT_NONCE_BYTES: usize = 64;

/// Longest msg and err-msg (sections 4.4 to 4.6).
pub const MSG_BYTES: usize = 128;

/// Longest err-lang (section 4.4).
pub const ERR_LANG_BYTES: usize = 35;

/// Longest attestation-payload-format.
pub const FORMAT_BYTES: usize = 256;

/// Option entries of one message, unknown ones included.
pub const OPTIONS: usize = 64;

/// Cipher suites, SUIT COSE profiles, versions or freshness mechanisms in one list.
pub const OFFERS: usize = 16;

/// Operations in one cipher suite.
pub const SUITE_OPERATIONS: usize = 4;

/// Entries of one tc-list.
pub const COMPONENTS: usize = 1024;

/// Entries of one requested-tc-list or unneeded-manifest-list.
pub const REQUESTS: usize = 256;

/// SUIT parameters of one tc-list entry.
pub const PARAMETERS: usize = 32;

/// Manifests of one Update.
pub const MANIFESTS: usize = 64;

/// SUIT reports of one message.
pub const REPORTS: usize = 128;

/// Entries of one ext-list.
pub const EXTENSIONS: usize = 64;

/// Parts of one component identifier.
pub const COMPONENT_ID_PARTS: usize = 16;

/// Signatures of one COSE_Sign.
pub const SIGNATURES: usize = 8;

/// Longest TAM URI.
pub const TAM_URI_BYTES: usize = 2048;

/// Seconds for which a TAM waits for an answer, unless configured (section 7.1: hours at least).
pub const REPLY_WAIT_S: i64 = 6 * 3600;

/// Seconds for which a self-describing challenge is good, unless configured.
pub const CHALLENGE_AGE_S: i64 = 300;

/// Seconds by which the clocks of two replicas may differ.
pub const CLOCK_SKEW_S: i64 = 5;

/// Exchanges that may be open with one Agent; the oldest goes first (section 7.1).
pub const EXCHANGES_PER_AGENT: usize = 4;

/// Bytes that a shell may keep with an exchange.
pub const NOTE_BYTES: usize = 4096;

/// TEEP sessions that an Agent keeps at a time; the oldest goes first.
pub const AGENT_SESSIONS: usize = 64;

/// Seconds for which an Agent keeps a session in which nothing happens.
pub const AGENT_SESSION_WAIT_S: i64 = 3600;

/// TAMs that an Agent knows facts about.
pub const TAMS: usize = 16;

/// Components that the REE may ask an Agent to remember, wanted and unneeded each.
pub const REMEMBERED: usize = 128;

/// Tokens of Updates that an Agent remembers for each TAM key.
pub const SPENT_TOKENS: usize = 256;

/// Error messages that an Agent signs for senders it could not authenticate, per window.
pub const STRANGER_ERRORS: u32 = 8;

/// Length of that window in seconds.
pub const STRANGER_WINDOW_S: i64 = 60;

//! The release of Personalization Data to an attested receiver key.
//!
//! ```cddl
//! release = head-length ‖ head ‖ +frame            ; head-length: 4 bytes, big-endian
//! head = [ enc: bstr, header: bstr .cbor release-header,
//!          signature: bstr .cbor COSE_Sign1 ]      ; by the owner, payload detached
//! release-header = { 1: owner bstr .cbor COSE_Key, 2: deployment tstr .size (1..128),
//!                    3: callers [* bstr .cbor COSE_Key], ? 4: options }
//! options = { 1: lease }
//! lease = [ seconds: uint, renewal: bstr .cbor COSE_Key / nil ]
//! signed = [ "tamarack-release-v1", info: bstr, enc: bstr, header: bstr ]
//! info = [ "tamarack-release-v1", owner: thumbprint, manifest-digest: bstr .size 32,
//!          deployment: tstr, eat-digest: bstr .size 32, role: "agent" / "ta" ]
//! thumbprint = bstr .size 32
//! frame = frame-head ‖ ciphertext                  ; frame-head: 4 bytes, big-endian, the length
//!                                                  ; of the ciphertext, top bit: the last frame
//! ```
//!
//! Each frame is one HPKE message of at most 64 KiB; its associated data is `[number, last]`. The
//! nonce is the one of the HPKE sequence, so frames open in their order alone.
//!
//! A receiver offers a key for each [`Suite`](crate::Suite) that it has; the owner seals to one of
//! them, and `enc` has a length of its own in each.

mod header;
mod opening;
mod sealing;
mod stream;

use cose::{Key, Thumbprint, cbor};

pub use opening::{Opened, Opening, Receiver, Release};
pub use sealing::{Sealing, seal};
pub use stream::Stream;

/// The plaintext of a frame, at most, bytes.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// Callers that a release can name, at most.
pub const CALLERS_MAX: u64 = 256;

/// The name of a deployment, at most, bytes.
pub const DEPLOYMENT_BYTES_MAX: usize = 128;

/// What a release is bound to. The receiver knows all of it but the deployment by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The owner of the Trusted Application: who signed its manifest.
    pub owner: Thumbprint,
    /// SHA-256 digest of that manifest.
    pub manifest_digest: [u8; 32],
    /// SHA-256 digest of the payload of the Agent's EAT that named the receiver key.
    pub eat_digest: [u8; 32],
    /// Who opens it.
    pub role: Role,
}

impl Binding {
    fn info(&self, deployment: &str) -> Vec<u8> {
        cbor::encode(|e| {
            e.array(6)?.str(LABEL)?.bytes(&self.owner.0)?.bytes(&self.manifest_digest)?;
            e.str(deployment)?.bytes(&self.eat_digest)?.str(self.role.as_str())?;
            Ok(())
        })
    }
}

/// Who opens a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The TEEP Agent (cases 1 and 4).
    Agent,
    /// The Trusted Application (cases 2, 3 and 5).
    Ta,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Ta => "ta",
        }
    }
}

/// Under which conditions the owner releases. A receiver that cannot keep one refuses the release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// After which time the data must be gone.
    pub lease: Option<Lease>,
}

/// The end of trust: the receiver wipes the data when nobody renewed the lease in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// How long, on a clock that the TEE owns.
    pub seconds: u64,
    /// Who may renew it beside the owner.
    pub renewal: Option<Key>,
}

/// What both ends know of a release afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256 of `enc`.
    pub enc: [u8; 32],
    /// SHA-256 of all frames.
    pub ciphertext: [u8; 32],
}

/// The associated data of a frame.
fn associated(number: u64, last: bool) -> Vec<u8> {
    cbor::encode(|e| {
        e.array(2)?.u64(number)?.bool(last)?;
        Ok(())
    })
}

const LABEL: &str = "tamarack-release-v1";
const HEAD_BYTES_MAX: usize = 64 * 1024;
const TAG_BYTES: usize = 16;
const LAST: u32 = 1 << 31;

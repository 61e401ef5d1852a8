//! What the processor asks of its shell, and what it may be answered.

use crate::command::CustomArgument;
use crate::component::ComponentId;
use crate::digest::{Digest, DigestAlgorithm};
use crate::parameter::Parameter;
use crate::section::Section;

use super::failure::Ending;

/// Something the shell has to do before it calls [`crate::Processor::resume`].
///
/// Payloads never pass through the processor: the shell moves them between network and store
/// as streams, into a place where they replace the old content only when they are complete.
/// Where `encryption` is given, the store receives what it decrypts to, or nothing.
//= suit 13.55 (M): A Fetch/Copy/Write failure leaves the old component usable (R: write to a
//= temporary place and rename).
//= suit 13.86 (M): Encryption-info set and plaintext payload delivered: failure, never "pass
//= through".
//= suit 13.91 (M): Plaintext lives only inside the TEE store; staging holds ciphertext.
#[derive(Clone, Debug, PartialEq)]
pub enum Request<'a> {
    /// Store what `uri` names in the component. Answer `Done` or `Failed`.
    Fetch {
        /// The target.
        component: &'a ComponentId,
        /// Where the payload is.
        uri: &'a str,
        /// Bytes after which the shell gives up.
        limit: u64,
        /// What the manifest says about how to fetch.
        arguments: Option<&'a [u8]>,
        /// What the payload is going to be compared with, so that it can be hashed on its way.
        expected: Option<Digest>,
        /// The COSE_Encrypt to decrypt the payload with on its way, if it is encrypted.
        encryption: Option<&'a [u8]>,
    },
    /// Store these bytes in the component. Answer `Done` or `Failed`.
    Write {
        /// The target.
        component: &'a ComponentId,
        /// The payload, part of an authentic envelope.
        content: &'a [u8],
        /// The COSE_Encrypt to decrypt the payload with, if it is encrypted.
        encryption: Option<&'a [u8]>,
    },
    /// Store the content of `source` in the component. Answer `Done` or `Failed`.
    Copy {
        /// The target.
        component: &'a ComponentId,
        /// The component to read.
        source: &'a ComponentId,
        /// The COSE_Encrypt to decrypt the content with, if it is encrypted.
        encryption: Option<&'a [u8]>,
    },
    /// Exchange the contents. Answer `Done` or `Failed`.
    Swap {
        /// One component.
        component: &'a ComponentId,
        /// The other component.
        source: &'a ComponentId,
    },
    /// Hash the component. Answer `Measured`, `Absent` or `Failed`.
    Digest {
        /// The component.
        component: &'a ComponentId,
        /// The hash.
        algorithm: DigestAlgorithm,
    },
    //= suit 13.34 (M): check-content constant time and length-aware. M 8.4.9.3
    /// Compare the component with these bytes, all of them and in constant time. Answer `Holds`
    /// or `Failed`.
    CheckContent {
        /// The component.
        component: &'a ComponentId,
        /// The bytes.
        content: &'a [u8],
    },
    /// Read the envelope of a dependency. Answer `Envelope`, `Absent` or `Failed`.
    Load {
        /// The component that holds the envelope.
        component: &'a ComponentId,
    },
    /// Have the second processor run one section. Answer `Done` or `Failed`.
    Delegate {
        /// The component that holds the envelope.
        component: &'a ComponentId,
        /// The authentic envelope.
        envelope: &'a [u8],
        /// The section to run.
        section: Section,
        /// Parameters that the dependent sets, by component.
        parameters: Vec<(&'a ComponentId, Parameter<'a>)>,
    },
    /// Start the component. Answer `Done` or `Failed`.
    Invoke {
        /// The component.
        component: &'a ComponentId,
        /// What to give it.
        arguments: Option<&'a [u8]>,
    },
    /// Remove the component, which nobody uses any more; an absent one is removed. Answer
    /// `Done` or `Failed`.
    Remove {
        /// The component.
        component: &'a ComponentId,
    },
    /// Tell whether the update is allowed. Answer `Holds` or `Failed`.
    Authorize {
        /// The component.
        component: &'a ComponentId,
        /// The priority of the update.
        priority: i64,
    },
    /// Tell the version of the component. Answer `Version`, `Absent` or `Failed`.
    Version {
        /// The component.
        component: &'a ComponentId,
    },
    /// Wait for the events of this SUIT_Wait_Event. Answer `Done` or `Failed`.
    Wait {
        /// The encoded events.
        events: &'a [u8],
    },
    /// Do what the application means by this label. Answer `Done` or `Failed`.
    Custom {
        /// The component.
        component: &'a ComponentId,
        /// The label.
        label: i64,
        /// The argument.
        argument: CustomArgument<'a>,
    },
    /// Nothing: the procedure has ended.
    Done(&'a Ending),
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, durably.
    Done,
    /// The component has this digest and size.
    Measured {
        /// The digest.
        digest: Digest,
        /// The bytes of the content.
        size: u64,
    },
    /// The component has no content.
    Absent,
    /// Whether what was asked is so.
    Holds(bool),
    /// The content of a dependency's component.
    Envelope(Vec<u8>),
    /// The version of the component.
    Version(Vec<i64>),
    /// It was not done, and the old content is as it was.
    Failed(Obstacle),
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// There is nothing where something was to be read.
    #[error("there is nothing to read")]
    Absent,
    /// The payload does not decrypt: wrong key, wrong recipient or wrong bytes.
    #[error("the payload does not decrypt")]
    Decryption,
    /// Nobody answered.
    #[error("nobody answered")]
    Unreachable,
    /// The other side or the policy of the device said no.
    #[error("refused")]
    Refused,
    /// The store failed.
    #[error("the store failed")]
    Storage,
    /// More bytes came than allowed.
    #[error("more bytes than allowed")]
    TooLarge,
    /// The device does not do this.
    #[error("not supported by the device")]
    Unsupported,
    /// A cause of the shell's own, in its words.
    #[error("{0}")]
    Other(String),
}

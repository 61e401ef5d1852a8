//! What can be wrong with an envelope, sorted by whose fault it is.

use crate::component::ComponentId;
use crate::digest::DigestAlgorithm;
use crate::report::Reason;

/// Why an envelope or manifest was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not what the documents say.
    #[error("malformed")]
    Malformed(#[from] Malformed),
    /// The bytes are valid and this processor does not do what they ask.
    #[error("unsupported")]
    Unsupported(#[from] Unsupported),
    /// Nobody whom the caller trusts answers for the bytes.
    #[error("untrusted")]
    Untrusted(#[from] Untrusted),
}

impl Error {
    /// The reason a SUIT_Report gives for this error (R 4.2).
    pub fn reason(&self) -> Reason {
        match self {
            Self::Malformed(Malformed::Authentication(_) | Malformed::CoseHeader) => {
                Reason::CosePart
            }
            Self::Malformed(_) => Reason::CborParse,
            Self::Unsupported(fault) => fault.reason(),
            Self::Untrusted(fault) => fault.reason(),
        }
    }
}

impl Error {
    /// Says more of an item of the wrong type; other errors stay.
    pub(crate) fn unless_expected(self, better: Malformed) -> Self {
        if matches!(self, Self::Malformed(Malformed::Expected(_))) { better.into() } else { self }
    }
}

impl From<cose::cbor::Malformed> for Error {
    fn from(fault: cose::cbor::Malformed) -> Self {
        Self::Malformed(fault.into())
    }
}

/// The bytes are not what the documents say.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end inside an item.
    #[error("input ends inside an item")]
    Truncated,
    /// Not deterministic CBOR.
    #[error("not deterministic CBOR")]
    Cbor(#[from] cose::cbor::Malformed),
    /// A different item stands where this one has to be.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A required member is absent.
    #[error("{0} is absent")]
    Absent(&'static str),
    /// A COSE block of the authentication wrapper cannot be read.
    #[error("authentication block {0} is not a detached COSE structure")]
    Authentication(usize),
    /// A COSE header that is not understood or not allowed.
    #[error("a COSE header is not allowed here")]
    CoseHeader,
    /// The tag of the envelope is not 107.
    #[error("tag {0} does not mark a SUIT envelope")]
    Tag(u64),
    /// A digest is not as long as its algorithm makes it.
    #[error("a {algorithm} digest has {length} bytes")]
    DigestLength {
        /// The algorithm that the digest names.
        algorithm: DigestAlgorithm,
        /// The bytes that were found.
        length: usize,
    },
    /// A component identifier without or with too many or too long parts.
    #[error("a component identifier needs 1 to 16 parts of at most 255 bytes")]
    ComponentIdentifier,
    /// One component is listed twice.
    #[error("component {0} is listed twice")]
    ComponentTwice(ComponentId),
    /// A dependency that names no place.
    #[error("dependency {0} is no component and has no prefix")]
    DependencyPlace(u64),
    /// A component of the text is not a component of the manifest.
    #[error("text describes {0}, which is not in common")]
    TextComponent(ComponentId),
    /// A version 1, 2 or unknown UUID.
    #[error("not a version 3, 4 or 5 UUID")]
    Uuid,
    /// Bits above 3 of a reporting policy.
    #[error("reporting policy {0} has bits above 3")]
    ReportingPolicy(u64),
    /// The same parameter with a value of another type.
    #[error("parameter {0} has a value of another type")]
    Parameter(i64),
    /// A command has an argument of another type.
    #[error("command {0} has an argument of another type")]
    Argument(i64),
    /// A command stands in a sequence that must not hold it.
    #[error("command {0} is not allowed in the shared sequence")]
    SharedCommand(i64),
    /// A custom parameter stands in the shared sequence.
    #[error("custom parameter {0} is not allowed in the shared sequence")]
    SharedParameter(i64),
    /// A member that must never be severed is severed.
    #[error("member {0} must not be severed")]
    NeverSevered(i64),
    /// A report of the numbering before the draft's version 12.
    #[error("a SUIT report without its reference (key 99), as old drafts had it")]
    LegacyReport,
    /// A code that the registry of report reasons does not have.
    #[error("report reason {0} is unknown")]
    Reason(i64),
}

/// Valid, and this processor does not do it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// A manifest version other than 1.
    #[error("manifest version {0}")]
    ManifestVersion(u64),
    /// A member of the manifest that this version of the documents does not define.
    #[error("manifest member {0}")]
    ManifestMember(i64),
    /// A member of common or of a dependency that these documents do not define.
    #[error("member {0} of common")]
    CommonMember(i64),
    /// A member of the envelope that these documents do not define.
    #[error("envelope member {0}")]
    EnvelopeMember(i64),
    /// A digest algorithm that is unknown or cannot be computed here.
    #[error("digest algorithm {0}")]
    DigestAlgorithm(i64),
    /// A digest with extension fields.
    #[error("a SUIT_Digest with extensions")]
    DigestExtension,
    /// A signature or MAC algorithm that the caller does not accept.
    #[error("authentication algorithm {0}")]
    Algorithm(i64),
    /// More authentication blocks than anybody needs.
    #[error("{0} authentication blocks")]
    Blocks(u64),
    /// A kind of COSE object that cannot authenticate here.
    #[error("authentication by COSE tag {0}")]
    AuthenticationKind(u64),
    /// Content encryption or key wrapping that is not done.
    #[error("encryption algorithm {0}")]
    EncryptionAlgorithm(i64),
    /// More than the processor takes.
    #[error("{found} components, at most {most} are supported")]
    Components {
        /// The components of the manifest.
        found: usize,
        /// The limit of the processor.
        most: usize,
    },
    /// Sequences inside sequences, too deep.
    #[error("sequences are nested deeper than {0}")]
    Nesting(usize),
    /// A command that the device does not have.
    #[error("command {0}")]
    Command(i64),
    /// A parameter that the device does not have.
    #[error("parameter {0}")]
    Parameter(i64),
    /// Dependencies where the device has none.
    #[error("dependencies")]
    Dependencies,
    /// A component that the device does not have.
    #[error("component {0}")]
    Component(ComponentId),
}

impl Unsupported {
    fn reason(&self) -> Reason {
        match self {
            Self::ManifestVersion(_)
            | Self::ManifestMember(_)
            | Self::CommonMember(_)
            | Self::EnvelopeMember(_)
            | Self::DigestExtension => Reason::CborParse,
            Self::DigestAlgorithm(_) | Self::Algorithm(_) | Self::EncryptionAlgorithm(_) => {
                Reason::Algorithm
            }
            Self::AuthenticationKind(_) | Self::Blocks(_) => Reason::CosePart,
            Self::Components { .. } | Self::Component(_) => Reason::ComponentUnsupported,
            Self::Nesting(_) | Self::Command(_) | Self::Dependencies => Reason::CommandUnsupported,
            Self::Parameter(_) => Reason::ParameterUnsupported,
        }
    }
}

/// Nobody whom the caller trusts answers for the bytes.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The wrapper holds a digest and no signature or MAC.
    #[error("no authentication block")]
    Unsigned,
    /// The key of no block belongs to a trust anchor.
    #[error("signed by a key that is no trust anchor")]
    UnknownKey,
    /// A signature or MAC of a trusted key is wrong.
    #[error("the signature or MAC of a trust anchor is wrong")]
    Signature,
    /// The manifest is not the one that was signed.
    #[error("the manifest does not have the digest that was signed")]
    ManifestDigest,
    /// A severed member is not the one that was signed.
    #[error("severed member {0} does not have the digest that was signed")]
    SeveredDigest(i64),
    /// The envelope holds a member that the manifest does not mention.
    #[error("member {0} of the envelope is not bound by the manifest")]
    Unbound(i64),
    /// The signer may not touch this component.
    #[error("the signer has no authority over component {0}")]
    Component(ComponentId),
    /// A payload does not decrypt: the wrong key, the wrong recipient or the wrong bytes, which
    /// nobody outside may tell apart.
    #[error("the payload does not decrypt")]
    Payload,
    /// An older manifest than the one installed.
    #[error("sequence number {offered} is lower than the stored {stored}")]
    Rollback {
        /// The sequence number of the manifest.
        offered: u64,
        /// The sequence number in tamper-resistant storage.
        stored: u64,
    },
    /// The manifest is authentic, and it is not the dependency that was named.
    #[error("the dependency does not have the digest that its dependent names")]
    DependencyDigest,
}

impl Untrusted {
    fn reason(&self) -> Reason {
        match self {
            Self::Unsigned
            | Self::UnknownKey
            | Self::Signature
            | Self::ManifestDigest
            | Self::SeveredDigest(_)
            | Self::Unbound(_) => Reason::Signature,
            Self::Component(_) => Reason::ComponentUnauthorised,
            Self::Payload => Reason::OperationFailed,
            Self::Rollback { .. } | Self::DependencyDigest => Reason::ConditionFailed,
        }
    }
}

//! The COSE wrapper of every message (sections 4 and 8.1).
//!
//! Bytes become an [`Opened`] message only through a verified signature. Which keys count is the
//! caller's knowledge, given as [`Keys`]; whether the message fits the moment is the session
//! machines' question.

use std::borrow::Cow;

use cose::{Accept, Algorithm, Key, Sign, Sign1, Tagging, Thumbprint};
use minicbor::decode::Decoder;
use rats::Timestamp;
use x509::{NotAPath, Path};

use crate::attestation::AttestationPayload;
use crate::cipher_suite::Suite;
use crate::confidential::Receiver;
use crate::err_code::ErrCode;
use crate::evidence;
use crate::limits;
use crate::malformed::Malformed;
use crate::message::{self, Message};
use crate::misuse::Misuse;
use crate::numbering::Numbering;
use crate::token::Token;

/// How a peer speaks: what is needed to read its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Its code points.
    pub numbering: Numbering,
    /// The suites that this side verifies, the preferred one first.
    pub suites: Vec<Suite>,
    /// Whether ES256 and EdDSA stand for ESP256 and Ed25519.
    pub legacy_algorithms: bool,
    /// Whether a COSE_Sign1 without its tag is accepted.
    pub untagged: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            numbering: Numbering::V26,
            suites: Suite::MANDATORY.to_vec(),
            legacy_algorithms: false,
            untagged: false,
        }
    }
}

impl Dialect {
    /// The algorithms of the suites, as they are spelt now and, on request, before.
    fn accept(&self) -> Accept {
        let named = if self.legacy_algorithms { Accept::WITH_LEGACY } else { Accept::CURRENT };
        if self.suites.contains(&Suite::MlDsa65) { named.and(Algorithm::MlDsa65) } else { named }
    }
}

/// The keys of peers.
pub trait Keys {
    /// The key that made a signature with this hint.
    fn key(&self, hint: &Hint<'_>) -> Result<PeerKey, NoKey>;
}

impl<F: Fn(&Hint<'_>) -> Result<PeerKey, NoKey>> Keys for F {
    fn key(&self, hint: &Hint<'_>) -> Result<PeerKey, NoKey> {
        self(hint)
    }
}

/// What a signature says about its key. None of it is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint<'a> {
    /// The signature's algorithm.
    pub algorithm: Algorithm,
    /// kid: an RFC 9679 thumbprint where the peer follows the ruling of this project.
    pub kid: Option<&'a [u8]>,
    /// x5chain: DER certificates, the signer's first.
    pub x5chain: &'a [Vec<u8>],
}

impl Hint<'_> {
    /// kid as a thumbprint.
    pub fn thumbprint(&self) -> Option<Thumbprint> {
        self.kid?.try_into().ok().map(Thumbprint)
    }

    /// The key that x5chain vouches for, where the chain leads to one of these anchors, DER
    /// certificates (RFC 9360). A kid beside it has to name the same key.
    pub fn certified(&self, anchors: &[Vec<u8>], now: Timestamp) -> Result<PeerKey, NoKey> {
        if self.x5chain.is_empty() {
            return Err(NoKey::Unknown);
        }
        let path = Path::verify(self.x5chain, anchors, now).map_err(|not| match not {
            NotAPath::NoAnchor => NoKey::Unknown,
            NotAPath::OutOfDate => NoKey::Expired,
            NotAPath::Length
            | NotAPath::Malformed(_)
            | NotAPath::NotASigner
            | NotAPath::Key
            | NotAPath::Issuer(_)
            | NotAPath::PathLength(_) => NoKey::BadCertificate,
        })?;
        let Path { key, valid_until } = path;
        if self.kid.is_some_and(|kid| kid != key.thumbprint().0) {
            return Err(NoKey::BadCertificate);
        }
        Ok(PeerKey { key, standing: Standing::Anchored, valid_until: Some(valid_until) })
    }
}

/// A key and how far it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerKey {
    /// The key.
    pub key: Key,
    /// How far it is known.
    pub standing: Standing,
    /// Until when it is good, if its certificate says so.
    pub valid_until: Option<Timestamp>,
}

/// How far a peer's key is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The key, or its certificate, is anchored or was attested before.
    Anchored,
    /// The message itself brings the key, in Evidence yet to be appraised. The signature shows
    /// that the sender holds the key, nothing more.
    Claimed,
}

/// Why there is no key for a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// No anchor vouches for it, or it is blocked.
    #[error("no anchor vouches for the key")]
    Unknown,
    /// Its certificate is unusable.
    #[error("certificate is unusable")]
    BadCertificate,
    /// Its certificate is out of date.
    #[error("certificate has expired or is not yet valid")]
    Expired,
}

/// A message in its COSE wrapper, not verified.
#[derive(Debug)]
pub struct Sealed<'b> {
    form: Form<'b>,
    payload: &'b [u8],
}

#[derive(Debug)]
enum Form<'b> {
    Sign1(Sign1<'b>),
    Sign(Sign<'b>),
}

impl<'b> Sealed<'b> {
    /// Reads the wrapper alone.
    //= teep 14.1 (M): only COSE_Sign1 and COSE_Sign are accepted
    //= teep 14.2 (M): CBOR that is not well-formed, or followed by bytes, is refused
    pub fn decode(bytes: &'b [u8], dialect: &Dialect) -> Result<Self, Rejected> {
        let tag = Decoder::new(bytes).tag().ok().map(|tag| tag.as_u64());
        let limits = limits::MESSAGE;
        let form = match tag {
            Some(SIGN1) => Form::Sign1(Sign1::decode_within(bytes, Tagging::Tagged, limits)?),
            Some(SIGN) => Form::Sign(Sign::decode_within(bytes, Tagging::Tagged, limits)?),
            None if dialect.untagged && is_untagged_sign1(bytes) => {
                Form::Sign1(Sign1::decode_within(bytes, Tagging::Untagged, limits)?)
            }
            Some(_) | None => {
                cose::cbor::check(bytes, limits)?;
                return Err(Rejected::NotSigned);
            }
        };
        let payload = match &form {
            Form::Sign1(sign1) => sign1.payload,
            Form::Sign(sign) => sign.payload,
        };
        let payload = payload.ok_or(Rejected::NotSigned)?;
        Ok(Self { form, payload })
    }

    /// The payload, which nobody has vouched for.
    ///
    /// To find out whose key to ask for, and what an exchange is about, before verifying.
    pub const fn unverified_payload(&self) -> &'b [u8] {
        self.payload
    }

    /// The key that the message claims for its own signature: the one that the Evidence in a
    /// QueryResponse confirms, if the signature's kid agrees.
    ///
    /// It shows no more than that sender and Evidence go together. Give it out as
    /// [`Standing::Claimed`].
    pub fn claimed_key(&self, numbering: Numbering) -> Option<Key> {
        self.claimed_key_with(numbering, None)
    }

    pub(crate) fn claimed_key_with(
        &self,
        numbering: Numbering,
        receiver: Option<&Receiver>,
    ) -> Option<Key> {
        let Ok(Message::QueryResponse(response)) = Message::decode(self.payload, numbering) else {
            return None;
        };
        let payload = response.attestation_payload?.bytes;
        let payload = match receiver {
            Some(receiver) => receiver.payload(payload).ok()?,
            None => payload,
        };
        let key = evidence::peek(&payload).key?;
        let thumbprint = key.thumbprint();
        let named = |hint: &Hint<'_>| hint.kid.is_none() || hint.thumbprint() == Some(thumbprint);
        self.hints().iter().any(named).then_some(key)
    }

    /// What the signatures say about their keys.
    pub fn hints(&self) -> Vec<Hint<'_>> {
        match &self.form {
            Form::Sign1(sign1) => hint(&sign1.protected, &sign1.unprotected).into_iter().collect(),
            Form::Sign(sign) => {
                sign.signatures.iter().filter_map(|s| hint(&s.protected, &s.unprotected)).collect()
            }
        }
    }

    /// Verifies one signature, whose suite this side has and whose key it trusts, and reads the
    /// message. Of several such the one counts whose suite this side likes best: it is also the
    /// suite to answer in, and the key to expect later messages from.
    //= teep 14.4 (M): the signature is verified over the payload bytes as received
    //= teep 14.50 (M): of a COSE_Sign one supported signature is picked, the others are ignored
    pub fn open(&self, dialect: &Dialect, keys: &dyn Keys) -> Result<Opened<'b>, Rejected> {
        let signatures = match &self.form {
            Form::Sign1(_) => 1,
            Form::Sign(sign) => sign.signatures.len(),
        };
        if signatures > limits::SIGNATURES {
            return Err(Malformed::TooMany("signatures").into());
        }
        let hints = || (0..signatures).filter_map(|index| Some((index, self.hint(index)?)));
        if hints().next().is_none() {
            return Err(Rejected::AlgorithmUnprotected);
        }
        let mut refusal = Rejected::NoSuite;
        for suite in &dialect.suites {
            let of_suite = |hint: &Hint<'_>| Suite::from_algorithm(hint.algorithm) == Some(*suite);
            for (index, hint) in hints().filter(|(_, hint)| of_suite(hint)) {
                match keys.key(&hint) {
                    Ok(peer) => return self.verify(index, dialect, *suite, hint.algorithm, peer),
                    Err(no_key) => refusal = Rejected::Key(no_key),
                }
            }
        }
        Err(refusal)
    }

    fn hint(&self, index: usize) -> Option<Hint<'_>> {
        match &self.form {
            Form::Sign1(sign1) => hint(&sign1.protected, &sign1.unprotected),
            Form::Sign(sign) => {
                let signature = &sign.signatures[index];
                hint(&signature.protected, &signature.unprotected)
            }
        }
    }

    //= teep 14.3 (M): an unknown critical header parameter is refused
    fn verify(
        &self,
        index: usize,
        dialect: &Dialect,
        suite: Suite,
        algorithm: Algorithm,
        peer: PeerKey,
    ) -> Result<Opened<'b>, Rejected> {
        let PeerKey { key, standing, valid_until } = peer;
        let payload = match &self.form {
            Form::Sign1(sign1) => sign1.verify(&key, &dialect.accept(), &[])?,
            Form::Sign(sign) => sign.verify_one(index, &key, &dialect.accept(), &[])?,
        };
        let payload = payload.into_inner();
        let thumbprint = key.thumbprint();
        let signer = Signer { key, thumbprint, standing, valid_until, suite, algorithm };
        let numbering = dialect.numbering;
        match Message::decode(payload, numbering) {
            Ok(message) => Ok(Opened { message, numbering, signer }),
            Err(cause) => {
                let token = message::recover_token(payload, numbering);
                Err(Rejected::Message { cause, token, signer: Box::new(signer) })
            }
        }
    }
}

fn hint<'a>(protected: &'a cose::Header, unprotected: &'a cose::Header) -> Option<Hint<'a>> {
    let chain = if protected.x5chain.is_empty() { unprotected } else { protected };
    Some(Hint {
        algorithm: protected.algorithm?,
        kid: protected.kid.as_deref().or(unprotected.kid.as_deref()),
        x5chain: &chain.x5chain,
    })
}

/// Reads the wrapper, verifies it and reads the message.
pub fn open<'b>(
    bytes: &'b [u8],
    dialect: &Dialect,
    keys: &dyn Keys,
) -> Result<Opened<'b>, Rejected> {
    Sealed::decode(bytes, dialect)?.open(dialect, keys)
}

/// A message whose signature was verified. Only [`Sealed::open`] makes one.
#[derive(Debug)]
pub struct Opened<'b> {
    message: Message<'b>,
    numbering: Numbering,
    signer: Signer,
}

/// Who signed a message, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The signer's key.
    pub key: Key,
    /// Its RFC 9679 thumbprint.
    pub thumbprint: Thumbprint,
    /// How far the key is known.
    pub standing: Standing,
    /// Until when the key is good.
    pub valid_until: Option<Timestamp>,
    /// The suite of the signature.
    pub suite: Suite,
    /// The algorithm as the signature spells it.
    pub algorithm: Algorithm,
}

impl Signer {
    /// Whether the time of the key is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.valid_until.is_some_and(|until| until < now)
    }

    /// Checks that the key is anchored and its time is not over.
    pub fn check(&self, now: Timestamp) -> Result<(), NoKey> {
        if self.has_expired(now) {
            return Err(NoKey::Expired);
        }
        match self.standing {
            Standing::Anchored => Ok(()),
            Standing::Claimed => Err(NoKey::Unknown),
        }
    }
}

impl<'b> Opened<'b> {
    /// The message.
    pub const fn message(&self) -> &Message<'b> {
        &self.message
    }

    /// Who signed it.
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The code points it was read by.
    pub const fn numbering(&self) -> Numbering {
        self.numbering
    }

    /// Puts what `open` makes of the attestation payload in its place.
    pub(crate) fn try_payload<E>(
        mut self,
        open: impl FnOnce(Cow<'b, [u8]>) -> Result<Cow<'b, [u8]>, E>,
    ) -> Result<Self, E> {
        if let Message::QueryResponse(response) = &mut self.message
            && let Some(payload) = response.attestation_payload.take()
        {
            let bytes = open(payload.bytes)?;
            response.attestation_payload = Some(AttestationPayload { bytes, ..payload });
        }
        Ok(self)
    }

    /// The message and who signed it.
    pub fn into_parts(self) -> (Message<'b>, Signer) {
        (self.message, self.signer)
    }
}

/// Why bytes are not a message of a peer.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A bare payload, Encrypt0, Mac0, a detached payload or something else altogether.
    #[error("not a COSE_Sign1 or COSE_Sign with a payload")]
    NotSigned,
    /// Not acceptable as CBOR or as COSE.
    #[error("the COSE wrapper is malformed")]
    Malformed(#[from] Malformed),
    /// alg is not in the protected bucket (RFC 9052 section 3.1).
    #[error("no signature protects its algorithm")]
    AlgorithmUnprotected,
    /// No signature uses a suite that this side has.
    #[error("no signature uses a suite that is supported here")]
    NoSuite,
    /// There is no key for any signature of a supported suite.
    #[error("no signature by a trusted key")]
    Key(#[from] NoKey),
    /// The signature does not hold.
    #[error("the signature is not acceptable")]
    Untrusted(#[from] cose::Untrusted),
    /// The signature holds, and what it signs is not a message.
    #[error("the message is malformed")]
    Message {
        /// Why not.
        #[source]
        cause: Malformed,
        /// The token, where one could be made out.
        token: Option<Token>,
        /// Who signed it.
        signer: Box<Signer>,
    },
}

impl Rejected {
    /// The error code that tells the peer.
    pub const fn err_code(&self) -> ErrCode {
        match self {
            Self::NotSigned
            | Self::Malformed(_)
            | Self::AlgorithmUnprotected
            | Self::Untrusted(_)
            | Self::Message { .. } => ErrCode::PermanentError,
            Self::NoSuite => ErrCode::UnsupportedCipherSuites,
            Self::Key(NoKey::Unknown | NoKey::BadCertificate) => ErrCode::BadCertificate,
            Self::Key(NoKey::Expired) => ErrCode::CertificateExpired,
        }
    }
}

impl From<cose::Malformed> for Rejected {
    fn from(error: cose::Malformed) -> Self {
        Self::Malformed(Malformed::Cbor(error))
    }
}

/// A message on its way out, yet to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<'m> {
    /// The message.
    pub message: Message<'m>,
    /// The peer's code points.
    pub numbering: Numbering,
    /// How to sign it.
    pub protection: Protection,
}

/// How a message is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// COSE_Sign1 in the suite of the session.
    Sign1(Suite),
    /// COSE_Sign with a signature in each suite: the opening, before the Agent has chosen.
    Sign(Vec<Suite>),
}

/// This side's message keys, one for each suite.
pub trait Signers {
    /// The key of a suite, if this side has one.
    fn signer(&self, suite: Suite) -> Option<&dyn cose::Signer>;

    /// The certificates of that key, DER, its own first, for peers that go by an authority.
    fn x5chain(&self, suite: Suite) -> &[Vec<u8>] {
        let _ = suite;
        &[]
    }
}

impl Outgoing<'_> {
    /// Encodes and signs the message; kid is the thumbprint of the key, and the certificates of the
    /// key go along, where it has some.
    pub fn seal(&self, signers: &dyn Signers) -> Result<Vec<u8>, Misuse> {
        let payload = self.message.encode(self.numbering);
        let signer = |suite: Suite| match signers.signer(suite) {
            Some(signer) if signer.algorithm() == suite.algorithm() => Ok(signer),
            Some(_) | None => Err(Misuse::NoSigner(suite)),
        };
        let header = |suite: Suite| cose::Header {
            x5chain: signers.x5chain(suite).to_vec(),
            ..cose::Header::default()
        };
        let attached = cose::Payload::Attached(&payload);
        let sealed = match &self.protection {
            Protection::Sign1(suite) => {
                let protected = cose::Header::default();
                cose::sign1(signer(*suite)?, protected, header(*suite), &[], attached)?
            }
            Protection::Sign(suites) => {
                let each = suites.iter().map(|suite| Ok((signer(*suite)?, header(*suite))));
                cose::sign_with(each.collect::<Result<_, Misuse>>()?, &[], attached)?
            }
        };
        Ok(sealed)
    }
}

/// Whether an array of four begins with a byte string, as COSE_Sign1 does and no message.
fn is_untagged_sign1(bytes: &[u8]) -> bool {
    let mut d = Decoder::new(bytes);
    d.array().is_ok_and(|length| length == Some(4))
        && d.datatype().is_ok_and(|first| first == minicbor::data::Type::Bytes)
}

/// CBOR tag of COSE_Sign1.
const SIGN1: u64 = 18;
/// CBOR tag of COSE_Sign.
const SIGN: u64 = 98;

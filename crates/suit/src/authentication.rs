//! SUIT_Authentication (suit-manifest section 8.3).

use std::fmt;

use cose::encrypt::Opener;
use cose::mac::{Mac, Mac0};
use cose::{Accept, Algorithm, Key, Sign, Sign1, Tagging, Thumbprint};
use zeroize::Zeroizing;

use crate::cbor::{Reader, Writer};
use crate::digest::Digest;
use crate::error::{Error, Malformed, Unsupported, Untrusted};

/// The signature algorithms of the profiles (suit-mti section 3), and ESP384.
pub const SIGNATURES: Accept = Accept::CURRENT.and(Algorithm::HssLms);

/// Whom a device believes about manifests.
///
/// Implemented by [`Anchors`] and by closures from a [`Hint`] to a key.
pub trait TrustAnchors {
    /// The keys that may have made the signature, best first. None is a refusal.
    fn keys(&self, hint: &Hint<'_>) -> Vec<Key>;

    /// The shared secrets that may have made the MAC.
    fn secrets(&self, hint: &Hint<'_>) -> Vec<Secret> {
        let _ = hint;
        Vec::new()
    }
}

impl<F: Fn(&Hint<'_>) -> Option<Key>> TrustAnchors for F {
    fn keys(&self, hint: &Hint<'_>) -> Vec<Key> {
        self(hint).into_iter().collect()
    }
}

/// What an authentication block says about its signer, without proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint<'a> {
    /// The header `kid`.
    pub kid: Option<&'a [u8]>,
    /// The key in the header `kccs`.
    pub key: Option<&'a Key>,
}

/// A symmetric key for MACs; wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes of the key.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    fn key(&self) -> cose::Secret {
        cose::Secret::new(self.0.to_vec())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        cose::equal(&self.0, &other.0)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Trust anchors in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchors {
    keys: Vec<Key>,
    secrets: Vec<Secret>,
    self_certified: bool,
}

impl Anchors {
    /// Believes nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Believes a key.
    pub fn with_key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    /// Believes whoever knows a shared secret.
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Believes every key that travels with its signature, about its own components only.
    ///
    /// Safe only together with [`crate::authority::OwnerPrefix`], which gives a key nothing but
    /// the components that begin with the key's own thumbprint.
    pub fn with_self_certified(mut self) -> Self {
        self.self_certified = true;
        self
    }
}

impl TrustAnchors for Anchors {
    fn keys(&self, hint: &Hint<'_>) -> Vec<Key> {
        let embedded = hint.key.filter(|_| self.self_certified).into_iter();
        // A kid of 32 bytes is a thumbprint; one of another kind says nothing here.
        let named = |key: &&Key| match hint.kid {
            Some(kid) if kid.len() == 32 => kid == key.thumbprint().0,
            _ => true,
        };
        embedded.chain(self.keys.iter().filter(named)).cloned().collect()
    }

    fn secrets(&self, _: &Hint<'_>) -> Vec<Secret> {
        self.secrets.clone()
    }
}

/// Who answers for a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signer {
    /// The holder of the private key with this thumbprint.
    Key(Thumbprint),
    /// Whoever knows the shared secret with this SHA-256 digest.
    Secret([u8; 32]),
}

/// The opened wrapper.
///
/// ```cddl
/// SUIT_Authentication = [ bstr .cbor SUIT_Digest, * bstr .cbor SUIT_Authentication_Block ]
/// SUIT_Authentication_Block /= COSE_Mac_Tagged / COSE_Sign_Tagged
///                            / COSE_Mac0_Tagged / COSE_Sign1_Tagged
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Wrapper<'b> {
    digest: Digest,
    /// The encoded SUIT_Digest: what the blocks sign.
    signed: &'b [u8],
    blocks: Vec<&'b [u8]>,
}

impl<'b> Wrapper<'b> {
    pub(crate) fn decode(bytes: &'b [u8]) -> Result<Self, Error> {
        let mut reader = Reader::open(bytes)?;
        let length = reader.array()?;
        if length == 0 {
            return Err(Malformed::Absent("SUIT_Digest").into());
        }
        if length > 1 + BLOCKS_MAX {
            return Err(Unsupported::Blocks(length - 1).into());
        }
        let signed = reader.bytes()?;
        let digest = Digest::decode(signed)?;
        let blocks = (1..length).map(|_| reader.bytes()).collect::<Result<_, _>>()?;
        Ok(Self { digest, signed, blocks })
    }

    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    //= suit 13.3 (M): Wrapper without any authentication block refused. M 8.3
    //= suit 13.6 (M): Several blocks: all over the same digest; one trusted and valid suffices;
    //= invalid trusted-looking extra block is not ignored silently (log). M 8.3
    /// The first signer who is trusted, and the blocks that are not good.
    pub(crate) fn verify(
        &self,
        anchors: &dyn TrustAnchors,
        accept: &Accept,
    ) -> Result<(Signer, Vec<(usize, Error)>), Error> {
        let mut signer = None;
        let mut rejected = Vec::new();
        for (place, block) in self.blocks.iter().enumerate() {
            match self.verify_block(place, block, anchors, accept) {
                Ok(found) => signer = signer.or(Some(found)),
                Err(error) => rejected.push((place, error)),
            }
        }
        match signer {
            Some(signer) => Ok((signer, rejected)),
            None => Err(worst(rejected)),
        }
    }

    //= suit 13.8 (M): Sign1, Sign, Mac0, Mac parsed; unsupported kind gives reason 2 and not a
    //= crash. M 8.3, R 4.2
    fn verify_block(
        &self,
        place: usize,
        block: &'b [u8],
        anchors: &dyn TrustAnchors,
        accept: &Accept,
    ) -> Result<Signer, Error> {
        let tag = Reader::trusted(block).tag().map_err(|_| Malformed::Authentication(place))?;
        match tag {
            TAG_MAC0 => self.verify_mac0(place, block, anchors),
            TAG_SIGN1 => self.verify_sign1(place, block, anchors, accept),
            TAG_MAC => self.verify_mac(place, block, anchors),
            TAG_SIGN => self.verify_sign(place, block, anchors, accept),
            tag => Err(Unsupported::AuthenticationKind(tag).into()),
        }
    }

    //= suit 13.7 (M): Block with attached payload refused. M 8.3
    //= suit 13.9 (M): Unknown alg gives reason 3; unknown key or bad signature reason 4. R 4.2
    fn verify_sign1(
        &self,
        place: usize,
        block: &'b [u8],
        anchors: &dyn TrustAnchors,
        accept: &Accept,
    ) -> Result<Signer, Error> {
        let sign1 =
            Sign1::decode(block, Tagging::Tagged).map_err(|_| Malformed::Authentication(place))?;
        if sign1.payload.is_some() {
            return Err(Malformed::Authentication(place).into());
        }
        let hint = Hint {
            kid: sign1.kid(),
            key: sign1.unprotected.kccs.as_ref().or(sign1.protected.kccs.as_ref()),
        };
        first_valid(anchors.keys(&hint), |key| {
            sign1.verify_detached(key, accept, &[], self.signed).map(drop)
        })
    }

    /// COSE_Sign: one signature of a trust anchor is enough.
    fn verify_sign(
        &self,
        place: usize,
        block: &'b [u8],
        anchors: &dyn TrustAnchors,
        accept: &Accept,
    ) -> Result<Signer, Error> {
        let sign =
            Sign::decode(block, Tagging::Tagged).map_err(|_| Malformed::Authentication(place))?;
        if sign.payload.is_some() {
            return Err(Malformed::Authentication(place).into());
        }
        let mut last = Error::from(Untrusted::UnknownKey);
        for (index, signature) in sign.signatures.iter().enumerate() {
            let hint = Hint {
                kid: signature.kid(),
                key: signature.unprotected.kccs.as_ref().or(signature.protected.kccs.as_ref()),
            };
            let verdict = first_valid(anchors.keys(&hint), |key| {
                sign.verify_one_detached(index, key, accept, &[], self.signed).map(drop)
            });
            match verdict {
                Ok(signer) => return Ok(signer),
                Err(Error::Untrusted(Untrusted::UnknownKey)) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// COSE_Mac0 with a shared secret.
    fn verify_mac0(
        &self,
        place: usize,
        block: &'b [u8],
        anchors: &dyn TrustAnchors,
    ) -> Result<Signer, Error> {
        let mac0 =
            Mac0::decode(block, Tagging::Tagged).map_err(|_| Malformed::Authentication(place))?;
        if mac0.payload.is_some() {
            return Err(Malformed::Authentication(place).into());
        }
        let hint = Hint { kid: mac0.kid(), key: None };
        first_secret(anchors.secrets(&hint), |secret| {
            mac0.verify_detached(secret, &[], self.signed).map(drop)
        })
    }

    /// COSE_Mac, whose key is wrapped with a shared secret.
    fn verify_mac(
        &self,
        place: usize,
        block: &'b [u8],
        anchors: &dyn TrustAnchors,
    ) -> Result<Signer, Error> {
        let mac =
            Mac::decode(block, Tagging::Tagged).map_err(|_| Malformed::Authentication(place))?;
        if mac.payload.is_some() {
            return Err(Malformed::Authentication(place).into());
        }
        let kid = mac.recipients.iter().find_map(|recipient| recipient.kid());
        first_secret(anchors.secrets(&Hint { kid, key: None }), |secret| {
            let opener = Opener::KeyWrap { key: secret, kid: None };
            mac.verify_detached(&opener, "", &[], self.signed).map(drop)
        })
    }
}

/// Tries the secrets in turn.
fn first_secret(
    secrets: Vec<Secret>,
    verify: impl Fn(&cose::Secret) -> Result<(), cose::Untrusted>,
) -> Result<Signer, Error> {
    let mut last = Error::from(Untrusted::UnknownKey);
    for secret in secrets {
        match verify(&secret.key()) {
            Ok(()) => return Ok(Signer::Secret(cose::sha256(&secret.0))),
            Err(error) => last = convert(&error),
        }
    }
    Err(last)
}

/// What a refusal of the COSE layer means here.
pub(crate) fn convert(error: &cose::Untrusted) -> Error {
    match error {
        cose::Untrusted::Algorithm { algorithm } => Unsupported::Algorithm(algorithm.id()).into(),
        cose::Untrusted::KeyMismatch | cose::Untrusted::NoRecipient => Untrusted::UnknownKey.into(),
        cose::Untrusted::AlgorithmNotProtected
        | cose::Untrusted::CriticalHeader(_)
        | cose::Untrusted::CriticalText(_)
        | cose::Untrusted::PayloadAttached
        | cose::Untrusted::PayloadDetached
        | cose::Untrusted::NoSignature(_) => Malformed::CoseHeader.into(),
        cose::Untrusted::Authentication
        | cose::Untrusted::ContentKey
        | cose::Untrusted::Iv
        | cose::Untrusted::NotAuthenticated
        | cose::Untrusted::Signature
        | _ => Untrusted::Signature.into(),
    }
}

/// Tries the candidates in turn.
fn first_valid(
    keys: Vec<Key>,
    verify: impl Fn(&Key) -> Result<(), cose::Untrusted>,
) -> Result<Signer, Error> {
    let mut last = Error::from(Untrusted::UnknownKey);
    for key in keys {
        match verify(&key) {
            Ok(()) => return Ok(Signer::Key(key.thumbprint())),
            Err(error) => last = convert(&error),
        }
    }
    Err(last)
}

/// The error that says most when no block is good.
fn worst(rejected: Vec<(usize, Error)>) -> Error {
    let weight = |error: &Error| match error {
        Error::Untrusted(Untrusted::Signature) => 3,
        Error::Unsupported(_) => 2,
        Error::Malformed(_) => 1,
        Error::Untrusted(_) => 0,
    };
    let errors = rejected.into_iter().map(|(_, error)| error);
    errors.max_by_key(weight).unwrap_or(Untrusted::Unsigned.into())
}

/// Writes a wrapper.
pub(crate) fn write_wrapper(w: &mut Writer, digest: &Digest, blocks: &[Vec<u8>]) {
    w.wrapped(|w| {
        w.array(1 + blocks.len()).wrapped(|w| digest.write(w));
        for block in blocks {
            w.bytes(block);
        }
    });
}

/// More would only make a device verify for long.
const BLOCKS_MAX: u64 = 8;
const TAG_MAC0: u64 = 17;
const TAG_SIGN1: u64 = 18;
const TAG_MAC: u64 = 97;
const TAG_SIGN: u64 = 98;
